"""Proposing a cluster's charge: superatom electrons and closed shells.

A cluster of group-11 metals has n = N(metal) - N(negative ligand charges) - q delocalised electrons; it is stable where
n closes a shell of a spherical well (Walter et al., PNAS 105, 9157 (2008)).  Turned round, closed shells propose q.
A kernel of fused icosahedra is a molecule of superatoms with a closed shell of its own: the two of Au38(SR)24, sharing
a face, hold 14 electrons like F2 (Cheng et al., Nanoscale 5, 1475 (2013)), so that Au38 is neutral while Ag44(SR)30,
with the same count and a hollow kernel, is 4- with 18.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.anatomy.icosahedra import find_icosahedra
from clusterml.structure.anatomy.ligands import Ligand, find_ligands
from clusterml.structure.anatomy.recognise import name_ligand
from clusterml.structure.elements import formula, is_metal
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms

CLOSED_SHELLS = (0, 2, 8, 18, 20, 34, 40, 58, 68, 92, 138)
"""Numbers of electrons that close a shell 1S 1P 1D 2S 1F 2P 1G ..."""
LARGEST_CHARGE = 6
"""Charges beyond this (after free anionic groups of the ligands) are not proposed."""

_INNER_SHELLS = (18, 34)  # 1D10 and 1F14 without the 2S2 and 2P6 that follow closely
_INNER_SHELL_COST = 8  # between 4, so that Ag70 is 2- with 20 electrons, and 20, so that Ag44 is 4- with 18
_MANY_SULFIDES = 4  # more, and most of all ligands, look like thiolates that lost their organic part
_FAR = 4  # a proposal this far from neutral is worth a doubt
_VALENCE_ELECTRONS = {29: 1, 47: 1, 79: 1, 28: 0, 46: 0, 78: 0, 30: 2, 48: 2, 80: 2}
_GROUP_11 = (29, 47, 79)


@dataclass(frozen=True)
class ChargeProposal:
    """A proposed ``charge`` with what speaks for it.

    ``candidates``: (charge, superatom electrons), most plausible first; the neutral cluster is always among them.
    ``ligands``: formula -> (count, negative charges of each).  ``superatom_electrons`` belongs to ``charge`` and is
    None where the count has no meaning (no group-11 metal).  ``reason`` is one sentence or two for the user.
    """

    charge: int
    candidates: list[tuple[int, int]]
    ligands: dict[str, tuple[int, int]]
    reason: str
    superatom_electrons: int | None = None
    warnings: tuple[str, ...] = ()


def is_even_electron(atoms: Atoms, charge: int) -> bool:
    """Does the structure with this total charge have an even number of electrons?"""
    return (int(np.sum(atoms.numbers)) - charge) % 2 == 0


def superatom_electrons(atoms: Atoms, charge: int) -> int:
    """Delocalised electrons n = N(metal valence electrons) - N(negative ligand charges) - charge."""
    return _available(atoms, _ligands(atoms)) - charge


def propose_charge(atoms: Atoms) -> ChargeProposal:
    """Charges of ``atoms`` that close a superatom shell with an even number of electrons, most plausible first.

    Plausible means a small charge (its square counts, as in Coulomb energy); 18 and 34 electrons rank behind the
    shells that complete them, and of equal charges the one with more electrons comes first.  A charge that the file
    states (``atoms.info["charge"]``) does not change the proposal, but the reason says so where they differ.
    Ligands that lack hydrogens are counted as what the library knows them to be.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    ligands = _ligands(atoms)
    table = ligand_table(ligands)
    warnings = _warnings(numbers, ligands)
    if not np.isin(numbers, _GROUP_11).any():
        return _without_superatom(atoms, ligands, table, warnings)
    offset = sum(ligand.remote for ligand in ligands)
    available = _available(atoms, ligands)
    fused = find_icosahedra(numbers, np.asarray(atoms.positions, dtype=np.float64), is_metal(numbers)).electrons()
    closed = _closed(atoms, available, offset, fused)
    candidates = closed + [(q, available - q) for q in _plain(atoms, offset, closed)]
    charge, electrons = candidates[0]
    reason = _reason(atoms, charge, electrons, closed, available, offset, fused)
    return ChargeProposal(charge, candidates, table, reason, electrons, warnings)


def ligand_table(ligands: list[Ligand]) -> dict[str, tuple[int, int]]:
    """Formula -> (count, negative charges); ligands of one formula but another charge get a marked key."""
    table: dict[str, tuple[int, int]] = {}
    for ligand in ligands:
        key = ligand.formula
        if key in table and table[key][1] != ligand.charge:
            key = f"{key} [{signed_charge(-ligand.charge)}]"
        table[key] = (table.get(key, (0, 0))[0] + 1, ligand.charge)
    return table


def _available(atoms: Atoms, ligands: list[Ligand]) -> int:
    """Superatom electrons of the neutral structure."""
    valence = sum(_VALENCE_ELECTRONS.get(int(z), 0) for z in atoms.numbers)
    return valence - sum(ligand.charge for ligand in ligands)


