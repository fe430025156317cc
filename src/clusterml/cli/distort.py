"""``clusterml distort FILE``: one distortion, a scan along it, or random samples, as extended xyz."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import with_groups
from clusterml.errors import counted
from clusterml.structure.options import ReadOptions

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

    from clusterml.errors import StructureError
    from clusterml.structure.distort.subject import Subject
    from clusterml.structure.distort.verify import Problems

MOST_WARNINGS = 10
"""Warnings that are printed; all are in the file."""


@dataclass(frozen=True)
class _Request:
    """What the user asked for, parsed."""

    mode: str
    amounts: list[float]
    samples: int | None
    axis: tuple[float, float, float] | None
    index: int
    factors: dict[str, float]
    weights: dict[str, float] | None
    kelvin: float | None
    warn_only: bool


@with_groups
def distort(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A structure file: xyz, cif, ..")] = None,
    mode: Annotated[str | None, typer.Option(help="Name of the distortion; see --list.")] = None,
    amount: Annotated[float | None, typer.Option(help="How much, in the mode's unit; the sign counts.")] = None,
    scan: Annotated[str | None, typer.Option(metavar="LOW:HIGH:COUNT", help="Amounts, e.g. -20:20:41.")] = None,
    samples: Annotated[int | None, typer.Option(help="Independent draws of a random mode.")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="K", help="For thermal-noise instead of --amount; else noise added on top of the mode."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    axis: Annotated[str | None, typer.Option(metavar="X,Y,Z", help="Axis of core-shell-twist and shear.")] = None,
    index: Annotated[int, typer.Option(help="Which normal mode, from 1.")] = 1,
    factor: Annotated[
        list[str] | None, typer.Option(metavar="ELEMENT=F", help="Scale the thermal noise of an element; repeatable.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODE=AMOUNT", help="Modes that add up in a mixture of --amount 1, not drawn; repeatable."
        ),
    ] = None,
    warn_only: Annotated[bool, typer.Option("--warn-only", help="Only warn where chemistry is broken.")] = False,
    *,
    reading: ReadOptions,
    show: Annotated[bool, typer.Option("--list", help="List the modes (of FILE, if given) and exit.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Result [default: NAME_MODE.xyz].")
    ] = None,
) -> None:
    """Distort a cluster along a named, signed mode; several amounts or samples give a file with several frames.

    Ligands follow the frame as rigid bodies. Bonds, contacts, ligands and charges are checked: broken chemistry is an
    error that names the atoms, or a warning with --warn-only. Of a scan or of samples, frames that keep the chemistry
    are written, the others reported, and the exit code is 1. Each frame says in its provenance what was done.
    """
    from clusterml.structure.read import read

    atoms = None if file is None else read(file, options=reading)
    if show:
        _list_modes(atoms)
        return
    if file is None or atoms is None or mode is None:
        raise typer.BadParameter("give FILE and --mode; clusterml distort --list shows the modes")

    import numpy as np

    from clusterml.cli.frames import end_with_refused, kept_and_refused
    from clusterml.structure.distort.modes import find_mode
    from clusterml.structure.distort.subject import Subject

    rng = np.random.default_rng(seed)
    subject = Subject(atoms)
    request = _parsed(subject, mode, amount, scan, samples, temperature, axis, index, factor, weight, warn_only)
    made = _attempts(subject, request, rng)
    frames, refused = kept_and_refused(_names(request), made)
    for frame in frames:
        for entry in frame.info["provenance"]["distortions"]:
            if find_mode(entry["mode"]).seeded and not (entry["mode"] == mode and weight):
                entry.setdefault("seed", seed)
    target = output if output is not None else Path(f"{file.stem}_{mode}.xyz")
    _report(frames, target, len(atoms.info["provenance"]["warnings"]))
    end_with_refused(refused, len(made))


def _parsed(
    subject: Subject,
    mode: str,
    amount: float | None,
    scan: str | None,
    samples: int | None,
    kelvin: float | None,
    axis: str | None,
    index: int,
    factor: list[str] | None,
    weight: list[str] | None,
    warn_only: bool,
) -> _Request:
    """The options, checked against each other.  Raises :class:`OptionError`."""
    from clusterml.cli.frames import factors, linear, vector
    from clusterml.errors import OptionError
    from clusterml.structure.distort.modes import THERMAL_NOISE, find_mode
    from clusterml.structure.distort.vibrations import rms_at

    find_mode(mode)
    thermal = mode == THERMAL_NOISE and kelvin is not None
    if (amount is not None) + (scan is not None) + thermal != 1:
        also = " or --temperature" if mode == THERMAL_NOISE else ""
        raise OptionError(f"how much of {mode}?", f"give one of --amount or --scan{also}")
    if samples is not None and (samples < 1 or scan is not None):
        raise OptionError("--samples needs a positive number and one amount", "leave --scan out")
    if samples is not None and weight:
        raise OptionError("--samples draws mixtures, and --weight names one", "leave one of them out")
    if thermal:
        amounts = [rms_at(subject, kelvin or 0.0)]
    elif scan is not None:
        amounts = linear(scan, "--scan")
    else:
        amounts = [amount or 0.0]
    direction = None if axis is None else vector(axis, "--axis")
    scaled = factors(factor or [], "--factor")
    named = factors(weight, "--weight", "MODE=AMOUNT, e.g. breathing=1.5") if weight else None
    return _Request(mode, amounts, samples, direction, index, scaled, named, None if thermal else kelvin, warn_only)


def _names(request: _Request) -> list[str]:
    """What each structure is called where it does not exist."""
    from clusterml.structure.distort.modes import find_mode

    unit = find_mode(request.mode).unit
    if request.samples is not None:
        return [f"sample {k}" for k in range(1, request.samples + 1)]
    return [f"{request.mode} {amount:+g} {unit}" for amount in request.amounts]


def _attempts(subject: Subject, request: _Request, rng: np.random.Generator) -> list[Atoms | StructureError]:
    """One structure, or the error that it does not exist with, for each amount or sample."""
    from clusterml.structure.distort.apply import attempt_scan
    from clusterml.structure.distort.draws import attempt_ensemble
    from clusterml.structure.distort.modes import find_mode

    problems: Problems = "warn" if request.warn_only else "error"
    if request.samples is not None:
        made = attempt_ensemble(
            subject, request.mode, request.amounts[0], request.samples,
            rng=rng, axis=request.axis, factors=request.factors, problems=problems,
        )  # fmt: skip
    else:
        random = rng if find_mode(request.mode).seeded else None
        made = attempt_scan(
            subject, request.mode, request.amounts,
            rng=random, axis=request.axis, index=request.index, factors=request.factors, weights=request.weights,
            problems=problems,
        )  # fmt: skip
    if request.kelvin is None:
        return made
    return [_shaken(each, request.kelvin, rng, problems) for each in made]


def _shaken(
    made: Atoms | StructureError, kelvin: float, rng: np.random.Generator, problems: Problems
) -> Atoms | StructureError:
    """With thermal noise on top."""
    from clusterml.errors import StructureError
    from clusterml.structure.distort.draws import snapshots

    try:
        return made if isinstance(made, StructureError) else snapshots(made, kelvin, 1, rng=rng, problems=problems)[0]
    except StructureError as error:
        return error


def _report(frames: list[Atoms], target: Path, known: int) -> None:
    """Write the frames, print what was written, and the warnings (but the ``known`` first ones) on stderr."""
    from clusterml.structure.write import write_frames

    write_frames(frames, target)
    warnings = [warning for frame in frames for warning in frame.info["provenance"]["warnings"][known:]]
    for warning in warnings[:MOST_WARNINGS]:
        typer.echo(f"warning: {warning}", err=True)
    if len(warnings) > MOST_WARNINGS:
        typer.echo(f"warning: and {len(warnings) - MOST_WARNINGS} more, all in the provenance in {target}", err=True)
    typer.echo(f"{counted(len(frames), 'structure')} in {target}")


def _list_modes(atoms: Atoms | None) -> None:
    """A table of the modes; with a structure, which of them it has."""
    from rich import box
    from rich.table import Table

    from clusterml.cli.console import table_console
    from clusterml.structure.distort.modes import MODES
    from clusterml.structure.distort.subject import Subject

    here = None if atoms is None else {mode.name for mode in Subject(atoms).available()}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("mode", "unit", "range", "needs", "what moves; sign", *(() if here is None else ("here",))):
        table.add_column(heading, no_wrap=heading in ("mode", "range"))
    for mode in MODES.values():
        row = (
            mode.name,
            mode.unit,
            f"{mode.low:g} to {mode.high:g}",
            " or ".join(f"{kind}s" for kind in mode.needs) or "-",
            f"{mode.meaning}; {mode.sign}",
        )
        table.add_row(*row, *(() if here is None else ("yes" if mode.name in here else "no",)))
    table_console().print(table)
