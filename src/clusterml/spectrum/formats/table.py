"""Text tables of every kind: CSV, TSV, columns of numbers with blanks between them, exports of UV-vis programs.

The heading is the nearest line above the numbers that names an axis and an ordinate; titles, comments and settings
around them are passed over.  A table may hold several spectra, as pairs of columns or as columns of one axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clusterml.errors import InputFileError
from clusterml.spectrum.formats.assemble import SpectrumBlock, assemble
from clusterml.spectrum.formats.format import SpectrumFormat
from clusterml.spectrum.formats.headers import (
    AXES,
    QUANTITIES,
    STD,
    UNSTATED,
    Meaning,
    is_deviation,
    kind_without_its_unit,
    meaning,
)
from clusterml.spectrum.formats.rows import (
    NumberTable,
    TextLine,
    begins_with_number,
    data_rows,
    first_rows,
    has_number,
    heading_cells,
    lines_of,
    separator_of,
    table_of,
)
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

_NAMES = (
    "name them like wavelength_nm or energy_ev, and epsilon, delta_epsilon (L mol-1 cm-1), absorbance, "
    "delta_absorbance, mdeg or molar ellipticity"
)

_ABOVE_1000 = ("epsilon", "molar_ellipticity", "wavenumber_cm")
"""Quantities whose values are written with marks of thousands, if any are."""


@dataclass(frozen=True)
class Heading:
    """What the columns of a table are: ``meanings`` by column, ``cells`` as written, ``above``: the line over them.

    ``after``: index of the line after the heading.
    """

    meanings: dict[int, Meaning]
    cells: list[str]
    above: list[str]
    after: int


def recognises(text: str) -> bool:
    """Any text may be a table."""
    return bool(text)


def read(text: str, source: str, settings: ReadSettings) -> Spectrum:
    """The spectrum of a text table.

    Raises :class:`InputFileError` naming ``source`` and the line, :class:`~clusterml.errors.OptionError` naming the
    option that is missing.
    """
    return assemble(parse(text, source, settings), source, settings)


def parse(text: str, source: str, settings: ReadSettings) -> list[SpectrumBlock]:
    """The spectra of a text table; errors as :func:`read`."""
    lines = lines_of(text)
    start = first_rows(lines)
    if not lines:
        raise InputFileError(f"{source} holds no table", "give a table with a heading line and rows of numbers")
    if settings.columns is not None:
        return [_block_of_columns(lines, start, source, settings)]
    if start < 0:
        start = len(lines)
    separator = separator_of(lines[start].text) if start < len(lines) else separator_of(lines[0].text)
    heading = _heading(lines, start, separator, source, settings)
    columns = {i: heading.cells[i] for i in heading.meanings}
    count = len(heading.cells)
    below = lines[heading.after :]
    while below and not has_number(below[0]):
        below = below[1:]  # units, labels, rules
    table = table_of(data_rows(below, source), columns, separator, source, count)
    scaled = {i: heading.meanings[i].scaled(table.values[i]) for i in columns}
    notes = _notes({i: column.quantity for i, column in heading.meanings.items()}, table)
    if unread := _unread(heading):
        axes = [i for i, column in heading.meanings.items() if column.quantity in AXES]
        notes |= {i: "; ".join([unread, *([notes[i]] if i in notes else [])]) for i in axes}
    return list(_blocks(heading, scaled, table.lines, notes, source))


def _block_of_columns(lines: list[TextLine], start: int, source: str, settings: ReadSettings) -> SpectrumBlock:
    """The columns that the user named, of the first rows of numbers; headings do not count."""
    if start < 0:
        raise InputFileError(f"{source} holds no rows of numbers", "give a file with columns of numbers")
    names = dict(enumerate(settings.named_columns()))
    meanings = {i: name for i, name in names.items() if name is not None}
    used = {i: name.quantity for i, name in meanings.items()}
    separator = separator_of(lines[start].text)
    most_cells = len(names) if separator == "," else None  # more may be halves of numbers
    named_by = f"{settings.option('columns')} names"
    table = table_of(data_rows(lines[start:], source), used, separator, source, most_cells, named_by)
    axis = next(i for i, name in used.items() if name in AXES)
    scaled = {i: name.scaled(table.values[i]) for i, name in meanings.items()}
    columns = {name: scaled[i] for i, name in used.items() if i != axis}
    notes = {used[i]: note for i, note in _notes(used, table).items()}
    return SpectrumBlock("", used[axis], scaled[axis], columns, table.lines, notes)


def _notes(quantities: dict[int, str], table: NumberTable) -> dict[int, str]:
    """By column, the doubt whether its decimal marks are marks of thousands; none where nm or eV are written alike."""
    if any(quantities[i] in ("wavelength_nm", "energy_ev") for i in table.like_thousands):
        return {}
    note = "all numbers have three digits behind the decimal mark: is it a mark of thousands?"
    return {i: f"{quantities[i]}: {note}" for i in table.like_thousands if quantities[i] in _ABOVE_1000}


def _unread(heading: Heading) -> str:
    """What to tell of columns that name a CD or an absorption in a unit that is not known, where none other is read."""
    kinds = {
        kind for kind, units in UNSTATED.items() for m in heading.meanings.values() if m.quantity in {kind, *units}
    }
    cells = [cell for cell in heading.cells if kind_without_its_unit(cell) not in {None, *kinds}]
    names = ", ".join(f"'{cell[:30]}'" for cell in cells[:4])
    return f"the unit of {names} is not known: not read, say what it is with --columns and --unit" if names else ""


def _heading(lines: list[TextLine], start: int, separator: str | None, source: str, settings: ReadSettings) -> Heading:
    """The nearest line above ``start`` that names an axis and an ordinate, units on a line of their own included."""
    above = lines[:start] if start < len(lines) else lines[:1]
    for comments in (False, True):
        for i in range(len(above) - 1, -1, -1):
            if above[i].is_comment == comments and not begins_with_number(above[i]):
                for cells in _readings(above, i, separator, source):
                    heading = _heading_of(cells, above, i, separator, source)
                    if heading is not None:
                        return heading
    raise _no_heading(lines, above, separator, source, settings)


def _readings(above: list[TextLine], i: int, separator: str | None, source: str) -> Iterator[list[str]]:
    """Line i as cells; with the units that the next line gives; with separators of its own."""
    text = above[i].text.lstrip('#%!/" ') if above[i].is_comment else above[i].text
    where = f"{source}: line {above[i].number}"
    cells = heading_cells(text, separator, where)
    if i + 1 < len(above) and not above[i + 1].is_comment:
        units = heading_cells(above[i + 1].text, separator, where)
        if len(units) == len(cells):  # names on one line, units on the next
            yield [f"{name} ({unit})" if unit else name for name, unit in zip(cells, units, strict=True)]
    yield cells
    if (own_separator := separator_of(text)) != separator:
        yield heading_cells(text, own_separator, where)


def _heading_of(cells: list[str], above: list[TextLine], i: int, separator: str | None, source: str) -> Heading | None:
    """The heading that ``cells`` are, None unless they name an axis and an ordinate."""
    meanings = {k: column for k, cell in enumerate(cells) if (column := meaning(cell))}
    for k, cell in enumerate(cells):  # "CD (mdeg), error": errors of the column before
        before = meanings.get(k - 1)
        if k not in meanings and before and before.quantity in QUANTITIES and is_deviation(cell):
            meanings[k] = Meaning(before.quantity + STD, before.factor)
    quantities = {column.quantity for column in meanings.values()}
    if not quantities & set(AXES) or not quantities & {*QUANTITIES, *UNSTATED}:
        return None
    titles = heading_cells(above[i - 1].text, separator, f"{source}: line {above[i - 1].number}") if i > 0 else []
    return Heading(meanings, cells, titles, i + 1)


def _no_heading(
    lines: list[TextLine], above: list[TextLine], separator: str | None, source: str, settings: ReadSettings
) -> InputFileError:
    """The error for a table without a heading, or with one that names too little."""
    at = above[-1] if above else lines[0]
    where = f"{source}: line {at.number}"
    cells = heading_cells(at.text, separator, where)
    cell_names = ", ".join(f"'{cell[:30]}'" for cell in cells[:12])
    has_axis = any(column and column.quantity in AXES for column in map(meaning, cells))
    missing = "an absorption or CD" if has_axis else "an energy or a wavelength"
    names = f"{settings.option('columns')} wavelength,cd {settings.option('unit')} mdeg"
    return InputFileError(
        f"{where}: no heading names {missing} (found {cell_names})", f"{_NAMES}; or say what they are: {names}"
    )


def _blocks(
    heading: Heading, arrays: dict[int, FloatArray], numbers: list[int], notes: dict[int, str], source: str
) -> Iterator[SpectrumBlock]:
    """One block for each spectrum: a repeated axis or quantity begins another."""
    meanings = {i: column for i, column in heading.meanings.items() if not np.isnan(arrays[i]).all()}
    if not any(column.quantity in AXES for column in meanings.values()):
        raise InputFileError(f"{source}: the energy column is empty", "give a table with energies or wavelengths")
    for columns in _groups(meanings):
        kinds = {meanings[i].quantity: i for i in columns}
        axis = next(kind for kind in AXES if kind in kinds)
        filled = ~np.isnan(arrays[kinds[axis]])
        lone = ~filled & np.any([~np.isnan(arrays[i]) for i in columns], axis=0)
        if lone.any():
            line = numbers[int(np.argmax(lone))]
            raise InputFileError(f"{source}: line {line} has no {axis}", "fill the cell or remove the line")
        values = {kind: arrays[i][filled] for kind, i in kinds.items() if kind not in AXES}
        lines = [number for number, is_filled in zip(numbers, filled, strict=True) if is_filled]
        said = {kind: notes[i] for kind, i in kinds.items() if i in notes}
        yield SpectrumBlock(_title(heading, columns), axis, arrays[kinds[axis]][filled], values, lines, said)


def _groups(meanings: dict[int, Meaning]) -> Iterator[list[int]]:
    """Columns that belong together: an axis, and every ordinate once."""
    kinds = [column.quantity for column in meanings.values()]
    sections: list[list[int]] = [[]]
    for i, column in meanings.items():
        repeated = column.quantity in AXES and kinds.count(column.quantity) > 1
        if repeated and any(meanings[k].quantity == column.quantity for k in sections[-1]):
            sections.append([])
        sections[-1].append(i)
    for section in sections:
        axes = [i for i in section if meanings[i].quantity in AXES]
        shared: list[int] = []
        copies: list[list[int]] = []
        for i in section:
            same_quantity = [k for k in section if meanings[k].quantity == meanings[i].quantity]
            if i in axes:
                continue
            if len(same_quantity) == 1:
                shared.append(i)
            else:
                copies += [[] for _ in range(len(same_quantity) - len(copies))]
                copies[same_quantity.index(i)].append(i)
        for part in (shared, *copies):
            if part:
                yield [*axes, *part]


def _title(heading: Heading, columns: list[int]) -> str:
    """What the line above, or else the heading, calls the columns: the ordinate, or all that belongs to the axis."""
    above = {i: heading.above[i] for i in columns if i < len(heading.above) and heading.above[i]}
    ordinates = [title for i, title in above.items() if heading.meanings[i].quantity not in AXES]
    return next(iter([*ordinates, *above.values()]), heading.cells[columns[-1]])


FORMATS = (SpectrumFormat("table", recognises, read, order=100),)
"""Tried last: any text may be a table."""
