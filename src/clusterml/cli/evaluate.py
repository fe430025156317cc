"""``clusterml evaluate CHECKPOINT DATASET``: every table and figure of how good a network is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.errors import OptionError
from clusterml.run.threads import choose_threads, use_threads

if TYPE_CHECKING:
    from clusterml.training.evaluation import Evaluation


def evaluate(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Its name or folder.")],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset folder.")],
    split: Annotated[
        list[Path] | None,
        typer.Option(metavar="JSON", help="Split to judge on [default: that of the checkpoint]; can be repeated."),
    ] = None,
    beside: Annotated[
        list[str] | None, typer.Option(metavar="CHECKPOINT", help="Another network for the tables; can be repeated.")
    ] = None,
    curve: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECKPOINT", help="A network of fewer records, for the learning curve; can be repeated."),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="First measure the uncertainty on the first split, and keep it."),
    ] = False,
    unseen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="With --calibrate: a network of a shell or parent split, whose errors are the uncertainty for new "
            "ligands or clusters; can be repeated.",
        ),
    ] = None,
    foreign: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="With --calibrate: known clusters in geometries from elsewhere, e.g. datasets/ag-foreign-v1; how the "
            "uncertainty grows away from the training geometries.",
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Protocol of the labels [default: that the checkpoint learnt].")
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Judge the baselines too.")] = True,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON and nothing else.")] = False,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder of evaluation.md, .json and figures; by parent only there."
        ),
    ] = Path("results/evaluation"),
) -> None:
    """Judge a network on the test records of splits, by kind of geometry and by parent, beside the baselines."""
    use_threads(choose_threads(threads))

    from clusterml.inference.evaluator import Evaluator
    from clusterml.io.json import json_text
    from clusterml.training.tables import write_evaluations

    evaluator = Evaluator(checkpoint, dataset, method=method, device=device, baselines=baselines)
    splits = evaluator.splits(split or [])
    for option, given in (("--unseen", unseen), ("--foreign", foreign)):
        if given and not calibrate:
            raise OptionError(f"{option} is given without --calibrate", "add --calibrate, or leave it out")
    novel, elsewhere = (
        evaluator.calibrate(next(iter(splits.values())), unseen or [], foreign) if calibrate else ([], None)
    )
    evaluations = [evaluator.evaluate(title, each, beside or []) for title, each in splits.items()]
    points = evaluator.learning_curve(evaluations, splits, curve) if curve else []
    written = write_evaluations(evaluations, evaluator.name, output, points)
    if as_json:
        typer.echo(json_text([row for one in evaluations for row in one.table()], indent=1), nl=False)
        return
    _print(evaluations)
    for one in novel:
        typer.echo(
            f"new {one.novelty}s: measured on {one.records} records of {one.parents} parents; on {one.tested} others "
            f"the 90 % interval holds {one.absorption_coverage:.0%} of the absorption, {one.cd_coverage:.0%} of the CD"
        )
    if elsewhere is not None:
        typer.echo(
            f"geometries from elsewhere: {elsewhere.records} of {elsewhere.parents} parents, {elsewhere.in_domain} in "
            f"the domain; calibrated on the other parents, the 90 % interval holds "
            f"{elsewhere.absorption_coverage:.0%} of the absorption, {elsewhere.cd_coverage:.0%} of the CD; of "
            f"{elsewhere.sure} significant signs {elsewhere.right} are right"
        )
    typer.echo(f"{len(written)} files in {output}")


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
