"""JSON results of ``label``, ``predict`` and ``Spectrum.to_json``."""

from __future__ import annotations

import re

from clusterml.errors import OptionError
from clusterml.io.json import parse_json
from clusterml.spectrum.export import spectrum_of
from clusterml.spectrum.formats.format import SpectrumFormat
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum

_BEGINNING = re.compile(r"""\s*(\{|\[\s*[\[{"\]\d-])""")  # a title may be in brackets


def recognises(text: str) -> bool:
    """Does ``text`` begin as JSON does?"""
    return _BEGINNING.match(text) is not None


def read(text: str, source: str, settings: ReadSettings) -> Spectrum:
    """The ``spectrum`` of a result.

    Raises :class:`~clusterml.errors.InputFileError` naming ``source``, :class:`OptionError` for an option that would
    change nothing.
    """
    spectrum = spectrum_of(parse_json(text, source), source)
    if vain := settings.given("concentration", "path", "columns", "unit", "block"):
        raise OptionError(
            f"{source} is a result in molar units: {', '.join(vain)} would change nothing", "leave it out"
        )
    return spectrum


FORMATS = (SpectrumFormat("JSON", recognises, read),)
