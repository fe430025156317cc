"""The last few results of something expensive, by key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")


class Kept(OrderedDict[Hashable, T]):
    """At most ``most`` results; the one that was not asked for longest goes first."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def find(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result for ``key``, made if it is not kept any more."""
        if key not in self:
            self[key] = make()
            if len(self) > self._most:
                self.popitem(last=False)
        self.move_to_end(key)
        return self[key]
