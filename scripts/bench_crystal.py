"""Time reading crystals of about 20,000 atoms: parse, expand and connect, cut one cluster, and the whole `inspect`.

    python scripts/bench_crystal.py [--atoms 20000]

The crystals are made of the example model [Ag29(SH)24(PH3)4]3- (93 atoms): all clusters listed in P 1; clusters in a
general position of P -1, P -3 c 1 and F d -3 m; and one where half of the PH3 groups have two disorder parts.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import gemmi
import numpy as np

from clusterml.structure.crystal.cell import cut
from clusterml.structure.crystal.molecules import fill_cell
from clusterml.structure.formats.cif import parse_cif
from clusterml.structure.inspect import inspect
from clusterml.structure.read import read

EXAMPLE = Path(__file__).resolve().parents[1] / "datasets" / "examples" / "ag29_model.xyz"
SPACING = 22.0  # A between neighbouring clusters
_TAGS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "disorder_group")


def crystal(group: str, atoms: int, disordered: bool = False) -> str:
    """CIF text of clusters on a grid so that the filled cell holds about ``atoms`` atoms."""
    model = read(EXAMPLE)
    symbols = model.get_chemical_symbols()
    operations = list(gemmi.find_spacegroup_by_name(group).operations())
    listed = max(1, round(atoms / (len(model) * len(operations))))
    edge, origins = _places(operations, listed, group)
    cell = np.array(gemmi.UnitCell(*edge).orth.mat.tolist()).T
    rows: list[str] = []
    for origin in origins:
        inside = (model.positions - model.positions.mean(axis=0)) @ np.linalg.inv(cell) + origin
        for k, (symbol, x) in enumerate(zip(symbols, inside, strict=True)):
            label = f"{symbol}{len(rows) + 1}"
            split = disordered and symbol in ("P", "H") and k % 2 == 0
            position = " ".join(f"{v:.6f}" for v in x % 1.0)
            rows.append(f"{label} {symbol} {position} {'0.6 1' if split else '1 .'}")
            if split:
                position = " ".join(f"{v:.6f}" for v in (x + np.array([0.35, 0.2, 0]) @ np.linalg.inv(cell)) % 1.0)
                rows.append(f"{label}B {symbol} {position} 0.4 2")
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    head = [f"data_bench\n_space_group_name_H-M_alt '{group}'"]
    head += [f"_cell_{key} {value:.4f}" for key, value in zip(keys, edge, strict=True)]
    head += ["loop_\n_space_group_symop_operation_xyz", *(f"'{op.triplet()}'" for op in operations)]
    return "\n".join([*head, "loop_", *(f"_atom_site_{tag}" for tag in _TAGS), *rows]) + "\n"


def _places(operations: list[gemmi.Op], listed: int, group: str) -> tuple[tuple[float, ...], np.ndarray]:
    """Cell and origins of the listed clusters such that no two of the filled cell come too close."""
    angles = (90.0, 90.0, 120.0) if "3 c" in group else (90.0, 90.0, 90.0)
    rotations = np.array([op.rot for op in operations]) / gemmi.Op.DEN
    translations = np.array([op.tran for op in operations]) / gemmi.Op.DEN
    rng = np.random.default_rng(1)
    side = SPACING * 1.05 * np.cbrt(listed * len(operations))
    if len(operations) == 1:
        n = int(np.ceil(np.cbrt(listed)))
        grid = np.array(list(np.ndindex(n, n, n)))[:listed] / n
        return (n * SPACING,) * 3 + angles, grid
    while True:
        edge = (side, side, side, *angles)
        cell = np.array(gemmi.UnitCell(*edge).orth.mat.tolist()).T
        chosen: list[np.ndarray] = []
        for _ in range(600):
            x = rng.random(3)
            images = rotations @ x + translations
            others = np.concatenate([images[1:], *(rotations @ y + translations for y in chosen)])
            step = others - x
            if np.linalg.norm((step - np.rint(step)) @ cell, axis=1).min() > SPACING:
                chosen.append(x)
            if len(chosen) == listed:
                return edge, np.array(chosen)
        side *= 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=20_000)
    wanted = parser.parse_args().atoms
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print("| crystal | sites | atoms in the cell | clusters | parse / s | fill and connect / s | cut / s | read / s |"
          " inspect / s |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    cases = [
        ("P 1", False),
        ("P -1", False),
        ("P -3 c 1", False),
        ("F d -3 m:1", False),
        ("P -1", True),
        ("F d -3 m:1", True),
    ]
    for group, disordered in cases:
        text = crystal(group, wanted, disordered)
        started = time.perf_counter()
        parsed = parse_cif(text, "bench.cif")
        after_parse = time.perf_counter()
        filled = fill_cell(parsed)
        after_fill = time.perf_counter()
        cut(filled, hydrogens=True)
        done = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "bench.cif")
            path.write_text(text)
            before = time.perf_counter()
            result = inspect(path)
            whole = time.perf_counter() - before
        name = f"{group}{', disordered' if disordered else ''}"
        steps = (after_parse - started, after_fill - after_parse, done - after_fill, done - started, whole)
        print(f"| {name} | {len(parsed.numbers)} | {len(filled.numbers)} | {len(filled.clusters)} | "
              + " | ".join(f"{t:.2f}" for t in steps) + " |")  # fmt: skip
        if result.formula != "Ag29H36P4S24":
            raise SystemExit(f"{name}: got {result.formula}")


if __name__ == "__main__":
    main()
