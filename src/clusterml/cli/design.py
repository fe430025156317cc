"""``clusterml design CONFIG``: the best candidates of a screen improved step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import NetworkDevice, OtherLibrary, OtherModel, Threads
from clusterml.run.resources import choose_threads, use_threads

if TYPE_CHECKING:
    from clusterml.run.progress import Reporter
    from clusterml.screening.config import Screen
    from clusterml.screening.design.path import DesignStep


def design(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of a screen, see clusterml init screen.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE ..]", help="Other values, e.g. design.label=false.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Results; default results/NAME-design.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="DIR", help="Start from the best of a screen [default: results/NAME or beside -o]."
        ),
    ] = None,
    model: OtherModel = None,
    library: OtherLibrary = None,
    device: NetworkDevice = "auto",
    threads: Threads = None,
) -> None:
    """Climb from the best candidates of a screen to a better CD: distortion amounts, then (design.free) all atoms.

    It starts from a screen that was run (--from, design.start_from, or results/NAME or a folder beside -o with the same
    candidates), else from candidates that it draws itself. A screen's best is kept where the design ends below it.
    The objectives of CONFIG are what is climbed; the key design says from how many candidates and how far. The path is
    kept as a trajectory, the end is predicted, checked and (design.label) labelled by the engine.
    """
    use_threads(choose_threads(threads))

    from clusterml.cli.progress import LOG_NAME, reporter
    from clusterml.screening.config import load_screen
    from clusterml.screening.design.run import design as run
    from clusterml.screening.messages import describe_design

    settings = load_screen(config, overrides or [])
    if library is not None:
        settings = settings.model_copy(update={"library": str(library.resolve())})
    folder = output or Path("results") / f"{settings.name}-design"
    settings = _with_start(settings, start, folder)
    kept = "each finished climb is in path.extxyz, the design is written with the label of its end; begin it again"
    with reporter(folder / LOG_NAME, kept=kept) as shown:
        done = run(settings, folder, model=model, device=device, watch=lambda step: _show(shown, step))
    for line in describe_design(done):
        typer.echo(line)
    typer.echo(f"results in {folder}, shown by design.html")
    if done.label is not None and done.label.problem:
        raise typer.Exit(1)


def _show(shown: Reporter, step: DesignStep) -> None:
    from clusterml.run.progress import State

    words = f"score {step.point.evaluation.score:.5g}"
    shown.show(State(f"climb {step.climb}, {step.stage}", step.count, words=words), after=0.0)


def _with_start(settings: Screen, start: Path | None, folder: Path) -> Screen:
    """The screen with the folder that its design starts from; one that nobody named is looked for, and told."""
    if start is None and settings.design.start_from is None:
        start = _screened(settings, folder)
    changes = {} if start is None else {"start_from": str(start)}
    return settings.model_copy(update={"design": settings.design.model_copy(update=changes)})


def _screened(settings: Screen, folder: Path) -> Path | None:
    """Results of this very screen: results/NAME, or the newest beside the design's ``folder``."""
    from clusterml.errors import ClusterMLError
    from clusterml.screening.design.run import folders_of, ranked_numbers

    problem: ClusterMLError | None = None
    for known in folders_of(settings.name, folder):
        try:
            ranked_numbers(known, settings)
        except ClusterMLError as error:
            problem = problem or error
            continue
        return known
    if problem is not None:
        typer.echo(f"note: not started from a screen: {problem}", err=True)
    return None
