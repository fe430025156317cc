"""Draw what a training's epochs brought: python scripts/make_training_figure.py [docs/images/training_curve.png].

Losses and R2 of the quick network against the number of records seen, from the log beside its checkpoint
(``checkpoints/ag-quick-v1/log.csv``: the columns epoch, records, train_loss, validation_loss, absorption_r2, cd_r2 of
all runs that it took, one after the other).
"""

from __future__ import annotations

import csv
import sys
from itertools import pairwise
from pathlib import Path

from matplotlib.figure import Figure

from make_figures import with_few_colours

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "checkpoints" / "ag-quick-v1" / "log.csv"


def main(path: str | Path = ROOT / "docs" / "images" / "training_curve.png") -> None:
    with LOG.open(encoding="utf-8") as handle:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(handle)]
    runs = [k for k, row in enumerate(rows) if row["epoch"] == 1.0] + [len(rows)]
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    lines = (
        (losses, "train_loss", "training", "tab:grey"),
        (losses, "validation_loss", "validation", "tab:blue"),
        (scores, "absorption_r2", "absorption", "tab:green"),
        (scores, "cd_r2", "CD", "tab:red"),
    )
    for axes, key, label, colour in lines:
        for number, (start, end) in enumerate(pairwise(runs)):
            part = rows[start:end]
            seen = [row["records"] / 1000.0 for row in part]
            axes.plot(seen, [row[key] for row in part], "o-", ms=3, color=colour, label="" if number else label)
    losses.set(xscale="log", yscale="log", xlabel="records seen / 1000", ylabel="loss")
    losses.set_yticks([1.3, 1.5, 2.0, 2.5, 3.0], ["1.3", "1.5", "2", "2.5", "3"])
    scores.set(xscale="log", xlabel="records seen / 1000", ylabel="R² of the validation records", ylim=(-0.3, 1.0))
    for axes in (losses, scores):
        axes.set_xticks([5, 10, 20, 50, 100, 150], ["5", "10", "20", "50", "100", "150"])
        axes.minorticks_off()
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    Path(path).write_bytes(with_few_colours(Path(path).read_bytes(), 32))


if __name__ == "__main__":
    main(*sys.argv[1:2])
