"""``clusterml screen CONFIG [key=value ..]``: candidates ranked by their predicted spectra, the best verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clusterml.run.threads import choose_threads, use_threads


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
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another checkpoint than CONFIG's, see clusterml models.")
    ] = None,
    library: Annotated[
        Path | None, typer.Option(metavar="YAML", help="More ligands, in a file of yours; as library= in CONFIG.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes (of a local cluster too), each with a network.")] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads of all workers together.")] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run as Ray tasks: ray://HOST:PORT, auto or local.")
    ] = None,
    gpus: Annotated[int, typer.Option(help="GPUs that each Ray task asks for.")] = 0,
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
        from clusterml.cli.console import print_keys
        from clusterml.config.schema import described
        from clusterml.screening.config import Screen

        print_keys(described(Screen))
        return
    if report is not None:
        from clusterml.screening.page.screen_page import write_report

        typer.echo(write_report(report))
        return
    if config is None:
        raise typer.BadParameter("give a CONFIG; clusterml init screen writes one")
    use_threads(max(1, choose_threads(threads) // max(workers, 1)))

    from clusterml.cli.progress import LOG_NAME, reporter
    from clusterml.run.launcher import launcher
    from clusterml.screening.config import load_screen
    from clusterml.screening.messages import describe_screen
    from clusterml.screening.run import screen as run

    settings = load_screen(config, overrides or [])
    if library is not None:
        settings = settings.model_copy(update={"library": str(library.resolve())})
    place = launcher(workers, choose_threads(threads), cluster, gpus)
    folder = (output or Path("results") / settings.name).resolve()  # workers may start in another folder
    kept = f"finished blocks and labels are in {folder}; go on with the same command and --resume"
    with reporter(folder / LOG_NAME, kept=kept) as shown:
        done = run(
            settings,
            folder,
            launcher=place,
            resume=resume,
            model=model,
            device=device,
            labels=labels,
            reporter=shown,
        )
    for line in describe_screen(done):
        typer.echo(line)
    failed = bool(done.run.lost_blocks) or (done.verification is not None and bool(done.verification.failed))
    if label_uncertain is not None:
        from clusterml.screening.messages import describe_addition
        from clusterml.screening.uncertain import label_uncertain as label

        with reporter(folder / LOG_NAME, kept=kept) as shown:
            added = label(
                done,
                label_uncertain,
                dataset or folder / "dataset",
                launcher=place,
                reporter=shown,
            )
        for line in describe_addition(added):
            typer.echo(line)
        failed = failed or bool(added.failed)
    if failed:
        raise typer.Exit(1)
