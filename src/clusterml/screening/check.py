"""Can a screen be run?  Names, files and ranges are checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import InputFileError, OptionError, unknown
from clusterml.screening.config import Screen, ScreenDistortion, ScreenExchange, ScreenParent
from clusterml.screening.making import Maker, Rejection
from clusterml.screening.measures.own import load_function
from clusterml.screening.quantities import parse_range
from clusterml.screening.space import extremes, split_mode
from clusterml.structure.build.check import check_build, check_ligand
from clusterml.structure.distort.modes import MODES, NORMAL_MODE, Mode, check_amounts
from clusterml.structure.distort.subject import Subject

if TYPE_CHECKING:
    from ase import Atoms


def check_names(screen: Screen) -> None:
    """Check the names, amounts and files of a screen.

    Raises :class:`OptionError` for a blueprint, ligand or mode that does not exist (naming the nearest), for amounts
    outside the range of a mode and for a function that its file lacks, :class:`~clusterml.errors.UserCodeError` for
    code that cannot be imported, and :class:`InputFileError` for a missing file.
    """
    for name, parent in screen.parents.items():
        _check_parent(name, parent)
    for shell in screen.exchanges:
        for exchange in (shell, *shell.then):
            for ligand in exchange.ligands:
                check_ligand(ligand)
    for block in screen.distortions:
        for key, amounts in block.modes.items():
            _check_mode(block, key, amounts)
    for line in (*screen.objectives, *screen.constraints):
        if line.function is not None:
            load_function(line.file, line.function)


def check_parents(maker: Maker) -> None:
    """Raise :class:`OptionError` if no parent has a ligand that is to be exchanged, or a mode.

    Parents are made one by one until one of them has it; the run counts those that cannot be made.
    """
    screen = maker.screen
    for shell in screen.exchanges:
        new_ligands = set(shell.ligands)
        _check_old(maker, shell)
        for exchange in shell.then:
            if exchange.old not in new_ligands:
                _check_old(maker, exchange)
            new_ligands |= set(exchange.ligands)
    for name in dict.fromkeys(split_mode(key)[0] for block in screen.distortions for key in block.modes):
        _check_has(maker, MODES[name])


def _parents(maker: Maker) -> Iterator[Atoms]:
    """The parents that can be made, one by one."""
    for variant in maker.space.variants:
        atoms = maker.parent(variant)
        if not isinstance(atoms, Rejection):
            yield atoms


def _check_has(maker: Maker, mode: Mode) -> None:
    problem: OptionError | None = None
    for atoms in _parents(maker):
        try:
            return Subject(atoms).require(mode)
        except OptionError as error:
            problem = problem or error
    if problem is not None:
        raise problem


def _check_old(maker: Maker, exchange: ScreenExchange) -> None:
    from clusterml.structure.anatomy.anatomy import anatomy
    from clusterml.structure.distort.substitute import find_sites

    ligands: dict[str, None] = {}
    for atoms in _parents(maker):
        try:
            find_sites(atoms, exchange.old)
        except OptionError:
            ligands |= dict.fromkeys(ligand.name for ligand in anatomy(atoms).ligands if len(ligand.donors))
            continue
        return
    if ligands:
        raise unknown("ligand to exchange", exchange.old, ligands)


def check_own(screen: Screen, candidates: bool, reference: bool) -> None:
    """Raise :class:`OptionError` unless candidates come either from the screen or from the user.

    ``candidates``: does the user give them?  ``reference``: is there a reference?  Only the user's candidates are
    compared with it, and some measures need it.
    """
    if not candidates and not screen.parents:
        raise OptionError("parents is empty", "name at least one cluster")
    if not candidates and reference:
        raise OptionError(
            "a reference is given, but the candidates of a screen are compared with their parents", "leave it out"
        )
    if not candidates:
        return
    ignored = [key for key in ("parents", "exchanges", "conformers", "distortions", "most") if getattr(screen, key)]
    if ignored:
        raise OptionError(f"candidates are given, and so are {', '.join(ignored)}", "give one or the other")
    needs = [line.kind.key for line in (*screen.objectives, *screen.constraints) if line.kind.needs_reference]
    if needs and not reference:
        raise OptionError(f"{' and '.join(dict.fromkeys(needs))} compare with a reference", "give reference=ATOMS")


def _check_parent(name: str, parent: ScreenParent) -> None:
    if parent.file is not None and not Path(parent.file).is_file():
        raise InputFileError(
            f"parent {name}: there is no file {parent.file}", "give its path relative to the YAML file"
        )
    if parent.build is None:
        return
    check_build(f"parent {name}", parent.build)


def _check_mode(block: ScreenDistortion, key: str, amounts: float | str | list[float]) -> None:
    name, _ = split_mode(key)
    if name not in MODES:
        if name.split(" ")[0] == NORMAL_MODE:
            raise OptionError(f"mode is '{key}'", "write the third normal mode as 'normal-mode 3'")
        raise unknown("mode", name, MODES)
    mode = MODES[name]
    if isinstance(amounts, str):
        unit = parse_range(amounts).unit
        if unit not in ("", mode.unit):
            raise OptionError(f"{key} is {amounts}", f"give {name} in {mode.unit}")
    check_amounts(mode, np.array(extremes(block, amounts)))
