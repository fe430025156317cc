"""``clusterml explain FILE --band 2..3``: which atoms and parts a predicted CD comes from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.each import each_file, echo_json
from clusterml.cli.options import LibraryFile, StructureFiles, reads_structures
from clusterml.io.shipped import DEFAULT_MODEL
from clusterml.run.threads import choose_threads, use_threads
from clusterml.structure.options import DEFAULT_READING, ReadOptions

if TYPE_CHECKING:
    from clusterml.batch.inputs import Input
    from clusterml.inference.explain import Contributions


@reads_structures
def explain(
    context: typer.Context,
    files: StructureFiles,
    band: Annotated[str, typer.Option(metavar="LOW..HIGH", help="In eV, or with a unit: '400..600 nm'.")],
    model: Annotated[
        str, typer.Option(metavar="NAME", help="A checkpoint, see clusterml models, or the folder of one.")
    ] = DEFAULT_MODEL,
    charge: Annotated[int | None, typer.Option(help="Total charge; else the file's, else proposed.")] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None,
    reading: ReadOptions = DEFAULT_READING,
    library: LibraryFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON and nothing else; files are written only with --output.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of the results [default: results].")
    ] = None,
) -> None:
    """Contributions of atoms, kernel, shells and ligands to the predicted CD in a band.

    They add up to its integral. Metals and donors have contributions; other atoms act through them. Each structure
    gives JSON, an extxyz with a column of contributions, and a page with a coloured view in the folder --output. A file
    that fails is reported on stderr and does not stop the others; the exit code is then 1.
    """
    use_threads(choose_threads(threads))  # before anything imports numpy

    from clusterml.inference.explain import explain as explained
    from clusterml.inference.predictor import Predictor
    from clusterml.screening.page.explained import write_explained
    from clusterml.screening.quantities import parse_band, parse_range
    from clusterml.structure.read import read

    try:
        low, high = parse_band(band if parse_range(band).unit else f"{band} eV")
    except ValueError as error:
        raise typer.BadParameter(f"--band {band}: {error}") from error
    predictor = cache(lambda: Predictor.load(model, device))  # a file that cannot be read needs none
    folder = output if output is not None or as_json else Path("results")

    def one(item: Input) -> Contributions:
        atoms = read(item.path, options=reading)
        found = explained(predictor(), atoms, low, high, charge, reading.allow_several)
        if folder is not None:
            write_explained(found, folder, reading.name(item.base))
        return found

    found, asked, failed = each_file(files, one, doing="explaining", output=folder, debug=context.obj.debug)
    if as_json:
        echo_json([each.to_dict() for each in found], asked)
    else:
        for each in found:
            _show(each)
    if failed:
        raise typer.Exit(1)


def _show(contributions: Contributions) -> None:
    """A table of the parts with the spread of the networks, and the total with its calibrated standard deviation."""
    from rich.table import Table

    from clusterml.cli.console import table_console
    from clusterml.inference.explain import UNIT

    table = Table(
        title=f"{contributions.prediction.name}: CD from {contributions.low_ev:g} to {contributions.high_ev:g} eV"
    )
    for heading in ("part", "atoms", f"contribution / {UNIT}", "spread"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for name, part in {**contributions.parts, "total": contributions.total}.items():
        std = "" if part.std is None else f"{part.std:.2g}"
        table.add_row(name, str(len(part.atoms)), f"{part.value:.4g}", std)
    table_console().print(table)
    sure = contributions.significance
    total = "" if sure.height is None or sure.std is None else f" {sure.height:.4g} +- {sure.std:.2g}"
    typer.echo(f"{contributions.prediction.name}: CD of the band{total}: {contributions.verdict}")
    where = contributions.prediction.atoms.info.get("source") or contributions.prediction.name
    for warning in contributions.prediction.warnings:
        typer.echo(f"warning: {where}: {' '.join(warning.split())}", err=True)
