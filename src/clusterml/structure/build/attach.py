"""Putting library ligands on the sites of a metal frame, and exchanging one ligand for another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.bonds import bond_limit
from clusterml.structure.build.conformers import Conformers, find_conformers
from clusterml.structure.build.contacts import clean_up
from clusterml.structure.build.operations import permutations, symmetrise
from clusterml.structure.build.packing import Slot, pack, radii, screen
from clusterml.structure.build.poses import (
    LARGEST_MISFIT,
    find_invariant_poses,
    generate_poses,
    site_donors,
    stands_upright,
)
from clusterml.structure.build.sites import BindingSite, metal_donor, site_at
from clusterml.structure.check import stated_charge
from clusterml.structure.elements import is_metal
from clusterml.structure.points import index_of_least
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import LigandEntry

_SYMMETRIC = 0.02  # A
_AMID = 0.2  # A, from the centre of its metals
_IDENTITY = np.eye(3)[None]


class BoundLigand(Protocol):
    """What :func:`exchange` needs to know of a ligand in a structure: its ``atoms`` and ``donors`` (indices)."""

    @property
    def atoms(self) -> IntArray:
        """Indices of all its atoms."""

    @property
    def donors(self) -> IntArray:
        """Indices of the atoms bonded to metals."""


@dataclass(frozen=True)
class Placement:
    """A ligand for one site and its symmetric images.

    ``images`` ``(m, 3, 3)``: operations that make the copies, the identity first; ``stabiliser`` ``(s, 3, 3)``: those
    that must leave the ligand as it is.
    """

    site: BindingSite
    entry: LigandEntry
    shapes: Conformers
    images: FloatArray
    stabiliser: FloatArray


def attach(atoms: Atoms, sites: Sequence[BindingSite], entry: LigandEntry, *, rng: np.random.Generator) -> Atoms:
    """``atoms`` with one ligand on each of the ``sites``, placed without clashes and tidied by a force field.

    Atoms that are there do not move; the new ligands follow them, site by site, in the order of the library entry
    (heavy atoms as in its SMILES, then hydrogens).  The donors sit exactly on the sites' donors.  The charge in
    ``info``, if there is one, takes up the ligands' charges.

    Raises :class:`~clusterml.errors.StructureError` if the ligands do not fit, :class:`~clusterml.errors.OptionError`
    for a ligand with too few donors.
    """
    shapes = find_conformers(entry)
    placements = [Placement(site, entry, shapes, _IDENTITY, _IDENTITY) for site in sites]
    cluster = place(atoms, placements, rng=rng)
    charge = stated_charge(cluster)
    if charge is not None:
        cluster.info["charge"] = charge - len(placements) * entry.charge
    return cluster


def exchange(atoms: Atoms, ligand: BoundLigand, entry: LigandEntry, *, rng: np.random.Generator) -> Atoms:
    """``atoms`` with one ``ligand`` replaced by a library ligand on the same metals, placed without clashes.

    Everything else keeps its place and order; the new ligand comes last.  Donors of the same element stay where they
    were; others move along their bonds to the usual length.  The charge in ``info`` follows if the ligands' charges
    differ.  Raises as :func:`attach`.
    """
    from clusterml.structure.anatomy.ligands import find_ligands

    old = next((x for x in find_ligands(atoms) if x.atoms[0] == ligand.atoms[0]), None)
    shapes = find_conformers(entry)
    site = site_of(atoms, ligand, shapes)
    rest = np.setdiff1d(np.arange(len(atoms)), ligand.atoms)
    frame = atoms[rest]
    frame.info = {**atoms.info}
    place_of = {int(old_index): new for new, old_index in enumerate(rest)}
    site = replace(site, metals=np.array([place_of[int(m)] for m in site.metals], dtype=np.int64))
    charge = stated_charge(frame)
    if charge is not None and old is not None:
        frame.info["charge"] = charge + old.charge
    return attach(frame, [site], entry, rng=rng)


def site_of(atoms: Atoms, ligand: BoundLigand, shapes: Conformers) -> BindingSite:
    """The site that a bound ligand occupies, for a ligand with the given ``shapes``.

    Raises :class:`~clusterml.errors.StructureError` if the ligand binds no metal.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    if len(ligand.donors) == 0 or len(shapes.donors) == 0:
        raise StructureError("the ligand to be exchanged binds no metal", "choose a ligand that is bound")
    rest = np.setdiff1d(np.arange(len(atoms)), ligand.atoms)
    frame, around = numbers[rest], atoms.positions[rest]
    bound = _choose_donors(atoms, ligand, shapes)
    old, new = numbers[bound], shapes.numbers[shapes.donors[: len(bound)]]
    donors = atoms.positions[bound].copy()
    metals = site_at(frame, around, donors, old).metals
    for k in np.flatnonzero(old != new):
        donors[k] = move_donors(frame, around, donors[k : k + 1], int(old[k]), int(new[k]))[0]
    body = atoms.positions[ligand.atoms].mean(axis=0) - donors.mean(axis=0)
    near = len(shapes.neighbours(int(shapes.donors[0])))
    out = site_at(frame, around, donors, new, n_bonded=near).outward
    if len(ligand.atoms) > len(bound):
        out = np.concatenate([(body / np.linalg.norm(body))[None], out])
    return BindingSite(np.asarray(rest[metals], dtype=np.int64), donors, out, in_order=len(set(new.tolist())) > 1)


