"""How a screen grows with the number of candidates: memory, rate and size on disk; a markdown table.

    python scripts/bench_screen.py [--counts 1000 10000 100000] [--model NAME] [--parent ag3]
        [--workers 1] [--cluster local]

Without --model a network of 4 channels with random weights is taken: what is measured is the runner, and how much of
a candidate's time is the network is in the columns.  Each screen is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SCREEN = """name: bench
seed: 1
parents:
  {parent}: {{build: {{name: {parent}}}}}
distortions:
  - {{modes: {{shear: -5..5 %, mixture: -1..1}}, sampling: sobol, points: {count}}}
objectives:
  - {{max_g: 3..5 eV}}
  - {{strain: elastic}}
block: 64
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10000, 100000])
    parser.add_argument("--model")
    parser.add_argument("--parent", default="ag3")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cluster", help="as in clusterml screen: Ray tasks in place of processes")
    chosen = parser.parse_args()
    print("| candidates | valid | per second | geometry, ms | network, ms | peak memory, MB | results.jsonl, MB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        model = chosen.model or str(random_model(Path(scratch) / "model"))
        for count in chosen.counts:
            print(row(Path(scratch) / f"screen-{count}", count, model, chosen), flush=True)


def random_model(folder: Path) -> Path:
    """A checkpoint of one small network with random weights."""
    import torch

    from clusterml.model.network import Network
    from clusterml.model.spec import NetworkSpec
    from clusterml.training.release import write_release

    torch.manual_seed(0)
    network = Network(NetworkSpec(channels=4, n_radial=4, radial_width=8))
    about = {"data": {"name": "none", "train": 0, "method": "gfn1"}}
    return write_release(folder, [network.state_dict()], network.spec, "# random weights\n", {}, about)


def row(folder: Path, count: int, model: str, chosen: argparse.Namespace) -> str:
    """Run one screen; its row of the table."""
    config = folder.with_suffix(".yaml")
    config.write_text(SCREEN.format(parent=chosen.parent, count=count))
    command = [str(Path(sys.executable).parent / "clusterml"), "screen", str(config), "-o", str(folder)]
    command += ["--model", model, "--workers", str(chosen.workers)]
    command += ["--cluster", chosen.cluster] if chosen.cluster else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    run = json.loads((folder / "run.json").read_text())
    counts, seconds = run["counts"], run["timings_s"]
    size = (folder / "results.jsonl").stat().st_size / 1e6
    each = [f"{1e3 * seconds[part] / counts['evaluated']:.1f}" for part in ("geometry", "network")]
    cells = [
        counts["candidates"],
        counts["valid"],
        f"{run['rate_per_s']:.0f}",
        *each,
        run["peak_memory_mb"],
        f"{size:.1f}",
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
