"""Gaps of GFN1-xTB ground states as a witness of a cluster's charge, on the cluster with shortened ligands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import ClusterMLError, ElectronicStructureError
from clusterml.printable import counted
from clusterml.structure.anatomy.charge import is_even_electron, propose_charge, signed_charge
from clusterml.structure.charge import CLEAR_GAP_EV, ChargeDecision, FrontierGaps, check_charge, decide_charge
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.stda.gfn1 import Gfn1Hamiltonian

MOST_FUNCTIONS = 1300
"""Basis functions of the shortened cluster up to which ground states are computed: that of Ag70 has 1210."""

_KT_HARTREE = 1000.0 * 3.166808578545117e-6  # smears levels within 0.1 eV, so that a cluster without a gap converges
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
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = np.asarray(atoms.positions, dtype=np.float64)
    return _remembered(numbers.tobytes(), positions.tobytes(), tuple(charges))


def gap_advice(atoms: Atoms, charge: int) -> str:
    """Which charges nearby would open a clear gap, as a sentence; empty if none does, or the cluster is too large.

    Tried are those two electrons away, and those that the superatom count proposes.
    """
    proposal = propose_charge(atoms)
    near = [q for q in (proposal.charge, *proposal.close, charge + 2, charge - 2) if is_even_electron(atoms, q)]
    tried = [q for q in dict.fromkeys(near) if q != charge][:_MOST_TRIED]
    found = frontier_gaps(atoms, tried).gaps_ev
    wide = sorted(((gap, q) for q, gap in found.items() if gap is not None and gap >= CLEAR_GAP_EV), reverse=True)
    if not wide:
        return ""
    listed = ", ".join(f"{signed_charge(q)} ({gap:.2f} eV)" for gap, q in wide)
    return f"another charge would open the gap: {listed} by GFN1-xTB; try --charge={wide[0][1]}"


@lru_cache(maxsize=64)
def _remembered(numbers: bytes, positions: bytes, charges: tuple[int, ...]) -> FrontierGaps:
    from ase import Atoms

    from clusterml.stda.gfn1 import gfn1_hamiltonian
    from clusterml.stda.gfn_basis import gfn_basis
    from clusterml.structure.anatomy.shorten import shorten_ligands
    from clusterml.units import BOHR_ANGSTROM

    whole = Atoms(np.frombuffer(numbers, dtype=np.int64), np.frombuffer(positions, dtype=np.float64).reshape(-1, 3))
    short = shorten_ligands(whole)
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
    """Each charge begins with the shell charges of the one before."""
    from clusterml.stda.scc import self_consistent
    from clusterml.units import HARTREE_EV

    gaps: dict[int, float | None] = {}
    start: FloatArray | None = None
    for charge in charges:
        n_occupied = round(float(parts.reference.sum()) - charge) // 2
        if start is not None:
            start = start + (charge - start.sum()) / len(start)
        try:
            state = self_consistent(parts, charge, _KT_HARTREE, _TOLERANCE, _MOST_CYCLES, start)
        except ElectronicStructureError:
            gaps[charge] = None
            continue
        start = state.shell_charges
        gaps[charge] = float(state.energies[n_occupied] - state.energies[n_occupied - 1]) * HARTREE_EV
    return gaps
