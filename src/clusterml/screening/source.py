"""Where the candidates of a run come from: the space of the screen, or an iterable of the user."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from clusterml.errors import ScreeningError, StructureError
from clusterml.screening.bench import BlockTask
from clusterml.screening.making import Maker, Rejection

if TYPE_CHECKING:
    from ase import Atoms


class Source(Protocol):
    """Numbered candidates in blocks."""

    total: int | None

    def tasks(self, finished: Mapping[int, str], numbers: Container[int]) -> Iterator[BlockTask]:
        """The blocks that are not yet ``finished`` (number -> fingerprint of the user's structures).

        Of the finished blocks, the candidates ``numbers`` will be asked for.
        """
        ...

    def release(self, task: BlockTask, numbers: Callable[[], Container[int]]) -> None:
        """A block is finished: of its candidates only ``numbers`` will be asked for."""
        ...

    def geometry(self, number: int) -> Atoms:
        """The geometry of a valid candidate among these numbers."""
        ...

    def recipe(self, number: int) -> dict[str, Any]:
        """How a candidate was made, as plain values."""
        ...


class OwnSource:
    """The candidates of a space: made where they are evaluated, and again when they are asked for."""

    def __init__(self, maker: Maker) -> None:
        self._maker, self._space = maker, maker.space
        self.total: int | None = len(self._space)

    def tasks(self, finished: Mapping[int, str], numbers: Container[int]) -> Iterator[BlockTask]:
        """See :class:`Source`."""
        size, total = self._space.screen.block, len(self._space)
        for block in range(-(-total // size)):
            if block not in finished:
                yield BlockTask(block, block * size, min((block + 1) * size, total))

    def release(self, task: BlockTask, numbers: Callable[[], Container[int]]) -> None:
        """See :class:`Source`; nothing is held."""

    def geometry(self, number: int) -> Atoms:
        """See :class:`Source`."""
        atoms = self._maker.make(self._space.recipe(number))
        if isinstance(atoms, Rejection):
            raise StructureError(f"candidate {number}: {atoms.reason}: {atoms.example}", "run with the same version")
        return atoms

    def recipe(self, number: int) -> dict[str, Any]:
        """See :class:`Source`."""
        return self._space.recipe(number).to_dict(self._space.screen)


class UsersSource:
    """The structures of any iterable, in its order; on --resume it must yield the same ones again."""

    def __init__(self, candidates: Iterable[Atoms], block: int) -> None:
        self._candidates, self._block = candidates, block
        self._held: dict[int, Atoms] = {}
        self.total: int | None = None

    def tasks(self, finished: Mapping[int, str], numbers: Container[int]) -> Iterator[BlockTask]:
        """See :class:`Source`; raises :class:`ScreeningError` where a finished block does not come again."""
        iterator, number, start = iter(self._candidates), 0, 0
        while structures := tuple(islice(iterator, self._block)):
            task = BlockTask(number, start, start + len(structures), structures)
            self._held |= dict(enumerate(structures, start=start))
            if number not in finished:
                yield task
            elif task.fingerprint != finished[number]:
                raise _mismatch(f"candidates {task.start} to {task.stop - 1} are not those that were screened before")
            else:
                self._keep(task, numbers)
            number, start = number + 1, task.stop
        if any(block >= number for block in finished):
            raise _mismatch(f"there are {start} candidates, fewer than were screened before")

    def release(self, task: BlockTask, numbers: Callable[[], Container[int]]) -> None:
        """See :class:`Source`."""
        self._keep(task, numbers())

    def _keep(self, task: BlockTask, numbers: Container[int]) -> None:
        for number in range(task.start, task.stop):
            if number not in numbers:
                self._held.pop(number, None)

    def geometry(self, number: int) -> Atoms:
        """See :class:`Source`."""
        if number not in self._held:
            raise _mismatch(f"candidate {number} did not come again")
        return self._held[number].copy()

    def recipe(self, number: int) -> dict[str, Any]:
        """See :class:`Source`: a name, and the history that the structure carries."""
        atoms = self.geometry(number)
        return {"name": str(atoms.info.get("name") or ""), "provenance": atoms.info.get("provenance", {})}


def _mismatch(problem: str) -> ScreeningError:
    return ScreeningError(problem, "give the same candidates in the same order on --resume")
