"""Is the chemistry still that of the parent?  Bonds, contacts, ligands and charges are compared after every change.

Wrong: a covalent bond formed or broken, a metal-donor bond stretched until it is none, a bond of a metal to an atom
that is no donor, atoms closer than a sane contact, a cluster that falls apart, ligands that no longer count as they
did.  Worth saying: metal-donor bonds and metal-metal contacts that change.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.anatomy.superatom import ligand_table
from clusterml.structure.bonds import AtomPairs, bond_limit, bonds, close_pairs, components
from clusterml.structure.distort.subject import Subject
from clusterml.typing import BoolArray, FloatArray, IntArray

Problems = Literal["error", "warn"]
"""What to do where chemistry is broken: raise an error, or note it as a warning."""

CONTACT_SHARE = 0.62
"""Atoms of different ligands may come as close as this share of the sum of their van der Waals radii (H-H 1.49 A)."""
METAL_SHARE = 0.85
"""Metals may come as close to other atoms as this share of the sum of the covalent radii (Ag-Ag 2.47 A)."""
_STRETCH = 1.35  # a metal-donor bond longer than this times its parent length (and than a bond) is broken
_NEW_BOND = 0.25  # A; a metal must come this much closer than the longest bond to an atom that is no donor
_HELD = 0.8  # bonded atoms, and atoms bonded to the same non-metal, may come this much closer than in the parent
_ALLOWED_CHANGE = 0.02  # A; contacts that the parent has already are not blamed on the operation
_CUTOFF = 3.5  # A; longer than any contact limit
_MOST_NAMED = 3


@dataclass(frozen=True)
class Findings:
    """Sentences about one distorted geometry: ``wrong`` chemistry, and ``notes`` worth a warning."""

    wrong: tuple[str, ...]
    notes: tuple[str, ...]


def compare(subject: Subject, positions: FloatArray) -> Findings:
    """Compare the chemistry at ``positions`` ``(n, 3)`` (A) with that of the parent."""
    if not np.all(np.isfinite(positions)):
        return Findings(("coordinates are not finite numbers",), ())
    close = _too_close(subject, positions)
    if close:
        return Findings(close, ())
    pairs = bonds(subject.numbers, positions)
    wrong = [
        *_changed_covalent_bonds(subject, pairs, positions),
        *_lost_bonds(subject, positions),
        *_gained_bonds(subject, pairs),
    ]
    wrong += [] if wrong else _severed_bonds(subject, pairs, positions)
    if not wrong:
        wrong += _ligands(subject, positions)
    return Findings(tuple(wrong), tuple(_notes(subject, pairs)))


def settle(findings: Findings, title: str, problems: Problems) -> list[str]:
    """Warnings about a geometry called ``title``; raises :class:`StructureError` where broken chemistry is an error."""
    if findings.wrong and problems == "error":
        raise StructureError(
            f"{title}: {'; '.join(findings.wrong)}", "choose a smaller amount, or only warn (--warn-only)"
        )
    return [f"{title}: {text}" for text in (*findings.wrong, *findings.notes)]


def contact_limits(numbers_1: IntArray, numbers_2: IntArray, metallic: BoolArray) -> FloatArray:
    """Closest acceptable distance (A) of non-bonded atoms; ``metallic``: one of the two is a metal."""
    from ase.data import covalent_radii, vdw_radii

    vdw = np.nan_to_num(vdw_radii, nan=2.0)
    outer = CONTACT_SHARE * (vdw[numbers_1] + vdw[numbers_2])
    inner = METAL_SHARE * (covalent_radii[numbers_1] + covalent_radii[numbers_2])
    return np.asarray(np.where(metallic, inner, outer))


def name(subject: Subject, first: int, second: int) -> str:
    """``Ag12-S81``: two atoms with their numbers, counted from 1."""
    symbols = subject.atoms.symbols
    return f"{symbols[first]}{first + 1}-{symbols[second]}{second + 1}"


def _too_close(subject: Subject, positions: FloatArray) -> tuple[str, ...]:
    """Pairs closer than acceptable, unless they are bonded or as close in the parent."""
    near = close_pairs(positions, _CUTOFF)
    metal = subject.metal
    limit = contact_limits(
        subject.numbers[near.first], subject.numbers[near.second], metal[near.first] | metal[near.second]
    )
    before = np.linalg.norm(subject.positions[near.first] - subject.positions[near.second], axis=1)
    joined = _set(subject.pairs) | _angles(subject)
    held = np.array([pair in joined for pair in zip(near.first.tolist(), near.second.tolist(), strict=True)], bool)
    limit = np.where(held, np.minimum(limit, _HELD * before), limit)
    bad = (near.distance < limit) & (near.distance < before - _ALLOWED_CHANGE)
    return _list_pairs(subject, near.select(bad), before[bad], "are too close")


def _angles(subject: Subject) -> set[tuple[int, int]]:
    """Pairs of atoms bonded to the same non-metal."""
    return {
        pair for middle in np.flatnonzero(~subject.metal).tolist() for pair in combinations(subject.bonded[middle], 2)
    }


def _changed_covalent_bonds(subject: Subject, bonded: AtomPairs, positions: FloatArray) -> list[str]:
    """Bonds between non-metals that were formed or broken."""
    metal = subject.metal
    old, new = (_set(p.select(~metal[p.first] & ~metal[p.second])) for p in (subject.pairs, bonded))
    return [
        f"covalent bond {name(subject, i, j)} {verb} ({np.linalg.norm(positions[i] - positions[j]):.2f} A)"
        for verb, pairs in (("is broken", old - new), ("has formed", new - old))
        for i, j in sorted(pairs)[:_MOST_NAMED]
    ]


def _lost_bonds(subject: Subject, positions: FloatArray) -> tuple[str, ...]:
    """Metal-donor bonds of the parent that are far too long now."""
    mixed = _mixed(subject, subject.pairs)
    distance = np.linalg.norm(positions[mixed.first] - positions[mixed.second], axis=1)
    limit = np.maximum(
        _STRETCH * mixed.distance, bond_limit(subject.numbers[mixed.first], subject.numbers[mixed.second])
    )
    far = distance > limit
    picked = mixed.select(far)
    return _list_pairs(
        subject,
        AtomPairs(picked.first, picked.second, picked.shift, distance[far]),
        mixed.distance[far],
        "are torn apart",
    )


def _gained_bonds(subject: Subject, pairs: AtomPairs) -> tuple[str, ...]:
    """Clear new bonds between a metal and an atom that was not a donor."""
    mixed = _mixed(subject, pairs)
    partner = np.where(subject.metal[mixed.first], mixed.second, mixed.first)
    limit = bond_limit(subject.numbers[mixed.first], subject.numbers[mixed.second]) - _NEW_BOND
    bad = ~np.isin(partner, subject.donors) & (mixed.distance < limit)
    before = np.linalg.norm(subject.positions[mixed.first] - subject.positions[mixed.second], axis=1)
    return _list_pairs(subject, mixed.select(bad), before[bad], "have become bonded")


def _severed_bonds(subject: Subject, pairs: AtomPairs, positions: FloatArray) -> list[str]:
    """The bonds of the parent between parts that are now separate molecules."""
    molecules = components(len(subject.numbers), pairs)
    if len(molecules) <= len(components(len(subject.numbers), subject.pairs)):
        return []
    number = np.zeros(len(subject.numbers), dtype=np.int64)
    for k, part in enumerate(molecules):
        number[part] = k
    cut = subject.pairs.select(number[subject.pairs.first] != number[subject.pairs.second])
    distance = np.linalg.norm(positions[cut.first] - positions[cut.second], axis=1)
    listed = _list_pairs(
        subject, AtomPairs(cut.first, cut.second, cut.shift, distance), cut.distance, "were what held it together"
    )
    return [f"the cluster falls into {len(molecules)} molecules: {text}" for text in listed]


def _ligands(subject: Subject, positions: FloatArray) -> list[str]:
    """Composition and charges of the ligands, recognised anew."""
    moved = subject.atoms.copy()
    moved.positions = positions
    before, after = ligand_table(subject.ligands), ligand_table(find_ligands(moved))
    if before == after:
        return []
    return [f"the ligands (formula: count, charge) were {before} and are {after}"]


def _notes(subject: Subject, bonded: AtomPairs) -> list[str]:
    """How many metal-donor bonds and metal-metal contacts changed."""
    notes = []
    for contacts, metals in (("metal-donor bonds", 1), ("metal-metal contacts", 2)):
        bond_sets = []
        for pairs in (subject.pairs, bonded):
            kinds = subject.metal[pairs.first].astype(int) + subject.metal[pairs.second]
            bond_sets.append(_set(pairs.select(kinds == metals)))
        lost, gained = len(bond_sets[0] - bond_sets[1]), len(bond_sets[1] - bond_sets[0])
        if lost or gained:
            notes.append(f"{lost} {contacts} lost and {gained} gained")
    return notes


def _mixed(subject: Subject, pairs: AtomPairs) -> AtomPairs:
    return pairs.select(subject.metal[pairs.first] != subject.metal[pairs.second])


def _set(pairs: AtomPairs) -> set[tuple[int, int]]:
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def _list_pairs(subject: Subject, pairs: AtomPairs, before: FloatArray, verdict: str) -> tuple[str, ...]:
    """The worst pairs by name, with their present and former distances."""
    count = len(pairs.first)
    if count == 0:
        return ()
    worst = np.argsort(-np.abs(pairs.distance - before))[:_MOST_NAMED]
    named = ", ".join(
        f"{name(subject, int(pairs.first[k]), int(pairs.second[k]))} ({pairs.distance[k]:.2f} A, was {before[k]:.2f})"
        for k in worst
    )
    return (f"{named} {verdict}" + (f", and {count - len(worst)} more pairs" if count > len(worst) else ""),)
