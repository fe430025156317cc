"""Reading JCAMP-DX: the plain (AFFN) blocks of single-block and LINK files, ours or an instrument's."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np

from clusterml.errors import InputFileError
from clusterml.spectrum.arrays import LARGEST_VALUE
from clusterml.spectrum.headers import quantity
from clusterml.typing import FloatArray

MOST_POINTS = 1_000_000
"""Largest number of points in a block."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,4})?")
_FORMATS = {"(X++(Y..Y))": False, "(XY..XY)": True}


@dataclass(eq=False)
class Block:
    """One block: its labels (upper case, without blanks, hyphens and underscores) and its points.

    ``x`` and ``y`` (m,) in the units the labels name (factors applied); ``first_line``: where the data begin.
    """

    labels: dict[str, str] = field(default_factory=dict)
    first_line: int = 0
    layout: str = ""
    rows: list[tuple[int, str]] = field(default_factory=list)
    x: FloatArray = field(default_factory=lambda: np.zeros(0))
    y: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def axis(self) -> str | None:
        """What x is: ``energy_ev``, ``wavelength_nm``, ``wavenumber_cm``, or None."""
        return quantity(self.labels.get("XUNITS", ""))

    @property
    def ordinate(self) -> str | None:
        """What y is (see :mod:`clusterml.spectrum.headers`), or ``log_epsilon``, or None."""
        named = self.labels.get("$CLUSTERMLQUANTITY")
        unit = self.labels.get("YUNITS", "")
        if re.fullmatch(r"log(arithm|10)?\W*(epsilon|molar absorptivity)", unit.strip(), re.IGNORECASE):
            return "log_epsilon"
        return quantity(named or unit)


def parse_jcamp(text: str, source: str) -> list[Block]:
    """The blocks of ``text`` that hold data, in order.

    Raises :class:`InputFileError` naming ``source`` and the line: no data, compressed (ASDF) ordinates, a line that is
    no list of numbers, or fewer points than the file says.
    """
    stack = [Block()]
    found: list[Block] = []
    current = ""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        line = line.split("$$")[0].strip()
        if line.startswith("##"):
            current, value = _label(line, f"{source}: line {number}")
            if current == "TITLE" and stack[-1].labels:
                stack.append(Block())
            _take(stack[-1], current, value, number)
            if current == "END" and len(stack) > 1:
                found.append(stack.pop())
        elif line and current in ("XYDATA", "XYPOINTS"):
            stack[-1].rows.append((number, line))
    blocks = [block for block in [*found, *reversed(stack)] if block.layout]
    if not blocks:
        raise InputFileError(f"{source} holds no XYDATA and no XYPOINTS", "give a JCAMP-DX file with a spectrum")
    for block in blocks:
        _fill(block, source)
    return blocks


def _label(line: str, where: str) -> tuple[str, str]:
    name, equals, value = line[2:].partition("=")
    if not equals:
        raise InputFileError(f"{where} is '{line[:40]}'", "a label is written ##NAME=value")
    return re.sub(r"[\s\-_/]", "", name).upper(), value.strip()


def _take(block: Block, name: str, value: str, number: int) -> None:
    if name in ("XYDATA", "XYPOINTS") and not block.layout:
        block.layout, block.first_line = re.sub(r"\s", "", value).upper() or "?", number
    block.labels.setdefault(name, value)


def _fill(block: Block, source: str) -> None:
    """Parse the rows of ``block`` into x and y."""
    where = f"{source}: line {block.first_line}"
    if block.layout not in _FORMATS:
        raise InputFileError(f"{where}: the data are {block.layout[:30]}", "export as (X++(Y..Y)) or (XY..XY)")
    x_factor, y_factor = _value(block, "XFACTOR", 1.0, source), _value(block, "YFACTOR", 1.0, source)
    if _FORMATS[block.layout]:
        pairs = _pairs(block, source)
        block.x, block.y = x_factor * pairs[:, 0], y_factor * pairs[:, 1]
    else:
        ordinates = np.array([y for number, row in block.rows for y in _numbers(row, f"{source}: line {number}")[1:]])
        block.x = np.linspace(
            _value(block, "FIRSTX", None, source), _value(block, "LASTX", None, source), max(len(ordinates), 2)
        )
        block.y = y_factor * ordinates
    stated = _value(block, "NPOINTS", float(len(block.y)), source)
    if stated != len(block.y):
        raise InputFileError(f"{where}: NPOINTS is {stated:g}, but there are {len(block.y)} points", "is it truncated?")
    if len(block.y) < 2:
        raise InputFileError(f"{where}: the block holds {len(block.y)} points", "a spectrum needs at least 2")
    kept = ~np.isnan(block.y) | (block.ordinate or "").endswith("_std")  # an error may be unknown, a value may not
    block.x, block.y = block.x[kept], block.y[kept]
    if len(block.y) < 2:
        raise InputFileError(f"{where}: all points are marked as missing", "give a block with data")


def _pairs(block: Block, source: str) -> FloatArray:
    pairs: list[float] = []
    for number, row in block.rows:
        values = _numbers(row, f"{source}: line {number}")
        if len(values) % 2:
            raise InputFileError(f"{source}: line {number} holds {len(values)} numbers", "points are pairs x, y")
        pairs.extend(values)
    points: FloatArray = np.array(pairs).reshape(-1, 2)
    return points[~np.isnan(points[:, 0])]


def _numbers(row: str, where: str) -> list[float]:
    """The numbers of a line, with or without blanks before a sign; ``?`` is a missing value (NaN)."""
    if re.sub(r"[\s,;?]", "", _NUMBER.sub("", row)):
        raise InputFileError(
            f"{where} is not plain numbers: '{row[:30]}'", "export without compression (AFFN, not SQZ, DIF or DUP)"
        )
    values = [math.nan if word == "?" else float(word) for word in re.findall(rf"\?|{_NUMBER.pattern}", row)]
    if any(abs(value) >= LARGEST_VALUE for value in values):
        raise InputFileError(f"{where} holds an absurdly large number: '{row[:30]}'", "the line is damaged")
    return values


def _value(block: Block, name: str, default: float | None, source: str) -> float:
    if name not in block.labels and default is not None:
        return default
    text = block.labels.get(name, "")
    try:
        value = float(text.replace(",", ".")) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    largest = MOST_POINTS if name == "NPOINTS" else LARGEST_VALUE
    if not abs(value) < largest:
        raise InputFileError(f"{source}: line {block.first_line}: ##{name}= is '{text[:20]}'", "give a number")
    return value
