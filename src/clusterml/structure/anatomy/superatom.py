"""Proposing a cluster's charge: superatom electrons and closed shells.

A cluster of group-11 metals has n = N(metal) - N(negative ligand charges) - q delocalised electrons; it is stable where
n closes a shell of a spherical well (Walter et al., PNAS 105, 9157 (2008)).  Turned round, closed shells propose q.
A kernel of fused icosahedra is a molecule of superatoms with a closed shell of its own: the two of Au38(SR)24, sharing
a face, hold 14 electrons like F2 (Cheng et al., Nanoscale 5, 1475 (2013)), so that Au38 is neutral while Ag44(SR)30,
with the same count and a hollow kernel, is 4- with 18.

The well of a sphere holds for kernels that are one.  Au18(SR)14, Au36(SR)24 or Au40(SR)24, with 4, 12 and 16 electrons,
are neutral: their kernels are rods and plates with gaps of their own, and what pairs the electrons nearest to neutral
is taken.  The same geometry tells Ag24Pt(SR)18, 2- with 8 electrons in a round icosahedron, from Au24Pt(SR)18, neutral
with 6 in one flattened by the Jahn-Teller effect (Tofanelli et al., J. Phys. Chem. Lett. 7, 2568 (2016) for Au25).
Where the count leaves a choice, ``close`` lists it, and a ground state can decide (:mod:`clusterml.engine.charge`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.anatomy.incomplete import CountedLigands, count_ligands
from clusterml.structure.anatomy.kernel import MetalFrame, metal_frame
from clusterml.structure.anatomy.ligands import Ligand
from clusterml.structure.check import connected_molecules, stated_charge
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
_OPEN_SHELL_COST = 25  # of a round kernel, above 24, so that Ag44 is 4- and not neutral with 14 electrons
_LONG_SHELL_COST = 1  # of any other kernel, which has no shells: it only decides between +1 and -1
_MOST_ANISOTROPY = 0.08  # Au25(SR)18 1- 0.01 to 0.05, neutral 0.07; Au24Pt(SR)18 0.11 to 0.13, Au36(SR)24 0.30
_FEWEST_KERNEL_METALS = 4  # a smaller kernel has no shape
_MOST_CLOSE = 4  # charges farther from neutral are no rivals for a round kernel
_MOST_CLOSE_LONG = 2  # nor these for another: small anions open wide gaps between unbound levels in vacuum
_SUPERATOM = 8  # electrons of a centred icosahedron that is sure to be one
_FAR = 4  # a proposal this far from neutral is worth a doubt
_LAST_SHELL = 58  # beyond, shells are too near to each other to argue with
_MANY_SULFIDES = 4  # more, and most of all ligands, look like thiolates that lost their organic part
VALENCE_ELECTRONS = {29: 1, 47: 1, 79: 1, 28: 0, 46: 0, 78: 0, 30: 2, 48: 2, 80: 2}
_GROUP_11 = (29, 47, 79)
_OXO_METALS = (22, 23, 24, 25, 41, 42, 73, 74, 75)  # Ti to Mn, Nb, Mo, Ta, W, Re: of polyoxometalates


@dataclass(frozen=True)
class ChargeProposal:
    """A proposed ``charge`` and the reasons for it.

    ``candidates``: (charge, superatom electrons), most plausible first; the neutral cluster is always among them
    (of several clusters together there is one candidate).
    ``close``: charges, the proposed one first, between which the count does not decide; empty where it does.
    ``ligands``: formula -> (count, negative charges of each).
    ``superatom_electrons`` belongs to ``charge`` and is None where the count has no meaning (no group-11 metal, or
    ligands that take more electrons than the metals give).  ``reason`` is one sentence or two for the user.
    ``missing_hydrogens``: how many the structure seems to lack; charge and electrons are those with them;
    ``incomplete``: those of the ``warnings`` that say so.
    """

    charge: int
    candidates: list[tuple[int, int]]
    ligands: dict[str, tuple[int, int]]
    reason: str
    superatom_electrons: int | None = None
    warnings: tuple[str, ...] = ()
    close: tuple[int, ...] = ()
    missing_hydrogens: int = 0
    incomplete: tuple[str, ...] = ()


@dataclass(frozen=True)
class _ElectronCount:
    """What the count starts from: electrons ``available`` in the neutral cluster, those that close a shell of ``fused``
    icosahedra (or None), whether the kernel is ``round`` and a centred ``icosahedron``; ``offset`` of the charge by
    free groups of the ligands, and ``odd``: has the cluster without that an odd number of electrons?"""

    available: int
    offset: int
    odd: bool
    fused: int | None
    round: bool
    icosahedron: bool

    @property
    def neutral(self) -> int:
        """The charge of the cluster whose metals and bound ligands are neutral."""
        return -self.offset

    def electrons(self, charge: int) -> int:
        """Superatom electrons."""
        return self.available - charge

    def paired(self, charge: int) -> bool:
        """Are all electrons paired?"""
        return (charge + self.offset) % 2 == self.odd

    def closed(self, charge: int) -> bool:
        """Is it a shell of a sphere, or that of the fused icosahedra?"""
        return self.electrons(charge) in {*CLOSED_SHELLS, self.fused}

    def cost(self, charge: int) -> tuple[int, int]:
        """What speaks against a charge: its square, as in Coulomb energy, and an open shell; then, fewer electrons."""
        electrons, distance = self.electrons(charge), (charge + self.offset) ** 2
        if not self.closed(charge):
            shell = _OPEN_SHELL_COST if self.round else _LONG_SHELL_COST
        else:
            inner = self.round and electrons in _INNER_SHELLS and electrons != self.fused
            shell = _INNER_SHELL_COST if inner else 0
        return distance + shell, -3 if electrons == 0 else -electrons  # 1+ without electrons is usual, 1- with two rare


def is_even_electron(atoms: Atoms, charge: int) -> bool:
    """Does the structure with this total charge have an even number of electrons?"""
    return (int(np.sum(atoms.numbers)) - charge) % 2 == 0


def count_valence_electrons(numbers: Iterable[int]) -> int:
    """Electrons that atoms of these ``numbers`` give to the superatom before ligands take any: metals of the table."""
    return sum(VALENCE_ELECTRONS.get(int(z), 0) for z in numbers)


def superatom_electrons(atoms: Atoms, charge: int) -> int:
    """Delocalised electrons n = N(metal valence electrons) - N(negative ligand charges) - charge; negative where the
    count has no meaning."""
    return _available(atoms, count_ligands(atoms).ligands) - charge


def propose_charge(atoms: Atoms) -> ChargeProposal:
    """The charge that the superatom electrons of ``atoms`` suggest, and the other plausible ones.

    Plausible are closed shells with all electrons paired, if the kernel is round, and otherwise paired electrons.  A
    small charge is (its square counts, as in Coulomb energy); 18 and 34 electrons rank behind the shells that complete
    them, and of equal charges the one with more electrons comes first.  Beyond 58 electrons shells say nothing, and
    neutral is proposed even with an unpaired electron.  A charge that the file states (``atoms.info["charge"]``) does
    not change the proposal, but the reason says so where they differ.  Ligands that lack hydrogens are counted as if
    they had them (:mod:`clusterml.structure.anatomy.incomplete`).  Of several clusters each has shells of its own: the
    charge is the sum of theirs and of the ions beside them.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    counted_ligands = count_ligands(atoms)
    clusters = [part for part in connected_molecules(atoms) if np.isin(numbers[part], _GROUP_11).any()]
    if len(clusters) > 1:
        return _propose_for_several(atoms, clusters, counted_ligands)
    ligands = counted_ligands.ligands
    table = ligand_table(ligands)
    warnings = _warnings(numbers, ligands)
    if not np.isin(numbers, _GROUP_11).any():
        return _propose_without_superatom(atoms, ligands, table, warnings)
    count = _count(atoms, counted_ligands)
    charges = _rank_charges(count)
    reason = _reason(count, charges[0]) + _compare_with_file(atoms, count, charges[0])
    candidates = [(charge, count.electrons(charge)) for charge in charges]
    rivals = () if counted_ligands.missing else _find_rivals(count, charges)  # without them ground states say nothing
    return ChargeProposal(
        charges[0],
        candidates,
        table,
        reason,
        _meaningful(count.electrons(charges[0])),
        warnings,
        rivals,
        counted_ligands.missing,
        _doubts(counted_ligands.completed),
    )


