"""The formats that can be read, and which of them a file is in."""

from __future__ import annotations

import pkgutil
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module

from clusterml.errors import InputFileError, OptionError
from clusterml.structure import formats
from clusterml.structure.formats.format import Format

_HEAD = 20_000  # characters that are looked at to recognise a format


@cache
def all_formats() -> tuple[Format, ...]:
    """Every format that a module of this package defines, by name."""
    modules = (import_module(f"{formats.__name__}.{entry.name}") for entry in pkgutil.iter_modules(formats.__path__))
    return tuple(sorted((kind for module in modules for kind in getattr(module, "FORMATS", ())), key=_order))


def readable() -> str:
    """The formats and what their files are called, for messages."""
    return ", ".join(f"{kind.name} ({', '.join(kind.patterns)})" for kind in all_formats() if kind.patterns)


def format_of_name(name: str) -> Format | None:
    """The format that a file's name says it is in; endings count before beginnings (``poscar_1.xyz`` is xyz)."""
    lower = name.lower()
    ranked = [
        (pattern.endswith("*"), -len(pattern), kind.name, kind)
        for kind in all_formats()
        for pattern in kind.patterns
        if fnmatchcase(lower, pattern)
    ]
    return min(ranked)[3] if ranked else None


def named_format(name: str) -> Format:
    """The format with that name; raises :class:`OptionError` listing those there are."""
    for kind in all_formats():
        if kind.name == name.lower():
            return kind
    raise OptionError(f"format is '{name}'", f"choose {', '.join(kind.name for kind in all_formats())}")


def choose_format(where: str, file_name: str | None, wanted: str | None) -> Format | None:
    """The format ``wanted``, or that of the file's name; None for a stream, whose content must tell.

    Raises :class:`InputFileError` for a file of a type that cannot be read, :class:`OptionError` for an unknown format.
    """
    if wanted is not None:
        return named_format(wanted)
    if file_name is None:
        return None
    kind = format_of_name(file_name)
    if kind is None:
        ending = file_name[file_name.rindex(".") :] if "." in file_name[1:] else ""
        problem = f"files of type '{ending}' cannot be read" if ending else "the name does not say what file it is"
        raise InputFileError(f"{where}: {problem}", f"can be read: {readable()}; name another file's with --format")
    return kind


def recognised(text: str, where: str) -> Format:
    """The format that ``text`` looks like; raises :class:`InputFileError` where it looks like none, or like several."""
    head = text[:_HEAD]
    likely = [kind for kind in all_formats() if kind.recognise is not None and kind.recognise(head)]
    if len(likely) == 1:
        return likely[0]
    said = f"may be {' or '.join(kind.name for kind in likely)}" if likely else "is in no format that is recognised"
    names = ", ".join(kind.name for kind in likely or all_formats())
    raise InputFileError(f"{where}: the content {said}", f"name its format with --format: {names}")


def _order(kind: Format) -> str:
    return kind.name
