"""``clusterml substitute FILE``: exchange of ligands, one number of them or a nested series, as extended xyz."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import LibraryFile, StructureFile, with_groups
from clusterml.errors import counted
from clusterml.structure.options import ReadOptions

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.distort.substitute import ExchangeSite


@with_groups
def substitute(
    file: StructureFile,
    old: Annotated[str, typer.Option("--from", metavar="LIGAND", help="Ligand to replace: a name or a formula.")],
    new: Annotated[str | None, typer.Option("--to", metavar="LIGAND", help="New ligand, by its library name.")] = None,
    count: Annotated[int | None, typer.Option(help="How many to exchange; default all (given) sites.")] = None,
    series: Annotated[
        str | None, typer.Option(metavar="FIRST:LAST:STEP", help="A nested series of counts, e.g. 0:20:1.")
    ] = None,
    sites: Annotated[
        str | None, typer.Option(metavar="1,4,..", help="Sites in their order of use; default a random order.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of site order and conformers.")] = 0,
    sample: Annotated[
        bool, typer.Option("--sample", help="Random conformers and orientations that fit, not the best ones.")
    ] = False,
    library: LibraryFile = None,
    warn_only: Annotated[bool, typer.Option("--warn-only", help="Only warn about contacts too close.")] = False,
    *,
    reading: ReadOptions,
    show: Annotated[bool, typer.Option("--list", help="List the sites of --from and exit.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Result [default: NAME_LIGAND_n.xyz].")
    ] = None,
) -> None:
    """Exchange ligands of a cluster: n of N, at chosen or random sites.

    A series is nested: each member holds the exchanges of the one before, in one file with a frame per member. Charge,
    ligands and contacts are checked after every exchange. Where there is no room for all members of a series, those
    that exist are written, the others reported, and the exit code is 1.
    """
    from clusterml.cli.frames import end_with_refused, kept_and_refused, listed, stepped
    from clusterml.errors import OptionError
    from clusterml.structure.read import read

    atoms = read(file, options=reading)
    from clusterml.structure.distort.substitute import attempt_series, find_sites

    exchangeable = find_sites(atoms, old)
    if show:
        _list_sites(atoms, exchangeable)
        return
    if new is None:
        raise typer.BadParameter("give the new ligand with --to")
    if count is not None and series is not None:
        raise OptionError("--count and --series are both given", "choose one")
    chosen = None if sites is None else listed(sites, "--sites")
    most = len(exchangeable) if chosen is None else len(chosen)
    counts = stepped(series, "--series") if series is not None else [most if count is None else count]

    import numpy as np

    made = attempt_series(
        atoms, old, new, counts,
        sites=chosen, rng=np.random.default_rng(seed), sample=sample,
        problems="warn" if warn_only else "error",
    )  # fmt: skip
    frames, refused = kept_and_refused([f"{n} x {new}" for n in counts], made)
    for frame in frames:
        frame.info["provenance"]["substitutions"][-1]["seed"] = seed
    label = f"{new}_{counts[0]}" if len(counts) == 1 else f"{new}_{counts[0]}-{counts[-1]}"
    _report(frames, output if output is not None else Path(f"{file.stem}_{label}.xyz"), atoms)
    end_with_refused(refused, len(counts))


def _report(frames: list[Atoms], target: Path, parent: Atoms) -> None:
    """Write the frames, print one line each, and new warnings once on stderr."""
    from clusterml.structure.write import write_frames

    write_frames(frames, target)
    known = len(parent.info["provenance"]["warnings"])
    warnings = dict.fromkeys(w for frame in frames for w in frame.info["provenance"]["warnings"][known:])
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    for number, frame in enumerate(frames, start=1):
        done = frame.info["provenance"]["substitutions"][-1]
        where = ", ".join(str(site) for site in done["sites"]) or "none"
        charge = f", charge {frame.info['charge']:+d}" if frame.info.get("charge") else ""
        typer.echo(f"{number}: {done['count']} of {done['of']} {done['from']} -> {done['to']}; sites {where}{charge}")
    typer.echo(f"{counted(len(frames), 'structure')} in {target}")


def _list_sites(atoms: Atoms, sites: list[ExchangeSite]) -> None:
    from rich import box
    from rich.table import Table

    from clusterml.cli.console import table_console

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("site", "donors", "metals", "x / A", "y / A", "z / A"):
        table.add_column(heading, justify="left" if heading in ("donors", "metals") else "right")
    for site in sites:
        donors, metals = (" ".join(f"{atoms.symbols[i]}{i + 1}" for i in group) for group in (site.donors, site.metals))
        table.add_row(str(site.number), donors, metals, *(f"{x:.2f}" for x in site.position.tolist()))
    table_console().print(table)
