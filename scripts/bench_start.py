"""How long commands take to start: processor time and wall time, medians over several runs, and the largest imports.

    python scripts/bench_start.py [--runs 5] [--imports]

Every command is a new process on one thread with warm file caches and compiled modules, as pip installs them.
Processor time is what counts on a busy machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PREDICT = ["predict", "--engine", "never"]  # the engine, where it is asked, takes seconds to minutes
COMMANDS = {
    "--help": ["--help"],
    "predict --help": ["predict", "--help"],
    "--version": ["--version"],
    "models": ["models"],
    "predict one.xyz": [*PREDICT, "shipped:datasets/examples/ag29_model.xyz", "-o", "results"],
    "predict one.cif": [*PREDICT, "shipped:datasets/examples/ag29_model.cif", "-o", "results"],
    "predict one.cif --json": [*PREDICT, "shipped:datasets/examples/ag29_model.cif", "--json"],
    "predict nothere.xyz": ["predict", "nothere.xyz"],
}
FAILS = ("predict nothere.xyz",)
"""Commands that end with 1; any other end, of any command, ends the benchmark."""


def run(name: str, folder: str, *flags: str) -> tuple[float, float, str]:
    """Processor seconds, wall seconds and stderr of one of :data:`COMMANDS`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the first run, which is not counted, compiles the modules
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, *flags, "-m", "clusterml", *COMMANDS[name]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != int(name in FAILS):
        sys.exit(f"{name} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, done.stderr


def largest_imports(stderr: str, count: int = 15) -> list[tuple[str, float]]:
    """Top-level packages by the time of their own modules, in seconds."""
    spent: dict[str, float] = {}
    for line in stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and parts[0].strip().isdigit():
            package = parts[2].strip().split(".")[0]
            spent[package] = spent.get(package, 0.0) + int(parts[0]) / 1e6
    return sorted(spent.items(), key=lambda item: -item[1])[:count]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--imports", action="store_true", help="the largest imports of predict one.cif too")
    options = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}")
    print("\n| command | processor time / s | wall time / s |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "results").mkdir()
        for name in COMMANDS:
            rows = [run(name, folder) for _ in range(options.runs + 1)][1:]
            print(f"| `{name}` | {median(r[0] for r in rows):.2f} | {median(r[1] for r in rows):.2f} |", flush=True)
        if options.imports:
            _, _, stderr = run("predict one.cif", folder, "-X", "importtime")
            print("\n| package | own imports / s |\n|---|---|")
            for package, seconds in largest_imports(stderr):
                print(f"| {package} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
