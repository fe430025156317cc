"""``clusterml explain FILE --band 2..3``: which atoms and parts a CD comes from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.each import each_file, echo_files, echo_json
from clusterml.cli.label import MethodOptions
from clusterml.cli.options import (
    Charge,
    LibraryFile,
    ResultOptions,
    StructureFiles,
    Threads,
    with_groups,
)
from clusterml.io.shipped import QUICK_MODEL
from clusterml.run.resources import choose_threads, use_threads
from clusterml.structure.options import ReadOptions

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.batch.inputs import Input
    from clusterml.engine.contributions import Contributions


@with_groups
def explain(
    context: typer.Context,
    files: StructureFiles,
    band: Annotated[str, typer.Option(metavar="LOW..HIGH", help="In eV, or with a unit: '400..600 nm'.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"A network of the geometry alone, such as {QUICK_MODEL} [default: the engine]."
        ),
    ] = None,
    charge: Charge = None,
    *,
    method: MethodOptions,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where engine or network run.")] = "auto",
    threads: Threads = None,
    reading: ReadOptions,
    library: LibraryFile = None,
    results: ResultOptions,
) -> None:
    """Contributions of atoms, kernel, shells and ligands to the CD in a band.

    By the engine, as label computes it, or by a network (--model), where only metals and donors have contributions.
    They add up to the band's integral. Each structure gives JSON, an extxyz with a column of contributions, and a page
    with a coloured view in the folder --output. A file that fails is reported on stderr and does not stop the others;
    the exit code is then 1.
    """
    use_threads(cores := choose_threads(threads))  # before anything imports numpy

    from clusterml.screening.page.explained import write_explained
    from clusterml.screening.quantities import parse_band
    from clusterml.structure.read import read

    try:
        low, high = parse_band(band, "eV")
    except ValueError as error:
        raise typer.BadParameter(f"--band {band}: {error}") from error
    folder = results.folder
    written: list[Path] = []
    share = _by_engine(method, device, cores, folder) if model is None else _by_network(model, device)

    def explain_file(item: Input) -> Contributions:
        contributions = share(read(item.path, options=reading), low, high, charge, reading.allow_several)
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


Share = Callable[["Atoms", float, float, "int | None", bool], "Contributions"]
"""From a structure, a band in eV, a charge, and whether it may be of several molecules."""


def _by_engine(method: MethodOptions, device: str, threads: int, folder: Path | None) -> Share:
    """Raises :class:`~clusterml.errors.OptionError`."""
    from clusterml.engine.contributions import check_shared_out, label_contributions
    from clusterml.engine.label import label, with_own_orbitals
    from clusterml.engine.orbitals.source import SOURCES
    from clusterml.engine.protocol import Compute

    protocol = method.protocol()
    check_shared_out(protocol)  # which takes no time; a label does
    keeps = folder is not None and SOURCES.named(protocol.orbitals, "orbitals").checkpoints
    compute = Compute(
        "cpu" if device == "auto" else device, threads, checkpoint=f"{folder}/checkpoints" if keeps else None
    )

    def share(atoms: Atoms, low: float, high: float, charge: int | None, several: bool) -> Contributions:
        chosen = with_own_orbitals(atoms, protocol, named=method.orbitals is not None or method.mode != "smooth")
        result = label(atoms, charge, chosen, compute, groups={}, allow_several=several)
        return label_contributions(result, low, high)

    return share


def _by_network(model: str, device: str) -> Share:
    from clusterml.inference.explain import explain
    from clusterml.inference.predictor import Predictor

    predictor = cache(lambda: Predictor.load(model, device))  # a file that cannot be read needs none

    def share(atoms: Atoms, low: float, high: float, charge: int | None, several: bool) -> Contributions:
        return explain(predictor(), atoms, low, high, charge, several)

    return share


def _show(contributions: Contributions) -> None:
    """A table of the parts, with the networks' standard deviation, and the total with its calibrated one."""
    from rich.table import Table

    from clusterml.cli.console import table_console
    from clusterml.engine.contributions import UNIT

    table = Table(title=contributions.title)
    headings = ["part", "atoms", f"contribution / {UNIT}"]
    networks = contributions.total.std is not None
    for heading in [*headings, "± of the networks"] if networks else headings:
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for name, part in {**contributions.parts, "total": contributions.total}.items():
        cells = [name, str(len(part.atoms)), f"{part.value:.4g}"]
        table.add_row(*cells, *([] if part.std is None else [f"{part.std:.2g}"]))
    table_console().print(table)
    if networks:
        typer.echo("± of the networks: how far they agree, not how far they are right")
    sure = contributions.significance
    kind = "calibrated" if contributions.spectrum.delta_epsilon_std is not None else "of the networks"
    error = "" if sure.std is None else f" ± {sure.std:.2g} ({kind})"
    total = "" if sure.height is None else f" {sure.height:.4g}{error}"
    typer.echo(f"{contributions.name}: CD of the band{total}: {contributions.verdict}")
    where = contributions.atoms.info.get("source") or contributions.name
    for warning in contributions.warnings:
        typer.echo(f"warning: {where}: {' '.join(warning.split())}", err=True)
