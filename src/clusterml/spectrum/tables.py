"""CSV: writing the table of a spectrum, and reading columns of numbers with headings from any text table."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clusterml.errors import InputFileError
from clusterml.spectrum.arrays import LARGEST_VALUE
from clusterml.spectrum.files import write_text
from clusterml.spectrum.headers import AXES, QUANTITIES, quantity
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

COLUMNS = ("energy_ev", "wavelength_nm", "epsilon_l_mol_cm", "delta_epsilon_l_mol_cm", "g_abs")
"""Headings of the table; ``epsilon_std_l_mol_cm`` and ``delta_epsilon_std_l_mol_cm`` follow where they are known."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of a table by quantity (see :mod:`clusterml.spectrum.headers`), each (m,); NaN where a cell is empty.

    ``lines`` (m,): where each row stood in the file.  ``source`` names the file in messages.
    """

    source: str
    values: dict[str, FloatArray]
    lines: list[int]


def csv_text(spectrum: Spectrum) -> str:
    """The table of ``spectrum``: columns :data:`COLUMNS`, one row per energy, empty cells where a value is not known.

    Numbers have 7 significant digits; JSON keeps them in full, and ``meta`` too.
    """
    names = list(COLUMNS)
    columns = [spectrum.energy_ev, spectrum.wavelength_nm, spectrum.epsilon, spectrum.delta_epsilon, spectrum.g_abs]
    for name in ("epsilon_std", "delta_epsilon_std"):
        values = getattr(spectrum, name)
        if values is not None:
            names.append(f"{name}_l_mol_cm")
            columns.append(values)
    rows = (",".join("" if math.isnan(v) else f"{v:.7g}" for v in row) for row in zip(*columns, strict=True))
    return "\n".join([",".join(names), *rows]) + "\n"


def write_csv(spectrum: Spectrum, path: str | Path) -> Path:
    """Write :func:`csv_text` to ``path`` atomically; raises :class:`clusterml.errors.OutputError`."""
    return write_text(path, csv_text(spectrum))


def parse_table(text: str, source: str) -> Columns:
    """The columns of ``text``: one heading line, then one line per point.

    Comma, semicolon, tab or blanks separate the cells; with semicolon or tab a decimal comma is understood.  Lines that
    begin with ``#`` or ``%`` and empty lines are skipped, columns with unknown headings too.  Raises
    :class:`InputFileError` naming ``source`` and the line.
    """
    lines = [line.strip("\r ") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    numbered = [(i, line) for i, line in enumerate(lines, start=1) if line.strip() and line.lstrip()[0] not in "#%"]
    if not numbered:
        raise InputFileError(f"{source} holds no table", "give a table with a heading line and rows of numbers")
    at, heading = numbered[0]
    separator = next((mark for mark in "\t;," if mark in heading), None)
    kinds = _headings(_cells(heading, separator, f"{source}: line {at}", glue=True), f"{source}: line {at}")
    return _rows(numbered[1:], kinds, separator, source)


def _headings(cells: list[str], where: str) -> dict[int, str]:
    """Column number -> quantity, checked for an axis, an ordinate and no repetition."""
    kinds = {i: kind for i, cell in enumerate(cells) if (kind := quantity(cell))}
    shown = ", ".join(f"'{cell[:30]}'" for cell in cells[:12])
    remedy = (
        "name them like wavelength_nm or energy_ev, and epsilon, delta_epsilon (L mol-1 cm-1), "
        "absorbance, delta_absorbance or mdeg"
    )
    if not any(kind in AXES for kind in kinds.values()):
        raise InputFileError(f"{where}: no heading names an energy or a wavelength (found {shown})", remedy)
    if not any(kind in QUANTITIES for kind in kinds.values()):
        raise InputFileError(f"{where}: no heading names an absorption or CD (found {shown})", remedy)
    for kind in kinds.values():
        if list(kinds.values()).count(kind) > 1:
            raise InputFileError(f"{where}: several columns are {kind} (found {shown})", "keep one of them")
    return kinds


def _rows(rows: Iterable[tuple[int, str]], kinds: dict[int, str], separator: str | None, source: str) -> Columns:
    values: dict[str, list[float]] = {kind: [] for kind in kinds.values()}
    numbers = []
    for number, line in rows:
        where = f"{source}: line {number}"
        cells = _cells(line, separator, where)
        if len(cells) <= max(kinds):
            raise InputFileError(
                f"{where} has {len(cells)} cells where the heading has at least {max(kinds) + 1}",
                "the file is truncated or the line damaged",
            )
        for column, kind in kinds.items():
            values[kind].append(_number(cells[column], f"{where}, column {kind}", separator in ("\t", ";")))
        numbers.append(number)
    if len(numbers) < 2:
        raise InputFileError(f"{source} holds {len(numbers)} rows of numbers", "a spectrum needs at least 2")
    return Columns(source, {kind: np.array(column) for kind, column in values.items()}, numbers)


def _cells(line: str, separator: str | None, where: str, glue: bool = False) -> list[str]:
    if separator is None:
        if glue:  # "Wavelength (nm)  CD (mdeg)": a unit in brackets belongs to the word before it
            line = re.sub(r"\s+(?=[(\[])", "", line)
            line = re.sub(r"[(\[][^)\]]*[)\]]", lambda match: match[0].replace(" ", ""), line)
        return line.split()
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    except (csv.Error, StopIteration) as error:
        raise InputFileError(f"{where} cannot be split into cells: {error}", "correct the line") from error


def _number(cell: str, where: str, decimal_comma: bool) -> float:
    if not cell or cell.lower() in ("nan", "null", "na"):
        return math.nan
    word = cell.replace(",", ".") if decimal_comma else cell
    try:
        value = float(word) if "_" not in word else math.inf
    except ValueError:
        value = math.inf
    if not abs(value) < LARGEST_VALUE:
        raise InputFileError(f"{where} is '{cell[:30]}'", "give a number")
    return value
