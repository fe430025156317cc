"""How long predictions take: one cluster at a time, and batches of them, beside the engine; markdown tables.

    python scripts/bench_predict.py [FILE ..] [--model ag-quick-v1 | --preset S] [--members 3] [--device cuda]
                                    [--threads 2] [--repeat 5] [--batch 256] [--cpu-seconds] [--engine]

Without a checkpoint, networks of --preset with random weights are timed: the weights make no difference to the time.
Times are of the warm program, the median of --repeat runs; "all" includes checks, graph, charge and domain rules.
--cpu-seconds counts those of the process on one thread, which other work on the machine lengthens less.
--engine times `clusterml.label` on the same clusters (minutes).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_label import machine

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.predictor import Predictor

HERE = Path(__file__).resolve().parents[1] / "datasets" / "structures"
FILES = [HERE / f"{name}.xyz" for name in ("ag29_sh_ph3_S", "ag25_sch3", "ag29_bdt_pph3_R", "ag70_sipr_tfa20_dmf3_P")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=FILES)
    parser.add_argument("--model", help="checkpoint (default: random weights)")
    parser.add_argument("--preset", default="S")
    parser.add_argument("--members", type=int, default=1, help="networks of random weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64, help="structures of the throughput table; 0 leaves it out")
    parser.add_argument("--cpu-seconds", action="store_true", help="count CPU seconds, on one thread")
    parser.add_argument("--engine", action="store_true", help="time the physics engine on the same clusters")
    return parser.parse_args()


def predictor_of(chosen: argparse.Namespace) -> Predictor:
    import torch

    from clusterml.inference.ensemble import Ensemble, choose_device
    from clusterml.inference.predictor import Predictor
    from clusterml.model.network import Network
    from clusterml.model.spec import presets

    if chosen.model:
        return Predictor.load(chosen.model, chosen.device)
    networks = []
    for seed in range(chosen.members):
        torch.manual_seed(seed)
        networks.append(Network(presets()[chosen.preset]))
    states = [network.state_dict() for network in networks]
    return Predictor(f"{chosen.preset} (random)", Ensemble(networks[0], states, choose_device(chosen.device)))


def clock(chosen: argparse.Namespace) -> float:
    """Seconds of the process, or of the clock on the wall."""
    return time.process_time() if chosen.cpu_seconds else time.perf_counter()


def median_seconds(work: Callable[[], Any], repeat: int, chosen: argparse.Namespace) -> float:
    """Median time of ``work`` after two runs that do not count."""
    times = []
    for number in range(repeat + 2):
        start = clock(chosen)
        work()
        times.append(clock(chosen) - start)
        if number < 2:
            times.clear()
    return statistics.median(times)


def single_row(predictor: Predictor, atoms: Atoms, chosen: argparse.Namespace) -> str:
    prepared = [predictor.prepare(atoms)]
    network = median_seconds(lambda: predictor.predict(prepared), chosen.repeat, chosen)
    everything = median_seconds(lambda: predictor(atoms), chosen.repeat, chosen)
    cells = [atoms.info["name"], len(atoms), prepared[0].edges, f"{1e3 * network:.1f}", f"{1e3 * everything:.1f}"]
    if chosen.engine:
        seconds = engine_seconds(atoms, chosen)
        cells += [f"{seconds:.2f}", f"{seconds / everything:,.0f}"]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def engine_seconds(atoms: Atoms, chosen: argparse.Namespace) -> float:
    """One label of the engine, with its defaults."""
    from clusterml.engine.label import label

    start = clock(chosen)
    label(atoms)
    return clock(chosen) - start


def batch_row(predictor: Predictor, atoms: Atoms, chosen: argparse.Namespace) -> str:
    prepared = [predictor.prepare(atoms)] * chosen.batch
    seconds = median_seconds(lambda: predictor.predict(prepared), max(1, chosen.repeat // 2), chosen)
    whole = median_seconds(lambda: predictor([atoms] * chosen.batch), 1, chosen)
    rates = f"{chosen.batch / seconds:,.0f} | {chosen.batch / whole:,.0f}"
    return f"| {atoms.info['name']} | {len(atoms)} | {chosen.batch} | {rates} |"


def main() -> None:
    chosen = arguments()
    chosen.threads = 1 if chosen.cpu_seconds else chosen.threads
    os.environ["OMP_NUM_THREADS"] = str(chosen.threads)
    import torch

    from clusterml.structure.read import read

    torch.set_num_threads(chosen.threads)
    predictor = predictor_of(chosen)
    print(f"Machine: {machine(chosen.threads)}; on {predictor.ensemble.device}.\n")
    how = f"median of {chosen.repeat}{', CPU seconds' * chosen.cpu_seconds}"
    print(f"Network {predictor.name}, {len(predictor.ensemble)} members, {how}.\n")
    structures = [read(path) for path in chosen.files]
    engine = " engine / s | times faster |" if chosen.engine else ""
    print(f"| file | atoms | edges | network / ms | all / ms |{engine}\n|{'---|' * (7 if chosen.engine else 5)}")
    for atoms in structures:
        print(single_row(predictor, atoms, chosen), flush=True)
    if chosen.batch:
        print("\n| file | atoms | batch | network: structures / s | all: structures / s |\n|---|---|---|---|---|")
        for atoms in structures:
            print(batch_row(predictor, atoms, chosen), flush=True)


if __name__ == "__main__":
    main()
