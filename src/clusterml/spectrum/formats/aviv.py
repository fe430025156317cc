"""Aviv CD spectrometers: settings, then for each scan ``$MDCNAME:`` its name, ``$MDCDATA:``, names of columns and rows.

X is the wavelength in nm, CD_Signal the CD in mdeg unless ``--unit`` says otherwise, CD_Error its standard deviation.
The other columns (current, dynode, temperature) are passed over.  Several scans are several spectra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from clusterml.errors import InputFileError
from clusterml.spectrum.formats.assemble import SpectrumBlock, assemble
from clusterml.spectrum.formats.format import SpectrumFormat
from clusterml.spectrum.formats.headers import STD
from clusterml.spectrum.formats.rows import TextLine, lines_of, table_of
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum

_DATA, _NAME = "$MDCDATA", "$MDCNAME"
_COLUMNS = {"x": "wavelength_nm", "cd_signal": "mdeg", "cd_error": f"mdeg{STD}"}
_TYPE = re.compile(r"\s*_?experiment[ _]type_?\s*:\s*(\w+)", re.IGNORECASE)


def recognises(text: str) -> bool:
    """Has ``text`` a line that begins with $MDCDATA?"""
    return re.search(r"^\s*\$MDCDATA\b", text, re.MULTILINE) is not None


def read(text: str, source: str, settings: ReadSettings) -> Spectrum:
    """The spectrum of an Aviv file.

    Raises :class:`InputFileError` naming ``source`` and the line, :class:`~clusterml.errors.OptionError` naming the
    option that is missing.
    """
    lines = lines_of(text)
    kind = next((match[1] for line in lines if (match := _TYPE.match(line.text))), "wavelength")
    if kind.lower() != "wavelength":
        raise InputFileError(f"{source} is an experiment of type '{kind[:20]}'", "give a wavelength scan")
    return assemble(list(_scans(lines, source)), source, settings)


def _scans(lines: list[TextLine], source: str) -> Iterator[SpectrumBlock]:
    marks = [i for i, line in enumerate(lines) if line.text.lstrip().startswith("$")] + [len(lines)]
    title = ""
    for i, end in pairwise(marks):
        text = lines[i].text.strip()
        if text.startswith(_NAME):
            title = text.partition(":")[2].strip()
        elif text.startswith(_DATA):
            yield _scan(title, lines[i], lines[i + 1 : end], source)
            title = ""


def _scan(title: str, mark: TextLine, lines: list[TextLine], source: str) -> SpectrumBlock:
    """The scan whose names of columns and rows are ``lines``."""
    at = next((k for k, line in enumerate(lines) if line.text.lower().split()[:1] == ["x"]), None)
    cells = lines[at].text.lower().split() if at is not None else []
    names = {k: _COLUMNS[cell] for k, cell in enumerate(cells) if cell in _COLUMNS}
    if at is None or "mdeg" not in names.values():
        raise InputFileError(
            f"{source}: line {mark.number}: no columns X and CD_Signal follow", "is the file cut off, or of no CD?"
        )
    if not lines[at + 1 :]:
        raise InputFileError(f"{source}: line {lines[at].number}: no rows follow", "the file is truncated")
    table = table_of(iter(lines[at + 1 :]), names, None, source, len(cells))
    columns = {name: table.values[k] for k, name in names.items() if name != "wavelength_nm"}
    return SpectrumBlock(title, "wavelength_nm", table.values[0], columns, table.lines)


FORMATS = (SpectrumFormat("Aviv", recognises, read, tabular=True),)
