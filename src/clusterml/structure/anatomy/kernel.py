"""The metal frame: layers of metals around a centre, the kernel they form, and centred icosahedra in it.

A metal is the centre of an icosahedron when its twelve nearest metals lie around it at the angles of one.  Between the
directions to the corners of an icosahedron every cosine is +-0.447 or -1; a cuboctahedron and an anticuboctahedron
(fcc, hcp) have twelve right angles, so counting angles near 90 degrees tells them apart at any thermal noise that
leaves the polyhedron recognisable.

* Centre: the centres of the icosahedra if there are any (two for Au38), otherwise the centroid of the metals.
* Layers: metals alike in distance from the nearest centre, in metal coordination, in bonds to S (Se, Te) and in bonds
  to terminal donors (P, N, C on one metal: phosphine, amine, carbene, CO) are one layer (average-linkage clustering of
  those numbers); the centres of icosahedra and their corners are the first two.  The apices of the fans of the Ag29
  family (:mod:`clusterml.structure.anatomy.fans`) are a layer of their own whatever is bound to them, or nothing.
  Bonds are counted with a smooth cut-off, so that a contact near the limit, moved by thermal noise, does not tear a
  layer apart.
* Kernel: from the inside out, the layers whose metals have on average fewer than 1.5 bonds to ligand atoms (hydrides do
  not count) and more than 2.5 to metals; the first layer that fails ends it.  A kernel metal is thus bound by metals
  and touched by at most one ligand; metals of staples, crowns and rings have two or more.

That gives Ag13 in Ag25 and Ag29, Au23 in Au38, Ag4@Ag12 in Ag70 (each of the Ag12 has one sulfide, each metal of the
next layer two thiolates), and no kernel in Ag12(SR)6(O2CR)6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.anatomy.fans import find_blades
from clusterml.structure.bonds import bond_limit, bonds, neighbours
from clusterml.structure.elements import is_metal
from clusterml.structure.points import average_linkage, distances, nearest
from clusterml.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

CORNERS = 12
_REFINEMENTS = 4
_REACH = 0.4  # a corner may be this much (A) farther than the longest metal-metal bond
_RIGHT_ANGLE = 0.22  # half of the icosahedron's 0.447
_MOST_RIGHT_ANGLES = 6  # icosahedron 0, cuboctahedron and anticuboctahedron 12
_MOST_LOPSIDED = 0.25  # mean of the unit vectors to the corners; about 0.5 for a metal on a surface


@dataclass(frozen=True)
class Icosahedra:
    """``centres`` ``(m,)`` and their ``corners`` ``(m, 12)``, indices of atoms; m = 0 where there are none."""

    centres: IntArray
    corners: IntArray

    def members(self, index: int) -> set[int]:
        """The thirteen atoms of one icosahedron."""
        return {int(self.centres[index]), *self.corners[index].tolist()}

    def electrons(self) -> int | None:
        """Superatom electrons that icosahedra sharing metals are known to hold as a molecule of superatoms, or None.

        Two that share a face (M23) hold 14, as F2 does (Au38(SR)24: Cheng et al., Nanoscale 5, 1475 (2013)); ``k`` in a
        chain that share corners (M25, M37) hold 8 each (Au25(PPh3)10(SR)5Cl2: Shichibu et al., J. Phys. Chem. C 111,
        7845 (2007); Au37: Jin et al., ACS Nano 9, 8530 (2015)).
        """
        count = len(self.centres)
        shared = [len(self.members(i) & self.members(j)) for i in range(count) for j in range(i)]
        touching = [n for n in shared if n]
        if count == 2 and touching == [3]:
            return 14
        if count >= 2 and len(touching) == count - 1 and set(touching) == {1}:
            return 8 * count
        return None


def find_icosahedra(numbers: IntArray, positions: FloatArray, metal: BoolArray) -> Icosahedra:
    """The centred icosahedra of a structure: ``numbers`` ``(n,)``, ``positions`` ``(n, 3)`` (A), ``metal`` ``(n,)``."""
    metals = np.flatnonzero(metal)
    if len(metals) <= CORNERS:
        return Icosahedra(np.zeros(0, dtype=np.int64), np.zeros((0, CORNERS), dtype=np.int64))
    distance, near = nearest(positions[metals], CORNERS + 1)
    limit = bond_limit(numbers[metals][:, None], numbers[metals][near]) + _REACH
    full = np.flatnonzero(np.all(distance <= limit, axis=1))
    around = positions[metals][near[full, 1:]] - positions[metals][full][:, None, :]
    unit = around / np.linalg.norm(around, axis=2, keepdims=True)
    cosine = unit @ unit.transpose(0, 2, 1)
    right = (np.abs(cosine) < _RIGHT_ANGLE).sum(axis=(1, 2)) // 2
    lopsided = np.linalg.norm(unit.mean(axis=1), axis=1)
    central = full[(right <= _MOST_RIGHT_ANGLES) & (lopsided <= _MOST_LOPSIDED)]
    return _without_joints(
        metals[central].astype(np.int64), np.sort(metals[near[central, 1:]], axis=1).astype(np.int64)
    )


def _without_joints(centres: IntArray, corners: IntArray) -> Icosahedra:
    """Leave out the corner that two staggered icosahedra share: its surroundings are those of a centre, too."""
    around = [{int(c), *row.tolist()} for c, row in zip(centres, corners, strict=True)]
    pairs = [around[i] & around[j] for i in range(len(centres)) for j in range(i)]
    keep = [k for k, centre in enumerate(centres.tolist()) if {centre} not in pairs]
    return Icosahedra(centres[keep], corners[keep])


CHALCOGENS = (16, 34, 52)
_TERMINAL = (6, 7, 15, 33, 51)

_MOST_LIGAND_BONDS = 1.5
_FEWEST_METAL_BONDS = 2.5
_SOFTNESS = 0.10  # width (A) of the smooth cut-off of a bond
_DISTANCE_SCALE = 0.6  # A of distance; bonds to metals, to S and to terminal donors: one step between layers each
_METAL_SCALE = 3.0
_SULFUR_SCALE = 1.0
_TERMINAL_SCALE = 0.4
_APEX_SCALE = 0.4
_STEP = 1.5  # metals farther apart than this (in those steps) are in different layers


@dataclass(frozen=True)
class MetalFrame:
    """Layers of metals, inside out, the first ``n_kernel`` of which are the kernel.

    ``metal`` ``(n,)``: which atoms are its metals; ``centres`` ``(m, 3)`` (A): of the icosahedra, or one centroid;
    ``centre`` ``(3,)``: their mean; ``layers``: sorted atom indices each, together all metals.
    """

    metal: BoolArray
    centre: FloatArray
    centres: FloatArray
    layers: tuple[IntArray, ...]
    n_kernel: int
    icosahedra: Icosahedra

    @property
    def kernel(self) -> IntArray:
        """Atoms of the kernel ``(k,)``, sorted; empty if there is none."""
        return _separations(self.layers[: self.n_kernel])

    @property
    def shells(self) -> tuple[IntArray, ...]:
        """The layers outside the kernel, inside out."""
        return self.layers[self.n_kernel :]


def metal_frame(atoms: Atoms, part: IntArray | None = None) -> MetalFrame:
    """Centre, layers and kernel of the metals of ``atoms`` (A); everything is empty where there are none.

    ``part``: only the metals among these atoms count (one of several molecules).
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = np.asarray(atoms.positions, dtype=np.float64)
    metal = is_metal(numbers)
    if part is not None:
        metal &= np.isin(np.arange(len(numbers)), part)
    icosahedra = find_icosahedra(numbers, positions, metal)
    if not metal.any():
        return MetalFrame(metal, np.zeros(3), np.zeros((0, 3)), (), 0, icosahedra)
    centres = positions[icosahedra.centres] if len(icosahedra.centres) else positions[metal].mean(axis=0)[None, :]
    counts = _bond_counts(numbers, positions, metal)
    apex = np.isin(np.flatnonzero(metal), [blade.apex for blade in find_blades(numbers, positions, metal)])
    counts["terminal"][apex], counts["apex"] = 0.0, apex.astype(np.float64)
    distance = np.linalg.norm(positions[metal][:, None, :] - centres[None, :, :], axis=2).min(axis=1)
    inside = np.isin(np.flatnonzero(metal), np.union1d(icosahedra.centres, icosahedra.corners))
    groups = _layers(distance, counts, inside)
    metals = np.flatnonzero(metal).astype(np.int64)
    n_kernel = 0
    for group in groups:
        ligand, metallic = counts["ligand"][group].mean(), counts["metal"][group].mean()
        if len(metals) == 1 or ligand >= _MOST_LIGAND_BONDS or metallic < _FEWEST_METAL_BONDS:
            break
        n_kernel += 1
    return MetalFrame(metal, centres.mean(axis=0), centres, tuple(metals[g] for g in groups), n_kernel, icosahedra)


