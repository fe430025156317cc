"""Outputs of quantum-chemistry programs with excitations, see :mod:`clusterml.spectrum.calculation`."""

from __future__ import annotations

from clusterml.errors import OptionError
from clusterml.spectrum.calculation import program_of, read_calculation
from clusterml.spectrum.formats.format import SpectrumFormat
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum


def recognises(text: str) -> bool:
    """Does a program name itself in ``text``?"""
    return program_of(text) is not None


def read(text: str, source: str, settings: ReadSettings) -> Spectrum:
    """The excitations, broadened.

    Raises :class:`~clusterml.errors.InputFileError` naming ``source``, :class:`OptionError` for an option that would
    change nothing.
    """
    if vain := settings.given("concentration", "path", "columns", "unit", "block"):
        problem = f"{source} is an output with excitations: {', '.join(vain)} would change nothing"
        raise OptionError(problem, "leave it out")
    return read_calculation(text, source).spectrum()


FORMATS = (SpectrumFormat("output of a quantum-chemistry program", recognises, read),)
