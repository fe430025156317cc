"""``clusterml evaluate CHECKPOINT DATASET``: every table and figure of how good a network is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import NetworkDevice, Threads, with_groups
from clusterml.run.resources import choose_threads, use_threads

if TYPE_CHECKING:
    from clusterml.dataset.split import Split
    from clusterml.inference.evaluator import Evaluator
    from clusterml.training.evaluation import Evaluation


@dataclass(frozen=True)
class CalibrationOptions:
    """Options of what is measured of the uncertainty."""

    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="First measure the uncertainty on the first split, and keep it.")
    ] = False
    unseen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="With --calibrate: a network of a shell or parent split, whose errors are the uncertainty for new "
            "ligands or clusters; can be repeated.",
        ),
    ] = None
    foreign: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="With --calibrate: known clusters in geometries from elsewhere, e.g. datasets/ag-foreign-v2; how the "
            "uncertainty grows away from the training geometries.",
        ),
    ] = None


@with_groups
def evaluate(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Its name or folder.")],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset folder.")],
    *,
    split: Annotated[
        list[Path] | None,
        typer.Option(metavar="JSON", help="Split to judge on [default: that of the checkpoint]; can be repeated."),
    ] = None,
    allow_unknown_training: Annotated[
        bool,
        typer.Option(
            "--allow-unknown-training",
            help="Judge networks too of which it is not known whether they have learnt from the test records.",
        ),
    ] = False,
    beside: Annotated[
        list[str] | None, typer.Option(metavar="CHECKPOINT", help="Another network for the tables; can be repeated.")
    ] = None,
    curve: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECKPOINT", help="A network of fewer records, for the learning curve; can be repeated."),
    ] = None,
    calibration: CalibrationOptions,
    method: Annotated[
        str | None, typer.Option(help="Protocol of the labels [default: that the checkpoint learnt].")
    ] = None,
    responses: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder that keeps the responses which spectra start from, as data.responses of a run."
        ),
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Judge the baselines too.")] = True,
    device: NetworkDevice = "auto",
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON and nothing else.")] = False,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder of evaluation.md, .json and figures; by parent only there."
        ),
    ] = Path("results/evaluation"),
) -> None:
    """Judge a network on the test records of splits, by kind of geometry and by parent, beside the baselines.

    A network that has learnt from test records is refused, and one of which that is not known.
    """
    use_threads(choose_threads(threads))

    from clusterml.inference.evaluator import Evaluator
    from clusterml.io.json import json_text
    from clusterml.training.tables import write_evaluations

    evaluator = Evaluator(
        checkpoint,
        dataset,
        method=method,
        device=device,
        baselines=baselines,
        allow_unknown_training=allow_unknown_training,
        responses=responses,
    )
    splits = evaluator.splits(split or [])
    sentences = _calibrate(evaluator, next(iter(splits.values())), calibration)
    evaluations = [evaluator.evaluate(title, content, beside or []) for title, content in splits.items()]
    points = evaluator.learning_curve(evaluations, splits, curve) if curve else []
    written = write_evaluations(evaluations, evaluator.name, output, points)
    if as_json:
        rows = [row for evaluation in evaluations for row in evaluation.table()]
        typer.echo(json_text(rows, indent=1), nl=False)
        return
    _print(evaluations)
    for sentence in (*sentences, f"{len(written)} files in {output}"):
        typer.echo(sentence)


def _calibrate(evaluator: Evaluator, split: Split, options: CalibrationOptions) -> list[str]:
    """Measure the uncertainty if that is asked for; what was measured, in sentences."""
    if not options.calibrate:
        return []
    novel, elsewhere = evaluator.calibrate(split, options.unseen or [], options.foreign)
    sentences = [
        f"new {errors.novelty}s: measured on {errors.records} records of {errors.parents} parents; on {errors.tested} "
        f"others the 90 % interval holds {errors.absorption_coverage:.0%} of the absorption, "
        f"{errors.cd_coverage:.0%} of the CD"
        for errors in novel
    ]
    if elsewhere is not None:
        sentences.append(
            f"geometries from elsewhere: {elsewhere.records} of {elsewhere.parents} parents, {elsewhere.in_domain} in "
            f"the domain; calibrated on the other parents, the 90 % interval holds "
            f"{elsewhere.absorption_coverage:.0%} of the absorption, {elsewhere.cd_coverage:.0%} of the CD; of "
            f"{elsewhere.sure} significant signs {elsewhere.right} are right"
        )
    return sentences


def _print(evaluations: list[Evaluation]) -> None:
    from rich import box
    from rich.table import Table

    from clusterml.cli.console import table_console
    from clusterml.training.tables import cells

    console = table_console()
    for evaluation in evaluations:
        for kind in evaluation.kinds():
            columns = cells([row for row in evaluation.table() if row["kind"] == kind], "model")
            head, *rows = zip(*columns, strict=True)  # models side by side
            table = Table(box=box.SIMPLE_HEAD, title=f"{evaluation.title}, {kind}", title_justify="left")
            for number, heading in enumerate(head):
                table.add_column(heading, justify="right" if number else "left")
            for row in rows:
                table.add_row(*row)
            console.print(table)
