"""Reading a spectrum from any source: a measured table, the export of an instrument, JCAMP-DX, or a JSON result."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, TypeAlias

from clusterml.errors import InputFileError
from clusterml.io.files import LARGEST_FILE, decode, read_stream, read_text
from clusterml.io.shipped import locate, with_shipped_names
from clusterml.spectrum.formats.format import read_spectrum_text
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum

Source: TypeAlias = str | Path | bytes | BinaryIO
"""Where a spectrum comes from: a path (``shipped:NAME``: the program's), its content, or an open binary stream."""


def read_spectrum(
    source: Source,
    concentration: float | None = None,
    path_cm: float | None = None,
    option_suffix: str = "",
    *,
    columns: str | None = None,
    unit: str | None = None,
    block: str | None = None,
) -> Spectrum:
    """The spectrum in ``source``, its format recognised by its content (docs/guide/spectra.md lists them).

    Absorbance, delta_absorbance and mdeg become epsilon and delta_epsilon with ``concentration`` (mol/L) and
    ``path_cm`` (cm).  ``columns``, ``unit``, ``block``: see :class:`clusterml.spectrum.formats.settings.ReadSettings`.
    A quantity that is not there is NaN.  What had to be done to the data is told in ``meta["warnings"]``.

    Raises :class:`InputFileError` naming file and line for damaged files, :class:`clusterml.errors.OptionError` naming
    the option if one is missing, cannot be used, or would change nothing.

    Examples:
        >>> import clusterml as cm
        >>> cm.read_spectrum("shipped:datasets/examples/ag29_invented_jasco.txt", concentration=1e-5, path_cm=0.5)
        Spectrum(1.55 to 5.17 eV, 561 points, epsilon +2.37e+05 at 240 nm, delta_epsilon -174 at 240 nm)
    """
    settings = ReadSettings(concentration, path_cm, columns, unit, block, option_suffix)
    text, name = source_text(source)
    return read_spectrum_text(text, name, settings)


def source_text(source: Source) -> tuple[str, str]:
    """The text of ``source`` and its name for messages.  Raises :class:`InputFileError`."""
    if isinstance(source, str | Path):
        return read_text(locate(source)), with_shipped_names(str(source))
    name = "the given bytes" if isinstance(source, bytes) else str(getattr(source, "name", "the given stream"))
    content = source if isinstance(source, bytes) else read_stream(source, LARGEST_FILE, name)
    if len(content) > LARGEST_FILE:
        raise InputFileError(f"{name} are larger than {LARGEST_FILE // 1024**2} MiB", "is it a spectrum?")
    text = decode(content, name)
    if not text.strip():
        raise InputFileError(f"{name}: empty", "give a spectrum")
    return text, name
