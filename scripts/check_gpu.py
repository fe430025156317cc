"""What the GPU does: its tests, batched predictions, training in each precision, labels beside the CPU; one table.

    python scripts/check_gpu.py [--minutes 7.5] [--only NAME ..]
    python scripts/check_gpu.py --device cpu --quick        to try the script itself where there is no GPU

Every check is a process of its own, so that one that fails, or hangs, takes no other with it: it is a row "failed:",
and the exit status is 1.  Without a GPU there is nothing to check, and the status is 0.  The table goes to
``$OUT/check_gpu.md`` too, if ``OUT`` names a folder.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench_label import machine

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.choices import Dtype
    from clusterml.inference.predictor import Predictor
    from clusterml.spectrum.spectrum import Spectrum

ROOT = Path(__file__).resolve().parents[1]
STRUCTURES = ROOT / "datasets" / "structures"
HEADER = "| check | case | seconds | result | GPU memory / GB |\n|---|---|---|---|---|"
GPU_TEST_MARKER = "gpu"
MARK = "row: "
"""How a line of a check's process begins that holds a row."""
REPEATS = 3
LARGEST_DEVIATION: dict[Dtype, float] = {"float64": 1e-6, "float32": 5e-3}
"""Of a spectrum of the GPU from that of the CPU in float64, relative to its maximum."""
LARGEST_PREDICTION_DEVIATION = 1e-3
"""Of a prediction in float32 from that of the CPU in float32."""
LARGEST_LOSS_RATIO = 1.1
"""Of the validation losses of two precisions after the same steps."""
SMALLEST_G = 1e-5
"""Smallest dissymmetry factor that is more than noise."""
LARGE = ("ag25_sch3", "ag29_sh_ph3_S", "ag70_t_cl4_P")


class CheckFailed(Exception):  # noqa: N818
    """A check ran, and its result is wrong."""


@dataclass(frozen=True)
class Place:
    """Where to compute; ``quick``: smaller cases that take seconds on a CPU."""

    device: str
    quick: bool = False


@dataclass
class Row:
    """One line of the table."""

    check: str
    case: str
    result: str = ""
    seconds: float | None = None
    memory_gb: float | None = None
    failed: bool = False

    def __str__(self) -> str:
        seconds = "-" if self.seconds is None else f"{self.seconds:.2f}"
        memory = "-" if self.memory_gb is None else f"{self.memory_gb:.2f}"
        result = f"failed: {self.result}" if self.failed else self.result
        return f"| {self.check} | {self.case} | {seconds} | {result.replace('|', '/')} | {memory} |"


@contextmanager
def measured(row: Row, device: str) -> Iterator[Row]:
    """Fill in the seconds and the peak memory of the GPU; an error becomes a failed row."""
    import torch

    on_gpu = device.startswith("cuda") and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    try:
        yield row
    except Exception as error:
        row.failed, row.result = True, _one_line(error)
    if on_gpu:
        torch.cuda.synchronize()
        row.memory_gb = torch.cuda.max_memory_allocated() / 1e9
    row.seconds = row.seconds or time.perf_counter() - start


def _one_line(error: Exception) -> str:
    words = " ".join(str(error).split())
    return words[:200] if isinstance(error, CheckFailed) else f"{type(error).__name__}: {words[:200]}"


def deviation(ours: Spectrum, reference: Spectrum) -> tuple[float, float]:
    """Largest deviations of absorption and CD, relative to the maxima of ``reference``.

    The CD of an achiral cluster is noise: its deviation is relative to :data:`SMALLEST_G` times the absorption.
    """
    import numpy as np

    height = float(np.abs(reference.epsilon).max())
    cd_height = max(float(np.abs(reference.delta_epsilon).max()), SMALLEST_G * height)
    absorption = np.abs(ours.epsilon - reference.epsilon).max() / height
    return float(absorption), float(np.abs(ours.delta_epsilon - reference.delta_epsilon).max() / cd_height)


def check_tests(place: Place) -> Iterator[Row]:
    """The tests that need a GPU."""
    row = Row("tests", f"pytest -m {GPU_TEST_MARKER}")
    start = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-m", GPU_TEST_MARKER, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (done.stdout.strip() or done.stderr.strip() or "no output").splitlines()
    failures = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
    row.failed = done.returncode != 0 or (place.device != "cpu" and "passed" not in lines[-1])
    row.result = "; ".join([lines[-1].strip("= "), *failures])
    row.seconds = time.perf_counter() - start
    yield row


