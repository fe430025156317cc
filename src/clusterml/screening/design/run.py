"""Inverse design from beginning to end: where it starts, the best improved step by step, verified by the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from clusterml.config.schema import validated
from clusterml.errors import ClusterMLError, OptionError
from clusterml.io.files import exclusive, make_folder, read_text
from clusterml.io.json import parse_json
from clusterml.screening.bench import Bench, Task, bench_of
from clusterml.screening.board import Row, different
from clusterml.screening.check import check_names, check_own
from clusterml.screening.claim import inputs_of
from clusterml.screening.config import Screen, load_screen
from clusterml.screening.design.climb import Aim, Climbed, by_amounts, check_smooth, freely
from clusterml.screening.design.output import DESIGN, write_design
from clusterml.screening.design.path import Designed, Step
from clusterml.screening.labels import LabelTask, label_one
from clusterml.screening.making import Dropped
from clusterml.screening.names import ScreeningError
from clusterml.screening.output import RANKED, RUN
from clusterml.screening.page.results import Results
from clusterml.screening.run import check_bench, setting_of, using_ligands_of
from clusterml.screening.space import Recipe, extremes
from clusterml.screening.verification import FOLDER

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


Watch = Callable[[Step], None]


def design(
    what: Screen | str | Path,
    folder: str | Path,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    watch: Watch = lambda step: None,
) -> Designed:
    """Improve the best candidates of a screen (or of its YAML file) by gradients; results into ``folder``.

    What is climbed is the screen's score of the expected values.  ``design`` of the screen says from how many
    candidates (drawn ones, or the best of a screen that was run), how far, and whether atoms may move freely at the
    end.  Where a design ends below the best of its screen, that one is kept.  ``watch`` is told of every step.

    Raises :class:`ScreeningError` for a folder that holds a design and if no candidate is valid,
    :class:`~clusterml.errors.FolderInUseError` for one that another process works in, :class:`OptionError` for an
    objective without a gradient or nothing that may change, and what :func:`clusterml.screening.run.screen` raises for
    a screen that cannot be.

    Example:
        >>> import clusterml as cm
        >>> what = cm.Screen(
        ...     name="climb", parents={"ag4": {"build": {"name": "ag4", "thiolate": "SH"}}},
        ...     distortions=[{"modes": {"shear": "-4..4 %"}, "sampling": "sobol", "points": 4}],
        ...     objectives=[{"cd_at": "4.5 eV"}], design={"starts": 2, "climbs": 1, "steps": 2},
        ... )
        >>> len(cm.design(what, "climbed").paths)
        1
    """
    chosen = load_screen(what) if isinstance(what, str | Path) else what
    check_own(chosen, False, False)
    with using_ligands_of(chosen):
        check_names(chosen)
        options, target = chosen.design, Path(folder).resolve()
        if options.free is None and not (options.steps and _vary(chosen)):
            raise OptionError("there is nothing that may change", "give distortions with a range, or design.free")
        _check_new(target)
        screened = None if options.start_from is None else Path(options.start_from)
        numbers = None if screened is None else ranked_numbers(screened, chosen)[: options.starts]
        most = min(options.starts, chosen.most or options.starts) if numbers is None else chosen.most
        drawn = chosen.model_copy(update={"most": most, "value": "expected"})
        setting, _ = setting_of(drawn, target, model, device, None)
        bench = bench_of(setting)
        check_bench(bench)
        check_smooth(bench)
        rows = best_rows(bench, [*range(len(bench.space))] if numbers is None else numbers)
        make_folder(target)
        with exclusive(target):
            _check_new(target)
            paths: list[list[Step]] = []
            for number, row in enumerate(rows[: options.climbs], start=1):
                paths.append([])
                for step in _path(bench, bench.space.recipe(row.number), number):
                    watch(step)
                    paths[-1].append(step)
            found = Designed(chosen, bench, paths, screened)
            if options.label:
                place = make_folder(target / FOLDER, within=target)
                best = found.best
                task = LabelTask(best.climbed.recipe.number, found.named(best), best.climbed.judged.prediction.charge)
                found = replace(found, label=label_one(setting, place, task))
            write_design(found, target)
        return found


def _check_new(folder: Path) -> None:
    if (folder / DESIGN).exists():
        raise ScreeningError(f"{folder}: holds a design already", "choose another folder")


def _vary(screen: Screen) -> bool:
    """Has any distortion more than one amount?"""
    return any(
        len(set(extremes(block, amounts))) > 1 for block in screen.distortions for amounts in block.modes.values()
    )


def _path(bench: Bench, recipe: Recipe, number: int) -> Iterator[Step]:
    """The way up from one candidate, its own geometry first."""
    options, aim = bench.screen.design, Aim(bench, recipe)
    atoms = bench.maker.make(recipe)
    if isinstance(atoms, Dropped):
        raise ScreeningError(f"candidate {recipe.number} cannot be made again: {atoms.example}", "report this")
    steps = [Step(number, "start", 0, Climbed(recipe, aim.at(atoms)))]
    yield steps[0]
    if recipe.amounts:
        way = by_amounts(aim, bench.maker, bench.screen, steps[-1].climbed, options.steps)
        for count, climbed in enumerate(way, start=1):
            steps.append(Step(number, "amounts", count, climbed))
            yield steps[-1]
    if options.free is not None:
        way = freely(aim, steps[-1].climbed, options.free.steps, options.free.penalty)
        for count, climbed in enumerate(way):  # the first one is where it begins, with its cost
            yield Step(number, "free", count, climbed)
