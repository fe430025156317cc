"""Where the candidates of a run come from: a screen's own space, or the structures that a user's generator yields."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from clusterml.errors import StructureError
from clusterml.screening.bench import Task
from clusterml.screening.making import Dropped, Maker
from clusterml.screening.names import ScreeningError

if TYPE_CHECKING:
    from ase import Atoms


class Source(Protocol):
    """Numbered candidates in blocks."""

    total: int | None

    def tasks(self, done: Mapping[int, str], wanted: Container[int]) -> Iterator[Task]:
        """The blocks that are not ``done`` (number -> fingerprint of what was given); of those that are, candidates
        ``wanted`` will be asked for."""
        ...

    def release(self, task: Task, wanted: Callable[[], Container[int]]) -> None:
        """A block is finished: only candidates that are ``wanted`` will be asked for."""
        ...

    def geometry(self, number: int) -> Atoms:
        """The geometry of a candidate that is valid and wanted."""
        ...

    def recipe(self, number: int) -> dict[str, Any]:
        """How it was made, as plain values."""
        ...


class OwnSource:
    """The candidates of a space: made where they are evaluated, and again when they are asked for."""

    def __init__(self, maker: Maker) -> None:
        self._maker, self._space = maker, maker.space
        self.total: int | None = len(self._space)

    def tasks(self, done: Mapping[int, str], wanted: Container[int]) -> Iterator[Task]:
        """See :class:`Source`."""
        size, total = self._space.screen.block, len(self._space)
        for number in range(-(-total // size)):
            if number not in done:
                yield Task(number, number * size, min((number + 1) * size, total))

    def release(self, task: Task, wanted: Callable[[], Container[int]]) -> None:
        """See :class:`Source`; there is nothing to let go."""

    def geometry(self, number: int) -> Atoms:
        """See :class:`Source`."""
        made = self._maker.make(self._space.recipe(number))
        if isinstance(made, Dropped):
            raise StructureError(f"candidate {number}: {made.reason}: {made.example}", "run with the same version")
        return made

    def recipe(self, number: int) -> dict[str, Any]:
        """See :class:`Source`."""
        return self._space.recipe(number).to_dict(self._space.screen)


class UsersSource:
    """The structures of any iterable, in its order; on --resume it must yield the same ones again."""

    def __init__(self, candidates: Iterable[Atoms], block: int) -> None:
        self._candidates, self._block = candidates, block
        self._held: dict[int, Atoms] = {}
        self.total: int | None = None

    def tasks(self, done: Mapping[int, str], wanted: Container[int]) -> Iterator[Task]:
        """See :class:`Source`; raises :class:`ScreeningError` where a block that is done does not come again."""
        iterator, number, start = iter(self._candidates), 0, 0
        while given := tuple(islice(iterator, self._block)):
            task = Task(number, start, start + len(given), given)
            self._held |= dict(enumerate(given, start=start))
            if number not in done:
                yield task
            elif task.fingerprint != done[number]:
                raise _other(f"candidates {task.start} to {task.stop - 1} are not those that were screened before")
            else:
                self._keep(task, wanted)
            number, start = number + 1, task.stop
        if any(each >= number for each in done):
            raise _other(f"there are {start} candidates, fewer than were screened before")

    def release(self, task: Task, wanted: Callable[[], Container[int]]) -> None:
        """See :class:`Source`."""
        self._keep(task, wanted())

    def _keep(self, task: Task, wanted: Container[int]) -> None:
        for number in range(task.start, task.stop):
            if number not in wanted:
                self._held.pop(number, None)

    def geometry(self, number: int) -> Atoms:
        """See :class:`Source`."""
        if number not in self._held:
            raise _other(f"candidate {number} did not come again")
        return self._held[number].copy()

    def recipe(self, number: int) -> dict[str, Any]:
        """See :class:`Source`: a name, and the history that the structure carries."""
        atoms = self.geometry(number)
        return {"name": str(atoms.info.get("name") or ""), "provenance": atoms.info.get("provenance", {})}


def _other(problem: str) -> ScreeningError:
    return ScreeningError(problem, "give the same candidates in the same order on --resume")
