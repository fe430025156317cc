"""What travels with the program: the checkpoints, model structures, example configurations and a small dataset; and
what comes with an extra.

In a wheel they lie in the package's folder ``data``; in a checkout they are the repository's folders of the same names,
so that a relative path from one to the other holds in both.  ``shipped:configs/screen/small.yaml`` stands for one of
them wherever a file or folder is asked for, on the command line and in configurations.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from clusterml.errors import InputFileError, OptionError, nearest

PREFIX = "shipped:"
"""What a path begins with that is seen from the data that travel with the program."""
DEFAULT_MODEL = "ag-response-v1"
"""The checkpoint that is used unless another is named: right for new geometries and clusters too, as its spectra start
from GFN1 orbitals (0.5 s of a core for 115 atoms), and without derivatives."""
QUICK_MODEL = "ag-quick-v1"
"""The checkpoint for what needs derivatives or many frames a second (explanations, designs, sliders): it takes
milliseconds, and knows geometries like those that it learnt."""
FOLDERS = ("checkpoints", "configs", "datasets")
"""The folders of these data."""


def shipped(folder: str) -> Path:
    """One of :data:`FOLDERS` as it was installed, or that of the checkout; it need not exist in a broken install."""
    package = Path(str(files("clusterml")))
    inside = package / "data" / folder
    return inside if inside.is_dir() else package.parents[1] / folder


def locate(path: str | Path, base: Path | None = None) -> Path:
    """``path`` as it is, seen from the folder ``base`` if that is given; or where the data it names were installed.

    Raises :class:`InputFileError` for ``shipped:`` data that there are not, with the nearest that there are.

    Examples:
        >>> import clusterml as cm
        >>> cm.locate("shipped:datasets/structures/ag25_sch3.xyz").name
        'ag25_sch3.xyz'
    """
    text = str(path)
    if not text.startswith(PREFIX):
        return Path(path) if base is None else base / path
    name = text.removeprefix(PREFIX)
    target = _target(Path(name))
    if target is None:
        raise InputFileError(f"{text}: no such data travel with the program", _remedy(name))
    return target


def with_shipped_names(text: str) -> str:
    """``text`` with ``shipped:NAME`` in the place of the paths to which such names lead."""
    for folder in FOLDERS:
        text = text.replace(f"{shipped(folder)}{os.sep}", f"{PREFIX}{folder}/")
    return text


def is_shipped(name: Path) -> bool:
    """Whether something of this name, seen from the data that travel with the program, is there."""
    return _target(name) is not None


def import_extra(package: str, extra: str, what: str) -> Any:
    """A package that comes with an extra of the program, for ``what`` needs it.

    Raises :class:`OptionError` naming what is missing and the extra that brings it.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise OptionError(f"{what}: {error.name} is not installed", f'pip install "clusterml[{extra}]"') from error


def _target(name: Path) -> Path | None:
    """Where what travels under this name was installed; None if nothing does."""
    steps = name.parts
    if steps[:1] == () or steps[0] not in FOLDERS or ".." in steps:
        return None
    target = shipped(steps[0]).joinpath(*steps[1:])
    return target if target.exists() else None


def shipped_names(folder: str, ending: str) -> list[str]:
    """Names, for :data:`PREFIX`, of the files with an ``ending`` in one of :data:`FOLDERS` and below, in order."""
    root = shipped(folder)
    return sorted(f"{folder}/{path.relative_to(root).as_posix()}" for path in root.rglob(f"*{ending}"))


def _remedy(name: str) -> str:
    """The nearest of the data that there are, or the folders that hold them."""
    known = [
        each for ending in (".yaml", ".xyz", ".cif") for folder in FOLDERS for each in shipped_names(folder, ending)
    ]
    by_end = {Path(each).name: each for each in reversed(known)}
    meant = nearest(name, known) or by_end.get(nearest(Path(name).name, by_end), "")
    return f"did you mean {PREFIX}{meant}?" if meant else f"it holds the folders {', '.join(FOLDERS)}"
