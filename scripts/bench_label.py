"""How long `clusterml label` takes, and how much memory: a markdown table with the machine it ran on.

    python scripts/bench_label.py [FILE ..] [--mode smooth reference] [--dtype float64 float32] [--emax 6]
                                  [--orbitals gfn1] [--solver spectrum krylov states] [--device cuda]
                                  [--threads N] [--repeat 3] [--cpu-seconds] [--warm]

Every case runs in a process of its own, after a warm-up on a water molecule, so that imports are not counted; of
several repetitions the fastest counts.  ``--cpu-seconds`` counts those of the process on one thread, which other work
on the machine changes less than seconds of the clock.  Memory is the largest resident size of the process, imports
included.  The ground state is divided into its Hamiltonian with integrals and its cycles, the response into sums over
configurations and the rest.  Orbitals with exchange have the solver ``krylov`` for spectra, which then runs once.
``--warm`` begins with the charges of a geometry whose atoms are shaken by 0.03 A.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
HEADER = (
    "| file | orbitals | mode | dtype | solver | atoms | AOs | CSFs | ground state / s | preparation / s | sums / s "
    "| solver / s | bands / s | total / s | peak memory / GB |\n" + "|---" * 15 + "|"
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=[HERE / "datasets" / "examples" / "ag29_model.xyz"])
    parser.add_argument("--mode", nargs="+", default=["smooth", "reference"], choices=["smooth", "reference"])
    parser.add_argument("--dtype", nargs="+", default=["float64"], choices=["float64", "float32"])
    solvers = ["spectrum", "krylov", "states"]
    parser.add_argument("--solver", nargs="+", default=solvers[:2], choices=solvers)
    parser.add_argument("--orbitals", nargs="+", default=["gfn1", "stda-xtb"], choices=["stda-xtb", "gfn1", "gfn2"])
    parser.add_argument("--emax", type=float, default=6.0, help="highest excitation energy (eV)")
    parser.add_argument("--charge", type=int, help="charge of every file (default: from the file, or proposed)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--cpu-seconds", action="store_true", help="count CPU seconds, on one thread")
    parser.add_argument("--warm", action="store_true", help="begin with the charges of a geometry nearby")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Run one case here and now."""
    import torch
    from ase import Atoms

    if case["cpu_seconds"]:
        time.perf_counter, case["threads"] = time.process_time, 1
    from clusterml.engine.label import label
    from clusterml.structure.read import read

    if case["threads"]:
        torch.set_num_threads(case["threads"])
    water = Atoms("OHH", [[0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]])
    label(water, 0, emax_ev=12.0, orbitals=case["orbitals"], device=case["device"])
    atoms = read(case["file"])
    options = {key: case[key] for key in ("solver", "dtype", "device", "orbitals", "mode")}
    start = None
    if case["warm"]:
        start = atoms.copy()
        start.rattle(0.03, seed=1)
        label(start, case["charge"], emax_ev=1.0, orbitals=case["orbitals"], device=case["device"])  # keeps its charges
    options |= {"start_from": start, "emax_ev": case["emax"]}
    runs = [label(atoms, case["charge"], **options) for _ in range(case["repeat"])]
    best = min(runs, key=lambda run: run.timings_s["total"])
    on_gpu = torch.cuda.max_memory_allocated() / 1e9 if case["device"].startswith("cuda") else None
    return {
        "atoms": len(atoms),
        "aos": best.orbitals.basis.n_ao,
        "csfs": best.response.counts["n_csf"],
        "timings": {**best.orbitals.timings_s, **best.timings_s},
        "cycles": best.orbitals.n_cycles,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "gpu_memory_gb": on_gpu,
        "warnings": best.warnings,
    }


def in_a_process(case: dict[str, Any]) -> dict[str, Any] | str:
    """The result of :func:`measure` in a fresh process, or the last line of what went wrong."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    threads = 1 if case["cpu_seconds"] else case["threads"]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})  # of the integrals, too
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def row(case: dict[str, Any], result: dict[str, Any] | str) -> str:
    start = (
        f"| {Path(case['file']).name} | " + " | ".join(case[k] for k in ("orbitals", "mode", "dtype", "solver")) + " |"
    )
    if isinstance(result, str):
        return f"{start} {result} |" + " |" * 9
    timings: dict[str, float] = result["timings"]
    ground = f"{timings['ground_state']:.2f}"
    if result["cycles"] is not None:
        ground += f" ({timings['hamiltonian']:.2f} + {timings['cycles']:.2f} of {result['cycles']} cycles)"
    sums = timings.get("sums", 0.0)
    seconds = [timings["preparation"], sums, timings["solver"] - sums, timings["bands"], timings["total"]]
    memory = f"{result['memory_gb']:.2f}"
    if result["gpu_memory_gb"] is not None:
        memory += f" + {result['gpu_memory_gb']:.2f} (GPU)"
    times = " | ".join(f"{s:.2f}" for s in seconds)
    return f"{start} {result['atoms']} | {result['aos']} | {result['csfs']} | {ground} | {times} | {memory} |"


def machine(threads: int | None = None) -> str:
    """Processor, cores, GPU, versions and load, in one line."""
    import torch

    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    cpu = models[0].split(":", 1)[1].strip() if models else platform.processor() or platform.machine()
    gpu = f"; {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "; no GPU"
    return (
        f"{cpu}, {os.cpu_count()} cores, {threads or torch.get_num_threads()} threads{gpu}; "
        f"torch {torch.__version__}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    chosen = arguments()
    if chosen.case:
        print(json.dumps(measure(json.loads(chosen.case))))
        return
    how = f"fastest of {chosen.repeat}{', CPU seconds' * chosen.cpu_seconds}{', warm starts' * chosen.warm}"
    print(f"Machine: {machine(chosen.threads)}.\n\nUp to {chosen.emax:g} eV, {chosen.device}, {how}.\n\n{HEADER}")
    names = ("emax", "charge", "device", "threads", "repeat", "cpu_seconds", "warm")
    shared = {key: getattr(chosen, key) for key in names}
    choices = (chosen.files, chosen.orbitals, chosen.mode, chosen.dtype, chosen.solver)
    for file, orbitals, mode, dtype, solver in itertools.product(*choices):
        with_exchange = orbitals == "stda-xtb"
        twice = with_exchange and solver == "krylov" and "spectrum" in chosen.solver
        if twice or (mode == "reference" and not with_exchange):
            continue
        case = {**shared, "file": str(file), "orbitals": orbitals, "mode": mode, "dtype": dtype, "solver": solver}
        print(row(case, in_a_process(case)), flush=True)


if __name__ == "__main__":
    main()
