"""Gaps of GFN1-xTB ground states as a witness of a cluster's charge, on the cluster with shortened ligands.

The orbitals of the metal frame hardly notice (SC6H5 and SH hold a superatom alike), and a ground state costs a tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Unpack

import numpy as np

from clusterml.errors import ClusterMLError, ElectronicStructureError, counted
from clusterml.structure import inspect as structural
from clusterml.structure.anatomy.ligands import Ligand, find_ligands
from clusterml.structure.anatomy.superatom import is_even_electron, propose_charge, signed_charge
from clusterml.structure.charge import CLEAR_GAP_EV, ChargeDecision, FrontierGaps, check_charge, decide_charge
from clusterml.structure.geometry import Geometry
from clusterml.structure.options import DEFAULT_READING, ReadKeywords, ReadOptions
from clusterml.structure.read import Source
from clusterml.typing import FloatArray
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.orbitals.gfn1 import Gfn1Hamiltonian
    from clusterml.structure.inspect import Inspection


def shorten_ligands(atoms: Atoms) -> Atoms:
    """The cluster with SR as SH, PR3 as PH3, RCOO as HCOO, in the same place and with the same charge.

    A bond of a ligand is cut where it is single, no other way leads around it, and what lies behind it neither binds a
    metal nor carries a charge; the atom behind it becomes a hydrogen at its usual distance (A).  Rings and what joins
    two donors stay.
    """
    keep = np.ones(len(atoms), dtype=np.bool_)
    capped: dict[int, FloatArray] = {}
    for ligand in find_ligands(atoms):
        for inner, outer, lost in _cuts(ligand):
            keep[lost] = False
            capped[outer] = _hydrogen(atoms, inner, outer)
    short = atoms.copy()
    for outer, position in capped.items():
        keep[outer] = True
        short.numbers[outer], short.positions[outer] = 1, position
    return short[np.flatnonzero(keep)]


def _hydrogen(atoms: Atoms, inner: int, outer: int) -> FloatArray:
    from ase.data import covalent_radii

    bond = atoms.positions[outer] - atoms.positions[inner]
    length = covalent_radii[atoms.numbers[inner]] + covalent_radii[1]
    return np.asarray(atoms.positions[inner] + length * bond / np.linalg.norm(bond), dtype=np.float64)


def _cuts(ligand: Ligand) -> list[tuple[int, int, list[int]]]:
    """The bonds to cut, outwards from the donors: (atom that stays, atom that becomes H, atoms behind, itself too)."""
    number = {atom: k for k, atom in enumerate(ligand.ordered.tolist())}
    edges = dict(zip(ligand.graph.edges, ligand.valences.orders, strict=True))
    near: list[list[int]] = [[] for _ in number]
    for i, j in edges:
        near[i].append(j)
        near[j].append(i)
    donors = {number[atom] for atom in ligand.donors.tolist()}
    kept, waiting, cuts = set(donors), sorted(donors), []
    while waiting:
        inner = waiting.pop()
        for outer in near[inner]:
            if outer in kept or ligand.graph.numbers[outer] == 1:
                continue
            behind = _behind(near, inner, outer)
            whole = inner in behind or behind & donors or any(ligand.valences.charges[k] for k in behind)
            if whole or edges[min(inner, outer), max(inner, outer)] != 1:
                kept.add(outer)
                waiting.append(outer)
            else:
                lost = ligand.ordered[sorted(behind)].tolist()
                cuts.append((int(ligand.ordered[inner]), int(ligand.ordered[outer]), lost))
    return cuts


def _behind(near: list[list[int]], inner: int, outer: int) -> set[int]:
    """All that is reached from ``outer`` without the bond to ``inner``; with ``inner`` in it the bond is in a ring."""
    reached, waiting = {outer}, [outer]
    while waiting:
        here = waiting.pop()
        for there in near[here]:
            if there not in reached and (here, there) != (outer, inner):
                reached.add(there)
                waiting.append(there)
    return reached


MOST_FUNCTIONS = 1300
"""Basis functions of the shortened cluster up to which ground states are computed: that of Ag70 has 1210."""

_KT_HARTREE = 1000.0 * BOLTZMANN_HARTREE  # smears levels within 0.1 eV, so that a cluster without a gap converges
_TOLERANCE = 1e-3  # largest change of a shell charge; moves a gap by less than 0.01 eV
_MOST_TRIED = 4  # charges that an advice tries
_MOST_CYCLES = 40  # half of them are enough where there is a gap


def resolve_charge(atoms: Atoms, charge: int | None, *, check: bool = False) -> ChargeDecision:
    """The charge that ``label`` and ``predict`` take; arguments: :func:`clusterml.structure.charge.decide_charge`.

    Raises ChargeError when the number of electrons is odd.
    """
    decision = decide_charge(atoms, charge, frontier_gaps, check=check)
    check_charge(atoms, decision)
    return decision


def frontier_gaps(atoms: Atoms, charges: Sequence[int]) -> FrontierGaps:
    """HOMO-LUMO gaps (eV) of GFN1-xTB in vacuum at ``charges`` that pair all electrons, ligands shortened.

    Half a second for each charge of 70 atoms, and up to 10 s at the limit of :data:`MOST_FUNCTIONS`, beyond which, or
    for an element that GFN1-xTB does not know, nothing is computed and ``note`` says why.  Remembered for the last
    structures.
    """
    return _gaps_of(Geometry.of(atoms), tuple(charges))


def gap_advice(atoms: Atoms, charge: int) -> str:
    """Which charges nearby would open a clear gap, as a sentence; empty if none does, or the cluster is too large.

    Tried are those two electrons away, and those that the superatom count proposes.
    """
    proposal = propose_charge(atoms)
    near = [q for q in (proposal.charge, *proposal.close, charge + 2, charge - 2) if is_even_electron(atoms, q)]
    tried = [q for q in dict.fromkeys(near) if q != charge][:_MOST_TRIED]
    gaps = frontier_gaps(atoms, tried).gaps_ev
    wide = sorted(((gap, q) for q, gap in gaps.items() if gap is not None and gap >= CLEAR_GAP_EV), reverse=True)
    if not wide:
        return ""
    listed = ", ".join(f"{signed_charge(q)} ({gap:.2f} eV)" for gap, q in wide)
    return f"another charge would open the gap: {listed} by GFN1-xTB; try --charge={wide[0][1]}"


@lru_cache(maxsize=64)
def _gaps_of(geometry: Geometry, charges: tuple[int, ...]) -> FrontierGaps:
    from clusterml.engine.basis import gfn_basis
    from clusterml.engine.orbitals.gfn1 import gfn1_hamiltonian

    short = shorten_ligands(geometry.atoms)
    symbols, coords = tuple(short.get_chemical_symbols()), short.positions / BOHR_ANGSTROM
    try:
        size = gfn_basis(symbols, coords, "gfn1").n_ao
        if size > MOST_FUNCTIONS:
            return FrontierGaps({}, f"too large: {size} basis functions, at most {MOST_FUNCTIONS}")
        parts = gfn1_hamiltonian(symbols, coords)
    except ClusterMLError as error:
        return FrontierGaps({}, error.problem)
    return FrontierGaps(_gaps(parts, charges), f"GFN1-xTB in vacuum, ligands shortened: {counted(len(short), 'atom')}")


def _gaps(parts: Gfn1Hamiltonian, charges: tuple[int, ...]) -> dict[int, float | None]:
    """Each charge begins anew: from the charges of another it may end in a state that is not its lowest."""
    from clusterml.engine.orbitals.newton import self_consistent

    gaps: dict[int, float | None] = dict.fromkeys(charges)
    for charge in charges:
        n_occupied = round(float(parts.reference.sum()) - charge) // 2
        if not 0 < n_occupied < len(parts.overlap):
            continue
        try:
            state = self_consistent(parts, charge, _KT_HARTREE, _TOLERANCE, _MOST_CYCLES, None)
        except ElectronicStructureError:
            continue
        gaps[charge] = float(state.energies[n_occupied] - state.energies[n_occupied - 1]) * HARTREE_EV
    return gaps


def inspect(source: Source, *, options: ReadOptions = DEFAULT_READING, **choices: Unpack[ReadKeywords]) -> Inspection:
    """What a structure file (bytes, a stream) holds: anatomy, crystal, charge; arguments and errors as
    :func:`clusterml.read`.

    The charge is the one that ``label`` and ``predict`` take.  Where the superatom count leaves a choice, ground states
    decide, which takes seconds (:func:`clusterml.engine.charge.frontier_gaps`).

    Examples:
        >>> import clusterml as cm
        >>> cm.inspect("shipped:datasets/structures/ag25_sch3.xyz")
        Inspection(ag25_sch3: Ag25C18H54S18, charge -1 from file; Anatomy(metals 13@12, 6 staples, ...
    """
    return structural.inspect(source, gaps=frontier_gaps, options=options, **choices)
