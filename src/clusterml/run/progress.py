"""How far work is, told to whoever shows it: the states, and the contract of a reporter."""

from __future__ import annotations

from dataclasses import dataclass

from clusterml.errors import duration


@dataclass(frozen=True)
class State:
    """``done`` of ``total`` (None: not known) things of a ``stage``, and ``words`` about it.

    ``work``: finished and ahead, in any unit, where the things are so unlike that their number does not tell the end.
    """

    stage: str
    done: int = 0
    total: int | None = None
    words: str = ""
    work: tuple[float, float] | None = None

    def line(self, seconds: float = 0.0, before: int = 0) -> str:
        """``jobs: 12 of 40; 3 rejected; 25/h, 1 h 07 min left``, ``seconds`` after it began with ``before`` done."""
        count = f" {self.done}" if self.done or self.total is not None else ""
        count += f" of {self.total}" if self.total is not None else ""
        parts = [f"{self.stage}:{count}" if count else self.stage, self.words, self._pace(seconds, before)]
        return "; ".join(part for part in parts if part)

    def _pace(self, seconds: float, before: int) -> str:
        rate = (self.done - before) / seconds if seconds > 0.0 else 0.0
        if not rate or self.total is None or self.done >= self.total:
            return ""
        left = (self.total - self.done) / rate
        if self.work is not None and self.work[0] > 0.0:
            left = seconds * self.work[1] / self.work[0]
        return f"{_per_time(rate)}, {duration(left)} left"


def _per_time(rate: float) -> str:
    for factor, unit in ((1.0, "s"), (60.0, "min")):
        if rate * factor >= 1.0:
            return f"{rate * factor:.3g}/{unit}"
    return f"{3600.0 * rate:.2g}/h"


SECONDS_BETWEEN_STARTS = 2.0
"""Between two lines that say that something begins: quick things do not each get one."""


class Reporter:
    """Is told how far work is; this one keeps it to itself, and :mod:`clusterml.cli.progress` shows it."""

    def show(self, state: State, *, after: float | None = None) -> None:
        """The work is at ``state``; a line may say so ``after`` so many seconds without any, default half a minute."""

    def note(self, words: str, *, after: float | None = None) -> None:
        """The work is at the state shown last, and ``words`` say what is being done; ``after``: see :meth:`show`."""


SILENT = Reporter()
"""Where nobody wants to know."""