def _propose_for_several(atoms: Atoms, clusters: list[IntArray], counted_ligands: CountedLigands) -> ChargeProposal:
    """The sum of what is proposed for each of the ``clusters`` alone, and of the charges of what is in none."""
    proposals = [propose_charge(atoms[part]) for part in clusters]
    inside = np.concatenate(clusters)
    beside = -sum(x.charge for x in counted_ligands.ligands if x.atoms[0] not in inside)
    charge = sum(each.charge for each in proposals) + beside
    electrons = [each.superatom_electrons for each in proposals]
    total = None if None in electrons else sum(n or 0 for n in electrons)
    listed = ", ".join(signed_charge(each.charge) for each in proposals)
    reason = f"the sum of {len(clusters)} clusters ({listed})" + (
        f" and {signed_charge(beside)} beside them" if beside else ""
    )
    return ChargeProposal(
        charge,
        [(charge, superatom_electrons(atoms, charge))],
        ligand_table(counted_ligands.ligands),
        reason,
        total,
        tuple(dict.fromkeys(text for each in proposals for text in each.warnings)),
        (),
        counted_ligands.missing,
        tuple(dict.fromkeys(text for each in proposals for text in each.incomplete)),
    )


def ligand_table(ligands: list[Ligand]) -> dict[str, tuple[int, int]]:
    """Formula -> (count, negative charges); ligands of the same formula but another charge get a marked key."""
    table: dict[str, tuple[int, int]] = {}
    for ligand in ligands:
        key = ligand.formula
        if key in table and table[key][1] != ligand.charge:
            key = f"{key} [{signed_charge(-ligand.charge)}]"
        table[key] = (table.get(key, (0, 0))[0] + 1, ligand.charge)
    return table


