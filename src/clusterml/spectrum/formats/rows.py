"""Rows of numbers in text, however they are separated."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from clusterml.errors import InputFileError
from clusterml.spectrum.curves import LARGEST_VALUE
from clusterml.typing import FloatArray

MOST_POINTS = 1_000_000
"""Largest number of points in a spectrum."""
COMMENTS = ("#", "%", "!", "//", '"#')
"""What a comment line begins with."""
_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d{1,4})?")
_ABSENT = ("", "nan", "null", "na", "n/a", "---", "-")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")
_LARGE = re.compile(r"[-+]?[1-9]\d{2}")


@dataclass(frozen=True)
class TextLine:
    """A line that is not empty: its ``number`` from 1, and its ``text``."""

    number: int
    text: str

    @property
    def is_comment(self) -> bool:
        """Does it begin with a mark of comments?"""
        return self.text.lstrip().startswith(COMMENTS)


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


def begins_with_number(line: TextLine) -> bool:
    """Is the first word of the line a number?"""
    return _NUMBER.fullmatch(re.split(r"[;,\t]|\s+", line.text.strip())[0].strip('"')) is not None


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
    rows: Iterator[TextLine], columns: dict[int, str], separator: str | None, source: str, most_cells: int | None = None
) -> tuple[dict[int, FloatArray], list[int]]:
    """The ``columns`` (index -> name for messages) of ``rows``, each (m,) with NaN for empty cells, and their lines.

    ``most_cells``: as many as the heading has.  Raises :class:`InputFileError` naming the line of a damaged row.
    """
    values: dict[int, list[float]] = {column: [] for column in columns}
    words: dict[int, list[str]] = {column: [] for column in columns}
    numbers: list[int] = []
    for row in rows:
        where = f"{source}: line {row.number}"
        cells = cells_of(row.text, separator, where)
        if most_cells is not None and any(cells[most_cells:]):
            remedy = "separate the columns by ; or tabs if the commas are decimal" if separator == "," else "correct it"
            raise InputFileError(f"{where} has {len(cells)} cells where the heading has {most_cells}", remedy)
        if len(cells) <= max(columns):
            raise InputFileError(
                f"{where} has {len(cells)} cells where the heading has at least {max(columns) + 1}",
                "the file is truncated or the line damaged",
            )
        for column, name in columns.items():
            values[column].append(number(cells[column], f"{where}, column {name}", separator != ","))
            words[column].append(cells[column].strip('"'))
        numbers.append(row.number)
        if len(numbers) > MOST_POINTS:
            raise InputFileError(f"{source} has more than {MOST_POINTS} rows", "is it a spectrum?")
    if len(numbers) < 2:
        raise InputFileError(f"{source} holds {len(numbers)} rows of numbers", "a spectrum needs at least 2")
    _check_marks(words, numbers, source)
    return {column: np.array(column_values) for column, column_values in values.items()}, numbers


def _check_marks(words: dict[int, list[str]], numbers: list[int], source: str) -> None:
    """Refuse numbers whose thousands may be marked: 12,345 beside 450.0, or beside 999 if all have three digits so.

    ``words``: the cells of each column, on the lines ``numbers``.
    """
    remedy = "write all numbers with one decimal mark, and thousands without a mark"
    first: dict[str, str] = {}
    for column in words.values():
        for word, line in zip(column, numbers, strict=True):
            mark = "," if "," in word else "." if "." in word else ""
            if mark and {",", "."} <= {*first, mark}:
                other = first["." if mark == "," else ","]
                raise InputFileError(f"{source}: line {line} has '{word[:20]}', another '{other[:20]}'", remedy)
            if mark:
                first.setdefault(mark, word)
    for column in words.values():
        marked = [word for word in column if "," in word or "." in word]
        plain = [word for word in column if _LARGE.fullmatch(word)]
        if marked and plain and all(_GROUPED.fullmatch(word) for word in marked):
            line = numbers[column.index(marked[0])]
            raise InputFileError(f"{source}: line {line} has '{marked[0]}', another '{plain[0]}': thousands?", remedy)
