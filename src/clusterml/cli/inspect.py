"""``clusterml inspect FILE ..``: what a crystal or xyz file holds, before anything is computed with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusterml.cli.each import each_file, echo_files, echo_json
from clusterml.cli.options import LibraryFile, StructureFiles, with_groups
from clusterml.errors import counted
from clusterml.structure.options import ReadOptions

if TYPE_CHECKING:
    from rich.table import Table

    from clusterml.batch.inputs import Input
    from clusterml.structure.inspect import Inspection

_MOST_CLUSTERS = 12
"""Clusters of a cell that the table names one by one."""


@with_groups
def inspect(
    context: typer.Context,
    files: StructureFiles,
    *,
    reading: ReadOptions,
    library: LibraryFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write NAME_inspect.json and the clean cluster NAME.xyz."),
    ] = None,
) -> None:
    """What was read: formula, clusters in the cell and their hands, anatomy, counter-ions, solvent, charge, warnings.

    Disorder is resolved, molecules are made whole, missing hydrogens are added; everything that was dropped, added or
    assumed is said. A file that fails is reported on stderr and does not stop the others; the exit code is then 1.
    """
    from clusterml.engine.charge import inspect as look

    written: list[Path] = []

    def inspect_file(item: Input) -> Inspection:
        result = look(item.path, options=reading)
        if output is not None:
            written.extend(_write(result, output, reading.name(item.base)))
        return result

    inspections, asked, failed = each_file(files, inspect_file, doing="reading", output=output, debug=context.obj.debug)
    _show(inspections, asked, as_json)
    if not as_json:
        echo_files(written)
    if failed:
        raise typer.Exit(1)


def _write(result: Inspection, folder: Path, name: str) -> list[Path]:
    from clusterml.io.json import write_json
    from clusterml.structure.write import write_extxyz

    table = write_json(result.to_dict(), folder / f"{name}_inspect.json", indent=1)
    atoms = result.atoms.copy()
    atoms.info["charge"] = result.charge
    return [table, write_extxyz(atoms, folder / f"{name}.xyz")]


def _show(inspections: list[Inspection], asked: int, as_json: bool) -> None:
    """The JSON (an object for one file, else a list), or a table for each structure with its warnings."""
    if as_json:
        echo_json([result.to_dict() for result in inspections], asked)
        return
    from clusterml.cli.console import table_console

    console = table_console()
    for result in inspections:
        console.print(_table(result))
        for warning in result.warnings:
            typer.echo(f"warning: {result.atoms.info['source']}: {' '.join(warning.split())}", err=True)


def _table(result: Inspection) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    data = result.to_dict()
    table = Table(title=Text(data["name"], style="bold"), box=box.SIMPLE_HEAD, show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in (*_crystal_rows(data), *_cluster_rows(data), *_charge_rows(data)):
        table.add_row(name, Text(value))
    return table


def _crystal_rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    crystal = data["crystal"]
    beside = [
        (title, _counted(data[key], data["species_names"]))
        for title, key in (("counter-ions", "counter_ions"), ("solvent and others", "solvent"))
    ]
    if crystal is None:
        return [(title, listed) for title, listed in beside if listed]
    kind = "can hold one hand only (Sohncke)" if crystal["sohncke"] else "holds both hands or achiral clusters"
    hands = ", ".join(f"{count} x {hand}" for hand, count in crystal["hands"].items())
    rows = [
        ("space group", f"{crystal['space_group'] or 'unknown'}: {kind}"),
        ("handedness", f"{crystal['handedness'] or 'not determined'} ({hands})"),
    ]
    for cluster in data["clusters"][:_MOST_CLUSTERS]:
        mark = " <- taken" if cluster["taken"] else ""
        where = (
            "as listed"
            if cluster["operation"] == "x,y,z"
            else f"cluster {cluster['copy_of']} by {cluster['operation']}"
        )
        hand = cluster["hand"] or "unknown"
        rows.append((f"cluster {cluster['number']}", f"{cluster['formula']}, hand {hand}, {where}{mark}"))
    if len(data["clusters"]) > _MOST_CLUSTERS:
        rows.append(("", f"and {len(data['clusters']) - _MOST_CLUSTERS} more clusters"))
    rows += [(title, listed or "none") for title, listed in beside]
    if crystal["mixed_sites"]:
        taken = Counter(site["taken"] for site in crystal["mixed_sites"])
        rows.append(("mixed sites", f"{len(crystal['mixed_sites'])}, taken as {_counted(taken, {})}"))
    dropped = crystal["disorder"]["dropped"]
    if dropped:
        count = sum(len(entry["labels"]) for entry in dropped)
        rows.append(("disorder", f"choice {crystal['disorder']['choice']}: {count} sites left out, in full or in part"))
    return rows


def _cluster_rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    anatomy = data["anatomy"]
    shells = " @ ".join(part for part in (anatomy["kernel"], *anatomy["shells"]) if part)
    ligands = ", ".join(
        f"{row['count']} x {row['name']}" + (f" ({row['hand']})" if row["hand"] else "") for row in data["ligands"]
    )
    rows = [
        ("formula", f"{data['formula']}, {counted(data['n_atoms'], 'atom')}"),
        ("kernel @ shells", shells or "none"),
        ("motifs", _counted(anatomy["motifs"], {}) or "none"),
        ("ligands", ligands or "none"),
    ]
    if data["fan_hand"]:
        rows.append(("hand by its fans", f"{data['fan_hand']} (Ag29 family: the way its Ag4S6 fans turn)"))
    if data["hydrogens_added"]:
        rows.append(("hydrogens added", _counted(data["hydrogens_added"], {})))
    if data["bare_core"]:
        rows.append(("note", "bare core without organic shell: see `clusterml complete`"))
    return rows


def _charge_rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    others = [c for c in data["charge_candidates"] if c["charge"] != data["charge"]]
    listed = ", ".join(f"{_signed(c['charge'])} ({_details(c)})" for c in others)
    electrons = "" if data["superatom_electrons"] is None else f", {data['superatom_electrons']} superatom electrons"
    return [
        ("charge", f"{_signed(data['charge'])}{electrons}, from {data['charge_from']}"),
        ("why", data["charge_reason"]),
        *((f"by {w['source']}", _witnessed(w, data["charge_reason"])) for w in data["charge_witnesses"]),
        ("other charges", listed or "none"),
    ]


def _details(candidate: dict[str, Any]) -> str:
    gap = candidate.get("gap_ev")
    return f"{candidate['superatom_electrons']} e" + ("" if gap is None else f", gap {gap:.2f} eV")


def _witnessed(witness: dict[str, Any], reason: str) -> str:
    """The charge a witness speaks for and its statement, unless that is the ``reason`` two lines above."""
    charge = "undecided" if witness["charge"] is None else _signed(witness["charge"])
    return charge if witness["statement"] == reason else f"{charge}: {witness['statement']}"


def _counted(counts: dict[str, int], names: dict[str, str]) -> str:
    return ", ".join(f"{n} x {key}" + (f" ({names[key]})" if key in names else "") for key, n in counts.items())


def _signed(charge: int) -> str:
    return f"{charge:+d}" if charge else "0"
