"""Is a screen one that can be run?  Names, files and ranges are checked before anything is computed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import InputFileError, OptionError
from clusterml.screening.config import Distortion, Exchange, Screen, ScreenParent
from clusterml.screening.making import Dropped, Maker
from clusterml.screening.measures.own import load_function
from clusterml.screening.names import unknown
from clusterml.screening.quantities import parse_range
from clusterml.screening.space import extremes, split_mode
from clusterml.structure.distort.modes import MODES, NORMAL_MODE, Mode, check_amounts
from clusterml.structure.distort.subject import Subject

if TYPE_CHECKING:
    from ase import Atoms

_LIGAND_OPTIONS = ("thiolate", "dithiolate", "phosphine", "carboxylate", "halide", "solvent", "cap")
_NOT_OF_BUILD = ("seed", "library")


def check_names(screen: Screen) -> None:
    """Raise :class:`OptionError`, naming the nearest one, for a blueprint, ligand or mode that does not exist.

    Also for amounts outside a mode's range and functions of the user's own that are not there,
    :class:`~clusterml.errors.UserCodeError` for those that cannot be imported, and :class:`InputFileError` for a file
    that is not there.
    """
    for name, parent in screen.parents.items():
        _check_parent(name, parent)
    for shell in screen.exchanges:
        for exchange in (shell, *shell.then):
            for ligand in exchange.ligands:
                _check_ligand(ligand)
    for block in screen.distortions:
        for written, amounts in block.modes.items():
            _check_mode(block, written, amounts)
    for line in (*screen.objectives, *screen.constraints):
        if line.function is not None:
            load_function(line.file, line.function)


def check_parents(maker: Maker) -> None:
    """Raise :class:`OptionError` if no parent has a ligand that is to be exchanged, or a mode.

    Parents are made one by one until each is found; those that cannot be made are left to the run, which counts them.
    """
    screen = maker.screen
    for shell in screen.exchanges:
        coming = set(shell.ligands)
        _check_old(maker, shell)
        for exchange in shell.then:
            if exchange.old not in coming:
                _check_old(maker, exchange)
            coming |= set(exchange.ligands)
    for name in dict.fromkeys(split_mode(written)[0] for block in screen.distortions for written in block.modes):
        _check_has(maker, MODES[name])


def _parents(maker: Maker) -> Iterator[Atoms]:
    """The parents that can be made, one by one."""
    for variant in maker.space.variants:
        atoms = maker.parent(variant)
        if not isinstance(atoms, Dropped):
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


def _check_old(maker: Maker, exchange: Exchange) -> None:
    from clusterml.structure.anatomy.anatomy import anatomy
    from clusterml.structure.distort.substitute import find_sites

    there: dict[str, None] = {}
    for atoms in _parents(maker):
        try:
            find_sites(atoms, exchange.old)
        except OptionError:
            there |= dict.fromkeys(ligand.name for ligand in anatomy(atoms).ligands if len(ligand.donors))
            continue
        return
    if there:
        raise unknown("ligand to exchange", exchange.old, there)


def check_own(screen: Screen, given: bool, compares: bool) -> None:
    """Raise :class:`OptionError` unless candidates come from the screen or, ``given``, from the user, but not both.

    ``compares``: is there a reference?  Only the user's candidates are compared with it, and some measures need it.
    """
    if not given and not screen.parents:
        raise OptionError("parents is empty", "name at least one cluster")
    if not given and compares:
        raise OptionError(
            "a reference is given, but candidates of a screen are compared with their parents", "leave it out"
        )
    if not given:
        return
    ignored = [key for key in ("parents", "exchanges", "conformers", "distortions", "most") if getattr(screen, key)]
    if ignored:
        raise OptionError(f"candidates are given, and {', '.join(ignored)} too", "leave one of them out")
    needs = [line.kind.key for line in (*screen.objectives, *screen.constraints) if line.kind.needs_reference]
    if needs and not compares:
        raise OptionError(f"{' and '.join(dict.fromkeys(needs))} compare with a reference", "give reference=ATOMS")


def _check_parent(name: str, parent: ScreenParent) -> None:
    if parent.file is not None and not Path(parent.file).is_file():
        raise InputFileError(f"parent {name}: there is no file {parent.file}", "paths are seen from the YAML file")
    if parent.build is None:
        return
    from clusterml.structure.build.blueprint import blueprint, blueprints
    from clusterml.structure.build.build import build

    known = [key for key in inspect.signature(build).parameters if key not in _NOT_OF_BUILD]
    for key, value in parent.build.items():
        if key == "library":
            raise OptionError(
                f"parent {name}: library is a key of the screen, not of build", "move it to the first column"
            )
        if key not in known:
            raise unknown("option of build", key, known)
        for word in [value] if isinstance(value, str) else value:
            if key in _LIGAND_OPTIONS:
                _check_ligand(word)
            elif key == "name":
                try:
                    blueprint(word)
                except OptionError as error:
                    raise unknown("blueprint", word, blueprints()) from error


def _check_ligand(name: str) -> None:
    from clusterml.structure.anatomy.library import load_library

    library = load_library()
    try:
        library.entry(name)
    except OptionError as error:
        raise unknown("ligand", name, library.names) from error


def _check_mode(block: Distortion, written: str, amounts: float | str | list[float]) -> None:
    name, _ = split_mode(written)
    if name not in MODES:
        if name.split(" ")[0] == NORMAL_MODE:
            raise OptionError(f"mode is '{written}'", "the third normal mode is 'normal-mode 3'")
        raise unknown("mode", name, MODES)
    mode = MODES[name]
    if isinstance(amounts, str):
        unit = parse_range(amounts).unit
        if unit not in ("", mode.unit):
            raise OptionError(f"{written} is {amounts}", f"the unit of {name} is {mode.unit}")
    check_amounts(mode, np.array(extremes(block, amounts)))
