"""Read crystals with clusterml, ASE and gemmi, and print a table of where they differ.

    python scripts/compare_crystal_readers.py FILE_OR_FOLDER ..

"atoms" is the number of atoms in the filled cell; "largest molecule" the formula of the molecule with most metal atoms
(then most atoms) that the same bonding rules find in that cell; "too close" counts pairs nearer than 0.5 A, which no
real structure has: two alternatives of a disordered group, or copies of an atom on a symmetry element.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import gemmi
import numpy as np

from clusterml.errors import ClusterMLError
from clusterml.structure.bonds import close_periodic_pairs, components, keep_bonds, longest_bond
from clusterml.structure.elements import formula, is_metal
from clusterml.structure.options import ReadOptions
from clusterml.structure.read import first_entry


def content(numbers: np.ndarray, fractional: np.ndarray, cell: np.ndarray) -> str:
    """``atoms / largest molecule / pairs that are too close`` of a filled cell."""
    inside = fractional - np.floor(fractional)
    inside[inside >= 1.0] = 0.0
    pairs = close_periodic_pairs(inside, cell, longest_bond(numbers))
    close = int((pairs.distance < 0.5).sum())
    parts = components(len(numbers), keep_bonds(numbers, pairs))
    metal = is_metal(numbers)
    best = max(parts, key=lambda part: (int(metal[part].sum()), len(part)))
    return f"{len(numbers)} / {formula(numbers[best])} / {close}"


def ours(path: Path) -> tuple[str, str]:
    try:
        entry = first_entry(path, ReadOptions(hydrogens=False))
    except ClusterMLError as error:
        return f"refused: {error.problem.removeprefix(str(path) + ': ')[:90]}", "-"
    filled = entry.cell
    if filled is None:
        return "no crystal", formula(entry.atoms.numbers)
    return content(filled.numbers, filled.fractional, filled.crystal.cell), formula(entry.atoms.numbers)


def of_ase(path: Path) -> str:
    import ase.io

    try:
        atoms = ase.io.read(path, format="cif", index=0)
    except Exception as error:  # what ASE raises is part of the comparison
        return f"{type(error).__name__}: {str(error)[:60]}"
    return content(np.asarray(atoms.numbers, dtype=np.int64), atoms.get_scaled_positions(wrap=True), atoms.cell.array)


def of_gemmi(path: Path) -> str:
    try:
        structure = gemmi.read_small_structure(str(path))
    except (RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {str(error)[:60]}"
    sites = [site for site in structure.get_all_unit_cell_sites() if site.element.atomic_number > 0]
    if not sites:
        return "no atoms"
    numbers = np.array([site.element.atomic_number for site in sites], dtype=np.int64)
    cell = np.array(structure.cell.orth.mat.tolist()).T
    return content(numbers, np.array([site.fract.tolist() for site in sites]), cell)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    files = [f for p in parser.parse_args().paths for f in (sorted(p.glob("*.cif")) if p.is_dir() else [p])]
    warnings.simplefilter("ignore")
    print("atoms in the cell / largest molecule / pairs nearer than 0.5 A\n")
    print("| file | clusterml | cluster taken | ASE | gemmi |\n|---|---|---|---|---|")
    for path in files:
        mine, cluster = ours(path)
        print(f"| {path.name} | {mine} | {cluster} | {of_ase(path)} | {of_gemmi(path)} |", flush=True)


if __name__ == "__main__":
    main()
