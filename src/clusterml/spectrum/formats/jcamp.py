"""JCAMP-DX 4.24 and 5: single blocks and LINK files, plain (AFFN) and compressed (ASDF) ordinates.

PAC: ``+12-3``.  SQZ: a letter is sign and first digit (``@`` 0, ``A-I`` 1 to 9, ``a-i`` -1 to -9).  DIF: the same for
the difference from the ordinate before (``%``, ``J-R``, ``j-r``).  DUP: how often the last item stands there (``S-Z``
1 to 8, ``s`` 9).  A line after one that ended in a difference begins with that line's last ordinate, as a check.
R. S. McDonald, P. A. Wilks, Appl. Spectrosc. 42 (1988) 151.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from clusterml.errors import InputFileError, OptionError
from clusterml.io.words import is_whole
from clusterml.spectrum.curves import LARGEST_VALUE
from clusterml.spectrum.formats.assemble import SpectrumBlock, assemble
from clusterml.spectrum.formats.format import SpectrumFormat
from clusterml.spectrum.formats.headers import AXES, QUANTITIES, UNSTATED, Meaning, companion, meaning
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

LONGEST_RUN = 1_000_000
"""Most ordinates that a block may unfold to."""
CHECK_TOLERANCE = 1e-6
"""Relative difference allowed between a check value and the ordinate it repeats."""
_PLAIN = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]\d{1,3})?"
_TOKEN = re.compile(rf"\?|[@A-Ia-i%J-Rj-r][\d.]*|[S-Zs]\d*|{_PLAIN}")
_SQZ = {letter: str(i) for i, letter in enumerate("@ABCDEFGHI")} | {
    letter: str(-i) for i, letter in enumerate("abcdefghi", start=1)
}
_DIF = {letter: str(i) for i, letter in enumerate("%JKLMNOPQR")} | {
    letter: str(-i) for i, letter in enumerate("jklmnopqr", start=1)
}
_DUP = {letter: str(i) for i, letter in enumerate("STUVWXYZs", start=1)}


@dataclass
class _OrdinateDecoder:
    """The ordinates so far; ``step`` is the last difference, None after a value."""

    values: list[float] = field(default_factory=list)
    step: float | None = None

    def add(self, token: str, where: str) -> None:
        """Take the next item."""
        head, rest = token[0], token[1:]
        if head in _DUP:
            count = _DUP[head] + rest
            if not is_whole(count):
                raise InputFileError(f"{where}: '{token[:20]}' is no number of repeats", "is the file damaged?")
            self._repeat(int(count), where)
        elif head in _DIF:
            self.step = _digits_value(_DIF[head] + rest, where)
            self._append(self.step)
        else:
            self.values.append(
                math.nan if head == "?" else _digits_value(_SQZ[head] + rest if head in _SQZ else token, where)
            )
            self.step = None

    def _repeat(self, count: int, where: str) -> None:
        if not self.values or not 1 <= count <= LONGEST_RUN - len(self.values):
            raise InputFileError(f"{where} repeats nothing, or absurdly often", "the line is damaged")
        for _ in range(count - 1):
            if self.step is None:
                self.values.append(self.values[-1])
            else:
                self._append(self.step)

    def _append(self, step: float) -> None:
        self.values.append((self.values[-1] if self.values else 0.0) + step)


def unfold(rows: Iterable[tuple[int, str]], source: str) -> tuple[list[float], list[tuple[int, int, float]]]:
    """The ordinates of compressed (X++(Y..Y)) ``rows`` (line number, text).

    Besides: line number, index of its first ordinate, and abscissa of every row.  Raises :class:`InputFileError` naming
    ``source`` and the line: what is no number, a check value that does not fit.
    """
    run, starts = _OrdinateDecoder(), []
    for number, row in rows:
        where = f"{source}: line {number}"
        tokens = _tokens(row, where)
        check = run.step is not None
        starts.append((number, len(run.values) - check, _digits_value(tokens[0], where)))
        if check and len(tokens) > 1:
            repeated = _OrdinateDecoder()
            repeated.add(tokens.pop(1), where)
            if not math.isclose(repeated.values[0], run.values[-1], rel_tol=CHECK_TOLERANCE, abs_tol=CHECK_TOLERANCE):
                raise InputFileError(
                    f"{where} begins with {repeated.values[0]:g}, but the line before ended at {run.values[-1]:g}",
                    "a line is missing or damaged",
                )
            run.step = None
        for token in tokens[1:]:
            run.add(token, where)
        if len(run.values) > LONGEST_RUN:
            raise InputFileError(f"{where}: more than {LONGEST_RUN} points", "is it a spectrum?")
    return run.values, starts


def _tokens(row: str, where: str) -> list[str]:
    tokens = _TOKEN.findall(row)
    if re.sub(r"[\s,;]", "", _TOKEN.sub("", row)) or not tokens:
        raise InputFileError(f"{where} is neither plain nor compressed numbers: '{row[:30]}'", "the line is damaged")
    return tokens


def _digits_value(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputFileError(f"{where} holds '{text[:20]}'", "a number is expected") from error


MOST_POINTS = 1_000_000
"""Largest number of points in a block."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,4})?")
_FORMATS = {"(X++(Y..Y))": False, "(XY..XY)": True}


