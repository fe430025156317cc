"""Applied Photophysics Chirascan (Pro-Data) CSV: remarks, then after ``Data:`` a block of rows for each property.

CircularDichroism (mdeg unless ``--unit`` says otherwise) and Absorbance are taken, HV and the others passed over.
Several cells, repeats or temperatures are several spectra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from clusterml.errors import InputFileError
from clusterml.spectrum.formats.assemble import SpectrumBlock, assemble
from clusterml.spectrum.formats.format import SpectrumFormat
from clusterml.spectrum.formats.rows import TextLine, begins_with_number, cells_of, is_number, lines_of, table_of
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum

_PROPERTIES = {"circulardichroism": "mdeg", "cd": "mdeg", "absorbance": "absorbance"}


@dataclass
class _Section:
    """A run of rows with the text above it."""

    words: list[str]
    conditions: list[str] = field(default_factory=list)
    rows: list[TextLine] = field(default_factory=list)

    @property
    def quantity(self) -> str | None:
        """What is measured, None for what is of no use here."""
        names = [_PROPERTIES.get(_squeeze(word)) for word in self.words]
        return next((name for name in names if name), None)

    @property
    def is_spectrum(self) -> bool:
        """Does a row stand for a wavelength?"""
        axes = [word for word in map(_squeeze, self.words) if word.startswith(("wavelength", "temperature", "time"))]
        return not axes or axes[0].startswith("wavelength")


def recognises(text: str) -> bool:
    """Does ``text`` begin with ProDataCSV?"""
    return text.lstrip('\ufeff \r\n"').startswith("ProDataCSV")


def read(text: str, source: str, settings: ReadSettings) -> Spectrum:
    """The spectrum of a Chirascan export.

    Raises :class:`InputFileError` naming ``source`` and the line, :class:`~clusterml.errors.OptionError` naming the
    option that is missing.
    """
    lines = lines_of(text)
    start = next((i for i, line in enumerate(lines) if re.fullmatch(r"data\s*:?[\s,;]*", line.text.lower())), None)
    if start is None:
        raise InputFileError(f"{source}: no line 'Data:' in the Chirascan file", "the file is truncated")
    title = next((line.text.partition(",")[2].strip(" ,") for line in lines[:start] if line.text[:6] == "Title,"), "")
    sections = list(_sections(lines[start + 1 :], source))
    blocks = [block for part in sections for block in _blocks(part, title, source)]
    if not blocks:
        names = ", ".join(sorted({part.words[0][:30] for part in sections if part.words})) or "nothing"
        raise InputFileError(
            f"{source} holds no CircularDichroism and no Absorbance over wavelength (found {names})",
            "export a wavelength scan",
        )
    return assemble(blocks, source, settings)


def _sections(lines: list[TextLine], source: str) -> Iterator[_Section]:
    """Runs of rows; a property stays the same for the cells below it, and the cell for what follows it.

    Raises :class:`InputFileError` naming a lone line of text between rows.
    """
    section = _Section([])
    separator = next((";" for line in lines if re.match(r"[-+]?[\d.,]+;", line.text)), ",")
    for i, line in enumerate(lines):
        cells = cells_of(line.text, separator, f"{source}: line {line.number}")
        filled = [cell for cell in cells if cell]
        if not filled:
            continue
        are_numbers = all(map(is_number, filled))
        if is_number(cells[0]) or (are_numbers and section.rows):
            section.rows.append(line)
            continue
        if are_numbers:
            section.conditions = cells[1:]
            continue
        name = _squeeze(filled[0])
        if section.rows:
            below = next((row.number for row in lines[i + 1 : i + 2] if begins_with_number(row)), 0)
            is_lone = section.rows[-1].number + 1 == line.number == below - 1
            if is_lone and name not in (*_PROPERTIES, "cell"):
                raise InputFileError(
                    f"{source}: line {line.number} is '{line.text[:40]}'", "rows of numbers are expected"
                )
            yield section
            section = _Section([] if name != "cell" else section.words[:1])
        if re.match(r"history\s*:", line.text.lower()):
            return
        section.words += filled if name != "cell" else [" ".join(filled)]
    if section.rows:
        yield section


def _blocks(section: _Section, title: str, source: str) -> Iterator[SpectrumBlock]:
    """The spectra of a section, one for each of its columns; none of a property that is of no use."""
    quantity = section.quantity
    if quantity is None or not section.is_spectrum:
        return
    separator = ";" if ";" in section.rows[0].text else ","
    rows = [cells_of(row.text, separator) for row in section.rows]
    count = max(i for cells in rows for i, cell in enumerate(cells) if cell)
    if count < 1:
        raise InputFileError(f"{source}: line {section.rows[0].number} holds no value", "the file is damaged")
    names = {0: "wavelength_nm"} | dict.fromkeys(range(1, count + 1), quantity)
    arrays, numbers, _ = table_of(iter(section.rows), names, separator, source)
    x = arrays[0]
    if np.isnan(x).any():
        raise InputFileError(f"{source}: a row of line {numbers[0]} ff. has no wavelength", "the file is damaged")
    cell = next((word for word in section.words if word.lower().startswith("cell ")), "")
    for i in range(1, count + 1):
        condition = section.conditions[i - 1] if i <= len(section.conditions) else (f"repeat {i}" if count > 1 else "")
        block_title = " ".join(part for part in (title, cell if cell != "Cell 1" else "", condition) if part)
        yield SpectrumBlock(block_title, "wavelength_nm", x, {quantity: arrays[i]}, numbers)


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


FORMATS = (SpectrumFormat("Chirascan", recognises, read, tabular=True),)
