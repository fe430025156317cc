"""How long the GFN1-xTB ground state takes, ours beside tblite's: a markdown table.

    OMP_NUM_THREADS=1 python scripts/bench_ground_state.py [FILE ..] [--without-tblite | --lent]

Both begin without a guess and end at their usual thresholds; the first molecule of the process, water, is not counted.
tblite calculates with the linear algebra of its own wheel, with ``--lent`` with torch's, as it does inside clusterml.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from clusterml.engine.blas import lend_blas
from clusterml.engine.charge import resolve_charge
from clusterml.engine.orbitals.gfn import gfn_orbitals
from clusterml.structure.read import read
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV

HERE = Path(__file__).resolve().parents[1]
SHIPPED = ("ag25_sch3", "ag29_sh_ph3_S", "ag29_bdt_ph3_S", "ag70_t_cl4_P")


def ours(atoms: Atoms, charge: int) -> tuple[np.ndarray, float, int]:
    """Levels in eV, seconds, cycles."""
    begin = time.perf_counter()
    orbitals = gfn_orbitals(atoms, charge)
    seconds = time.perf_counter() - begin
    return orbitals.energies_ev, seconds, orbitals.n_cycles or 0


def tblites(atoms: Atoms, charge: int) -> tuple[np.ndarray, float]:
    """Levels in eV, seconds."""
    from tblite.interface import Calculator  # not before lend_blas

    calculator = Calculator(
        "GFN1-xTB", atoms.numbers, atoms.positions / BOHR_ANGSTROM, charge=float(charge), logger=lambda _: None
    )
    for key, value in (("verbosity", 0), ("temperature", 300.0 * BOLTZMANN_HARTREE), ("max-iter", 500)):
        calculator.set(key, value)
    begin = time.perf_counter()
    levels = calculator.singlepoint().get("orbital-energies") * HARTREE_EV
    return levels, time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    shipped = [HERE / "datasets" / "structures" / f"{name}.xyz" for name in SHIPPED]
    parser.add_argument("files", nargs="*", type=Path, default=shipped)
    parser.add_argument("--without-tblite", action="store_true")
    parser.add_argument("--lent", action="store_true")
    given = parser.parse_args()
    if given.lent and not lend_blas():
        parser.error("this torch does not show its linear algebra")
    water = Atoms("OHH", [[0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]])
    ours(water, 0)
    if not given.without_tblite:
        tblites(water, 0)
    print("| file | atoms | functions | cycles | ours / s | tblite / s | times faster | levels differ by / eV |")
    print("|---|---|---|---|---|---|---|---|")
    for file in given.files:
        atoms = read(file)
        charge = resolve_charge(atoms, None).charge
        levels, seconds, cycles = ours(atoms, charge)
        row = [file.stem, len(atoms), len(levels), cycles, f"{seconds:.1f}"]
        if not given.without_tblite:
            theirs, their_seconds = tblites(atoms, charge)
            difference = np.abs(levels - theirs).max()
            row += [f"{their_seconds:.1f}", f"{their_seconds / seconds:.1f}", f"{difference:.0e}"]
        else:
            row += ["-"] * 3
        print("| " + " | ".join(str(x) for x in row) + " |", flush=True)


if __name__ == "__main__":
    main()
