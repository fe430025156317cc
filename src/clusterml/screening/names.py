"""Wrong names in a screen: the error for screens, and the nearest name that exists."""

from __future__ import annotations

from collections.abc import Iterable

from clusterml.errors import ClusterMLError, OptionError, did_you_mean, nearest


class ScreeningError(ClusterMLError):
    """A screen cannot begin, go on or end: its folder is another's, its log is damaged, or nothing valid was found."""


def unknown(kind: str, name: str, known: Iterable[str]) -> OptionError:
    """The error for a ``name`` that is none of the ``known`` ones: it says which is nearest, and which there are."""
    names = list(known)
    hint = did_you_mean(nearest(name, names))
    return OptionError(f"there is no {kind} '{name}'{hint}", f"choose one of {', '.join(names)}")