def structures_of(place: Place) -> dict[str, Atoms]:
    """Name -> cluster: small to large, or one of a few atoms."""
    import clusterml

    if place.quick:
        small = clusterml.build("ag3", thiolate="SCH3")
        small.rattle(0.05, seed=1)  # chiral
        return {"ag3": small}
    return {name: clusterml.read(STRUCTURES / f"{name}.xyz") for name in LARGE}


def check_predictions(place: Place) -> Iterator[Row]:
    """The shipped networks: first prediction, agreement with the CPU, structures a second in batches."""
    import clusterml

    structures = structures_of(place)
    together = list(structures.values())
    with measured(Row("predictions", "load and predict one"), place.device) as row:
        predictor = clusterml.Predictor.load(device=place.device)
        row.result = predictor(together[0]).summary
    yield row
    if row.failed:
        return
    with measured(Row("predictions", "beside the CPU, float32"), place.device) as row:
        pairs = zip(predictor(together), clusterml.Predictor.load(device="cpu")(together), strict=True)
        row.result = _agreement([deviation(a.spectrum, b.spectrum) for a, b in pairs], LARGEST_PREDICTION_DEVIATION)
    yield row
    for (name, atoms), count in itertools.product(structures.items(), (1, 4) if place.quick else (1, 16, 64, 256)):
        with measured(Row("predictions", f"{name}, batch of {count}"), place.device) as row:
            cold, row.seconds = batch_seconds(predictor, atoms, count)
            row.result = f"structures a second: cold {count / cold:.1f}, warm {count / row.seconds:.1f}"
        yield row


def batch_seconds(predictor: Predictor, atoms: Atoms, count: int) -> tuple[float, float]:
    """Seconds of the first prediction of a batch, and of the fastest of the next ones."""
    prepared = [predictor.prepare(atoms)] * count
    times = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        predictor.predict(prepared)  # which returns arrays of the CPU: there is nothing to wait for
        times.append(time.perf_counter() - start)
    return times[0], min(times[1:])


def _agreement(deviations: list[tuple[float, float]], allowed: float) -> str:
    """The largest deviations in words; raises :class:`CheckFailed` if they are more than ``allowed``, or NaN."""
    import numpy as np

    worst = np.max(deviations, axis=0)  # a NaN wherever there is one
    words = f"deviation of absorption {worst[0]:.0e}, of CD {worst[1]:.0e}"
    if not np.all(worst <= allowed):
        raise CheckFailed(f"{words}: more than {allowed:g}")
    return words


def check_training(place: Place) -> Iterator[Row]:
    """The network of the shipped size learns for some steps in each precision, from the same weights."""
    losses: dict[str, float] = {}
    for precision in ("float32", "tf32", "bf16"):
        with measured(Row("training", precision), place.device) as row, tempfile.TemporaryDirectory() as folder:
            row.seconds, losses[precision], row.result = train_briefly(Path(folder), precision, place)
            if not math.isfinite(losses[precision]):
                raise CheckFailed(f"the validation loss is {losses[precision]}")
            ratio = losses[precision] / losses.get("float32", math.nan)
            if ratio > LARGEST_LOSS_RATIO:
                raise CheckFailed(f"validation loss {ratio:.2f} times that of float32")
        yield row


def train_briefly(folder: Path, precision: str, place: Place) -> tuple[float, float, str]:
    """Seconds a step (median), validation loss, and both in words."""
    from clusterml.training.config import load_config
    from clusterml.training.loop import Progress
    from clusterml.training.run import train

    times: list[float] = []

    def watch(progress: Progress) -> None:
        times.append(time.perf_counter())

    words = [f"precision={precision}", f"schedule.epochs={1 if place.quick else 3}"]
    if place.quick:
        words += ["data.fraction=0.1", "batches.structures=1"]
    config = load_config(ROOT / "configs" / "train" / "small.yaml", words)
    done = train(config, folder / "run", device=place.device, watch=watch)
    seconds = statistics.median(b - a for a, b in itertools.pairwise(times)) if len(times) > 1 else math.nan
    loss = float(done.row["validation_loss"])
    return seconds, loss, f"{len(times)} steps of {seconds:.3f} s (median), validation loss {loss:.4f}"


