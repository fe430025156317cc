"""``clusterml screen CONFIG [key=value ..]``: candidates ranked by their predicted spectra, the best verified."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import NetworkDevice, OtherLibrary, OtherModel, Workers, with_groups

if TYPE_CHECKING:
    from clusterml.cli.progress import Display
    from clusterml.run.launcher import Launcher
    from clusterml.screening.run import ScreenResult


@with_groups
def screen(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="YAML file, see clusterml init screen.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE ..]", help="Other values, e.g. verify=20.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Results; default results/NAME of CONFIG.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a folder that was begun.")] = False,
    model: OtherModel = None,
    library: OtherLibrary = None,
    device: NetworkDevice = "auto",
    *,
    workers: Workers,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs that each Ray task asks for.")] = 0,
    label_uncertain: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="At the end label the N least certain candidates and add them to --dataset."
        ),
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Dataset of --label-uncertain [default: DIR/dataset of -o].")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Results of another screen, whose labels are taken over.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write DIR/report.html anew from the results in DIR, and exit.")
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Print every key of CONFIG with its default, and exit.")] = False,
) -> None:
    """Rank distortions and ligand shells by the chirality they give, and verify the best with the engine.

    Every finished block of candidates and every label is on disk at once: after an interruption of any kind, --resume
    loses at most the blocks that were running. Candidates that do not exist (broken chemistry, ligands that do not
    fit) are counted by reason; those outside the network's domain are ranked and flagged.
    """
    if keys:
        _print_keys()
        return
    if report is not None:
        from clusterml.screening.page.screen_page import write_report

        typer.echo(f"report in {write_report(report)}")
        return
    if config is None:
        raise typer.BadParameter("give a CONFIG; clusterml init screen writes one")
    workers.limit_threads()

    from clusterml.errors import OptionError
    from clusterml.screening.config import load_screen
    from clusterml.screening.run import screen as run
    from clusterml.screening.spectra import ENGINE

    settings = load_screen(config, overrides or [])
    if label_uncertain is not None and (model or settings.model) == ENGINE:
        problem = f"--label-uncertain asks for what the network is least certain of, and the model is {ENGINE}"
        raise OptionError(problem, "leave it out: every candidate is labelled, and its label is kept")
    if library is not None:
        settings = settings.model_copy(update={"library": str(library.resolve())})
    folder = (output or Path("results") / settings.name).resolve()  # workers may start in another folder
    place = workers.launcher(gpus)
    with _progress(folder) as shown:
        result = run(
            settings, folder, launcher=place, resume=resume, model=model, device=device, labels=labels, reporter=shown
        )
    complete = _describe(result)
    if label_uncertain is not None:
        complete &= _label_uncertain(result, label_uncertain, dataset or folder / "dataset", place)
    if not complete:
        raise typer.Exit(1)


def _progress(folder: Path) -> AbstractContextManager[Display]:
    from clusterml.cli.progress import LOG_NAME, reporter

    kept = f"finished blocks and labels are in {folder}; go on with the same command and --resume"
    return reporter(folder / LOG_NAME, kept=kept)


def _describe(result: ScreenResult) -> bool:
    """Print what came out; was everything done?"""
    from clusterml.screening.messages import describe_screen

    for line in describe_screen(result):
        typer.echo(line)
    return not result.run.lost_blocks and not (result.verification is not None and result.verification.failed)


def _label_uncertain(result: ScreenResult, count: int, dataset: Path, place: Launcher) -> bool:
    """Label the least certain candidates and print what was added; was everything labelled?"""
    from clusterml.screening.messages import describe_addition
    from clusterml.screening.uncertain import label_uncertain

    with _progress(result.folder) as shown:
        addition = label_uncertain(result, count, dataset, launcher=place, reporter=shown)
    for line in describe_addition(addition):
        typer.echo(line)
    return not addition.failed


def _print_keys() -> None:
    from clusterml.cli.console import print_keys
    from clusterml.config.schema import described
    from clusterml.screening.config import Screen

    print_keys(described(Screen))
