"""``clusterml build NAME``: a model of a cluster from a blueprint and library ligands, as extended xyz."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import LibraryFile
from clusterml.errors import counted
from clusterml.io.words import is_whole
from clusterml.structure.build import SkeletonKind

if TYPE_CHECKING:
    from ase import Atoms


def build(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A blueprint (see --list) or a YAML file.")] = None,
    thiolate: Annotated[str | None, typer.Option(metavar="LIGAND", help="Ligand of the S sites.")] = None,
    dithiolate: Annotated[str | None, typer.Option(metavar="LIGAND", help="Ligand of the S-S sites.")] = None,
    phosphine: Annotated[str | None, typer.Option(metavar="LIGAND", help="Ligand of the P sites.")] = None,
    carboxylate: Annotated[str | None, typer.Option(metavar="LIGAND", help="Ligand of the O-O sites.")] = None,
    halide: Annotated[str | None, typer.Option(metavar="LIGAND", help="Ligand of the halide sites.")] = None,
    solvent: Annotated[str | None, typer.Option(metavar="LIGAND", help="Bound solvent; none by default.")] = None,
    cap: Annotated[str | None, typer.Option(metavar="LIGAND", help="Anions on the trigons of Ag70.")] = None,
    hand: Annotated[str | None, typer.Option(help="R or S (Ag29 family), P or M (ag70-t).")] = None,
    symmetry: Annotated[str | None, typer.Option(metavar="GROUP", help="Highest group the ligands keep.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the packing search, or of --random.")] = 0,
    random: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=0, help="A hypothetical cluster in place of a blueprint's.")
    ] = None,
    skeleton: Annotated[SkeletonKind | None, typer.Option(help="Its kind [default: drawn].", show_choices=True)] = None,
    metals: Annotated[str | None, typer.Option(metavar="MIN:MAX", help="Its number of metals [default: 3:40].")] = None,
    library: LibraryFile = None,
    show: Annotated[bool, typer.Option("--list", help="List the blueprints and exit.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Result [default: NAME.xyz].")
    ] = None,
) -> None:
    """A model of a cluster: a blueprint's metal frame with ligands of the library on its sites.

    Ligands take the conformers and orientations in which nothing clashes, as symmetric as they can be. Composition,
    bonds and contacts are checked. What comes out is a model, not a crystal structure; relax improves it.

    With --random it is a cluster that nobody has made: a random skeleton with a charge that closes a superatom shell.
    Its ligands are drawn from those that are named, or from the whole library.
    """
    if show:
        _list()
        return
    of_a_blueprint = {"NAME": name, "--cap": cap, "--hand": hand, "--symmetry": symmetry}
    if random is not None:
        _refuse("--random", of_a_blueprint)
    else:
        _refuse("a blueprint", {"--skeleton": skeleton, "--metals": metals})
        if name is None:
            raise typer.BadParameter("give the name of a blueprint, --random NUMBER, or --list")
    from clusterml.structure.build.build import build as build_model
    from clusterml.structure.write import check_name, write_extxyz

    stem = f"random_{random}" if name is None else Path(name).stem
    target = check_name(output if output is not None else Path(f"{stem}.xyz"))
    if name is None:
        ligands = (thiolate, dithiolate, phosphine, carboxylate, halide, solvent)
        atoms = _draw(random or 0, seed, skeleton, metals, [ligand for ligand in ligands if ligand])
    else:
        atoms = build_model(
            name, thiolate=thiolate, dithiolate=dithiolate, phosphine=phosphine, carboxylate=carboxylate, halide=halide,
            solvent=solvent, cap=cap, hand=hand, symmetry=symmetry, seed=seed,
        )  # fmt: skip
    write_extxyz(atoms, target)
    known = atoms.info["provenance"]
    shape = f"symmetry {known['symmetry']}" if name is not None else known["skeleton"]
    typer.echo(f"{atoms.info['name']}: {counted(len(atoms), 'atom')}, {shape}, {known['model']}")
    describe(atoms)
    for warning in known["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"written to {target}")


def _refuse(what: str, options: Mapping[str, object]) -> None:
    """Raise BadParameter if one of the ``options``, which are not for ``what``, is given."""
    given = ", ".join(option for option, value in options.items() if value is not None)
    if given:
        raise typer.BadParameter(f"{given} cannot go with {what}")


def _draw(number: int, seed: int, skeleton: SkeletonKind | None, metals: str | None, ligands: list[str]) -> Atoms:
    """The hypothetical cluster of that number."""
    from pydantic import ValidationError

    from clusterml.structure.build.hypothetical import Hypothetical, build_hypothetical

    wanted: dict[str, object] = {"seed": seed}
    if skeleton is not None:
        wanted["kinds"] = {skeleton: 1.0}
    if metals is not None:
        low, separator, high = metals.partition(":")
        if not (separator and is_whole(low) and is_whole(high)):
            raise typer.BadParameter(f"--metals is {metals!r}: give two numbers, such as 8:20")
        wanted["metals"] = (int(low), int(high))
    if ligands:
        wanted["ligands"] = ligands
    try:
        choice = Hypothetical.model_validate(wanted)
    except ValidationError as error:
        raise typer.BadParameter(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from error
    return build_hypothetical(number, choice)


def describe(atoms: Atoms) -> None:
    """Print the bond ranges and the tightest contact of a structure."""
    from clusterml.structure.build.contacts import find_closest_contact, measure_bond_ranges

    ranges = ", ".join(f"{kind} {lengths} ({lengths.count})" for kind, lengths in measure_bond_ranges(atoms).items())
    typer.echo(f"bonds / A: {ranges or 'none with a metal'}")
    contact = find_closest_contact(atoms)
    if contact is not None:
        pair = "...".join(f"{atoms.symbols[i]}{i + 1}" for i in (contact.first, contact.second))
        typer.echo(
            f"tightest contact: {pair} {contact.distance:.2f} A, {contact.ratio:.2f} of the van der Waals distance"
        )


def _list() -> None:
    from rich import box
    from rich.table import Table

    from clusterml.cli.console import table_console
    from clusterml.structure.build.blueprint import blueprints

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("name", "cluster", "frame", "hands", "electrons", "sites", "default ligands"):
        table.add_column(heading)
    for plan in blueprints().values():
        kinds = ", ".join(dict.fromkeys(site.kind for site in plan.sites))
        shells = ", ".join(dict.fromkeys(ligand for ligand in plan.shells.values() if ligand))
        hands = " ".join(plan.hands) or "-"
        table.add_row(plan.name, plan.title, plan.point_group, hands, str(plan.electrons), kinds, shells)
    table_console().print(table)
