"""The compressed numbers of JCAMP-DX (ASDF): signs, first digits, differences and repetitions written as letters.

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

from clusterml.errors import InputFileError

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
class _Run:
    """The ordinates so far; ``step`` is the last difference, None after a value."""

    values: list[float] = field(default_factory=list)
    step: float | None = None

    def add(self, token: str, where: str) -> None:
        """Take the next item."""
        head, rest = token[0], token[1:]
        if head in _DUP:
            self._repeat(int(_DUP[head] + rest), where)
        elif head in _DIF:
            self.step = _value(_DIF[head] + rest, where)
            self._append(self.step)
        else:
            self.values.append(math.nan if head == "?" else _value(_SQZ[head] + rest if head in _SQZ else token, where))
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
    run, starts = _Run(), []
    for number, row in rows:
        where = f"{source}: line {number}"
        tokens = _tokens(row, where)
        check = run.step is not None
        starts.append((number, len(run.values) - check, _value(tokens[0], where)))
        if check and len(tokens) > 1:
            repeated = _Run()
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


def _value(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputFileError(f"{where} holds '{text[:20]}'", "a number is expected") from error
