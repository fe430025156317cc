"""Where ligands sit: donor positions and free directions of a site, and the open sites of a bare core.

A blueprint states donors; elsewhere they follow from the metals, the usual metal-donor distance and the space left
free. Distances are those of the crystal structures of Ag70, Ag12 (Nat. Commun. 2022, doi 10.1038/s41467-022-28893-6)
and the Ag29 family (Chem. Sci. 2025, 16, 2373): Ag-S 2.43-2.62, Ag-O 2.29-2.44, Ag-P 2.40-2.45 A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.bonds import bond_limit, bonds, neighbours
from clusterml.structure.elements import is_metal
from clusterml.structure.points import index_of_least
from clusterml.structure.rotations import axis_rotation, sphere
from clusterml.typing import FloatArray, IntArray

METAL_DONOR = {16: 2.50, 8: 2.36, 15: 2.42, 7: 2.30, 6: 2.10, 1: 1.75, 9: 2.30, 17: 2.55, 35: 2.65, 53: 2.80, 34: 2.60}
"""Usual distance (A) from silver to a donor, by atomic number."""
_OWN_RADIUS_AG = 1.45
_LEAN = {16: 72.0, 34: 72.0, 8: 55.0}
"""Angle (degrees) between metal-to-donor and donor-to-ligand of a bent donor that binds one metal."""
_PYRAMID = 52.0
"""Angle (degrees) by which a substituent on a donor between two metals leaves their plane."""
_TURNS = 12


@dataclass(frozen=True)
class BindingSite:
    """A place for one ligand.

    ``metals`` ``(k,)``: atoms it binds; ``donors`` ``(d, 3)``: positions of its donors in A; ``outward`` ``(m, 3)``:
    unit vectors in which the body of the ligand (from the middle of its donors) may point, the best first;
    ``in_order``: the ligand's donors, of different elements, belong on those of the site in their order.
    """

    metals: IntArray
    donors: FloatArray
    outward: FloatArray
    in_order: bool = False


def metal_donor(metal: int, donor: int) -> float:
    """Usual bond length (A) between elements: from :data:`METAL_DONOR`, shifted by the metal's covalent radius."""
    from ase.data import covalent_radii

    if donor in METAL_DONOR:
        return METAL_DONOR[donor] + float(covalent_radii[metal]) - _OWN_RADIUS_AG
    return float(covalent_radii[metal] + covalent_radii[donor])


def find_bound_metals(
    numbers: IntArray, positions: FloatArray, donors: FloatArray, element: int | IntArray
) -> IntArray:
    """Indices of the metals that donors ``(d, 3)`` of an ``element``, or of one each, bind by the usual bond limits."""
    metal = np.flatnonzero(is_metal(numbers))
    distance = np.linalg.norm(positions[metal][:, None] - donors[None], axis=-1)
    limit = bond_limit(numbers[metal][:, None], np.broadcast_to(element, len(donors))[None])
    return np.asarray(metal[(distance <= limit).any(axis=1)], dtype=np.int64)


def site_at(
    numbers: IntArray,
    positions: FloatArray,
    donors: FloatArray,
    element: int | IntArray,
    outward: FloatArray | None = None,
    n_bonded: int = 1,
) -> BindingSite:
    """The site of given ``donors`` ``(d, 3)`` of one ``element``, or of one each ``(d,)``, on the metals of a frame.

    ``outward`` ``(m, 3)`` or None: then it follows from the metals the donors bind.  ``n_bonded``: ligand atoms on each
    donor (a phosphine has three, a thiolate one).  Raises :class:`~clusterml.errors.StructureError` without metals.
    """
    metals = find_bound_metals(numbers, positions, donors, element)
    if outward is not None:
        return BindingSite(metals, donors, _unit(outward.reshape(-1, 3)))
    if len(metals) == 0:
        shown = np.round(donors[0], 2).tolist()
        raise StructureError(f"no metal is near the ligand site at {shown}", "place donors within a bond of a metal")
    if len(donors) > 1:
        away = _unit(donors.mean(axis=0) - positions[metals].mean(axis=0))
        return BindingSite(metals, donors, away[None])
    return BindingSite(metals, donors, body_directions(positions[metals], donors[0], int(np.max(element)), n_bonded))


