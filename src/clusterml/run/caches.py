"""The last few results of something expensive, by key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from copy import copy
from typing import TypeVar

from clusterml.errors import ClusterMLError, InputFileError, OutputError

T = TypeVar("T")


class Cache(OrderedDict[Hashable, T | ClusterMLError]):
    """At most ``most`` results; the one that was not asked for longest goes first.  A refusal is a result, too."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def find(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result for ``key``, made if it is not kept any more.

        Raises the :class:`ClusterMLError` that ``make`` raises, again without making (but for an :class:`OutputError`
        or :class:`InputFileError`, which may pass: a full disk).
        """
        if key not in self:
            self[key] = _outcome(make)
            if len(self) > self._most:
                self.popitem(last=False)
        self.move_to_end(key)
        result = self[key]
        if isinstance(result, ClusterMLError):
            raise copy(result)  # what is kept must not gather the frames that it passes
        return result


def _outcome(make: Callable[[], T]) -> T | ClusterMLError:
    try:
        return make()
    except (OutputError, InputFileError):
        raise
    except ClusterMLError as error:
        return copy(error)  # without traceback and cause, which hold on to what was in use