@dataclass(eq=False)
class _JcampBlock:
    """A block of the file: its labels (upper case, without blanks, hyphens and underscores) and its rows of data.

    ``first_line``: where the data begin.
    """

    labels: dict[str, str] = field(default_factory=dict)
    first_line: int = 0
    layout: str = ""
    rows: list[tuple[int, str]] = field(default_factory=list)

    @property
    def axis(self) -> Meaning | None:
        """What x is, None if that is unknown."""
        axis = meaning(self.labels.get("XUNITS", ""))
        return axis if axis and axis.quantity in AXES else None

    @property
    def ordinate(self) -> Meaning | None:
        """What y is, None if that is unknown."""
        ordinate = meaning(self.labels.get("$CLUSTERMLQUANTITY") or self.labels.get("YUNITS", ""))
        if ordinate is None or (companion(ordinate.quantity) or ordinate.quantity) not in {*QUANTITIES, *UNSTATED}:
            return None
        return ordinate


def recognises(text: str) -> bool:
    """Does ``text`` begin with a label, comments aside?"""
    head = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("$$")), "")
    return re.match(r"\s*##[^=]*=", head) is not None


def read(text: str, source: str, settings: ReadSettings) -> Spectrum:
    """The spectrum of JCAMP-DX text.

    Raises :class:`InputFileError` naming ``source`` and the line: no data, damaged numbers, fewer points than the file
    says; :class:`OptionError` naming the option that is missing or would change nothing.
    """
    if settings.columns is not None:
        raise OptionError(f"{source} is JCAMP-DX: {settings.option('columns')} would change nothing", "leave it out")
    return assemble(parse(text, source), source, settings, _meta(text))


def parse(text: str, source: str) -> list[SpectrumBlock]:
    """The spectra of JCAMP-DX text, in order; errors as :func:`read`."""
    parts = _parts(text, source)
    readable = [(part, axis, ordinate) for part in parts if (axis := part.axis) and (ordinate := part.ordinate)]
    if not readable:
        units = [f"{p.labels.get('XUNITS', '?')[:20]} / {p.labels.get('YUNITS', '?')[:20]}" for p in parts]
        raise InputFileError(
            f"{source} holds no absorption or CD block in known units (found {'; '.join(units[:4])})",
            "known are NANOMETERS, EV, 1/CM and MOLAR ABSORPTIVITY, ABSORBANCE, DELTA EPSILON, MDEG",
        )
    return _with_deviations([_block(part, axis, ordinate, source) for part, axis, ordinate in readable])


