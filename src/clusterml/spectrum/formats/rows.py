"""Rows of numbers in text, however they are separated."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from clusterml.errors import InputFileError
from clusterml.spectrum.curves import LARGEST_VALUE
from clusterml.typing import FloatArray

MOST_POINTS = 1_000_000
"""Largest number of points in a spectrum."""
COMMENTS = ("#", "%", "!", "//", '"#')
"""What a comment line begins with."""
_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d{1,4})?")
_LIKE_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")
_BELOW_1000 = re.compile(r"[-+]?(?:[1-9]\d{0,2}|0+)")
_ABSENT = ("", "nan", "null", "na", "n/a", "---", "-")


@dataclass(frozen=True)
class TextLine:
    """A line that is not empty: its ``number`` from 1, and its ``text``."""

    number: int
    text: str

    @property
    def is_comment(self) -> bool:
        """Does it begin with a mark of comments?"""
        return self.text.lstrip().startswith(COMMENTS)


class NumberTable(NamedTuple):
    """``values``: column -> (m,), NaN for empty cells; ``lines`` (m,): their numbers.

    ``like_thousands``: columns whose decimal marks could as well be marks of thousands ("12,345" in every cell).
    """

    values: dict[int, FloatArray]
    lines: list[int]
    like_thousands: frozenset[int]


def lines_of(text: str) -> list[TextLine]:
    """The lines of ``text`` that are not empty."""
    every = re.split(r"\r\n|\r|\n", text)
    return [TextLine(i, line.strip(" \r\x1a")) for i, line in enumerate(every, start=1) if line.strip()]


def separator_of(row: str) -> str | None:
    """What separates the numbers in a line: tab, semicolon, comma, or None for blanks.

    Blanks between numbers with commas say that the commas are decimal ones: "500,0 1,2".
    """
    for mark in "\t;":
        if mark in row:
            return mark
    if "," not in row:
        return None
    return None if re.search(r"[\d.]\s+[-+.\d]", re.sub(r"\s*,\s+|\s+,", ",", row)) else ","


def cells_of(line: str, separator: str | None, where: str = "") -> list[str]:
    """The cells of a line without blanks around them; raises :class:`InputFileError` for one with damaged quotes."""
    if separator is None:
        return line.split()
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    except (csv.Error, StopIteration) as error:
        raise InputFileError(f"{where} cannot be split into cells: {error}", "correct the line") from error


def heading_cells(line: str, separator: str | None, where: str = "") -> list[str]:
    """As :func:`cells_of`; with blanks as separator a unit in brackets belongs to the word before it."""
    if separator is None:
        line = re.sub(r"\s+(?=[(\[])", "", line)
        line = re.sub(r"[(\[][^)\]]*[)\]]", lambda match: match[0].replace(" ", ""), line)
    return cells_of(line, separator, where)


def is_row(line: TextLine) -> bool:
    """Does the line hold numbers: its first cell is one, and so is another?"""
    words = _words(line)
    return len(words) > 1 and all(_NUMBER.fullmatch(word) for word in words[:2])


def has_number(line: TextLine) -> bool:
    """Is any cell of the line a number?"""
    return any(_NUMBER.fullmatch(word) for word in _words(line))


def _words(line: TextLine) -> list[str]:
    """The cells that are not empty, whatever separates them."""
    cells = line.text.split("\t") if "\t" in line.text else re.split(r"[;,]|\s+", line.text)
    return [cell for cell in (c.strip().strip('"') for c in cells) if cell]


def is_number(cell: str) -> bool:
    """Is the cell a number, with whichever decimal mark?"""
    return _NUMBER.fullmatch(cell.strip('"')) is not None


def begins_with_number(line: TextLine) -> bool:
    """Is the first word of the line a number?"""
    return is_number(re.split(r"[;,\t]|\s+", line.text.strip())[0])


def first_rows(lines: list[TextLine]) -> int:
    """Index of the first of at least two rows of numbers that follow each other, or of the first row; -1 for none."""
    rows = [i for i, line in enumerate(lines) if not line.is_comment and is_row(line)]
    together = (i for i, later in pairwise(rows) if all(x.is_comment for x in lines[i + 1 : later]))
    return next(together, rows[0] if rows else -1)


def data_rows(lines: list[TextLine], source: str) -> Iterator[TextLine]:
    """The rows of numbers that ``lines`` begin with, without comments and without the text after the last of them.

    Raises :class:`InputFileError` naming a line of text between rows.
    """
    last = max((i for i, line in enumerate(lines) if begins_with_number(line) and is_row(line)), default=-1)
    for i, line in enumerate(lines):
        if line.is_comment:
            continue
        if not begins_with_number(line) and not line.text.startswith((",", ";", "\t")):
            if i > last:
                return
            raise InputFileError(f"{source}: line {line.number} is '{line.text[:40]}'", "rows of numbers are expected")
        yield line


def number(cell: str, where: str, decimal_comma: bool) -> float:
    """The number in a cell, NaN for an empty one; raises :class:`InputFileError` naming ``where``."""
    word = cell.strip('"')
    if word.lower() in _ABSENT:
        return math.nan
    if _NUMBER.fullmatch(word) and (decimal_comma or "," not in word):
        value = float(word.replace(",", "."))
        if abs(value) < LARGEST_VALUE:
            return value
    raise InputFileError(f"{where} is '{cell[:30]}'", "give a number")


def table_of(
    rows: Iterator[TextLine],
    columns: dict[int, str],
    separator: str | None,
    source: str,
    most_cells: int | None = None,
    named_by: str = "the heading has",
) -> NumberTable:
    """The ``columns`` (index -> name for messages) of ``rows``.

    ``most_cells``: as many as ``named_by``, the beginning of a message.  Raises :class:`InputFileError` naming the
    line of a damaged row, or of a mark of thousands.
    """
    words: dict[int, list[str]] = {column: [] for column in columns}
    values: dict[int, list[float]] = {column: [] for column in columns}
    numbers: list[int] = []
    for row in rows:
        where = f"{source}: line {row.number}"
        cells = cells_of(row.text, separator, where)
        if most_cells is not None and any(cells[most_cells:]):
            commas = "separate the columns by ; or tabs if the commas are decimal, else name every column"
            remedy = commas if separator == "," else "correct it"
            raise InputFileError(f"{where} has {len(cells)} cells where {named_by} {most_cells}", remedy)
        if len(cells) <= max(columns):
            raise InputFileError(
                f"{where} has {len(cells)} cells where the heading has at least {max(columns) + 1}",
                "the file is truncated or the line damaged",
            )
        for column, name in columns.items():
            words[column].append(cells[column].strip('"'))
            values[column].append(number(cells[column], f"{where}, column {name}", separator != ","))
        numbers.append(row.number)
        if len(numbers) > MOST_POINTS:
            raise InputFileError(f"{source} has more than {MOST_POINTS} rows", "is it a spectrum?")
    if len(numbers) < 2:
        raise InputFileError(f"{source} holds {len(numbers)} rows of numbers", "a spectrum needs at least 2")
    arrays = {column: np.array(column_values) for column, column_values in values.items()}
    like_thousands = frozenset() if separator == "," else _like_thousands(words, columns, numbers, source)
    return NumberTable(arrays, numbers, like_thousands)


def _like_thousands(
    words: dict[int, list[str]], columns: dict[int, str], numbers: list[int], source: str
) -> frozenset[int]:
    """The columns whose marks may be of thousands; none where a cell shows that the mark of the table is decimal.

    Raises :class:`InputFileError` naming the line where a second mark occurs, or where what looks like thousands stands
    beside whole numbers below 1000 ("999", "1,250").
    """
    first: dict[str, str] = {}
    for i, number_of_line in enumerate(numbers):
        for column, name in columns.items():
            for mark in ".,":
                if mark in words[column][i]:
                    first.setdefault(mark, f"line {number_of_line}, column {name} is '{words[column][i]}'")
        if len(first) > 1:
            raise InputFileError(
                f"{source}: {' but '.join(first.values())}: which mark is the decimal one?",
                "write one decimal mark throughout, and no marks of thousands",
            )
    given = {c: [word for word in cells if word.lower() not in _ABSENT] for c, cells in words.items()}
    marked = {c: [word for word in cells if "." in word or "," in word] for c, cells in given.items()}
    whole = {c: [word for word in cells if "." not in word and "," not in word] for c, cells in given.items()}
    for column, cells in marked.items():
        is_decimal = not all(map(_LIKE_THOUSANDS.fullmatch, cells))
        if is_decimal or (cells and not all(map(_BELOW_1000.fullmatch, whole[column]))):
            return frozenset()
    for column, cells in marked.items():
        if cells and (small := next((word for word in whole[column] if float(word)), None)):
            line = numbers[words[column].index(cells[0])]
            raise InputFileError(
                f"{source}: line {line}, column {columns[column]} is '{cells[0]}', and another '{small}': thousands?",
                "remove the marks of thousands; if they are decimal marks, give every number of it three decimals",
            )
    return frozenset(column for column, cells in marked.items() if cells)
