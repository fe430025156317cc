"""How long `clusterml chirality` takes: a markdown table with the machine it ran on.

    python scripts/bench_chirality.py [FILE ..] [--threads 2] [--batch 500]

For each file: seconds for the metal + donor frame and for the whole, with the measures of ten point groups, and
for the complete report with all parts.  CPU seconds stand beside wall-clock seconds: a busy machine makes the latter
longer.  Then the time per geometry of a batch of distortions of the first file's frame.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench_label import machine

HERE = Path(__file__).resolve().parents[1]
MODELS = HERE / "datasets" / "structures"
DEFAULT = [MODELS / "ag70_sipr_tfa20_dmf3_P.xyz", HERE / "datasets" / "examples" / "ag29_model.xyz"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=[path for path in DEFAULT if path.exists()])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=500, help="distortions in the batch")
    return parser.parse_args()


def timed(work: Callable[[], Any]) -> str:
    """Wall-clock and CPU seconds of ``work``."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return f"{time.perf_counter() - wall:.2f} ({time.process_time() - cpu:.2f})"


def row(path: Path) -> str:
    from clusterml.chirality.part import ligand_bonds, measure_part
    from clusterml.chirality.report import DEFAULT_GROUPS, chirality_report
    from clusterml.structure.anatomy.anatomy import anatomy
    from clusterml.structure.read import read

    atoms = read(path, allow_several=True)
    frame = anatomy(atoms).parts().get("metal + donor frame", np.arange(len(atoms)))
    pairs, everything = ligand_bonds(atoms), np.arange(len(atoms))

    def measure(members: np.ndarray) -> Callable[[], Any]:
        return lambda: measure_part("part", atoms, members, np.asarray(atoms.numbers), pairs, DEFAULT_GROUPS)

    cells = [path.name, len(frame), timed(measure(frame)), len(atoms), timed(measure(everything))]
    return "| " + " | ".join(str(cell) for cell in [*cells, timed(lambda: chirality_report(atoms))]) + " |"


def batch(path: Path, count: int) -> str:
    from clusterml.chirality.batch import chirality_batch
    from clusterml.structure.anatomy.anatomy import anatomy
    from clusterml.structure.read import read

    atoms = read(path, allow_several=True)
    frame = atoms[anatomy(atoms).parts().get("metal + donor frame", np.arange(len(atoms)))]
    noise = np.random.default_rng(0).normal(scale=0.1, size=(count, len(frame), 3))
    positions = frame.positions + noise
    started = time.process_time()
    chirality_batch(frame.numbers, positions[:1], parent=frame.positions)
    start = time.process_time() - started
    started = time.process_time()
    chirality_batch(frame.numbers, positions, parent=frame.positions)
    each = 1000.0 * (time.process_time() - started - start) / (count - 1)
    return (
        f"Batch: {count} distortions (0.1 A noise) of the {len(frame)}-atom frame of {path.name}: "
        f"{start:.1f} s once and {each:.1f} ms each (CPU)."
    )


def main() -> None:
    chosen = arguments()
    import torch
    from ase import Atoms

    from clusterml.chirality.report import chirality_report

    torch.set_num_threads(chosen.threads)
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.1]]) * 2.0
    chirality_report(Atoms("Ag4", corners), parts=False)  # tables of the groups are made once, imports happen once
    print(
        f"Machine: {machine(chosen.threads)}.\n\nSeconds, wall-clock (CPU).\n\n"
        "| file | frame atoms | frame | atoms | whole | report |\n|---|---|---|---|---|---|"
    )
    for path in chosen.files:
        print(row(path), flush=True)
    print("\n" + batch(chosen.files[0], chosen.batch))


if __name__ == "__main__":
    main()