def body_directions(metals: FloatArray, donor: FloatArray, element: int, n_bonded: int = 1) -> FloatArray:
    """Unit vectors ``(m, 3)`` from a donor in which its ligand may point, for metals at ``(k, 3)`` (A).

    One metal: straight on for a phosphine, a cone for bent donors (S, O).  Two: both sides of the metal-donor-metal
    plane.  More: away from all of them.
    """
    towards = _unit(metals - donor)
    lean = _LEAN.get(element, 0.0) if n_bonded == 1 else 0.0
    if len(towards) == 1:
        straight = -towards[0]
        if lean == 0.0:
            return straight[None]
        tilted = axis_rotation(_perpendicular(straight), np.radians(lean)) @ straight
        return np.array([axis_rotation(straight, 2 * np.pi * k / _TURNS) @ tilted for k in range(_TURNS)])
    away = -towards.sum(axis=0)
    if len(towards) == 2 and lean > 0.0:
        normal = np.cross(towards[0], towards[1])
        if np.linalg.norm(normal) < 0.2:  # metal-donor-metal nearly straight
            normal = _perpendicular(towards[0])
        normal, away = _unit(normal), _unit(away) if np.linalg.norm(away) > 0.2 else _perpendicular(normal)
        angle = np.radians(_PYRAMID)
        return np.array([np.cos(angle) * away + side * np.sin(angle) * normal for side in (1.0, -1.0)])
    if np.linalg.norm(away) < 0.15:
        normal = np.linalg.svd(towards)[2][-1]
        normal = normal * np.sign(normal[index_of_least(-np.abs(normal))])
        return np.array([normal, -normal])
    return _unit(away)[None]


def site_on(numbers: IntArray, positions: FloatArray, metals: IntArray, outward: FloatArray, element: int,
            bite: float = 0.0, turn: float = 0.0) -> BindingSite:  # fmt: skip
    """The site of a ligand on given ``metals`` ``(k,)``, its body pointing along ``outward`` ``(3,)``.

    ``bite``: distance (A) between its two donors, 0 for one donor.  One donor sits over the middle of the metals; two
    sit over two metals each on its own, or both on one metal, turned by ``turn`` (radians) about ``outward``.
    Raises :class:`~clusterml.errors.StructureError` for two donors on more than two metals.
    """
    out = _unit(outward)
    metal_positions = positions[metals]
    middle = metal_positions.mean(axis=0)
    length = float(np.mean([metal_donor(int(z), element) for z in numbers[metals]]))
    if bite == 0.0:
        spread = metal_positions - middle
        height = _height(length, float(np.sqrt(np.mean(np.sum(spread**2, axis=1)))))
        donor = middle + height * out
        return BindingSite(metals, donor[None], body_directions(metal_positions, donor, element))
    if len(metals) > 2:
        raise StructureError(f"two donors cannot share {len(metals)} metals", "give one or two metals for the site")
    along = (
        metal_positions[-1] - metal_positions[0] if len(metals) == 2 else axis_rotation(out, turn) @ _perpendicular(out)
    )
    along = _unit(along)
    out = _unit(out - (out @ along) * along)
    gap = (float(np.linalg.norm(metal_positions[-1] - metal_positions[0])) - bite) / 2 if len(metals) == 2 else bite / 2
    middle = middle + _height(length, gap) * out
    return BindingSite(metals, np.array([middle - along * bite / 2, middle + along * bite / 2]), out[None])


def _height(length: float, offset: float) -> float:
    """Height at which a bond of ``length`` reaches a metal that is ``offset`` to the side."""
    return float(np.sqrt(max(length**2 - offset**2, (0.25 * length) ** 2)))


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _perpendicular(vector: FloatArray) -> FloatArray:
    """A unit vector at right angles to ``vector``."""
    other = np.eye(3)[index_of_least(np.abs(vector))]
    return _unit(np.cross(vector, other))


_DIRECTIONS = 400
_CARBON = 1.82  # A, S-C
_CARBON_TO_METAL = 2.75  # A, a carbon on sulfur is further than this from every metal (usually 3.2 to 3.6)
_TO_METAL = {8: 2.28, 16: 2.50, 15: 2.95, 7: 2.50}  # A, from a donor to metals that it is not meant for
_CLEAR = {16: 2.95, 1: 2.2}
_CLEAR_ELSE = 2.75
_WIDER = {8: 0.0, 7: 0.0, 16: 0.3, 15: 0.4}  # A, that other donors need beyond oxygen
_LEAST_OPEN = 0.02  # of the full sphere
_BRIDGED = (2.6, 4.6)  # A between two metals under one carboxylate
_LEANS = np.radians([0.0, -10.0, 10.0, -20.0, 20.0, -30.0, 30.0])


@dataclass(frozen=True)
class OpenSite:
    """A place for a ligand on the surface: the ``site``, and its ``room``, the spare distance (A) of its donors."""

    site: BindingSite
    room: float


