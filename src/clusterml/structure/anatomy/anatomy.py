"""What a cluster is made of: kernel, shells of metals, surface motifs, named ligands, charge, superatom electrons.

* Staple: a chain S-M-S, S-M-S-M-S, ... whose metals bind two S almost in line and whose end S sit on the kernel
  (Ag2S3 in Ag25; Au1S2 and Au2S3 in Au38).
* Crown: a ring of three metals and three bridging S in which each metal binds one more S: Ag3S6, four of them in Ag29.
* Trigon: three metals of one layer in mutual contact, far from the layer's others, with no metal above their plane:
  the four Ag3 at the corners of Ag70.  In a T-distorted Ag70 the contacts open to 3.6 A, so the limit is 4 A.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from clusterml.errors import counted
from clusterml.structure.anatomy.kernel import CHALCOGENS, MetalFrame, metal_frame
from clusterml.structure.anatomy.library import Library
from clusterml.structure.anatomy.recognise import NamedLigand, name_ligands
from clusterml.structure.anatomy.superatom import ChargeProposal, propose_charge
from clusterml.structure.bonds import bond_limit
from clusterml.structure.check import check_geometry, check_size, connected_molecules, stated_charge
from clusterml.structure.elements import formula, is_metal
from clusterml.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


_REACH = 0.2  # A beyond the longest bond at which the third S of a crown metal and the foot of a staple are looked for
_LINEAR = 140.0  # degrees: S-M-S of a staple (152 to 174 found)
_BENT = 145.0  # degrees: mean over a crown's metals of their widest S-M-S (120 to 137 found)
_CONTACT = 4.0  # A, between the metals of a trigon
_UNEVEN = 0.8  # A, largest difference of a trigon's three distances
_ABOVE = 0.5  # A: all other metals lie at least this much below a trigon's plane


@dataclass(frozen=True)
class Motif:
    """``atoms`` ``(m,)`` and ``metals`` ``(k,)`` among them, sorted indices; ``centre`` ``(3,)`` of the metals (A).

    ``axis`` ``(3,)``: outward unit vector; for crowns and trigons the normal of the plane of the metals (their C3
    axis), for staples the direction from the kernel metals under its ends to the staple's metals.
    """

    kind: Literal["staple", "crown", "trigon"]
    atoms: IntArray
    metals: IntArray
    centre: FloatArray
    axis: FloatArray


def find_motifs(numbers: IntArray, positions: FloatArray, frame: MetalFrame) -> tuple[Motif, ...]:
    """The motifs of a cluster, ``numbers`` ``(n,)``, ``positions`` ``(n, 3)`` (A): crowns, then staples, then trigons.

    No metal is in two motifs; within a kind they are in order of their first metal.
    """
    outside = np.sort(np.concatenate(frame.shells)) if frame.shells else np.zeros(0, dtype=np.int64)
    sulfur = np.flatnonzero(np.isin(numbers, CHALCOGENS))
    motifs: list[Motif] = []
    if len(sulfur):
        near = _SulfurTable(numbers, positions, outside, sulfur)
        motifs += _find_crowns(near, frame)
        free = [m for m in outside.tolist() if not any(m in motif.metals for motif in motifs)]
        motifs += _find_staples(near, free, frame)
    used = {m for motif in motifs for m in motif.metals.tolist()}
    return (*motifs, *_find_trigons(positions, used, frame))


class _SulfurTable:
    """For each metal outside the kernel its nearest S (Se, Te), at most three, within reach, nearest first."""

    def __init__(self, numbers: IntArray, positions: FloatArray, metals: IntArray, sulfur: IntArray) -> None:
        self.numbers, self.positions = numbers, positions
        distance = np.linalg.norm(positions[metals][:, None, :] - positions[sulfur][None, :, :], axis=2)
        excess = distance - bond_limit(numbers[metals][:, None], numbers[sulfur][None, :])
        self.nearest: dict[int, list[int]] = {}
        self.bonded: dict[int, int] = {}  # how many of those are within the ordinary limit
        for row, metal in enumerate(metals.tolist()):
            order = [k for k in np.argsort(distance[row])[:3] if excess[row, k] <= _REACH]
            self.nearest[metal] = sulfur[order].tolist()
            self.bonded[metal] = int(np.sum(excess[row, order] <= 0.0))

    def angle(self, metal: int, first: int, second: int) -> float:
        """Angle (degrees) first-metal-second."""
        u, v = self.positions[[first, second]] - self.positions[metal]
        return float(np.degrees(np.arccos(np.clip(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)), -1.0, 1.0))))

    def widest(self, metal: int) -> float:
        """Widest angle (degrees) between two of the metal's S."""
        return max(self.angle(metal, a, b) for a, b in combinations(self.nearest[metal], 2))