def _available(atoms: Atoms, ligands: list[Ligand]) -> int:
    """Superatom electrons of the neutral structure."""
    return count_valence_electrons(atoms.numbers) - sum(ligand.charge for ligand in ligands)


def _count(atoms: Atoms, counted_ligands: CountedLigands) -> _ElectronCount:
    frame = metal_frame(atoms)
    ligands = counted_ligands.ligands
    offset = sum(ligand.remote for ligand in ligands)
    return _ElectronCount(
        available=_available(atoms, ligands),
        offset=offset,
        odd=not is_even_electron(atoms, -offset - counted_ligands.missing),
        fused=frame.icosahedra.electrons(),
        round=_anisotropy(atoms, frame) <= _MOST_ANISOTROPY,
        icosahedron=len(frame.icosahedra.centres) == 1,
    )


def _anisotropy(atoms: Atoms, frame: MetalFrame) -> float:
    """How far the kernel is from a sphere: the largest deviation of the principal moments (of the mean square distance
    of its metals) from their mean, as a share of it; that of all metals where there is no kernel to speak of."""
    kernel = frame.kernel if len(frame.kernel) >= _FEWEST_KERNEL_METALS else np.flatnonzero(frame.metal)
    if len(kernel) < _FEWEST_KERNEL_METALS:
        return float("inf")
    moments = np.linalg.eigvalsh(np.cov(np.asarray(atoms.positions, dtype=np.float64)[kernel].T))
    return float(np.abs(moments / moments.mean() - 1.0).max())


def _rank_charges(count: _ElectronCount) -> list[int]:
    """Charges, most plausible first: closed shells, the paired ones nearest to neutral, and neutral itself."""
    near = range(count.neutral - LARGEST_CHARGE, count.neutral + LARGEST_CHARGE + 1)
    closed = [charge for charge in near if count.paired(charge) and count.closed(charge)]
    nearest = [count.neutral + 1, count.neutral - 1] if count.odd else [count.neutral]
    many = count.available + count.offset > _LAST_SHELL
    if many and count.neutral not in closed:
        return [count.neutral, *(nearest if count.odd else ())]
    if closed and count.odd and min(abs(charge + count.offset) for charge in closed) == 1:
        nearest = []
    ranked = sorted({*closed, *nearest}, key=count.cost)
    return ranked if count.neutral in ranked else [*ranked, count.neutral]


def _find_rivals(count: _ElectronCount, ranked: list[int]) -> tuple[int, ...]:
    """The charges between which a ground state should decide, the first-ranked among them; () if that is certain."""
    first = ranked[0]
    distance = abs(first + count.offset)
    limit = _MOST_CLOSE if count.round else _MOST_CLOSE_LONG
    rivals = [q for q in ranked[1:] if count.paired(q) and abs(q + count.offset) <= limit]
    if count.closed(first):
        superatom = count.icosahedron and count.electrons(first) == _SUPERATOM and count.round
        if (superatom and distance < _MOST_CLOSE) or count.electrons(first) in (0, count.fused):
            return ()
        if distance < 2:
            rivals = [q for q in rivals if _is_near_shell(count, q)]
    return (first, *rivals[:2]) if rivals else ()


