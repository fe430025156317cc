"""What a user types as ranges of amounts, and several structures in one result, some of which do not exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from clusterml.errors import OptionError

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.errors import StructureError


MOST = 100_000
"""Longest range that is accepted."""


def linear(text: str, option: str) -> list[float]:
    """``LOW:HIGH:COUNT`` as COUNT evenly spaced numbers from LOW to HIGH.  Raises :class:`OptionError`."""
    words = text.split(":")
    try:
        low, high, count = float(words[0]), float(words[1]), int(words[2])
    except (ValueError, IndexError) as error:
        raise OptionError(f"{option} is {text!r}", "give LOW:HIGH:COUNT, e.g. -20:20:41") from error
    if len(words) != 3 or not 1 <= count <= MOST or not abs(low) + abs(high) < 1e9:
        raise OptionError(f"{option} is {text!r}", f"give LOW:HIGH:COUNT with a count from 1 to {MOST}")
    middle = [low + (high - low) * k / max(count - 1, 1) for k in range(count)]
    exact = [0.0 if abs(x) < 1e-12 * (abs(low) + abs(high)) else x for x in middle]
    return [round(x, 12) for x in exact]


def stepped(text: str, option: str) -> list[int]:
    """``FIRST:LAST:STEP`` (or ``FIRST:LAST``) as whole numbers, both ends included.

    Raises :class:`OptionError`, also where the steps miss the last.
    """
    words = text.split(":")
    try:
        numbers = [int(word) for word in words]
    except ValueError as error:
        raise OptionError(f"{option} is {text!r}", "give FIRST:LAST:STEP, e.g. 0:20:1") from error
    first, last, step = (*numbers, 1) if len(numbers) == 2 else (*numbers, 0, 0)[:3]
    if len(numbers) not in (2, 3) or step < 1 or last < first or last - first > MOST:
        raise OptionError(f"{option} is {text!r}", "give FIRST:LAST:STEP with a positive step, e.g. 0:20:1")
    if left := (last - first) % step:
        near = f"end it at {last - left} or {last - left + step}"
        raise OptionError(f"{option} is {text!r}: steps of {step} from {first} do not come to {last}", near)
    return list(range(first, last + 1, step))


def listed(text: str, option: str) -> list[int]:
    """``1,4,7`` as whole numbers.  Raises :class:`OptionError`."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise OptionError(f"{option} is {text!r}", "give whole numbers with commas, e.g. 1,4,7") from error


def vector(text: str, option: str) -> tuple[float, float, float]:
    """``0,0,1`` as three numbers.  Raises :class:`OptionError`."""
    try:
        x, y, z = (float(word) for word in text.split(","))
    except ValueError as error:
        raise OptionError(f"{option} is {text!r}", "give three numbers with commas, e.g. 0,0,1") from error
    return x, y, z


def factors(words: list[str], option: str, form: str = "ELEMENT=NUMBER, e.g. Ag=0.5") -> dict[str, float]:
    """``["Ag=0.5", "H=1"]`` as a dictionary; raises :class:`OptionError`, which names the ``form``, and for a name that
    is given twice."""
    pairs: dict[str, float] = {}
    for word in words:
        name, _, value = (part.strip() for part in word.partition("="))
        if name in pairs:
            raise OptionError(f"{option} gives {name} twice", "give each name once")
        try:
            pairs[name] = float(value)
        except ValueError as error:
            raise OptionError(f"{option} is {word!r}", f"give {form}") from error
    return pairs


MOST_REFUSED = 20
"""Structures that do not exist and are named one by one."""


def kept_and_refused(
    names: Sequence[str], made: Sequence[Atoms | StructureError]
) -> tuple[list[Atoms], list[tuple[str, StructureError]]]:
    """The structures, and name and error of the others; raises the first error if there is no structure at all."""
    from clusterml.errors import StructureError

    refused = [(name, each) for name, each in zip(names, made, strict=True) if isinstance(each, StructureError)]
    frames = [frame for frame in made if not isinstance(frame, StructureError)]
    if refused and not frames:
        raise refused[0][1]
    return frames, refused


def end_with_refused(refused: Sequence[tuple[str, StructureError]], count: int) -> None:
    """Say on stderr which of ``count`` structures do not exist and why, and end with exit code 1; nothing if all do."""
    if not refused:
        return
    for name, error in refused[:MOST_REFUSED]:
        typer.echo(f"error: {error}" if name in str(error) else f"error: {name}: {error}", err=True)
    rest = len(refused) - MOST_REFUSED
    if rest > 0:
        typer.echo(f"error: and {rest} more: {', '.join(name for name, _ in refused[MOST_REFUSED:])}", err=True)
    typer.echo(f"{len(refused)} of {count} structures do not exist and were left out", err=True)
    raise typer.Exit(1)
