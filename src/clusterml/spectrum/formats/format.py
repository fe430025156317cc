"""What a format of spectrum files is: a name, and functions that recognise and read its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum


@dataclass(frozen=True)
class Format:
    """A format of spectrum files.

    name        what it is called in messages
    recognise   is this text of the format?
    parse       text, the name of its source for messages, what the user says about the file -> its spectrum; raises
                ClusterMLError
    order       formats of a lower one are tried first
    tabular     a user who names the columns has it read as a table
    """

    name: str
    recognise: Callable[[str], bool]
    parse: Callable[[str, str, ReadSettings], Spectrum]
    order: int = 0
    tabular: bool = False