def _bond_counts(numbers: IntArray, positions: FloatArray, metal: BoolArray) -> dict[str, FloatArray]:
    """Smooth numbers of bonds of each metal to metals, ligand atoms (without H), chalcogens and terminal donors, which
    bind no other metal: ``(k,)`` each."""
    heavy = np.flatnonzero(numbers > 1)
    metals = np.flatnonzero(metal)
    distance = distances(positions[metals], positions[heavy])
    limit = bond_limit(numbers[metals][:, None], numbers[heavy][None, :])
    exponent = np.clip((distance - limit) / _SOFTNESS, -60.0, 60.0)
    bonded = np.where(metals[:, None] == heavy[None, :], 0.0, 1.0 / (1.0 + np.exp(exponent)))
    alone = np.clip(2.0 - bonded.sum(axis=0), 0.0, 1.0)
    weights = {
        "metal": metal[heavy],
        "ligand": ~metal[heavy],
        "sulfur": np.isin(numbers[heavy], CHALCOGENS),
        "terminal": np.isin(numbers[heavy], _TERMINAL) * alone,
    }
    return {name: bonded @ weight.astype(np.float64) for name, weight in weights.items()}


def _layers(distance: FloatArray, counts: dict[str, FloatArray], inside: BoolArray) -> list[IntArray]:
    """Positions in the list of metals of each layer, inside out; those ``inside`` icosahedra come first."""
    centre = inside & (distance == 0.0)
    first = [np.flatnonzero(mask).astype(np.int64) for mask in (centre, inside & ~centre) if mask.any()]
    rest = np.flatnonzero(~inside)
    if len(rest) < 2:
        return [*first, rest.astype(np.int64)][: len(first) + len(rest)]
    scaled = (
        distance / _DISTANCE_SCALE,
        counts["metal"] / _METAL_SCALE,
        counts["sulfur"] / _SULFUR_SCALE,
        counts["terminal"] / _TERMINAL_SCALE,
        counts["apex"] / _APEX_SCALE,
    )
    groups = [rest[group].astype(np.int64) for group in average_linkage(np.stack(scaled, axis=1)[rest], _STEP)]
    return first + sorted(groups, key=lambda group: float(distance[group].mean()))


def _separations(layers: tuple[IntArray, ...]) -> IntArray:
    return np.sort(np.concatenate(layers)) if layers else np.zeros(0, dtype=np.int64)


def core_key(numbers: IntArray, positions: FloatArray) -> str:
    """A hash of the metals, their elements and contacts, whatever their order; as a rule different cores differ in it.

    Weisfeiler-Lehman refinement: each metal is labelled by its element, then four times by its own label and those of
    the metals it touches.
    """
    from clusterml.io.files import sha256

    metals = is_metal(numbers)
    kinds = numbers[metals]
    table = neighbours(len(kinds), bonds(kinds, positions[metals]))
    labels = [str(number) for number in kinds.tolist()]
    for _ in range(_REFINEMENTS):
        labels = [
            sha256(" ".join([own, *sorted(labels[j] for j in near)])) for own, near in zip(labels, table, strict=True)
        ]
    return sha256(" ".join(sorted(labels)))
