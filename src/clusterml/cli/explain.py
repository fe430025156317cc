"""``clusterml explain FILE --band 2..3``: which atoms and parts a predicted CD comes from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.each import each_file, echo_files, echo_json
from clusterml.cli.options import (
    Charge,
    LibraryFile,
    ModelName,
    NetworkDevice,
    ResultOptions,
    StructureFiles,
    Threads,
    with_groups,
)
from clusterml.io.shipped import QUICK_MODEL
from clusterml.run.resources import choose_threads, use_threads
from clusterml.structure.options import ReadOptions

if TYPE_CHECKING:
    from clusterml.batch.inputs import Input
    from clusterml.inference.explain import Contributions


@with_groups
def explain(
    context: typer.Context,
    files: StructureFiles,
    band: Annotated[str, typer.Option(metavar="LOW..HIGH", help="In eV, or with a unit: '400..600 nm'.")],
    model: ModelName = QUICK_MODEL,
    charge: Charge = None,
    device: NetworkDevice = "auto",
    threads: Threads = None,
    *,
    reading: ReadOptions,
    library: LibraryFile = None,
    results: ResultOptions,
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
    folder = results.folder

    written: list[Path] = []

    def explain_file(item: Input) -> Contributions:
        atoms = read(item.path, options=reading)
        contributions = explained(predictor(), atoms, low, high, charge, reading.allow_several)
        if folder is not None:
            written.extend(write_explained(contributions, folder, reading.name(item.base)))
        return contributions

    explanations, asked, failed = each_file(
        files, explain_file, doing="explaining", output=folder, debug=context.obj.debug
    )
    if results.as_json:
        echo_json([contributions.to_dict() for contributions in explanations], asked)
    else:
        for contributions in explanations:
            _show(contributions)
        echo_files(written)
    if failed:
        raise typer.Exit(1)


def _show(contributions: Contributions) -> None:
    """A table of the parts with the networks' standard deviation, and the total with its calibrated one."""
    from rich.table import Table

    from clusterml.cli.console import table_console
    from clusterml.inference.explain import UNIT

    table = Table(
        title=f"{contributions.prediction.name}: CD from {contributions.low_ev:g} to {contributions.high_ev:g} eV"
    )
    for heading in ("part", "atoms", f"contribution / {UNIT}", "± of the networks"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for name, part in {**contributions.parts, "total": contributions.total}.items():
        std = "" if part.std is None else f"{part.std:.2g}"
        table.add_row(name, str(len(part.atoms)), f"{part.value:.4g}", std)
    table_console().print(table)
    sure = contributions.significance
    typer.echo("± of the networks: how far they agree, not how far they are right")
    kind = "calibrated" if contributions.prediction.spectrum.delta_epsilon_std is not None else "of the networks"
    total = "" if sure.height is None or sure.std is None else f" {sure.height:.4g} ± {sure.std:.2g} ({kind})"
    typer.echo(f"{contributions.prediction.name}: CD of the band{total}: {contributions.verdict}")
    where = contributions.prediction.atoms.info.get("source") or contributions.prediction.name
    for warning in contributions.prediction.warnings:
        typer.echo(f"warning: {where}: {' '.join(warning.split())}", err=True)