def _ligands(atoms: Atoms) -> list[Ligand]:
    """The ligands; where hydrogens are missing, with the charge of the library entry that fits the other atoms."""
    positions = np.asarray(atoms.positions, dtype=np.float64)
    found = []
    for ligand in find_ligands(atoms):
        named = name_ligand(ligand, positions) if ligand.doubt or not ligand.graph.hydrogens else None
        if named is not None and named.entry is not None and named.missing_hydrogens:
            told = f"{named.missing_hydrogens} hydrogens are missing, taken for {named.name}"
            ligand = replace(ligand, charge=named.charge, remote=0, doubt=told)
        found.append(ligand)
    return found


def _closed(atoms: Atoms, available: int, offset: int, fused: int | None) -> list[tuple[int, int]]:
    """(charge, electrons) of closed shells, ``fused`` among them, by distance from the neutral cluster."""

    def cost(candidate: tuple[int, int]) -> tuple[int, int]:
        charge, electrons = candidate
        inner = electrons in _INNER_SHELLS and electrons != fused
        return (charge + offset) ** 2 + _INNER_SHELL_COST * inner, -electrons

    shells = {*CLOSED_SHELLS, *([] if fused is None else [fused])}
    found = [(available - n, n) for n in shells if abs(available - n + offset) <= LARGEST_CHARGE]
    return sorted((c for c in found if is_even_electron(atoms, c[0])), key=cost)


def _plain(atoms: Atoms, offset: int, closed: list[tuple[int, int]]) -> list[int]:
    """Charges to list behind the closed shells: the neutral cluster, and paired electrons if no shell is closed."""
    neutral = -offset
    if neutral in (charge for charge, _ in closed):
        return []
    if closed or is_even_electron(atoms, neutral):
        return [neutral]
    return [neutral + 1, neutral - 1, neutral]


def _reason(
    atoms: Atoms,
    charge: int,
    electrons: int,
    closed: list[tuple[int, int]],
    available: int,
    offset: int,
    fused: int | None,
) -> str:
    if closed:
        kind = "a closed shell of fused icosahedra" if electrons == fused else "a closed shell"
        text = f"charge {signed_charge(charge)} gives {electrons} superatom electrons, {kind}, all electrons paired"
        if -offset not in (q for q, _ in closed):
            kind = (
                "not a closed shell" if is_even_electron(atoms, -offset) else "an open shell with an unpaired electron"
            )
            name = "neutral" if offset == 0 else f"charge {signed_charge(-offset)}"
            text += f"; {name} would have {available + offset}, {kind}"
        if abs(charge + offset) >= _FAR and is_even_electron(atoms, -offset):
            text += "; a kernel that is no sphere may stay neutral: state the charge if known"
    else:
        text = (
            f"no charge up to {LARGEST_CHARGE} closes a superatom shell; "
            f"{signed_charge(charge)} has {electrons} electrons"
        )
    stated = atoms.info.get("charge")
    if stated is not None and stated != charge:
        text += f"; the file states {signed_charge(int(stated))} ({available - int(stated)} superatom electrons)"
    return text


def _without_superatom(
    atoms: Atoms, ligands: list[Ligand], table: dict[str, tuple[int, int]], warnings: tuple[str, ...]
) -> ChargeProposal:
    """Molecules without group-11 metals: neutral if that pairs all electrons, otherwise the ion the bonds suggest."""
    if is_even_electron(atoms, 0):
        return ChargeProposal(0, [(0, 0)], table, "no group-11 metal: neutral, all electrons paired", None, warnings)
    suggested = -sum(ligand.charge for ligand in ligands)
    charge = suggested if is_even_electron(atoms, suggested) else 1
    text = f"no group-11 metal: neutral would leave an unpaired electron, {signed_charge(charge)} pairs all of them"
    return ChargeProposal(charge, [(charge, 0), (0, 0)], table, text, None, warnings)


def signed_charge(charge: int) -> str:
    """A charge in words: ``-3``, ``+1``, and ``0`` without a sign."""
    return f"{charge:+d}" if charge else "0"


def _warnings(numbers: IntArray, ligands: list[Ligand]) -> tuple[str, ...]:
    found = [
        f"charge of ligand {x.formula} is uncertain, counted {signed_charge(-x.charge)}: {x.doubt}"
        for x in ligands
        if x.doubt
    ]
    found += [f"ligand {x.formula} carries a free anionic group that no metal binds" for x in ligands if x.remote]
    sulfides = sum(x.graph.numbers == (16,) for x in ligands)
    if sulfides > _MANY_SULFIDES and 2 * sulfides > len(ligands):
        found.append(
            f"{sulfides} S atoms without a substituent are counted as sulfide (2-): "
            "if this is a bare core, complete its ligands before trusting the charge"
        )
    metals = numbers[is_metal(numbers)]
    other = sorted({int(z) for z in metals} - set(_VALENCE_ELECTRONS))
    found += [f"{formula([z])} is counted without superatom electrons" for z in other]
    return tuple(dict.fromkeys(found))
