"""The formats of spectrum files: a new one is a module beside this, and a line in :data:`FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clusterml.spectrum.formats import chirascan, jasco, jcamp, json, table
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum


@dataclass(frozen=True)
class Format:
    """``recognises`` a text by its content; ``read`` gives its spectrum, or raises a typed error.

    ``read`` is called with the text, the name of the source for messages, and what the user says about the file.
    """

    name: str
    recognises: Callable[[str], bool]
    read: Callable[[str, str, ReadSettings], Spectrum]


TABLE = Format("table", table.recognises, table.read)
FORMATS: tuple[Format, ...] = (
    Format("JSON", json.recognises, json.read),
    Format("JCAMP-DX", jcamp.recognises, jcamp.read),
    Format("Chirascan", chirascan.recognises, chirascan.read),
    Format("JASCO", jasco.recognises, jasco.read),
    TABLE,
)
"""In the order in which they are tried; the table takes what is left."""
INSTRUMENTS = ("Chirascan", "JASCO")
"""Formats that a user who names the columns reads as a table."""


def read_spectrum_text(text: str, source: str, settings: ReadSettings | None = None) -> Spectrum:
    """The spectrum in ``text``, in the first format that recognises it.

    Raises :class:`~clusterml.errors.InputFileError` naming ``source`` and the line,
    :class:`~clusterml.errors.OptionError` naming an option that is missing or would change nothing.
    """
    settings = settings or ReadSettings()
    chosen = next(format for format in FORMATS if format.recognises(text) or format is TABLE)
    if settings.columns is not None and chosen.name in INSTRUMENTS:
        chosen = TABLE
    return chosen.read(text, source, settings)