def _parts(text: str, source: str) -> list[_JcampBlock]:
    stack = [_JcampBlock()]
    ended: list[_JcampBlock] = []
    current = ""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        line = line.split("$$")[0].strip()
        if line.startswith("##"):
            current, value = _label(line, f"{source}: line {number}")
            if current == "TITLE" and stack[-1].labels:
                stack.append(_JcampBlock())
            _take(stack[-1], current, value, number)
            if current == "END" and len(stack) > 1:
                ended.append(stack.pop())
        elif line and current in ("XYDATA", "XYPOINTS"):
            stack[-1].rows.append((number, line))
    parts = sorted((part for part in [*ended, *stack] if part.layout), key=lambda part: part.first_line)
    if not parts:
        raise InputFileError(f"{source} holds no XYDATA and no XYPOINTS", "give a JCAMP-DX file with a spectrum")
    return parts


def _with_deviations(blocks: list[SpectrumBlock]) -> list[SpectrumBlock]:
    """Blocks of errors joined to the block before them that holds their quantity."""
    joined: list[SpectrumBlock] = []
    for block in blocks:
        kind = next(iter(block.columns))
        of = companion(kind)
        if of is None:
            joined.append(block)
            continue
        partner = next((b for b in reversed(joined) if of in b.columns and kind not in b.columns), None)
        if partner is not None and partner.axis == block.axis:
            order = np.argsort(block.x)
            partner.columns[kind] = np.interp(
                partner.x, block.x[order], block.columns[kind][order], left=np.nan, right=np.nan
            )
    return joined


def _label(line: str, where: str) -> tuple[str, str]:
    name, equals, value = line[2:].partition("=")
    if not equals:
        raise InputFileError(f"{where} is '{line[:40]}'", "a label is written ##NAME=value")
    return re.sub(r"[\s\-_/]", "", name).upper(), value.strip()


def _take(block: _JcampBlock, name: str, value: str, number: int) -> None:
    if name in ("XYDATA", "XYPOINTS") and not block.layout:
        block.layout, block.first_line = re.sub(r"\s", "", value).upper() or "?", number
    block.labels.setdefault(name, value)


def _block(part: _JcampBlock, axis: Meaning, ordinate: Meaning, source: str) -> SpectrumBlock:
    """The points of ``part`` without those that are marked as missing."""
    place = f"{source}: line {part.first_line}"
    if part.layout not in _FORMATS:
        raise InputFileError(f"{place}: the data are {part.layout[:30]}", "export as (X++(Y..Y)) or (XY..XY)")
    if "NPOINTS" not in part.labels:
        _check_commas(part, source)
    x, y, lines = (_pairs if _FORMATS[part.layout] else _equidistant)(part, source)
    stated = _value(part, "NPOINTS", float(len(y)), source)
    if stated != len(y):
        raise InputFileError(f"{place}: NPOINTS is {stated:g}, but there are {len(y)} points", "is it truncated?")
    if len(y) < 2:
        raise InputFileError(f"{place}: the block holds {len(y)} points", "a spectrum needs at least 2")
    valid = ~np.isnan(y) | (companion(ordinate.quantity) is not None)  # an error may be unknown, a value may not
    if np.count_nonzero(valid) < 2:
        raise InputFileError(f"{place}: all points are marked as missing", "give a block with data")
    values = ordinate.scaled(y[valid])
    if not (np.abs(values[~np.isnan(values)]) < LARGEST_VALUE).all():
        raise InputFileError(f"{place}: ordinates are absurdly large", "is ##YFACTOR= right?")
    numbers = [line for line, keep in zip(lines, valid, strict=True) if keep]
    return SpectrumBlock(
        part.labels.get("TITLE", ""), axis.quantity, axis.scaled(x[valid]), {ordinate.quantity: values}, numbers
    )


def _check_commas(part: _JcampBlock, source: str) -> None:
    """Refuse rows in which commas may be decimal ones: "400 0,1 0,2", without a point anywhere."""
    if any("." in row for _, row in part.rows):
        return
    for number, row in part.rows:
        if re.search(r"\d,\d", row) and re.search(r"\d\s+[-+\d]", row):
            raise InputFileError(
                f"{source}: line {number} has commas and blanks between its numbers",
                "write decimal points, or give ##NPOINTS= if the commas separate numbers",
            )