def check_labels(place: Place) -> Iterator[Row]:
    """The engine on the CPU in float64 beside the device in float64 and float32: seconds and agreement."""
    import clusterml

    clusterml.label(clusterml.build("ag3", thiolate="SH"), device=place.device)
    for name, atoms in structures_of(place).items():
        with measured(Row("labels", f"{name}, CPU, float64"), place.device) as row:
            reference = clusterml.label(atoms)
            row.result = _timings(reference.timings_s)
        yield row
        if row.failed:
            continue
        for dtype, allowed in LARGEST_DEVIATION.items():
            with measured(Row("labels", f"{name}, {place.device}, {dtype}"), place.device) as row:
                ours = clusterml.label(atoms, device=place.device, dtype=dtype)
                row.result = _timings(ours.timings_s)
                row.result = f"{_agreement([deviation(ours.spectrum, reference.spectrum)], allowed)}; {row.result}"
            yield row


def _timings(seconds: dict[str, float]) -> str:
    parts = {"ground state": "ground_state", "response": "solver"}
    return ", ".join(f"{words} {seconds[key]:.2f} s" for words, key in parts.items() if key in seconds)


CHECKS: dict[str, Callable[[Place], Iterator[Row]]] = {
    "tests": check_tests,
    "predictions": check_predictions,
    "training": check_training,
    "labels": check_labels,
}


def run_here(name: str, place: Place) -> Iterator[Row]:
    """The rows of one check; an error outside a row's own work is a row too."""
    try:
        yield from CHECKS[name](place)
    except Exception as error:
        yield Row(name, "the whole check", _one_line(error), failed=True)


def run_apart(name: str, place: Place, seconds: float) -> Iterator[Row]:
    """The rows of one check, as they come, from a process of its own that may take ``seconds``."""
    command = [sys.executable, __file__, "--run", name, "--device", place.device, *(["--quick"] if place.quick else [])]
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True) as process,
    ):
        late = threading.Event()
        timer = threading.Timer(max(seconds, 0.0), _end, (process, late))
        timer.start()
        try:
            for line in process.stdout or ():
                if line.startswith(MARK):
                    yield Row(**json.loads(line.removeprefix(MARK)))
            status = process.wait()
        finally:
            timer.cancel()
        stderr.seek(0)
        last = (stderr.read().strip().splitlines() or ["nothing was said"])[-1]
    if late.is_set():
        yield Row(name, "the rest of it", f"the time is up, it was ended after {max(seconds, 0.0):.0f} s", failed=True)
    elif status:
        yield Row(name, "the rest of it", f"its process ended with {status}: {last[:200]}", failed=True)


def _end(process: subprocess.Popen[str], late: threading.Event) -> None:
    """End a check and what it started."""
    late.set()
    os.killpg(process.pid, signal.SIGKILL)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", help="default: cuda, and nothing is done where there is none")
    parser.add_argument("--quick", action="store_true", help="small cases, to try the script on a CPU")
    parser.add_argument("--minutes", type=float, default=7.5, help="of all checks together")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), metavar="NAME")
    parser.add_argument("--run", choices=CHECKS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Print the table; 1 if a row failed."""
    chosen = arguments()
    place = Place(chosen.device or "cuda", chosen.quick)
    if chosen.run:
        for row in run_here(chosen.run, place):
            print(MARK + json.dumps(asdict(row)), flush=True)
        return 0
    import torch

    if chosen.device is None and not torch.cuda.is_available():
        print("There is no GPU that torch can use: nothing to check. (--device cpu --quick tries the script itself.)")
        return 0
    name = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    head = f"Machine: {machine()}; device {place.device}{name}.\n\n{HEADER}"
    print(head, flush=True)
    end, rows = time.monotonic() + 60.0 * chosen.minutes, []
    for check in chosen.only:
        for row in run_apart(check, place, end - time.monotonic()):
            print(row, flush=True)
            rows.append(row)
    failed = sum(row.failed for row in rows)
    print(f"\n{len(rows) - failed} rows are well, {failed} failed.")
    if os.environ.get("OUT"):
        table = Path(os.environ["OUT"]) / "check_gpu.md"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("\n".join([head, *map(str, rows)]) + "\n", encoding="utf-8")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
