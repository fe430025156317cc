"""The open surface of a core: which sulfurs want a substituent, and where metals have room for an oxygen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.structure.bonds import bonds, neighbours
from clusterml.structure.build.sites import Site, metal_donor, site_on
from clusterml.structure.elements import is_metal
from clusterml.structure.rotations import axis_rotation, hemisphere
from clusterml.typing import FloatArray, IntArray

_DIRECTIONS = 400
_CARBON = 1.82  # A, S-C
_CARBON_TO_METAL = 2.75  # A, a carbon on sulfur is further than this from every metal (usually 3.2 to 3.6)
_OXYGEN_TO_METAL = 2.28  # A
_CLEAR = {16: 2.95, 1: 2.2}
_CLEAR_ELSE = 2.75
_LEAST_OPEN = 0.02  # of the full sphere
_BRIDGED = (2.6, 4.6)  # A between two metals under one carboxylate
_LEANS = np.radians([0.0, -10.0, 10.0, -20.0, 20.0, -30.0, 30.0])


@dataclass(frozen=True)
class OpenSite:
    """A place for a ligand on the surface: the ``site``, and its ``room``, the spare distance (A) of its donors."""

    site: Site
    room: float


def bare_sulfurs(numbers: IntArray, positions: FloatArray) -> IntArray:
    """Sulfur atoms bonded to metals and to nothing else, sorted."""
    metal = is_metal(numbers)
    table = neighbours(len(numbers), bonds(numbers, positions))
    bare = [i for i in np.flatnonzero(numbers == 16) if table[i] and metal[table[i]].all()]
    return np.array(bare, dtype=np.int64)


def thiolate_sulfurs(numbers: IntArray, positions: FloatArray) -> IntArray:
    """Those bare sulfurs that have room for a carbon; the others are sulfides, shut in by metals."""
    metals = positions[is_metal(numbers)]
    sphere = _sphere()
    found = []
    for sulfur in bare_sulfurs(numbers, positions):
        carbons = positions[sulfur] + _CARBON * sphere
        nearest = np.linalg.norm(carbons[:, None] - metals[None], axis=-1).min(axis=1)
        if (nearest > _CARBON_TO_METAL).any():
            found.append(int(sulfur))
    return np.array(found, dtype=np.int64)


def open_directions(numbers: IntArray, positions: FloatArray) -> dict[int, FloatArray]:
    """Metals with room for an oxygen -> the mean direction ``(3,)`` of that room (a unit vector)."""
    sphere = _sphere()
    found = {}
    for metal in np.flatnonzero(is_metal(numbers)).tolist():
        oxygen = positions[metal] + metal_donor(int(numbers[metal]), 8) * sphere
        open_here = _room(oxygen, numbers, positions, {metal}) > 0
        middle = sphere[open_here].sum(axis=0)
        if open_here.mean() > _LEAST_OPEN and np.linalg.norm(middle) > 0.3 * open_here.sum():
            found[metal] = middle / np.linalg.norm(middle)
    return found


def single_sites(numbers: IntArray, positions: FloatArray, open_to: dict[int, FloatArray]) -> list[OpenSite]:
    """One place for a donor on each open metal."""
    found = []
    for metal, out in open_to.items():
        site = site_on(numbers, positions, np.array([metal]), out, 8)
        found.append(OpenSite(site, float(_room(site.donors, numbers, positions, {metal}).min())))
    return found


def bridging_sites(
    numbers: IntArray, positions: FloatArray, open_to: dict[int, FloatArray], bite: float
) -> list[OpenSite]:
    """Places for two donors, ``bite`` (A) apart, over two open metals each, where they have room."""
    found = []
    metals = sorted(open_to)
    for k, first in enumerate(metals):
        for second in metals[k + 1 :]:
            span = positions[second] - positions[first]
            length = float(np.linalg.norm(span))
            out = open_to[first] + open_to[second]
            out = out - (out @ span) * span / length**2
            if not _BRIDGED[0] < length < _BRIDGED[1] or np.linalg.norm(out) < 1.0:
                continue
            best = _best_lean(numbers, positions, np.array([first, second]), out, span / length, bite)
            if best.room > 0:
                found.append(best)
    return found


def _best_lean(
    numbers: IntArray, positions: FloatArray, pair: IntArray, out: FloatArray, axis: FloatArray, bite: float
) -> OpenSite:
    """The bridging site that leans so that its donors have most room."""
    best: OpenSite | None = None
    for angle in _LEANS:
        site = site_on(numbers, positions, pair, axis_rotation(axis, float(angle)) @ out, 8, bite)
        room = float(_room(site.donors, numbers, positions, set(pair.tolist())).min()) - 0.05 * abs(float(angle))
        if best is None or room > best.room + 1e-9:  # the first of equally good ones
            best = OpenSite(site, room)
    if best is None:
        raise ValueError("no lean was tried")
    return best


def _room(points: FloatArray, numbers: IntArray, positions: FloatArray, own: set[int]) -> FloatArray:
    """Spare distance (A) ``(p,)`` of oxygen at ``points`` from all atoms but its ``own`` metals."""
    others = np.array([i for i in range(len(numbers)) if i not in own])
    metal = is_metal(numbers[others])
    limit = np.array([_CLEAR.get(int(z), _CLEAR_ELSE) for z in numbers[others]])
    limit = np.where(metal, _OXYGEN_TO_METAL, limit)
    distance = np.linalg.norm(points[:, None] - positions[others][None], axis=-1)
    return np.asarray((distance - limit).min(axis=1))


def _sphere() -> FloatArray:
    half = hemisphere(_DIRECTIONS // 2)
    return np.concatenate([half, -half])
