"""``clusterml dataset ..``: campaigns of labels, and what is in a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clusterml.cli.options import Workers, with_groups
from clusterml.cli.verbs import CarefulCommand
from clusterml.errors import counted

if TYPE_CHECKING:
    from clusterml.dataset.split import Split

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Label campaigns, and the datasets they make.")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A dataset folder.")]


@app.command(cls=CarefulCommand)
@with_groups
def generate(
    campaign: Annotated[
        Path | None, typer.Argument(metavar="CAMPAIGN", help="YAML file, see clusterml init campaign.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="The dataset folder.")] = None,
    *,
    workers: Workers,
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where the linear algebra runs.")] = "cpu",
    memory_gb: Annotated[
        float, typer.Option(metavar="GB", min=0.0, help="Memory of each worker; default a share.")
    ] = 0.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a folder that was begun.")] = False,
    limit: Annotated[int | None, typer.Option(min=0, help="Most jobs in this run.")] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="Print every key of CAMPAIGN with its default, and exit.")
    ] = False,
) -> None:
    """Label the geometries that a campaign describes.

    Every finished record is on disk at once: after an interruption of any kind, --resume loses at most the jobs that
    were running. Jobs that failed are tried again, geometries that were rejected are not.
    """
    if keys:
        from clusterml.cli.console import print_keys
        from clusterml.config.schema import described
        from clusterml.dataset.campaign import Campaign

        print_keys(described(Campaign))
        return
    if campaign is None or output is None:
        raise typer.BadParameter("give a CAMPAIGN (clusterml init campaign writes one) and --output DIR")
    workers.limit_threads()

    from clusterml.cli.progress import LOG_NAME, reporter
    from clusterml.dataset.runner import generate as run

    kept = f"finished records are in {output}; go on with the same command and --resume"
    with reporter(output / LOG_NAME, kept=kept) as shown:
        final = run(
            campaign.resolve(),  # workers may start in another folder
            output.resolve(),
            workers.launcher(gpus=int(device != "cpu")),
            resume=resume,
            device=device,
            memory_gb=memory_gb,
            limit=limit,
            reporter=shown,
        )
    states = ", ".join(f"{count} {state}" for state, count in sorted(final.counts.items()))
    rate = 3600.0 * final.done_now / final.seconds if final.seconds > 0.0 else 0.0
    typer.echo(f"{output}: {states or 'nothing to do'} of {final.total} jobs; {rate:.0f} jobs per hour")
    if final.counts.get("failed"):
        raise typer.Exit(1)


@app.command()
def info(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw distributions and example spectra.")] = None,
) -> None:
    """What is in a dataset: counts by parent, kind, shell and method, ranges, failures."""
    from clusterml.cli.console import table_console
    from clusterml.dataset.summary import draw, summary, tables
    from clusterml.io.json import json_text

    content = summary(folder)
    if as_json:
        typer.echo(json_text(content, indent=1), nl=False)
    else:
        console = table_console()
        for table in tables(content):
            console.print(table)
    if plot is not None:
        draw(folder, plot)
        typer.echo(f"picture in {plot}", err=as_json)


@app.command()
def card(folder: Folder) -> None:
    """Write the dataset's card, FOLDER/README.md: what is in it, what was refused and why, rates and sizes."""
    from clusterml.dataset.card import write_card

    typer.echo(str(write_card(folder)))


@app.command()
def verify(
    folder: Folder,
    share: Annotated[float, typer.Option(help="Share of the records to label again, up to 1.")] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Of the random draw.")] = 0,
) -> None:
    """Recompute the checksums, and label a random share of the records again."""
    from clusterml.dataset.verify import SAME
    from clusterml.dataset.verify import verify as check

    damaged, checks = check(folder, share=share, seed=seed)
    for name, problem in damaged:
        typer.echo(f"error: {folder}/shards/{name} {problem}", err=True)
    for result in checks:
        differences = f"absorption differs by {result.absorption:.1e}, CD by {result.cd:.1e} of the maximum"
        typer.echo(f"{'ok   ' if result.good else 'WRONG'} {result.record}: {result.problem or differences}")
    if damaged or not all(result.good for result in checks):
        raise typer.Exit(1)
    again = f"{counted(len(checks), 'record')} labelled again: the same within {SAME:g} of the maximum"
    none = "no record can be labelled again (ensembles, mirror images and imported ones cannot)"
    typer.echo(f"{folder}: all checksums are right; {again if checks else none}")


