"""The definition of a spectrum format: a name, and functions that recognise and read its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum


@dataclass(frozen=True)
class SpectrumFormat:
    """A format of spectrum files.

    name        its name in messages
    recognise   is this text of the format?
    parse       text, the name of its source for messages, what the user says about the file -> its spectrum; raises
                ClusterMLError
    order       formats with a lower order are tried first
    tabular     it is read as a table if the user names the columns
    """

    name: str
    recognise: Callable[[str], bool]
    parse: Callable[[str, str, ReadSettings], Spectrum]
    order: int = 0
    tabular: bool = False