def _find_crowns(near: _SulfurTable, frame: MetalFrame) -> list[Motif]:
    three = [m for m, sulfurs in near.nearest.items() if len(sulfurs) == 3]
    linked = {m: [k for k in three if k != m and set(near.nearest[m]) & set(near.nearest[k])] for m in three}
    crowns = []
    for first in three:
        for second, third in combinations([k for k in linked[first] if k > first], 2):
            ring = (first, second, third)
            if third in linked[second] and _is_crown(near, ring):
                sulfurs = {s for m in ring for s in near.nearest[m]}
                metals = np.array(ring, dtype=np.int64)
                axis = _normal(near.positions[metals], frame.centre)
                crowns.append(_motif("crown", {*ring, *sulfurs}, metals, near.positions, axis))
    return _without_overlap(crowns)


def _is_crown(near: _SulfurTable, ring: tuple[int, int, int]) -> bool:
    """Does each pair share exactly one S, all different, and is no metal linear?"""
    shared = [set(near.nearest[a]) & set(near.nearest[b]) for a, b in combinations(ring, 2)]
    sulfurs = set[int]().union(*(near.nearest[m] for m in ring))
    bridges = set[int]().union(*shared)
    return (
        all(len(s) == 1 for s in shared)
        and len(bridges) == 3
        and len(sulfurs) == 6
        and float(np.mean([near.widest(m) for m in ring])) < _BENT
    )


def _find_staples(near: _SulfurTable, metals: list[int], frame: MetalFrame) -> list[Motif]:
    linear = [m for m in metals if near.bonded[m] >= 2 and near.angle(m, *near.nearest[m][:2]) >= _LINEAR]
    links = {m: near.nearest[m][:2] for m in linear}
    staples = []
    for chain in _find_chains(links):
        ends = [s for s in {s for m in chain for s in links[m]} if sum(s in links[m] for m in chain) == 1]
        feet = [_foot(near, end, frame.kernel) for end in ends]
        if len(ends) != 2 or None in feet:
            continue
        members = np.array(sorted(chain), dtype=np.int64)
        up = near.positions[members].mean(axis=0) - np.mean([near.positions[f] for f in feet if f is not None], axis=0)
        atoms = {*chain, *(s for m in chain for s in links[m])}
        staples.append(_motif("staple", atoms, members, near.positions, up / np.linalg.norm(up)))
    return staples


def _find_chains(links: dict[int, list[int]]) -> list[list[int]]:
    """Groups of metals joined by shared S in an unbranched, open chain."""
    rest = list(links)
    chains = []
    while rest:
        group = [rest.pop(0)]
        for metal in group:
            joined = [m for m in rest if set(links[m]) & set(links[metal])]
            group += joined
            rest = [m for m in rest if m not in joined]
        sulfurs = [s for m in group for s in links[m]]
        if len(set(sulfurs)) == len(group) + 1 and all(sulfurs.count(s) <= 2 for s in sulfurs):
            chains.append(group)
    return chains


def _foot(near: _SulfurTable, sulfur: int, kernel: IntArray) -> int | None:
    """The kernel metal nearest to a staple's end S, or None if none is bonded to it."""
    if not len(kernel):
        return None
    distance = np.linalg.norm(near.positions[kernel] - near.positions[sulfur], axis=1)
    best = int(np.argmin(distance))
    limit = float(bond_limit(near.numbers[kernel[best : best + 1]], near.numbers[sulfur : sulfur + 1])[0])
    return int(kernel[best]) if distance[best] <= limit + _REACH else None


