"""``clusterml design CONFIG``: the best candidates of a screen improved by gradients of the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.stda.threads import choose_threads, use_threads

if TYPE_CHECKING:
    from clusterml.cli.progress import Reporter
    from clusterml.screening.design.path import Step


def design(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of a screen, see clusterml init screen.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE ..]", help="Other values, e.g. design.label=false.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Results; default results/NAME-design.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another checkpoint than CONFIG's, see clusterml models.")
    ] = None,
    library: Annotated[
        Path | None, typer.Option(metavar="YAML", help="More ligands, in a file of yours; as library= in CONFIG.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None,
) -> None:
    """Climb from the best candidates of a screen to a better CD: distortion amounts, then (design.free) all atoms.

    The objectives of CONFIG are what is climbed; the key design says from how many candidates and how far. The path is
    kept as a trajectory, the end is predicted, checked and (design.label) labelled by the engine.
    """
    use_threads(choose_threads(threads))

    from clusterml.cli.progress import LOG_NAME, reporter
    from clusterml.screening.config import load_screen
    from clusterml.screening.design.run import design as run
    from clusterml.screening.report import designed

    settings = load_screen(config, overrides or [])
    if library is not None:
        settings = settings.model_copy(update={"library": str(library.resolve())})
    folder = output or Path("results") / f"{settings.name}-design"
    kept = "nothing: a design writes its results when all climbs are done; begin again in another folder"
    with reporter(folder / LOG_NAME, kept=kept) as shown:
        done = run(settings, folder, model=model, device=device, watch=lambda step: _show(shown, step))
    for line in designed(done):
        typer.echo(line)
    typer.echo(f"results in {folder}, shown by design.html")
    if done.label is not None and done.label.problem:
        raise typer.Exit(1)


def _show(shown: Reporter, step: Step) -> None:
    from clusterml.cli.progress import State

    words = f"score {step.climbed.judged.score:.5g}"
    shown.show(State(f"climb {step.climb}, {step.stage}", step.count, words=words), after=0.0)
