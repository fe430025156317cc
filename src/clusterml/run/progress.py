"""How far work is, told to whoever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class Watch:
    """Told how a batch proceeds; this one does nothing."""

    def planned(self, total: int) -> None:
        """``total`` structures (files not yet opened count as one) are known so far."""

    def weighed(self, work: float, ahead: float) -> None:
        """The next structure is ``work``, and about ``ahead`` lies in files not yet opened: both in atoms squared."""

    def starting(self, name: str, what: str = "") -> None:
        """Work on ``name`` begins; ``what`` is done and what it costs (only without further processes)."""

    def working(self, name: str, what: str) -> None:
        """Where work on ``name`` is (only without further processes)."""
