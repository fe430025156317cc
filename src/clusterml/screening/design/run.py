"""Inverse design from start to end: choose the starts, improve the best step by step, label the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from clusterml.config.schema import validated
from clusterml.errors import ClusterMLError, OptionError, ScreeningError
from clusterml.io.files import exclusive, make_folder, read_text
from clusterml.io.json import parse_json
from clusterml.io.shipped import DEFAULT_MODEL, QUICK_MODEL
from clusterml.run.launcher import Lost
from clusterml.screening.bench import Bench, BlockTask, bench_of, evaluate_block
from clusterml.screening.board import CandidateBlock, Row, distinct_rows
from clusterml.screening.check import check_names, check_own
from clusterml.screening.claim import inputs_of
from clusterml.screening.config import Screen, load_screen
from clusterml.screening.design.amounts import climb_amounts
from clusterml.screening.design.climb import Aim, ClimbPoint, check_smooth, climb_freely
from clusterml.screening.design.folder import DESIGN, write_design, write_path
from clusterml.screening.design.path import DesignResult, DesignStep, Stage
from clusterml.screening.folder import RANKED, RUN
from clusterml.screening.labels import LabelTask, label_candidate
from clusterml.screening.making import Rejection
from clusterml.screening.page.results import Results
from clusterml.screening.run import check_bench, setting_of, using_ligands_of
from clusterml.screening.space import Recipe, extremes
from clusterml.screening.spectra import ENGINE
from clusterml.screening.verification import FOLDER

SPACE = ("seed", "parents", "exchanges", "conformers", "distortions", "most")
"""Keys that determine which candidate a number stands for."""
MOST_FOLDERS = 50
"""Number of folders that are searched for a screen if none is named."""


def ranked_numbers(folder: Path, screen: Screen) -> list[int]:
    """Numbers of the candidates of the screen in ``folder``, the best first.

    Raises :class:`ScreeningError` where its candidates are not those of ``screen``, and
    :class:`~clusterml.errors.InputFileError` for a folder without results.
    """
    results = Results(folder)
    screen_of_folder = validated(Screen, results.config, str(folder / RUN))
    if not screen_of_folder.parents:
        raise ScreeningError(f"{folder}: its candidates were given in Python", "design one that has parents")
    changed = [key for key in SPACE if getattr(screen, key) != getattr(screen_of_folder, key)] + _changed_files(
        results.run, screen
    )
    if changed:
        raise ScreeningError(
            f"{folder}: its candidates are not those of this configuration ({', '.join(changed)})",
            "give the configuration that was screened, or leave --from out",
        )
    return [ranked.number for ranked in results.ranked]


def folders_of(name: str, folder: Path) -> list[Path]:
    """Folders with results of the screen ``name``: results/NAME, then those beside ``folder``, newest first."""
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
    """Rows of the valid candidates among ``numbers``, by expected values, best first; each geometry once.

    Raises :class:`ScreeningError` if none of them is valid.
    """
    outcomes = [evaluate_block(bench.setting, BlockTask(0, number, number + 1)) for number in numbers]
    blocks = [outcome for outcome in outcomes if isinstance(outcome, CandidateBlock)]
    rows = [row for block in blocks for row in block.rows]
    if not rows:
        reasons = [
            f"{drop['count']} x {reason}" for block in blocks for reason, drop in block.rejections.to_dict().items()
        ]
        reasons += [outcome.reason for outcome in outcomes if isinstance(outcome, Lost)]
        examples = [example for block in blocks for example in block.rejections.examples.values()]
        raise ScreeningError(
            f"none of {len(numbers)} candidates is valid: {'; '.join(dict.fromkeys(reasons))}", "".join(examples[:1])
        )
    rows.sort(key=lambda row: bench.merit.standing(row.values, certain=True).order, reverse=True)
    return distinct_rows(rows, len(rows))


def _changed_files(run: dict[str, Any], screen: Screen) -> list[str]:
    """Names of the parent and ligand files that have changed."""
    earlier, current = run.get("inputs", {}), inputs_of(screen, "")
    names = [name for name in {**earlier, **current} if name.startswith(("parent ", "library "))]
    return [name for name in names if earlier.get(name) != current.get(name)]


Watch = Callable[[DesignStep], None]


def design(
    what: Screen | str | Path,
    folder: str | Path,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    watch: Watch = lambda step: None,
) -> DesignResult:
    """Improve the best candidates of a screen (or of its YAML file); write the results into ``folder``.

    The climb maximises the screen's score of the expected values.  The key ``design`` of the screen says how many
    candidates to start from (random ones, or the best of a finished screen), how far to climb, and whether atoms may
    move freely at the end.  Where a design ends below the best candidate of its screen, that candidate is kept.
    ``watch`` is called with every step; each climb is written before the next begins.  ``model``: a checkpoint in place
    of the screen's; where neither names one it is the default of screens, or ``ag-quick-v1`` where atoms may move
    freely, which needs derivatives by positions.

    Raises :class:`ScreeningError` for a folder that holds a design and if no candidate is valid,
    :class:`~clusterml.errors.FolderInUseError` for a folder in use by another process, :class:`OptionError` for an
    objective or a network without derivatives where atoms may move freely or if nothing may change, and what
    :func:`clusterml.screening.run.screen` raises for an invalid screen.

    Examples:
        >>> import clusterml as cm
        >>> what = cm.Screen(
        ...     name="climb", parents={"ag4": {"build": {"name": "ag4", "thiolate": "SH"}}},
        ...     distortions=[{"modes": {"shear": "-4..4 %"}, "sampling": "sobol", "points": 4}],
        ...     objectives=[{"cd_at": "4.5 eV"}], design={"starts": 2, "climbs": 1, "steps": 2},
        ... )
        >>> len(cm.design(what, "climbed").paths)
        1
    """
    screen = load_screen(what) if isinstance(what, str | Path) else what
    check_own(screen, False, False)
    with using_ligands_of(screen):
        check_names(screen)
        options, target = screen.design, Path(folder).resolve()
        if options.free is None and not (options.steps and _vary(screen)):
            raise OptionError("there is nothing that may change", "give distortions with a range, or design.free")
        _check_new(target)
        screen_folder = None if options.start_from is None else Path(options.start_from)
        numbers = None if screen_folder is None else ranked_numbers(screen_folder, screen)[: options.starts]
        most = min(options.starts, screen.most or options.starts) if numbers is None else screen.most
        sampled = screen.model_copy(update={"most": most, "value": "expected"})
        default = DEFAULT_MODEL if options.free is None else QUICK_MODEL
        setting, _ = setting_of(sampled, target, model or screen.model or default, device, None)
        if setting.by_engine:
            raise OptionError(f"model is {ENGINE}, whose labels are not climbed", f"use --model {DEFAULT_MODEL}")
        bench = bench_of(setting)
        check_bench(bench)
        if options.free is not None:
            check_smooth(bench)
        rows = best_rows(bench, [*range(len(bench.space))] if numbers is None else numbers)
        make_folder(target)
        with exclusive(target):
            _check_new(target)
            paths: list[list[DesignStep]] = []
            for number, row in enumerate(rows[: options.climbs], start=1):
                paths.append(_path(bench, bench.space.recipe(row.number), number, watch))
                result = DesignResult(screen, bench, paths, screen_folder)
                write_path(result, target)  # what was climbed outlives what comes next
            if options.label:
                place = make_folder(target / FOLDER, within=target)
                best = result.best
                task = LabelTask(
                    best.point.recipe.number, result.frame_of(best), best.point.evaluation.prediction.charge
                )
                result = replace(result, label=label_candidate(setting, place, task))
            write_design(result, target)
        return result


def _check_new(folder: Path) -> None:
    if (folder / DESIGN).exists():
        raise ScreeningError(f"{folder}: holds a design already", "choose another folder")


def _vary(screen: Screen) -> bool:
    """Does any distortion have more than one amount?"""
    return any(
        len(set(extremes(block, amounts))) > 1 for block in screen.distortions for amounts in block.modes.values()
    )


def _path(bench: Bench, recipe: Recipe, number: int, watch: Watch) -> list[DesignStep]:
    """The steps of the climb from a candidate, its own geometry first; ``watch`` is called with each."""
    options, aim = bench.screen.design, Aim(bench, recipe)
    atoms = bench.maker.make(recipe)
    if isinstance(atoms, Rejection):
        raise ScreeningError(f"candidate {recipe.number} cannot be made again: {atoms.example}", "report this")
    steps: list[DesignStep] = []

    def take(stage: Stage, point: ClimbPoint, count: int) -> None:
        steps.append(DesignStep(number, stage, count, point))
        watch(steps[-1])

    start = ClimbPoint(recipe, aim.evaluate(atoms))
    take("start", start, 0)
    climb_amounts(
        aim, bench.maker, bench.screen, start, options.steps, lambda point: take("amounts", point, len(steps))
    )
    if options.free is not None:
        way = climb_freely(aim, steps[-1].point, options.free.steps, options.free.penalty)
        for count, point in enumerate(way):  # the first one is where it begins, with its cost
            take("free", point, count)
    return steps
