"""Where a design starts: candidates drawn evenly over the space, or the best ones of a screen that has been run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clusterml.errors import ClusterMLError
from clusterml.schema import validated
from clusterml.screening.bench import Bench, Task
from clusterml.screening.claim import inputs_of
from clusterml.screening.config import Screen
from clusterml.screening.names import ScreeningError
from clusterml.screening.output import RANKED, RUN
from clusterml.screening.page.results import Results
from clusterml.screening.rows import Row, different
from clusterml.spectrum.files import read_text
from clusterml.spectrum.jsonio import parse_json

SPACE = ("seed", "parents", "exchanges", "conformers", "distortions", "most")
"""Keys that decide which candidate a number stands for."""
MOST_FOLDERS = 50
"""Folders that are looked into for a screen that nobody named."""


def ranked_numbers(folder: Path, screen: Screen) -> list[int]:
    """Numbers of the candidates of the screen in ``folder``, the best first.

    Raises :class:`ScreeningError` where its candidates are not those of ``screen``, and
    :class:`~clusterml.errors.InputFileError` for a folder without results.
    """
    results = Results(folder)
    other = validated(Screen, results.run["config"], str(folder / RUN))
    if not other.parents:
        raise ScreeningError(f"{folder}: its candidates were given in Python", "design one that has parents")
    changed = [key for key in SPACE if getattr(screen, key) != getattr(other, key)] + _changed(results.run, screen)
    if changed:
        raise ScreeningError(
            f"{folder}: its candidates are others than those of this configuration ({', '.join(changed)})",
            "give the configuration that was screened, or leave --from out",
        )
    return [ranked.number for ranked in results.ranked]


def folders_of(name: str, folder: Path) -> list[Path]:
    """Where results of the screen ``name`` may be: results/NAME, then those beside ``folder``, the newest first."""
    first = Path("results") / name
    beside = [path.parent for path in folder.parent.glob(f"*/{RUN}") if path.parent not in (first, folder)]
    beside.sort(key=lambda path: (path / RUN).stat().st_mtime, reverse=True)
    return [path for path in (first, *beside[:MOST_FOLDERS]) if _is_of(path, name)]


def _is_of(folder: Path, name: str) -> bool:
    """Does ``folder`` hold results of a screen called ``name``?"""
    if not (folder / RANKED).is_file():
        return False
    try:
        run = parse_json(read_text(folder / RUN), str(folder / RUN))
    except ClusterMLError:
        return False
    return run.get("name") == name


def best_rows(bench: Bench, numbers: list[int]) -> list[Row]:
    """Those of the candidates ``numbers`` that are valid, by expected values, the best first; each geometry once.

    Raises :class:`ScreeningError` if none of them is valid.
    """
    blocks = [bench.evaluate(Task(0, number, number + 1)) for number in numbers]
    rows = [row for block in blocks for row in block.rows]
    if not rows:
        reasons = [f"{drop['count']} x {reason}" for block in blocks for reason, drop in block.drops.to_dict().items()]
        examples = [example for block in blocks for example in block.drops.examples.values()]
        raise ScreeningError(
            f"none of {len(numbers)} candidates is valid: {'; '.join(dict.fromkeys(reasons))}", "".join(examples[:1])
        )
    rows.sort(key=lambda row: bench.merit.standing(row.values, certain=True).order, reverse=True)
    return different(rows, len(rows))


def _changed(run: dict[str, Any], screen: Screen) -> list[str]:
    """Files of parents and ligands that are not as they were."""
    theirs, mine = run.get("inputs", {}), inputs_of(screen, "")
    names = [name for name in {**theirs, **mine} if name.startswith(("parent ", "library "))]
    return [name for name in names if theirs.get(name) != mine.get(name)]
