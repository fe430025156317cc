"""Write datasets/examples/ag29_model.{xyz,cif} from a T-symmetric geometry of [Ag29(SH)24(PH3)4]3-.

    python scripts/make_example_cif.py GEOMETRY.xyz datasets/examples

The CIF puts the cluster's centre on the 23 (T) site at the corner of a P23 cell: a twelfth of it is listed, and the
whole cluster is spread over all eight corners of the cell.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gemmi
import numpy as np

from clusterml.structure.read import read

EDGE = 24.0  # cubic cell edge (A): neighbouring clusters are more than 10 A apart
FORMULA = "[Ag29(SH)24(PH3)4]3-"
NOTE = "MODEL geometry, GFN1-xTB in vacuum, T symmetry, enantiomer P; not a crystal structure, no crystal data used"


def main(source: str, folder: str) -> None:
    atoms = read(source)
    symbols, positions = atoms.get_chemical_symbols(), atoms.positions
    rows = "".join(f"{s:2s} {x:14.8f} {y:14.8f} {z:14.8f}\n" for s, (x, y, z) in zip(symbols, positions, strict=True))
    header = f'Properties=species:S:1:pos:R:3 charge=-3 name="{FORMULA}" comment="{NOTE}"'
    Path(folder, "ag29_model.xyz").write_text(f"{len(atoms)}\n{header}\n{rows}")

    group = gemmi.find_spacegroup_by_name("P 2 3")
    rotations = [np.array(op.rot) // op.DEN for op in group.operations()]
    left = set(range(len(atoms)))
    listed = []
    while left:
        first = min(left)
        images = [int(np.argmin(np.linalg.norm(positions - r @ positions[first], axis=1))) for r in rotations]
        worst = max(np.linalg.norm(positions[i] - r @ positions[first]) for i, r in zip(images, rotations, strict=True))
        if worst > 1e-3:
            raise SystemExit(f"atom {first + 1} breaks the T symmetry by {worst:.4f} A")
        listed.append(first)
        left -= set(images)

    block = gemmi.cif.Block("ag29_model")
    block.set_pair("_chemical_name_common", gemmi.cif.quote(f"model of {FORMULA}"))
    block.set_pair("_publ_section_comment", gemmi.cif.quote(NOTE))
    for key in "abc":
        block.set_pair(f"_cell_length_{key}", f"{EDGE:.4f}")
    for key in ("alpha", "beta", "gamma"):
        block.set_pair(f"_cell_angle_{key}", "90")
    block.set_pair("_space_group_name_H-M_alt", "'P 2 3'")
    block.set_pair("_space_group_IT_number", "195")
    loop = block.init_loop("_space_group_symop_", ["operation_xyz"])
    for operation in group.operations():
        loop.add_row([gemmi.cif.quote(operation.triplet())])
    loop = block.init_loop("_atom_site_", ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy"])
    for count, atom in enumerate(listed, start=1):
        fractional = [f"{value:.7f}" for value in np.round(positions[atom] / EDGE, 7) % 1.0]
        loop.add_row([f"{symbols[atom]}{count}", symbols[atom], *fractional, "1"])
    text = f"# {NOTE}.\n# Written by scripts/make_example_cif.py as an example input.\n" + block.as_string()
    Path(folder, "ag29_model.cif").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