def _choose_donors(atoms: Atoms, ligand: BoundLigand, shapes: Conformers) -> IntArray:
    """The donors of a bound ligand (at most two) whose places those of the new one take, in the order of the new ones.

    One of the same element comes first, then one as far from the first as the new ones are from each other, then one
    that holds more metals, then the one with the shortest bond.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metals = np.flatnonzero(is_metal(numbers))
    left = ligand.donors.tolist()
    chosen: list[int] = []
    while left and len(chosen) < min(len(shapes.donors), 2):
        ranks = {}
        for donor in left:
            distance = np.linalg.norm(atoms.positions[metals] - atoms.positions[donor], axis=1)
            holds = int(np.sum(distance <= bond_limit(numbers[metals], numbers[donor])))
            span = np.linalg.norm(atoms.positions[chosen] - atoms.positions[donor], axis=1)
            unlike = bool(numbers[donor] != shapes.numbers[shapes.donors[len(chosen)]])
            ranks[donor] = (unlike, not _fits(shapes, span), -holds, round(float(distance.min()), 3))
        chosen.append(min(ranks, key=ranks.__getitem__))
        left.remove(chosen[-1])
    return np.array(chosen, dtype=np.int64)


def _fits(shapes: Conformers, span: FloatArray) -> bool:
    """Can two donors of the ligand be ``span`` (A) apart?  ``span`` is empty for the first donor."""
    if len(span) == 0:
        return True
    bite = np.linalg.norm(shapes.positions[:, shapes.donors[1]] - shapes.positions[:, shapes.donors[0]], axis=1)
    return bool(np.abs(bite - span[0]).min() <= 2 * LARGEST_MISFIT)


def move_donors(numbers: IntArray, positions: FloatArray, donors: FloatArray, old: int, new: int) -> FloatArray:
    """Donors ``(d, 3)`` of element ``old``, moved along their bonds to the usual distance of element ``new``.

    One in the middle of its metals stays there.
    """
    moved = donors.copy()
    for k, donor in enumerate(donors):
        near = site_at(numbers, positions, donor[None], old).metals
        away = donor - positions[near].mean(axis=0)
        if np.linalg.norm(away) < _AMID:
            continue
        away /= np.linalg.norm(away)
        target = metal_donor(int(numbers[near[0]]), new)
        steps = np.linspace(-1.0, 1.5, 251)[:, None] * away + donor
        nearest = np.linalg.norm(steps[:, None] - positions[near][None], axis=-1).min(axis=1)
        moved[k] = steps[index_of_least(np.abs(nearest - target))]
    return moved


def place(
    atoms: Atoms, placements: Sequence[Placement], *, rng: np.random.Generator, operations: FloatArray | None = None,
    runs: int | None = None,
) -> Atoms:  # fmt: skip
    """``atoms`` with all ligands of ``placements`` (and their images) packed together and tidied.

    ``operations`` ``(g, 3, 3)``: a point group that frame and result have in common; ``runs``: annealing runs of the
    packing, at most.  Raises :class:`~clusterml.errors.StructureError`.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    frame = np.asarray(atoms.positions, dtype=np.float64)
    slots = _make_slots(numbers, frame, placements)
    chosen, _ = pack(slots, rng, runs)
    parts: list[tuple[IntArray, FloatArray]] = []
    fixed = list(range(len(atoms)))
    for placement, slot, index in zip(placements, slots, chosen, strict=True):
        held = slot.bound
        if stands_upright(placement.site, placement.shapes):  # the force field knows no bonds to metals
            held = np.append(held, placement.shapes.neighbours(int(held[0])))
        for g in slot.images:
            fixed += [len(atoms) + sum(len(numbers) for numbers, _ in parts) + int(b) for b in held]
            parts.append((slot.numbers, slot.poses.positions[index] @ g.T))
    cluster = _join_ligands(atoms, parts)
    keep = _make_symmetriser(cluster, operations) if operations is not None and len(operations) > 1 else None
    entries = [(w.entry, w.shapes) for w, s in zip(placements, slots, strict=True) for _ in s.images]
    cluster.positions[:] = clean_up(cluster, entries, len(atoms), np.array(fixed), keep)
    if keep is not None:
        cluster.positions[:] = keep(cluster.positions)
    return cluster


