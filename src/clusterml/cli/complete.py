"""``clusterml complete FILE``: the missing shell of a bare core, as extended xyz."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clusterml.cli.options import LibraryFile, with_groups
from clusterml.errors import counted
from clusterml.structure.options import ReadOptions


@with_groups
def complete(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A core of metals and sulfurs: xyz, extxyz or cif.")],
    thiolate: Annotated[str, typer.Option(metavar="LIGAND", help="What the sulfurs with room for it become.")],
    carboxylate: Annotated[str, typer.Option(metavar="LIGAND", help="Carboxylate for the open metals.")],
    carboxylates: Annotated[
        int | None, typer.Option(metavar="N", help="How many; default closes a superatom shell at the charge.")
    ] = None,
    solvent: Annotated[str | None, typer.Option(metavar="LIGAND", help="Bound solvent, e.g. DMF.")] = None,
    solvents: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="How many [default with --solvent: 3].")
    ] = None,
    charge: Annotated[int | None, typer.Option(help="Total charge; else the file's, else a proposal.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the packing search.")] = 0,
    library: LibraryFile = None,
    *,
    reading: ReadOptions,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Result [default: NAME_complete.xyz].")
    ] = None,
) -> None:
    """Give a bare core its shell: thiolates on its sulfurs, carboxylates and solvent on its open metals.

    Sulfurs shut in by metals stay sulfides. The atoms of the core do not move. Where the charge is not known, charge
    and number of carboxylates are proposed together: a closed superatom shell, an oxygen on every open metal. Which
    metals carry a carboxylate is a choice (one oxygen on every open metal as far as they go). Both are said in the
    warnings; relax improves the result.
    """
    from clusterml.cli.build import describe
    from clusterml.structure.build.complete import complete as completed
    from clusterml.structure.read import read_first
    from clusterml.structure.write import check_name, write_extxyz

    target = check_name(output if output is not None else Path(f"{file.stem}_complete.xyz"))
    core = read_first(file, reading, check_molecules=False).atoms
    done = completed(
        core, thiolate=thiolate, carboxylate=carboxylate, carboxylates=carboxylates, solvent=solvent, solvents=solvents,
        charge=charge, seed=seed,
    )  # fmt: skip
    write_extxyz(done, target)
    known = done.info["provenance"]
    sulfides = f", {known['sulfides']} sulfides kept" if known["sulfides"] else ""
    for warning in known["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{done.info['name']}: {counted(len(done), 'atom')}, {known['electrons']} superatom electrons{sulfides}")
    describe(done)
    typer.echo(f"written to {target}")