def _find_trigons(positions: FloatArray, used: set[int], frame: MetalFrame) -> list[Motif]:
    trigons = []
    metals = np.flatnonzero(frame.metal)
    for shell in frame.shells:
        shell_positions = positions[shell]
        distance = np.linalg.norm(shell_positions[:, None, :] - shell_positions[None, :, :], axis=2)
        close = (distance < _CONTACT) & (distance > 0.0)
        for row, partners in enumerate(map(np.flatnonzero, close)):
            trio = shell[[row, *partners]]
            if len(partners) != 2 or row > partners[0] or used & set(trio.tolist()) or not _is_isolated(close, row):
                continue
            sides = distance[[row, row, partners[0]], [partners[0], partners[1], partners[1]]]
            axis = _normal(positions[trio], frame.centre)
            others = np.setdiff1d(metals, trio)
            height = (positions[others] - positions[trio].mean(axis=0)) @ axis
            if np.ptp(sides) <= _UNEVEN and len(others) and height.max() <= -_ABOVE:
                trigons.append(_motif("trigon", set(trio.tolist()), np.sort(trio), positions, axis))
    return trigons


def _is_isolated(close: BoolArray, row: int) -> bool:
    """Are the contacts ``close`` of a metal and its partners only among themselves?"""
    members = {row, *np.flatnonzero(close[row]).tolist()}
    return all(set(np.flatnonzero(close[k]).tolist()) == members - {k} for k in members)


def _normal(triangle: FloatArray, centre: FloatArray) -> FloatArray:
    """Unit normal ``(3,)`` of a triangle of positions ``(3, 3)`` that points away from ``centre``."""
    normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
    normal = normal / max(float(np.linalg.norm(normal)), 1e-12)
    outward = (triangle.mean(axis=0) - centre) @ normal
    return np.asarray(normal if outward >= 0.0 else -normal, dtype=np.float64)


def _motif(
    kind: Literal["staple", "crown", "trigon"],
    atoms: set[int],
    metals: IntArray,
    positions: FloatArray,
    axis: FloatArray,
) -> Motif:
    members = np.array(sorted(atoms), dtype=np.int64)
    return Motif(kind, members, np.sort(metals), positions[metals].mean(axis=0), np.asarray(axis, dtype=np.float64))


def _without_overlap(motifs: list[Motif]) -> list[Motif]:
    """The motifs that share no metal with another: a metal in two rings is part of a larger network."""
    counts = np.bincount(np.concatenate([m.metals for m in motifs])) if motifs else np.zeros(1)
    return [m for m in motifs if counts[m.metals].max() == 1]


__all__ = ["Anatomy", "Motif", "NamedLigand", "anatomy"]