@app.command()
def split(
    folder: Folder,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="JSON", help="Where to write it; default FOLDER/splits/QUESTION.json."),
    ] = None,
    question: Annotated[
        Literal["random", "foreign", "shell", "parent", "core"] | None,
        typer.Option(
            "--by",
            help="Unseen distortions (random), geometries of another origin (foreign), ligands (shell), clusters "
            "(parent) or hypothetical cores (core); default all that the dataset has.",
        ),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(help="Ligand, family, family/shell or family/origin to test on; repeatable."),
    ] = None,
    validation: Annotated[float, typer.Option(help="Share of the validation set.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the test set.")] = 0.1,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the random draw; default 0.")] = None,
    extend: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="The dataset has grown: leave records where this random split has them."),
    ] = None,
) -> None:
    """Divide a dataset into train, validation and test, and check that nothing leaks.

    Records of one geometry (mirror images, several protocols, snapshots of a mean) stay together. Without --by (and
    -o, --held-out) all questions that the dataset has are drawn and stored in the folder.
    """
    from clusterml.dataset.groups import questions_of
    from clusterml.dataset.splits import draw_splits, extend_split
    from clusterml.dataset.store import Dataset
    from clusterml.errors import OptionError

    if extend is not None:
        if held_out or question not in (None, "random") or seed is not None:
            raise OptionError("--extend goes with neither --by, --held-out nor --seed", "what it extends says these")
        _say_split(*extend_split(Dataset(folder), extend, output or extend, (validation, test)))
        return
    asked_for = question or ("random" if output or held_out else None)
    dataset = Dataset(folder)
    questions = (asked_for,) if asked_for else questions_of(dataset)
    splits = draw_splits(
        dataset,
        {name: output or folder / "splits" / f"{name}.json" for name in questions},
        seed=seed or 0,
        fractions=(validation, test),
        held_out=held_out or (),
    )
    for path, drawn in splits:
        _say_split(path, drawn)


def _say_split(path: Path, drawn: Split) -> None:
    unseen = f"; unseen: {', '.join(drawn.unseen)}" if drawn.unseen else ""
    sizes = f"{len(drawn.train)} train, {len(drawn.validation)} validation, {len(drawn.test)} test"
    typer.echo(f"{path}: {drawn.question}: {sizes}{unseen}")


@app.command()
def export(
    folder: Folder,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="FILE.xyz (extxyz) or FILE.db (ASE).")],
) -> None:
    """Write the records for other programs: extxyz or an ASE database, all keys beginning with clusterml_."""
    from clusterml.dataset.exchange import export as write
    from clusterml.dataset.store import Dataset

    typer.echo(f"{output}: {write(Dataset(folder), output)} records")


@app.command(name="import")
def import_(
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="JSON files of labels, or outputs of TDDFT.")],
    method: Annotated[str, typer.Option(help="What computed or measured them, e.g. TDDFT-CAM-B3LYP.")],
    family: Annotated[str, typer.Option(help="The cluster they belong to, for splits by parent.")],
    charge: Annotated[int | None, typer.Option(help="Total charge, of outputs that do not state it.")] = None,
) -> None:
    """Add labels of one's own (e.g. TDDFT) to a dataset.

    FILE: the output of a finished calculation (ORCA; Gaussian, Turbomole and others with cclib), or JSON:
    {"structure": "x.xyz", "charge": -1, "transitions": {"energy_ev": [..], "f_length": [..],
    "r_velocity_cgs": [..]}}.
    """
    from clusterml.dataset.exchange import import_labels

    names, warnings = import_labels(folder, files, method, family, charge)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{folder}: {len(names)} records added")
