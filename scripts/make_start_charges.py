"""Make src/clusterml/engine/data/gfn1_charges.json: shell charges of GFN1-xTB by element and neighbours.

    OMP_NUM_THREADS=1 python scripts/make_start_charges.py [--check]

The self-consistent cycle begins with them.  Each shell charge is a constant and a share of each kind of neighbour,
fitted to the converged charges of shipped and built clusters, some with copper or gold in place of silver.  ``--check``
writes nothing: it leaves each cluster out of its own fit, and prints errors and cycles beside those of equal charges.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from clusterml.engine.atomic import distances, neighbour_shares
from clusterml.engine.charge import resolve_charge
from clusterml.engine.orbitals import gfn1
from clusterml.engine.orbitals.newton import self_consistent
from clusterml.engine.parameters import data_tables
from clusterml.structure.build.build import build
from clusterml.structure.distort.draws import snapshots
from clusterml.structure.read import read
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE

HERE = Path(__file__).resolve().parents[1]
TARGET = HERE / "src" / "clusterml" / "engine" / "data" / "gfn1_charges.json"
KINDS = [["Cu", "Ag", "Au", "Pd", "Pt"], ["H"], ["C"], ["N"], ["O"], ["F"], ["P"], ["S"], ["Cl", "Br", "I"]]
SHIPPED = (
    "ag12_sch3_hcoo", "ag12_sipr_tfa", "ag25_sch3", "ag29_bdt_ph3_S", "ag29_bdta_ph3_R", "ag29_sh_ph3_S",
    "ag32_sh_ph3_S", "ag33_sh_ph3_S", "ag70_t_cl4_P", "ag70_t_hcoo20_P",
)  # fmt: skip
BUILT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ag25", {"thiolate": "SPhCl"}),
    ("ag12", {"thiolate": "SEt", "carboxylate": "CH3COO"}),
    ("ag12", {"thiolate": "SPhF", "carboxylate": "CF3COO"}),
    ("ag29", {"thiolate": "SH", "phosphine": "PMe3"}),
    ("ag70-t", {"thiolate": "SH", "carboxylate": "HCOO", "cap": "Br"}),
    ("ag70-t", {"thiolate": "SH", "carboxylate": "HCOO", "cap": "I"}),
    ("ag3", {"thiolate": "SCH3"}),
)
EXCHANGED = (("ag25_sch3", "Au"), ("ag29_sh_ph3_S", "Au"), ("ag25_sch3", "Cu"), ("ag12_sch3_hcoo", "Cu"))
KT = 1000.0 * BOLTZMANN_HARTREE
RIDGE = 0.5
"""Weight of the shares, in neighbours squared, beside that of the data."""


def clusters() -> Iterator[tuple[str, Atoms, int]]:
    """Name, geometry, charge."""
    for name in SHIPPED:
        atoms = read(HERE / "datasets" / "structures" / f"{name}.xyz")
        charge = resolve_charge(atoms, None).charge
        yield name, atoms, charge
        for moved in snapshots(atoms, 300.0, 1, rng=np.random.default_rng(1)):
            yield f"{name} at 300 K", moved, charge
    for name, ligands in BUILT:
        atoms = build(name, **ligands)
        yield f"{name} {' '.join(ligands.values())}", atoms, int(atoms.info["charge"])
    for name, metal in EXCHANGED:
        atoms = read(HERE / "datasets" / "structures" / f"{name}.xyz")
        charge = resolve_charge(atoms, None).charge
        atoms.symbols[atoms.symbols == "Ag"] = metal
        yield f"{name} of {metal}", atoms, charge


Rows = dict[str, list[tuple[np.ndarray, np.ndarray]]]


def rows_of(atoms: Atoms, charges: np.ndarray, features: np.ndarray, atom_of_shell: np.ndarray) -> Rows:
    """Element -> features (n, k) and shell charges (n, n_shells) of its atoms."""
    symbols = np.array(atoms.get_chemical_symbols())
    rows: Rows = {}
    for symbol in sorted(set(symbols)):
        chosen = np.flatnonzero(symbols == symbol)
        shells = charges[np.isin(atom_of_shell, chosen)].reshape(len(chosen), -1)
        rows[symbol] = [(features[chosen], shells)]
    return rows


def fitted(parts: list[Rows]) -> dict[str, list[list[float]]]:
    """Element -> for each of its shells the constant and the shares of the kinds of neighbours."""
    joined: Rows = defaultdict(list)
    for rows in parts:
        for symbol, pairs in rows.items():
            joined[symbol] += pairs
    fits = {}
    for symbol in sorted(joined):
        x, y = (np.concatenate(side) for side in zip(*joined[symbol], strict=True))
        ridge = RIDGE * np.eye(x.shape[1])
        ridge[0, 0] = 1e-6
        fits[symbol] = np.linalg.solve(x.T @ x + ridge, x.T @ y).T.round(3).tolist()
    return fits


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    if not TARGET.exists() and not check:
        TARGET.write_text(json.dumps({"kinds": KINDS, "shells": {}}))
    rows: dict[str, Rows] = {}
    states = {}
    for name, atoms, charge in clusters():
        symbols, coords = atoms.get_chemical_symbols(), atoms.positions / BOHR_ANGSTROM
        parts = gfn1.gfn1_hamiltonian(symbols, coords)
        state = self_consistent(parts, charge, KT, 1e-4, 100)
        neighbours = neighbour_shares(distances(coords), gfn1.covalent_radii(symbols), gfn1.CN_CUTOFF_BOHR)
        features = gfn1.neighbour_features(symbols, neighbours)
        rows[name] = rows_of(atoms, state.shell_charges, features, parts.atom_of_shell)
        states[name] = parts, charge, state, symbols, neighbours
    if not check:
        TARGET.write_text(json.dumps({"kinds": KINDS, "shells": fitted(list(rows.values()))}, indent=1) + "\n")
        return
    print("| cluster | atoms | error of the start: max | rms | cycles to 2e-5 | from equal charges |")
    print("|---|---|---|---|---|---|")
    for name, (parts, charge, state, symbols, neighbours) in states.items():
        others = [part for other, part in rows.items() if other.split()[0] != name.split()[0]]
        data_tables("gfn1_charges")["shells"] = fitted(others)
        start = gfn1.expected_charges(symbols, neighbours, parts.atom_of_shell)
        start += (charge - start.sum()) / len(start)
        error = start - state.shell_charges
        cycles = [self_consistent(parts, charge, KT, 2e-5, 100, s).n_cycles for s in (start, np.zeros(len(start)))]
        print(
            f"| {name} | {len(symbols)} | {np.abs(error).max():.2f} | {error.std():.3f} | {cycles[0]} | {cycles[1]} |"
        )


if __name__ == "__main__":
    main()
