"""What a run leaves to look at: log.csv, log.jsonl, skipped.jsonl, curves.png, and TensorBoard events where wanted.

All files are written anew from the history of the run, so that after a crash they say what the run itself knows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.errors import OptionError
from clusterml.io.files import write_bytes, write_text
from clusterml.io.json import json_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def write_logs(folder: Path, history: Sequence[Row], skipped: Sequence[Row]) -> None:
    """Write ``history`` (a row for each epoch) and ``skipped`` (a row for each skipped batch)."""
    buffer = io.StringIO()
    if history:
        columns = list(dict.fromkeys(key for row in history for key in row))  # an epoch may lack some: all skipped
        writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    write_text(folder / "log.csv", buffer.getvalue())
    write_text(folder / "log.jsonl", "".join(json_text(row) for row in history))
    if skipped:
        write_text(folder / "skipped.jsonl", "".join(json_text(row) for row in skipped))


def draw_curves(path: Path, history: Sequence[Row]) -> Path:
    """One figure of a run: losses, terms, similarity, learning rate; returns ``path``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    terms = [key for key in history[0] if key.startswith("validation_") and key[11:] not in ("loss", "failed")]
    _curves(axes[0, 0], history, ("train_loss", "validation_loss"), "loss", log=True)
    _curves(axes[0, 1], history, terms, "validation terms", log=True)
    _curves(axes[1, 0], history, ("absorption_cosine", "cd_cosine", "absorption_r2", "cd_r2"), "validation")
    axes[1, 0].set_ylim(-0.5, 1.02)
    _curves(axes[1, 1], history, ("lr",), "learning rate", log=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return write_bytes(path, buffer.getvalue())


def _curves(axis: Axes, history: Sequence[Row], keys: Sequence[str], label: str, log: bool = False) -> None:
    drawn = 0.0
    for number, key in enumerate(keys):
        values = [row[key] if row.get(key) is not None else float("nan") for row in history]
        drawn = max(drawn, *values)
        axis.plot([row["epoch"] for row in history], values, label=key, marker=".", color=_COLOURS[number % 7])
    if log and drawn > 0.0:
        axis.set_yscale("log")
    axis.set_xlabel("epoch")
    axis.set_ylabel(label)
    if keys:
        axis.legend(fontsize=7, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0.0, 1.0))  # above the curves


class TensorBoard:
    """Numbers of every epoch as TensorBoard events in ``folder``.

    Raises :class:`OptionError` if the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise OptionError(
                "tensorboard is not installed", "pip install tensorboard, or tensorboard: false"
            ) from error
        self._writer = SummaryWriter(str(folder))

    def add(self, row: Row) -> None:
        """Write the numbers of one epoch."""
        for key, value in row.items():
            if isinstance(value, int | float) and key != "epoch":
                self._writer.add_scalar(key, value, row["epoch"])
        self._writer.flush()
