"""Wrong names in a screen: the error for screens, and the nearest name that exists."""

from __future__ import annotations

from collections.abc import Iterable

from clusterml.errors import ClusterMLError, OptionError, did_you_mean, nearest


class ScreeningError(ClusterMLError):
    """A screen cannot begin, go on or end: the folder is another's, the log is damaged, or no candidate is valid."""


def unknown(kind: str, name: str, known: Iterable[str]) -> OptionError:
    """The error for a ``name`` that is not among the ``known`` ones; it gives the nearest and the list."""
    names = list(known)
    hint = did_you_mean(nearest(name, names))
    return OptionError(f"there is no {kind} '{name}'{hint}", f"choose one of {', '.join(names)}")
