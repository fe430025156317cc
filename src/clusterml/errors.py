"""The errors a user can cause: each says what is wrong, where, and what to do about it; and words for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SEQUENCES = re.compile(
    r"\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # titles, links, clipboard: up to BEL or ST
    r"|\x1b[PX^_][^\x1b\n]*\x1b\\"  # device strings
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours, cursor, erasing
    r"|\x1b[ -/]*[0-~]?"  # any other, and the beginning of one that does not end
)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and those that reverse the direction of writing."""


def printable(text: str) -> str:
    """``text`` without terminal escape sequences, control characters and marks that reverse the direction of writing.

    Tabs and ends of lines stay; a carriage return becomes an end of line.  For ECMA-48 sequences see its section 5.4.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return CONTROLS.sub("", _SEQUENCES.sub("", text))


def counted(number: int, noun: str) -> str:
    """``1 atom``, ``25 atoms``: a number of things, with a plural in -s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h 07 min``."""
    minutes = round(seconds / 60.0)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90.0 else f"{seconds:.0f} s"


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of ``known`` that ``name`` was most likely meant to be, whatever its case; empty if none is like it."""
    from difflib import get_close_matches

    names = list(known)
    by_lower = {each.casefold(): each for each in reversed(names)}
    matches = get_close_matches(name, names, n=1)
    matches = matches or [by_lower[lower] for lower in get_close_matches(name.casefold(), by_lower, n=1)]
    return matches[0] if matches else ""


def did_you_mean(name: str) -> str:
    """`` (did you mean 'NAME'?)`` to stand behind a wrong one, see :func:`nearest`; empty for no name."""
    return f" (did you mean '{name}'?)" if name else ""


_LONGEST_LINE = 4000  # characters


class ClusterMLError(Exception):
    """Base of every error that bad input can cause.

    ``problem`` names the file, key or value that is wrong; ``remedy`` says what to do. ``str(error)`` is one line,
    without control characters: what files and users give may be quoted in it.

    Examples:
        >>> import clusterml as cm
        >>> try:
        ...     cm.build("ag3", thiolate="SMethyl")
        ... except cm.ClusterMLError as error:
        ...     print(error.problem)
        there is no ligand 'SMethyl' in the library...
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = _line(problem)
        self.remedy = _line(remedy)
        super().__init__(f"{self.problem} ({self.remedy})" if self.remedy else self.problem)


class InputFileError(ClusterMLError):
    """A file is missing, unreadable, empty, or not in the format its name promises."""


class OutputError(ClusterMLError):
    """A result could not be written."""


class FolderInUseError(ClusterMLError):
    """Another process is writing to the same folder."""


class OptionError(ClusterMLError):
    """An option or argument has a value that cannot be used."""


class StructureError(ClusterMLError):
    """A geometry is not physical: coincident atoms, non-finite coordinates, no atoms."""


class SeveralMoleculesError(StructureError):
    """A structure holds several molecules where one cluster is expected."""


class UnsupportedElementError(ClusterMLError):
    """An element is unknown or has no parameters in the chosen method."""


class OutsideNetworkError(UnsupportedElementError, StructureError):
    """A structure that a network has no place for: an element it does not know, or neither metal nor donor."""


class ChargeError(ClusterMLError):
    """The charge is missing, ambiguous, or gives an odd number of electrons."""


class ElectronicStructureError(ClusterMLError):
    """The ground state cannot be computed: no convergence, singular overlap, non-finite numbers."""


class NoGapError(ElectronicStructureError):
    """Orbitals without a gap between the occupied and the empty ones: not a closed shell."""


class MemoryLimitError(ClusterMLError):
    """The calculation does not fit into the memory it may use."""


class SpectrumError(ClusterMLError):
    """Spectral data cannot be used: non-finite values, no overlap between ranges, missing columns."""


class UserCodeError(ClusterMLError):
    """Code that the user brought, such as an objective of a screen, failed or gave no number."""


class PluginError(ClusterMLError):
    """Two packages offer different things under one name."""


class PluginWarning(UserWarning):
    """Something that an installed package offers cannot be used, and is left out."""


class ServerError(ClusterMLError):
    """A server refuses a request or cannot answer it: no token, too large, too many at a time; or it is not there."""


class DatasetError(ClusterMLError):
    """A dataset is missing, damaged, of another version, or does not fit what is asked of it."""


def _line(text: str) -> str:
    line = " ".join(printable(text).split())
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} .."


UNEXPECTED = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
"""What numerical libraries raise: one structure must not end a long batch."""


def words_of(error: Exception) -> str:
    """An error in a sentence; one that is not of this program begins with its type."""
    return str(error) if isinstance(error, ClusterMLError) else f"{type(error).__name__}: {error}"


class ScreeningError(ClusterMLError):
    """A screen cannot begin, go on or end: the folder is another's, the log is damaged, or no candidate is valid."""


def unknown(kind: str, name: str, known: Iterable[str]) -> OptionError:
    """The error for a ``name`` that is not among the ``known`` ones; it gives the nearest and the list."""
    names = list(known)
    hint = did_you_mean(nearest(name, names))
    return OptionError(f"there is no {kind} '{name}'{hint}", f"choose one of {', '.join(names)}")


def check_kind(what: object, kinds: type | tuple[type, ...], expected: str, remedy: str) -> None:
    """Raise :class:`OptionError` naming the type of ``what`` unless it is of ``kinds``, in words ``expected``."""
    if not isinstance(what, kinds):
        name = type(what).__name__
        article = "an" if name[:1] in "AEIOUaeiou" else "a"
        raise OptionError(f"{article} {name} is not {expected}", remedy)


def check_seed(seed: int) -> None:
    """Raise :class:`OptionError` for a ``seed`` that no generator of random numbers takes."""
    if seed < 0:
        raise OptionError(f"seed is {seed}", "give a whole number from 0")
