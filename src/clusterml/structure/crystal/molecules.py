"""Whole molecules of a crystal, and sites that metals share.

X-rays see the average.  One element is taken at each site, so the cluster is one of many: a warning says so.  What
depends on the choice (the hand of the frame) is determined as if the sharing elements were one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clusterml.errors import OptionError, StructureError, counted
from clusterml.structure.bonds import AtomPairs, close_periodic_pairs, components, keep_bonds, longest_bond, outwards
from clusterml.structure.crystal import Disorder
from clusterml.structure.crystal.crystal import PARTIAL, Crystal, Expanded, expand
from clusterml.structure.crystal.disorder import (
    OmittedSites,
    choose_component,
    describe,
    disorder_error,
    find_close_sites,
    resolve_overlaps,
)
from clusterml.structure.elements import formula, is_cluster_metal, is_metal
from clusterml.typing import BoolArray, FloatArray, IntArray

ONE_PLACE = 0.5
"""Two elements nearer than this (A), neither of them in full, share one site."""
_FULL = 1.05  # the shares of a site add up to one, but for rounding
_EQUAL = 0.005
_LISTED = 4  # sites named in a sentence


@dataclass(frozen=True)
class MixedSite:
    """A site that elements share: ``labels`` and ``numbers`` of its sites, their ``shares`` of it, and the element
    ``taken``; ``equal``: another has the same share."""

    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    shares: tuple[float, ...]
    taken: int
    equal: bool

    def describe(self) -> str:
        """``Ag14/Au14 (Ag 0.40, Au 0.60)``."""
        shares = zip(self.numbers, self.shares, strict=True)
        return f"{'/'.join(self.labels)} ({', '.join(f'{formula([z])} {share:.2f}' for z, share in shares)})"

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        shares = {formula([z]): round(share, 4) for z, share in zip(self.numbers, self.shares, strict=True)}
        return {"labels": list(self.labels), "shares": shares, "taken": formula([self.taken]), "equal": self.equal}


def settle_mixed_sites(
    crystal: Crystal, choice: Disorder = "major", source: str = "crystal"
) -> tuple[Crystal, tuple[MixedSite, ...]]:
    """The crystal with one element at each mixed site, with the summed occupancy, and a list of these sites.

    ``major`` takes the element with the largest share (of equal ones the one listed first), ``A`` the one of the first
    group or that is listed first, ``B`` the next; ``error`` raises :class:`StructureError` if there are any.
    """
    groups = _find_shared_places(crystal, source)
    if not groups:
        return crystal, ()
    keep = np.ones(len(crystal.numbers), dtype=np.bool_)
    occupancy, group = crystal.occupancy.copy(), crystal.group.copy()
    mixed = []
    for members in groups:
        order = sorted(members.tolist(), key=lambda k: (abs(int(crystal.group[k])), k))
        best = max(order, key=lambda k: round(float(crystal.occupancy[k]) / _EQUAL))
        chosen = {"A": order[0], "B": order[1]}.get(choice, best)
        keep[members] = False
        keep[chosen] = True
        occupancy[chosen] = min(float(crystal.occupancy[members].sum()), 1.0)
        several = len(set(crystal.group[members].tolist())) > 1
        group[chosen] = 0 if several or occupancy[chosen] >= PARTIAL else group[chosen]
        mixed.append(_describe_mixed(crystal, order, best, chosen))
    if choice == "error":
        raise StructureError(
            f"{source}: {counted(len(mixed), 'site')} shared by different elements: {_list_sites(mixed)}",
            "choose the component: --disorder major, A or B",
        )
    settled = replace(crystal, occupancy=occupancy, group=group).select(keep, *_sentences(mixed, choice))
    return settled, tuple(mixed)


def unify_elements(numbers: IntArray, shared: Iterable[Sequence[int]]) -> IntArray:
    """Atomic ``numbers`` ``(n,)`` in which elements that share sites of a crystal count as one (the lightest).

    ``shared``: the atomic numbers at each such site.
    """
    result = numbers.copy()
    for elements in shared:
        values = {int(result[numbers == z][0]) for z in elements if np.any(numbers == z)}
        if len(values) > 1:
            result[np.isin(result, sorted(values))] = min(values)
    return result


def _find_shared_places(crystal: Crystal, source: str) -> list[IntArray]:
    """The sites of each place that different elements share."""
    partial = np.flatnonzero((crystal.occupancy < PARTIAL) & (crystal.numbers != 1))
    if len(partial) < 2:
        return []
    pairs = find_close_sites(crystal, partial, ONE_PLACE, source)
    first, second = partial[pairs.first], partial[pairs.second]
    pairs = pairs.select(_may_share(crystal, first, second))
    return [
        partial[part]
        for part in components(len(partial), AtomPairs(pairs.first, pairs.second, pairs.shift, pairs.distance))
        if len(part) > 1 and _is_shared(crystal, partial[part])
    ]


def _may_share(crystal: Crystal, first: IntArray, second: IntArray) -> BoolArray:
    """Are these different elements, both without a disorder group, or metals in any?

    Other elements in groups belong to molecules that are there in one way or the other.
    """
    different = crystal.numbers[first] != crystal.numbers[second]
    metals = is_metal(crystal.numbers[first]) & is_metal(crystal.numbers[second])
    free = (crystal.group[first] == 0) & (crystal.group[second] == 0)
    return np.asarray(different & (free | metals), dtype=np.bool_)


def _is_shared(crystal: Crystal, members: IntArray) -> bool:
    """Does each element occur once, with a total occupancy of no more than one atom?"""
    numbers = crystal.numbers[members]
    return len(np.unique(numbers)) == len(numbers) and float(crystal.occupancy[members].sum()) <= _FULL


def _describe_mixed(crystal: Crystal, order: list[int], best: int, chosen: int) -> MixedSite:
    shares = tuple(float(crystal.occupancy[k]) for k in order)
    close = [k for k in order if abs(crystal.occupancy[k] - crystal.occupancy[best]) < _EQUAL]
    return MixedSite(
        tuple(crystal.labels[k] for k in order),
        tuple(int(crystal.numbers[k]) for k in order),
        shares,
        int(crystal.numbers[chosen]),
        len(close) > 1,
    )


def _sentences(mixed: list[MixedSite], choice: Disorder) -> list[str]:
    larger = "the element listed first" if all(site.equal for site in mixed) else "the element with the larger share"
    rule = f"{larger} was taken at each" if choice == "major" else f"component {choice} was taken"
    average: dict[int, float] = {}
    for site in mixed:
        for number, share in zip(site.numbers, site.shares, strict=True):
            average[number] = average.get(number, 0.0) + share
    mean = ", ".join(f"{formula([z])} {total:.2f}" for z, total in sorted(average.items()))
    taken = formula([site.taken for site in mixed])
    sentences = [
        f"{counted(len(mixed), 'mixed site')}: {_list_sites(mixed)}; {rule} ({taken}; average {mean}): "
        "the cluster is one of many, and what depends on the order of these elements is a choice"
    ]
    equal = [site for site in mixed if site.equal]
    if equal and choice == "major":
        sentences.append(f"equal shares at {_list_sites(equal)}: the element listed first was taken")
    return sentences


def _list_sites(mixed: list[MixedSite]) -> str:
    more = f" and {len(mixed) - _LISTED} more" if len(mixed) > _LISTED else ""
    return ", ".join(site.describe() for site in mixed[:_LISTED]) + more


@dataclass(frozen=True)
class Molecule:
    """One molecule of the cell: ``atoms`` (sorted indices into the filled cell) and its place in the symmetry.

    ``like`` is the number of the first molecule that ``operation`` turns into this one (itself, by the identity 0);
    ``stabilizer``: the operations that turn it into itself (up to lattice translations).
    """

    atoms: IntArray
    formula: str
    like: int
    operation: int
    stabilizer: IntArray


@dataclass(frozen=True)
class FilledCell:
    """The ordered content of a cell.

    ``numbers`` ``(n,)``, ``fractional`` ``(n, 3)`` in [0, 1), ``occupancy`` ``(n,)``, which atoms had an alternative
    (``contested`` ``(n,)``), the ``bonds``, the ``molecules``, what was ``dropped`` to make it ordered, ``warnings``;
    ``mixed``: the sites that different elements share.
    """

    crystal: Crystal
    numbers: IntArray
    fractional: FloatArray
    occupancy: FloatArray
    contested: BoolArray
    bonds: AtomPairs
    molecules: tuple[Molecule, ...]
    dropped: tuple[OmittedSites, ...]
    warnings: tuple[str, ...]
    mixed: tuple[MixedSite, ...] = ()

    @property
    def clusters(self) -> list[int]:
        """Numbers of the molecules that count as clusters, in the order in which ``--cluster`` counts them.

        These are the molecules with Cu, Ag or Au, or with metal where there is none of these, those with most metal
        atoms and then most atoms first; where there is no metal, all molecules, largest first.  Of equal ones, the one
        nearest to the listed sites comes first.
        """
        metal, decisive = is_metal(self.numbers), is_cluster_metal(self.numbers)
        count = [int(metal[m.atoms].sum()) for m in self.molecules]
        chosen = [k for k, m in enumerate(self.molecules) if decisive[m.atoms].any()] or list(range(len(count)))
        return sorted(chosen, key=lambda k: (-count[k], -len(self.molecules[k].atoms)))


def fill_cell(crystal: Crystal, disorder: Disorder = "major", source: str = "crystal") -> FilledCell:
    """Decide the disorder, apply the symmetry, find bonds and molecules.

    Raises :class:`StructureError` (too many atoms for the cell; anything disordered with ``disorder="error"``) and
    :class:`OptionError`.
    """
    settled, mixed = settle_mixed_sites(crystal, disorder, source)
    ordered, dropped, chosen = choose_component(settled, disorder, source)
    expanded = expand(ordered, source)
    pairs = close_periodic_pairs(expanded.fractional, crystal.cell, longest_bond(expanded.numbers))
    keep, contested = resolve_overlaps(ordered, expanded, pairs)
    contested |= chosen[expanded.site]
    warnings = list(ordered.warnings)
    if not keep.all():
        lost = _record_overlaps(ordered, expanded, keep)
        dropped += lost
        if disorder == "error":
            raise disorder_error(source, dropped)
        count = int((~keep).sum())
        warnings.append(f"{count} overlapping or duplicate atoms in the cell were left out: images of {describe(lost)}")
    if disorder in ("A", "B") and not (mixed or dropped or crystal.group.any()):
        raise OptionError(f"{source}: the crystal lists no disorder", f"--disorder {disorder} would change nothing")
    new = np.cumsum(keep) - 1
    pairs = pairs.select(keep[pairs.first] & keep[pairs.second])
    pairs = AtomPairs(new[pairs.first], new[pairs.second], pairs.shift, pairs.distance)
    numbers = expanded.numbers[keep]
    bonds = keep_bonds(numbers, pairs)
    return FilledCell(
        crystal,
        numbers,
        expanded.fractional[keep],
        expanded.occupancy[keep],
        contested[keep],
        bonds,
        _find_molecules(expanded, np.flatnonzero(keep), numbers, bonds),
        tuple(dropped),
        tuple(warnings),
        mixed,
    )


def unwrap(filled: FilledCell, number: int, source: str = "crystal") -> FloatArray:
    """Positions ``(k, 3)`` (A) of molecule ``number`` made whole across the cell's faces, its centre in the home cell.

    Raises :class:`StructureError` if it is bonded to its own images: a polymer or network.
    """
    part = filled.molecules[number].atoms
    local = np.full(len(filled.numbers), -1, dtype=np.int64)
    local[part] = np.arange(len(part))
    inside = filled.bonds.select(local[filled.bonds.first] >= 0)
    first, second = local[inside.first], local[inside.second]
    steps = {
        (i, j): step
        for a, b, shift in ((first, second, inside.shift), (second, first, -inside.shift))
        for i, j, step in zip(a.tolist(), b.tolist(), shift, strict=True)
    }
    shifts = np.zeros((len(part), 3), dtype=np.int64)
    for parent, atom in outwards(len(part), AtomPairs(first, second, inside.shift, inside.distance)):
        shifts[atom] = shifts[parent] + steps[(parent, atom)]
    if np.any(shifts[first] + inside.shift != shifts[second]):
        raise StructureError(
            f"{source}: the {formula(filled.numbers[part])} in the cell is bonded to its own images: "
            "a polymer or network, not a cluster",
            "give a crystal of separate clusters, or cut one out by hand and give it as xyz",
        )
    unwrapped = filled.fractional[part] + shifts
    centred = unwrapped - np.floor(unwrapped.mean(axis=0) + 1e-6)
    return np.asarray(centred @ filled.crystal.cell, dtype=np.float64)


def _record_overlaps(crystal: Crystal, expanded: Expanded, keep: BoolArray) -> list[OmittedSites]:
    """What was lost to overlaps: one entry for sites that vanish, one for sites that lose only some images."""
    lost = np.bincount(expanded.site[~keep], minlength=len(crystal.numbers))
    total = np.bincount(expanded.site, minlength=len(crystal.numbers))
    partly_lost = (lost > 0) & (lost < total)
    reasons = (
        (lost == total, "it overlaps a site that was kept"),
        (partly_lost, "its symmetry images overlap each other or other sites: some were left out"),
    )
    entries = []
    for mask, reason in reasons:
        sites = np.flatnonzero(mask & (lost > 0)).tolist()
        for group in sorted({int(crystal.group[i]) for i in sites}):
            members = [i for i in sites if crystal.group[i] == group]
            occupancy = tuple(float(crystal.occupancy[i]) for i in members)
            entries.append(OmittedSites(tuple(crystal.labels[i] for i in members), occupancy, group, reason))
    return entries


def _find_molecules(expanded: Expanded, atoms: IntArray, numbers: IntArray, bonds: AtomPairs) -> tuple[Molecule, ...]:
    """The connected pieces; each refers to the first piece that symmetry maps onto it."""
    parts = components(len(numbers), bonds)
    label = np.full(len(expanded.numbers), -1, dtype=np.int64)
    for k, part in enumerate(parts):
        label[atoms[part]] = k
    molecules: list[Molecule | None] = [None] * len(parts)
    for k, part in enumerate(parts):
        if molecules[k] is not None:
            continue
        target = label[expanded.images(atoms[part])]
        whole_image = (target[:, 0] >= 0) & np.all(target == target[:, :1], axis=1)
        own = np.flatnonzero(whole_image & (target[:, 0] == k)).astype(np.int64)
        name = formula(numbers[part])
        for operation in np.flatnonzero(whole_image).tolist():
            other = int(target[operation, 0])
            if molecules[other] is None and len(parts[other]) == len(part):
                stabilizer = own if other == k else _conjugate(own, operation, expanded.table)
                molecules[other] = Molecule(parts[other], name, k, operation, stabilizer)
    return tuple(molecule for molecule in molecules if molecule is not None)


def _conjugate(operations: IntArray, by: int, table: IntArray) -> IntArray:
    """Operations h g h^-1 of the copy that ``by`` = h makes."""
    inverse = int(np.flatnonzero(table[by] == 0)[0])
    return np.sort(table[table[by, operations], inverse])


def count_formulas(filled: FilledCell, numbers: Sequence[int]) -> dict[str, int]:
    """How often each formula occurs among the molecules with these numbers, in order of first appearance."""
    counts: dict[str, int] = {}
    for number in numbers:
        name = filled.molecules[number].formula
        counts[name] = counts.get(name, 0) + 1
    return counts