@dataclass(frozen=True, repr=False)
class Anatomy:
    """The parts of one cluster; all indices are those of the structure, sorted.

    ``kernel`` ``(k,)``, ``shells``: metals outside it, inside out, and ``layers``: all metals, those of the kernel
    included, inside out (the rule is that of :mod:`clusterml.structure.anatomy.kernel`); ``centre`` ``(3,)`` (A) of the
    kernel, or of the metals without one; ``motifs``: crowns, staples, trigons; ``ligands``: bonded to the cluster;
    ``leftovers``: molecules and ions that are not.  ``superatom_electrons`` belongs to the charge the structure states
    (``atoms.info["charge"]``), else to the proposed one; None where the count has no meaning.
    """

    kernel: IntArray
    shells: tuple[IntArray, ...]
    layers: tuple[IntArray, ...]
    centre: FloatArray
    motifs: tuple[Motif, ...]
    ligands: tuple[NamedLigand, ...]
    leftovers: tuple[NamedLigand, ...]
    charge: ChargeProposal
    superatom_electrons: int | None

    def __repr__(self) -> str:
        """One line: metals from the inside out, motifs, ligands, superatom electrons."""
        metals = "@".join(str(len(part)) for part in (self.kernel, *self.shells) if len(part)) or "none"
        motifs = [counted(n, kind) for kind, n in Counter(m.kind for m in self.motifs).items()]
        ligands = [f"{n} {name}" for name, n in self.ligand_counts().items()]
        words = [f"metals {metals}", *motifs, *ligands]
        if self.superatom_electrons is not None:
            words.append(f"{self.superatom_electrons} superatom electrons")
        return f"Anatomy({', '.join(words)})"

    @property
    def metals(self) -> IntArray:
        """All metals of the cluster ``(m,)``."""
        return _union(self.layers)

    @property
    def donors(self) -> IntArray:
        """The ligand atoms bonded to metals ``(d,)``."""
        return _union([ligand.donors for ligand in self.ligands])

    def motifs_of(self, kind: str) -> tuple[Motif, ...]:
        """The motifs of one kind: ``staple``, ``crown`` or ``trigon``."""
        return tuple(motif for motif in self.motifs if motif.kind == kind)

    def parts(self) -> dict[str, IntArray]:
        """Parts for reports, without empty ones: ``kernel``, ``shell 1`` ... inside out, ``metal + donor frame`` (all
        metals and the ligand atoms bonded to them) and ``ligand layer`` (the other atoms of the ligands)."""
        frame = np.union1d(self.metals, self.donors)
        layer = np.setdiff1d(_union([ligand.atoms for ligand in self.ligands]), frame)
        shells = {f"shell {n}": shell for n, shell in enumerate(self.shells, start=1)}
        parts = {"kernel": self.kernel, **shells, "metal + donor frame": frame, "ligand layer": layer}
        return {name: part for name, part in parts.items() if len(part)}

    def ligand_counts(self) -> dict[str, int]:
        """Name -> number of the ligands, in order of first appearance."""
        return dict(Counter(ligand.name for ligand in self.ligands))


def anatomy(atoms: Atoms, library: Library | None = None) -> Anatomy:
    """The anatomy of the cluster ``atoms`` (positions in A), its ligands named from ``library`` (default: shipped).

    The cluster is the molecule with the most metals; others are leftovers.  Raises
    :class:`~clusterml.errors.StructureError` for coordinates that cannot be a structure.

    Examples:
        >>> import clusterml as cm
        >>> cm.anatomy(cm.read("shipped:datasets/structures/ag25_sch3.xyz"))
        Anatomy(metals 13@12, 6 staples, 18 SCH3, 8 superatom electrons)
    """
    check_size(atoms)
    check_geometry(atoms)
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    molecules = connected_molecules(atoms)
    main = max(molecules, key=lambda part: int(metal[part].sum())) if metal.any() else np.zeros(0, dtype=np.int64)
    frame = metal_frame(atoms, main)
    motifs = find_motifs(numbers, np.asarray(atoms.positions, dtype=np.float64), frame)
    complexes = [part for part in molecules if metal[part].any() and part[0] != main[0]]
    named = name_ligands(atoms, library)
    elsewhere = np.concatenate([main, *complexes])
    free = [ligand for ligand in named if ligand.atoms[0] not in elsewhere]
    charge = propose_charge(atoms)
    return Anatomy(
        frame.kernel,
        frame.shells,
        frame.layers,
        frame.centre,
        motifs,
        tuple(ligand for ligand in named if ligand.atoms[0] in main),
        (*(_complex(atoms, part) for part in complexes), *free),
        charge,
        _electrons(atoms, charge) if not complexes else propose_charge(atoms[main]).superatom_electrons,
    )


def _electrons(atoms: Atoms, proposal: ChargeProposal) -> int | None:
    """Superatom electrons at the charge that the structure states, else at the proposed one."""
    stated = stated_charge(atoms)
    if stated is None or proposal.superatom_electrons is None:
        return proposal.superatom_electrons
    electrons = proposal.superatom_electrons + proposal.charge - stated
    return electrons if electrons >= 0 else None


def _complex(atoms: Atoms, part: IntArray) -> NamedLigand:
    """A further molecule with metals, beside the cluster."""
    name = formula(atoms.numbers[part])
    charge = -propose_charge(atoms[part]).charge
    none = np.zeros(0, dtype=np.int64)
    return NamedLigand(name, name, part, none, charge, None, None, 0, "another molecule with metals")


def _union(parts: Sequence[IntArray]) -> IntArray:
    return np.unique(np.concatenate(parts)) if len(parts) else np.zeros(0, dtype=np.int64)
