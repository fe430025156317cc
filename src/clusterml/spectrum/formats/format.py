"""The definition of a spectrum format, the formats there are, and which of them a text is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from clusterml.config.registry import Registry
from clusterml.config.usercode import guarded
from clusterml.errors import InputFileError
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


def _adopt(kind: SpectrumFormat, origin: str) -> SpectrumFormat:
    """A format of the package ``origin``, whose mistakes become typed errors that name it and the file."""
    name = f"{kind.name} ({origin})"

    def parse(text: str, source: str, settings: ReadSettings) -> Spectrum:
        spectrum: Spectrum = guarded(kind.parse, f"{source}: {name}", Spectrum)(text, source, settings)
        return spectrum

    return replace(kind, recognise=guarded(kind.recognise, name), parse=parse)


REGISTRY: Registry[SpectrumFormat] = Registry(
    "spectrum formats",
    SpectrumFormat,
    "clusterml.spectrum.formats",
    attribute="FORMATS",
    order=lambda kind: kind.order,
    adopt=_adopt,
)
"""Every format, in the order in which they are tried; the table takes what is left."""


def read_spectrum_text(text: str, source: str, settings: ReadSettings | None = None) -> Spectrum:
    """The spectrum in ``text``, in the first format that recognises it; as a table if the user names its columns.

    Raises :class:`~clusterml.errors.InputFileError` naming ``source`` and the line,
    :class:`~clusterml.errors.OptionError` naming an option that is missing or would change nothing.
    """
    settings = settings or ReadSettings()
    for kind in REGISTRY.all():
        if kind.recognise(text) and not (kind.tabular and settings.columns is not None):
            return kind.parse(text, source, settings)
    raise InputFileError(f"{source} is empty", "give a file with a spectrum")