def _make_slots(numbers: IntArray, frame: FloatArray, placements: Sequence[Placement]) -> list[Slot]:
    """Poses of every placement, screened against the frame and the donors of the other ligands."""
    slots = []
    for k, placement in enumerate(placements):
        site = placement.site
        bound = site_donors(site, placement.shapes, placement.entry.name)
        if stands_upright(site, placement.shapes):
            axis = site.donors - frame[site.metals]
            site = BindingSite(site.metals, site.donors, axis / np.linalg.norm(axis))
        candidates = generate_poses(site, placement.shapes, placement.entry.name)
        candidates = find_invariant_poses(
            candidates, placement.shapes.numbers, placement.site.donors, placement.stabiliser
        )
        if len(candidates.cost) == 0:
            raise StructureError(
                f"{placement.entry.name} cannot keep the symmetry of its site",
                "build without symmetry, or with another ligand",
            )
        slot = Slot(placement.shapes.numbers, candidates, placement.images, bound)
        slots.append(screen(slot, numbers, frame, *_other_donors(placements, k)))
    return slots


def _other_donors(placements: Sequence[Placement], k: int) -> tuple[FloatArray, FloatArray]:
    """Donors ``(d, 3)`` of all ligands but the k-th itself (its images count), and their radii ``(d,)``."""
    points, sizes = [np.empty((0, 3))], [np.empty(0)]
    for j, placement in enumerate(placements):
        size = radii(placement.shapes.numbers[site_donors(placement.site, placement.shapes, placement.entry.name)])
        for g in placement.images[j == k :]:
            points.append(placement.site.donors @ g.T)
            sizes.append(size)
    return np.concatenate(points), np.concatenate(sizes)


def _join_ligands(atoms: Atoms, parts: list[tuple[IntArray, FloatArray]]) -> Atoms:
    from ase import Atoms as New

    numbers = np.concatenate([atoms.numbers, *(p[0] for p in parts)])
    cluster = New(numbers=numbers, positions=np.concatenate([atoms.positions, *(p[1] for p in parts)]))
    cluster.info = {**atoms.info}
    return cluster


def _make_symmetriser(atoms: Atoms, operations: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """A function that averages positions ``(n, 3)`` over the operations, pairing atoms as they are paired now."""
    table, worst = permutations(atoms.positions, np.asarray(atoms.numbers, dtype=np.int64), operations)
    if not worst < _SYMMETRIC:
        raise StructureError("the ligands do not have the symmetry of their sites", "build without symmetry")
    return lambda positions: symmetrise(positions, operations, table)
