"""``clusterml chirality FILE ..``: how chiral a structure is, part by part, with signs, symmetry and template fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.each import each_file, echo_files, echo_json
from clusterml.cli.options import StructureFiles, with_groups
from clusterml.structure.options import ReadOptions

if TYPE_CHECKING:
    from rich.table import Table

    from clusterml.batch.inputs import Input
    from clusterml.chirality.report import ChiralityReport


@with_groups
def chirality(
    context: typer.Context,
    files: StructureFiles,
    groups: Annotated[
        str | None, typer.Option(metavar="T,Td,..", help="Point groups to measure [default: ten, for small parts].")
    ] = None,
    template: Annotated[
        str, typer.Option(metavar="FILE", help="File to fit, Ag70-Td, icosahedron, none, or auto: what suits.")
    ] = "auto",
    keep_bonds: Annotated[
        bool, typer.Option("--keep-bonds", help="Exchange only atoms in the same place of the bonding graph.")
    ] = False,
    parts: Annotated[bool, typer.Option(help="Measure kernel, shells, frame and ligand layer too.")] = True,
    *,
    reading: ReadOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write NAME_chirality.json and .png.")
    ] = None,
) -> None:
    """Chirality report: continuous chirality and symmetry measures, signed index, point group, template fit.

    Measures are for the whole and for kernel, shells, metal + donor frame and ligand layer. Signs: opd is positive for
    right-handed helices; angles are positive counter-clockwise seen from outside; both flip with the mirror image. A
    file that fails is reported on stderr and does not stop the others; the exit code is then 1.
    """
    from clusterml.chirality.pointgroups import point_group
    from clusterml.chirality.report import chirality_report, write_report
    from clusterml.structure.read import read

    names = None if groups is None else [name.strip() for name in groups.split(",") if name.strip()]
    for name in names or ():
        point_group(name)
    wanted = {"none": None}.get(template.lower(), template)

    written: list[Path] = []

    def measure(item: Input) -> ChiralityReport:
        atoms = read(item.path, options=reading)
        report = chirality_report(atoms, groups=names, template=wanted, parts=parts, keep_bonds=keep_bonds)
        if output is not None:
            written.extend(write_report(report, output, reading.name(item.base)))
        return report

    reports, asked, failed = each_file(files, measure, doing="measuring", output=output, debug=context.obj.debug)
    _show(reports, asked, as_json)
    if not as_json:
        echo_files(written)
    if failed:
        raise typer.Exit(1)


def _show(reports: list[ChiralityReport], asked: int, as_json: bool) -> None:
    """The JSON (an object for one file, else a list), or tables for each structure with its warnings."""
    if as_json:
        echo_json([report.to_dict() for report in reports], asked)
        return
    from clusterml.cli.console import table_console

    console = table_console()
    for report in reports:
        for title, table in (_parts(report), *_symmetry(report), *_template(report)):
            console.print(title, markup=False)
            console.print(table)
        for warning in report.warnings:
            typer.echo(f"warning: {report.source or report.name}: {' '.join(warning.split())}", err=True)


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=number == 0)
    return table


def _parts(report: ChiralityReport) -> tuple[str, Table]:
    from clusterml.chirality.report import signed_index

    headings = ("part", "formula", "CCM", "nearest", "misfit / A", "Hausdorff", "OPD", "local OPD", "point group (A)")
    table = _table(*headings)
    for part in report.parts:
        groups: dict[str, str] = {}
        for group in part.point_groups:
            groups.setdefault(group.name, f"{group.name} ({group.tolerance:g})")
        table.add_row(
            part.name,
            part.formula,
            f"{part.ccm:.4f}",
            part.ccm_group,
            f"{part.misfit:.3f}",
            f"{part.hausdorff.value:.4f}",
            signed_index(part.opd),
            signed_index(part.opd_local),
            " ".join(groups.values()),
        )
    return f"{report.name}, {report.formula}", table


def _symmetry(report: ChiralityReport) -> list[tuple[str, Table]]:
    measured = [part for part in report.parts if part.symmetry]
    if not measured:
        return []
    table = _table("part", *measured[0].symmetry)
    for part in measured:
        table.add_row(part.name, *(f"{value:.3f}" for value in part.symmetry.values()))
    return [("Continuous symmetry measures, 0 (symmetric) to 100", table)]


def _template(report: ChiralityReport) -> list[tuple[str, Table]]:
    fit = report.template
    if fit is None:
        return []
    ideal = f"nearest {fit.group} structure" if fit.group else "scaled template"
    measure = "" if fit.measure is None else f", S({fit.group}) {fit.measure:.4f}"
    title = f"Template {fit.template} x {fit.scale:.4f}: rmsd {fit.rmsd:.3f} A from the {ideal}{measure}"
    shells = _table("shell", "atoms", "rmsd / A", "from template / A", "radius / A", "ideal / A")
    for shell in fit.shells:
        values = (shell.rmsd, shell.template_rmsd, shell.radius, shell.ideal_radius)
        shells.add_row(shell.name, str(len(shell.atoms)), *(f"{value:.3f}" for value in values))
    tables = [(title, shells)]
    if fit.turns:
        turns = _table("motif", "atoms", "degrees", "from")
        for turn in fit.turns:
            members = " ".join(str(metal + 1) for metal in turn.metals)
            turns.add_row(turn.kind, members, f"{turn.angle:+.2f}", turn.reference)
        tables.append(("Turns about the outward axis, positive counter-clockwise seen from outside", turns))
    return tables