def _is_near_shell(count: _ElectronCount, charge: int) -> bool:
    """Is it a closed shell that may compete with one at a charge of 0 or 1?"""
    return count.closed(charge) and abs(charge + count.offset) < _MOST_CLOSE


def _reason(count: _ElectronCount, charge: int) -> str:
    """Why the first charge of the ranking comes first, in words."""
    electrons = count.electrons(charge)
    if electrons < 0:
        text = (
            f"charge {signed_charge(charge)} {'pairs all electrons' if count.paired(charge) else 'leaves one unpaired'}"
        )
        return f"{text}; the ligands take more electrons than the metals have to give, so that there is no superatom"
    if count.closed(charge) and count.paired(charge):
        kind = "a closed shell of fused icosahedra" if electrons == count.fused else "a closed shell"
        text = f"charge {signed_charge(charge)} gives {electrons} superatom electrons, {kind}, all electrons paired"
    elif not count.paired(charge):
        text = (
            f"charge {signed_charge(charge)} has {electrons} superatom electrons, too many for the shell model, and "
            "leaves one electron unpaired"
        )
    elif not count.round:
        text = (
            f"charge {signed_charge(charge)} pairs its {electrons} superatom electrons; the kernel is not "
            "spherical, so they need not close a shell"
        )
    else:
        text = (
            f"no charge up to {LARGEST_CHARGE} closes a superatom shell; "
            f"{signed_charge(charge)} has {electrons} electrons"
        )
    if charge == count.neutral:
        return text
    kind = "an open shell with an unpaired electron" if count.odd else "not a closed shell"
    if count.closed(count.neutral) and not count.odd:
        kind = "a shell that the next one follows closely"
    name = "neutral" if count.offset == 0 else f"charge {signed_charge(count.neutral)}"
    text += f"; {name} would have {count.electrons(count.neutral)}, {kind}"
    return text + ("; state the charge if known" if abs(charge + count.offset) >= _FAR and not count.odd else "")


def _compare_with_file(atoms: Atoms, count: _ElectronCount, charge: int) -> str:
    stated = stated_charge(atoms)
    if stated is None or stated == charge:
        return ""
    witness = atoms.info.get("provenance", {}).get("charge_witness")
    speaker = "the file states" if witness is None or witness["charge"] is None else "the counter-ions ask for"
    electrons = count.electrons(stated)
    return f"; {speaker} {signed_charge(stated)}" + (f" ({electrons} superatom electrons)" if electrons >= 0 else "")


def _meaningful(electrons: int) -> int | None:
    return electrons if electrons >= 0 else None


def _propose_without_superatom(
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


def _doubts(ligands: Iterable[Ligand]) -> tuple[str, ...]:
    """A sentence for each kind of ligand whose charge is uncertain."""
    sentences = (
        f"charge of ligand {x.formula} is uncertain, counted {signed_charge(-x.charge)}: {x.doubt}"
        for x in ligands
        if x.doubt
    )
    return tuple(dict.fromkeys(sentences))


def _warnings(numbers: IntArray, ligands: list[Ligand]) -> tuple[str, ...]:
    warnings = [*_doubts(ligands)]
    warnings += [f"ligand {x.formula} carries a free anionic group that no metal binds" for x in ligands if x.remote]
    sulfides = sum(x.graph.numbers == (16,) for x in ligands)
    if sulfides > _MANY_SULFIDES and 2 * sulfides > len(ligands):
        warnings.append(
            f"{sulfides} S atoms without a substituent are counted as sulfide (2-): "
            "if this is a bare core, complete its ligands before trusting the charge"
        )
    metals = numbers[is_metal(numbers)]
    other = sorted({int(z) for z in metals} - set(VALENCE_ELECTRONS))
    oxides = any(x.graph.numbers == (8,) for x in ligands)
    unknown = "binds oxide, in an oxidation state that is not counted: state the charge (--charge)"
    without = "is counted without superatom electrons"
    warnings += [f"{formula([z])} {unknown if oxides and z in _OXO_METALS else without}" for z in other]
    return tuple(dict.fromkeys(warnings))
