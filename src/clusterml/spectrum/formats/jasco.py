"""JASCO Spectra Manager: text and CSV exports, a list of names and values, then the rows after XYDATA.

The channels are named by YUNITS, Y2UNITS, ..; CD and absorbance are taken, the detector's voltage (HT) is passed over.
An export of one scan at several temperatures has a row of temperatures first, and is one spectrum for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from clusterml.errors import InputFileError
from clusterml.io.words import is_whole
from clusterml.spectrum.formats.assemble import SpectrumBlock, assemble
from clusterml.spectrum.formats.format import SpectrumFormat
from clusterml.spectrum.formats.headers import AXES, QUANTITIES, UNSTATED, Meaning, meaning
from clusterml.spectrum.formats.rows import TextLine, cells_of, data_rows, lines_of, table_of
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum

_START = re.compile(r"\s*XYDATA[\s,;]*", re.IGNORECASE)
_CHANNEL = re.compile(r"Y([1-9]\d?)?UNITS")


def recognises(text: str) -> bool:
    """Has ``text`` a line XYDATA after one with XUNITS?"""
    head = re.split(r"\r\n|\r|\n", text, maxsplit=200)[:200]
    at = next((i for i, line in enumerate(head) if _START.fullmatch(line)), -1)
    return at > 0 and any(re.match(r"\s*XUNITS[\t,;]", line, re.IGNORECASE) for line in head[:at])


def read(text: str, source: str, settings: ReadSettings) -> Spectrum:
    """The spectrum of a JASCO export.

    Raises :class:`InputFileError` naming ``source`` and the line, :class:`~clusterml.errors.OptionError` naming the
    option that is missing.
    """
    lines = lines_of(text)
    at = next(i for i, line in enumerate(lines) if _START.fullmatch(line.text))
    labels = _labels(lines[:at])
    blocks = list(_blocks(lines[at + 1 :], labels, lines[at].number, source, settings))
    spectrum = assemble(blocks, source, settings)
    stated = labels.get("NPOINTS", "")
    rows = max(len(block.x) for block in blocks)
    if is_whole(stated) and int(stated) != rows:
        note = f"NPOINTS is {int(stated)}, but there are {rows} rows: is the file cut off?"
        spectrum.meta["warnings"] = [*spectrum.meta.get("warnings", []), note]
    return spectrum


def _labels(lines: list[TextLine]) -> dict[str, str]:
    """Names in upper case -> values."""
    pairs = (re.split(r"[\t,;]", line.text, maxsplit=1) for line in lines)
    return {pair[0].strip().upper(): pair[1].strip(" ,;\t") for pair in pairs if len(pair) == 2}


def _blocks(
    rows: list[TextLine], labels: dict[str, str], start: int, source: str, settings: ReadSettings
) -> Iterator[SpectrumBlock]:
    """The spectra after XYDATA."""
    axis = meaning(labels.get("XUNITS", ""))
    if axis is None or axis.quantity not in AXES:
        raise InputFileError(
            f"{source}: XUNITS is '{labels.get('XUNITS', '')[:20]}'", "a spectrum over nm, eV or 1/cm is expected"
        )
    if not rows:
        raise InputFileError(f"{source}: line {start}: no rows after XYDATA", "the file is truncated")
    separator = next((mark for mark in "\t;," if mark in rows[0].text), None)
    first = cells_of(rows[0].text, separator, f"{source}: line {rows[0].number}")
    title = labels.get("TITLE", "")
    if first[0] == "":  # temperatures
        conditions = [cell for cell in first[1:] if cell]
        channels = dict.fromkeys(range(1, len(conditions) + 1), _channel(labels.get("YUNITS", ""), source, settings))
        titles = {i: f"{title} {condition}".strip() for i, condition in enumerate(conditions, start=1)}
        rows = rows[1:]
        most_cells = 1 + len(conditions)
    else:
        channels, titles = _channels(labels, source, settings), {}
        most_cells = 1 + max(_units(labels))
    names = {0: axis.quantity} | {i: channel.quantity for i, channel in channels.items()}
    arrays, numbers, _ = table_of(data_rows(rows, source), names, separator, source, most_cells, "YUNITS, .. name")
    x = axis.scaled(arrays[0])
    if np.isnan(x).any():
        line = numbers[int(np.argmax(np.isnan(x)))]
        raise InputFileError(f"{source}: line {line} has no {axis.quantity}", "fill the cell or remove the line")
    if titles:
        for i, channel in channels.items():
            yield SpectrumBlock(titles[i], axis.quantity, x, {channel.quantity: channel.scaled(arrays[i])}, numbers)
    else:
        columns = {channel.quantity: channel.scaled(arrays[i]) for i, channel in channels.items()}
        yield SpectrumBlock(title, axis.quantity, x, columns, numbers)


def _channels(labels: dict[str, str], source: str, settings: ReadSettings) -> dict[int, Meaning]:
    """Column -> what it is, for the channels that are CD or absorption."""
    units = _units(labels)
    channels = {
        i: channel
        for i, unit in units.items()
        if (channel := meaning(unit)) and channel.quantity in {*QUANTITIES, *UNSTATED}
    }
    if not channels or len({channel.quantity for channel in channels.values()}) < len(channels):
        unit_names = ", ".join(f"'{unit[:20]}'" for unit in units.values()) or "none"
        columns = f"{settings.option('columns')} wavelength,cd {settings.option('unit')} mdeg"
        raise InputFileError(
            f"{source}: no channel, or several, of CD or absorption among YUNITS, Y2UNITS, .. ({unit_names})",
            f"say what the columns are: {columns}",
        )
    return channels


def _units(labels: dict[str, str]) -> dict[int, str]:
    """Column -> its unit, for all channels."""
    return {int(match[1] or 1): unit for name, unit in labels.items() if (match := _CHANNEL.fullmatch(name))}


def _channel(unit: str, source: str, settings: ReadSettings) -> Meaning:
    return _channels({"YUNITS": unit}, source, settings)[1]


FORMATS = (SpectrumFormat("JASCO", recognises, read, tabular=True),)