def _equidistant(part: _JcampBlock, source: str) -> tuple[FloatArray, FloatArray, list[int]]:
    """x, y and line numbers of (X++(Y..Y)), whose abscissas follow from the ends."""
    plain = all(_is_plain(row) for _, row in part.rows)
    if plain:
        ordinates: list[float] = []
        starts = []
        for number, row in part.rows:
            values = _numbers(row, f"{source}: line {number}")
            if not values:  # separators alone
                continue
            first, *row_ordinates = values
            starts.append((number, len(ordinates), first))
            ordinates += row_ordinates
    else:
        ordinates, starts = unfold(part.rows, source)
    ends = _value(part, "FIRSTX", None, source), _value(part, "LASTX", None, source)
    x = np.linspace(*ends, max(len(ordinates), 2))[: len(ordinates)]
    _check_abscissas(x, starts, _value(part, "XFACTOR", 1.0, source), source)
    edges = np.array([start for _, start, _ in starts])
    numbers = [starts[i][0] for i in np.searchsorted(edges, np.arange(len(x)), side="right") - 1]
    return x, _value(part, "YFACTOR", 1.0, source) * np.array(ordinates), numbers


def _check_abscissas(x: FloatArray, starts: list[tuple[int, int, float]], factor: float, source: str) -> None:
    """Every row says where it begins: a row that is lost or damaged shifts all that follow."""
    step = float(np.abs(x[1] - x[0])) if len(x) > 1 else 0.0
    for number, start, stated in starts:
        if 0 <= start < len(x) and not abs(factor * stated - x[start]) <= 1.5 * step + 1e-3 * abs(x[start]):
            raise InputFileError(
                f"{source}: line {number} begins at x = {factor * stated:g} where {x[start]:g} is expected",
                "a line is missing or damaged, or FIRSTX, LASTX or XFACTOR is wrong",
            )


def _pairs(part: _JcampBlock, source: str) -> tuple[FloatArray, FloatArray, list[int]]:
    """x, y and line numbers of (XY..XY)."""
    pairs: list[float] = []
    lines: list[int] = []
    for number, row in part.rows:
        values = _numbers(row, f"{source}: line {number}")
        if len(values) % 2:
            raise InputFileError(f"{source}: line {number} holds {len(values)} numbers", "points are pairs x, y")
        pairs.extend(values)
        lines += [number] * (len(values) // 2)
    points: FloatArray = np.array(pairs).reshape(-1, 2)
    valid = ~np.isnan(points[:, 0])
    x, y = points[valid].T
    numbers = [line for line, keep in zip(lines, valid, strict=True) if keep]
    return _value(part, "XFACTOR", 1.0, source) * x, _value(part, "YFACTOR", 1.0, source) * y, numbers


def _is_plain(row: str) -> bool:
    """Nothing but numbers, question marks and separators?"""
    return not re.sub(r"[\s,;?]", "", _NUMBER.sub("", row))


def _numbers(row: str, where: str) -> list[float]:
    """The numbers of a line, with or without blanks before a sign; ``?`` is a missing value (NaN)."""
    if not _is_plain(row):
        raise InputFileError(f"{where} is not plain numbers: '{row[:30]}'", "the line is damaged")
    values = [math.nan if word == "?" else float(word) for word in re.findall(rf"\?|{_NUMBER.pattern}", row)]
    if any(abs(value) >= LARGEST_VALUE for value in values):
        raise InputFileError(f"{where} holds an absurdly large number: '{row[:30]}'", "the line is damaged")
    return values


def _value(block: _JcampBlock, name: str, default: float | None, source: str) -> float:
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


def _meta(text: str) -> dict[str, object]:
    """What our own writer says about broadening and gauge."""
    meta: dict[str, object] = {}
    for line in text.splitlines()[:40]:
        if line.startswith("##$CLUSTERML ") and "QUANTITY" not in line:
            key, _, value = line.removeprefix("##$CLUSTERML ").partition("=")
            meta[key.strip().lower()] = value.strip()
    meta.pop("warnings", None)  # not a key of our own writer
    try:
        meta["fwhm_ev"] = float(str(meta["fwhm_ev"]))
    except (KeyError, ValueError):
        meta.pop("fwhm_ev", None)
    return meta


FORMATS = (SpectrumFormat("JCAMP-DX", recognises, read),)