def find_bare_sulfurs(numbers: IntArray, positions: FloatArray) -> IntArray:
    """Sulfur atoms bonded to metals and to nothing else, sorted."""
    metal = is_metal(numbers)
    table = neighbours(len(numbers), bonds(numbers, positions))
    bare = [i for i in np.flatnonzero(numbers == 16) if table[i] and metal[table[i]].all()]
    return np.array(bare, dtype=np.int64)


def find_thiolate_sulfurs(numbers: IntArray, positions: FloatArray) -> IntArray:
    """Those bare sulfurs that have room for a carbon; the others are sulfides, shut in by metals."""
    metals = positions[is_metal(numbers)]
    around = sphere(_DIRECTIONS)
    thiolates = []
    for sulfur in find_bare_sulfurs(numbers, positions):
        carbons = positions[sulfur] + _CARBON * around
        nearest = np.linalg.norm(carbons[:, None] - metals[None], axis=-1).min(axis=1)
        if (nearest > _CARBON_TO_METAL).any():
            thiolates.append(int(sulfur))
    return np.array(thiolates, dtype=np.int64)


def find_open_directions(numbers: IntArray, positions: FloatArray) -> dict[int, FloatArray]:
    """Metals with room for an oxygen -> the mean direction ``(3,)`` of that room (a unit vector)."""
    around = sphere(_DIRECTIONS)
    directions = {}
    for metal in np.flatnonzero(is_metal(numbers)).tolist():
        oxygen = positions[metal] + metal_donor(int(numbers[metal]), 8) * around
        open_here = _room(oxygen, numbers, positions, {metal}) > 0
        middle = around[open_here].sum(axis=0)
        if open_here.mean() > _LEAST_OPEN and np.linalg.norm(middle) > 0.3 * open_here.sum():
            directions[metal] = middle / np.linalg.norm(middle)
    return directions


def find_single_sites(
    numbers: IntArray, positions: FloatArray, open_to: dict[int, FloatArray], element: int = 8
) -> list[OpenSite]:
    """One place for a donor of an ``element`` on each open metal."""
    sites = []
    for metal, out in open_to.items():
        site = site_on(numbers, positions, np.array([metal]), out, element)
        sites.append(OpenSite(site, float(_room(site.donors, numbers, positions, {metal}, element).min())))
    return sites


def find_bridging_sites(
    numbers: IntArray, positions: FloatArray, open_to: dict[int, FloatArray], bite: float, element: int = 8
) -> list[OpenSite]:
    """Places for two donors of an ``element``, ``bite`` (A) apart, over two open metals each, where they have room."""
    sites = []
    metals = sorted(open_to)
    for k, first in enumerate(metals):
        for second in metals[k + 1 :]:
            span = positions[second] - positions[first]
            length = float(np.linalg.norm(span))
            out = open_to[first] + open_to[second]
            out = out - (out @ span) * span / length**2
            if not _BRIDGED[0] < length < _BRIDGED[1] or np.linalg.norm(out) < 1.0:
                continue
            pair = np.array([first, second])
            best = _lean_for_room(numbers, positions, pair, out, span / length, bite, element)
            if best.room > 0:
                sites.append(best)
    return sites


def _lean_for_room(
    numbers: IntArray, positions: FloatArray, pair: IntArray, out: FloatArray, axis: FloatArray, bite: float,
    element: int,
) -> OpenSite:  # fmt: skip
    """The bridging site that leans so that its donors have most room."""
    best: OpenSite | None = None
    for angle in _LEANS:
        site = site_on(numbers, positions, pair, axis_rotation(axis, float(angle)) @ out, element, bite)
        room = float(_room(site.donors, numbers, positions, set(pair.tolist()), element).min())
        room -= 0.05 * abs(float(angle))
        if best is None or room > best.room + 1e-9:  # the first of equally good ones
            best = OpenSite(site, room)
    if best is None:
        raise ValueError("no lean was tried")
    return best


def _room(points: FloatArray, numbers: IntArray, positions: FloatArray, own: set[int], element: int = 8) -> FloatArray:
    """Spare distance (A) ``(p,)`` of a donor at ``points`` from all atoms but its ``own`` metals."""
    others = np.array([i for i in range(len(numbers)) if i not in own], dtype=np.int64)
    if len(others) == 0:
        return np.ones(len(points))
    metal = is_metal(numbers[others])
    wider = _WIDER.get(element, 0.3)
    limit = np.array([_CLEAR.get(int(z), _CLEAR_ELSE) + wider for z in numbers[others]])
    limit = np.where(metal, _TO_METAL.get(element, 2.5), limit)
    distance = np.linalg.norm(points[:, None] - positions[others][None], axis=-1)
    return np.asarray((distance - limit).min(axis=1))
