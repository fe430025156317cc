"""Running a screen: candidates are evaluated in blocks, each saved at once; the best are kept and verified."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clusterml.errors import OptionError, ScreeningError, counted, duration
from clusterml.io.display import wrapped
from clusterml.io.files import exclusive, make_folder, read_text, sha256_of_file, write_text
from clusterml.io.log import Log
from clusterml.io.shipped import DEFAULT_MODEL
from clusterml.run.launcher import Here, Launcher, Lost
from clusterml.run.progress import SILENT, Reporter, State
from clusterml.screening.bench import Bench, ScreenSetting, bench_of, evaluate_block
from clusterml.screening.board import Board, CandidateBlock
from clusterml.screening.check import check_names, check_own, check_parents
from clusterml.screening.claim import check_claim, fingerprint, inputs_of, own_code
from clusterml.screening.config import Screen, load_screen
from clusterml.screening.folder import Run, write_results, write_run
from clusterml.screening.page.screen_page import write_report
from clusterml.screening.source import OwnSource, Source, UsersSource
from clusterml.screening.spectra import ENGINE, ENGINE_SHA256
from clusterml.screening.trends import write_trends
from clusterml.screening.verification import FOLDER, Verification, labels_of, verify

if TYPE_CHECKING:
    from ase import Atoms

REFERENCE = "reference.xyz"
RESULTS = "results.jsonl"
"""One line for each finished block."""
_SECONDS_BETWEEN_NOTES = 60.0  # between two run.json while a screen runs
_LONG = 60.0
"""Labels that take less of a core are not worth a word beforehand, in seconds."""


@dataclass(frozen=True, repr=False)
class ScreenResult:
    """The result of a screen: its ``folder``, the ``board``, the ``run`` as in run.json, and the verification."""

    folder: Path
    board: Board
    run: Run
    verification: Verification | None

    def __repr__(self) -> str:
        """Name, counts and the best candidate."""
        screen, board = self.run.bench.screen, self.board
        parts = [f"{counted(board.evaluated, 'candidate')}, {board.valid} valid, {board.feasible} feasible"]
        if (best := board.best) is not None:
            parts.append(f"best {best.row.name} with score {best.standing.score:.4g}")
        if self.verification is not None:
            parts.append(f"{len(self.verification.label_of)} labelled")
        return wrapped(f"ScreenResult({screen.name}: {'; '.join(parts)}; {self.folder})")

    def _repr_html_(self) -> str:
        """The best candidates with their values, and the structure of the best one, for notebooks."""
        from clusterml.screening.page.results import Results
        from clusterml.screening.page.tables import screen_card

        return screen_card(repr(self), Results(self.folder))


def screen(
    what: Screen | str | Path,
    folder: str | Path,
    *,
    launcher: Launcher | None = None,
    resume: bool = False,
    model: str | Path | None = None,
    device: str = "auto",
    candidates: Iterable[Atoms] | None = None,
    reference: Atoms | None = None,
    labels: str | Path | None = None,
    reporter: Reporter = SILENT,
) -> ScreenResult:
    """Run the screen ``what`` (a :class:`Screen`, or its YAML file) and write the results into ``folder``.

    ``launcher``: where blocks are evaluated, see :func:`clusterml.run.launcher.launcher`; default this process.  With
    ``resume`` an interrupted screen goes on, and no finished block or label is computed again.  ``model``: a checkpoint
    in place of the screen's.  ``candidates``: structures (A; ``info["name"]``, ``info["charge"]``) in place of the
    screen's parents and their variants; on ``resume`` the same ones in the same order.  ``reference``: the structure
    that their strain and absorption are compared with.  ``labels``: the results folder of another screen, whose labels
    of the same geometries by the same engine are reused (another network ranks the same candidates).

    Raises :class:`ScreeningError` for a folder that belongs to another screen and for a screen without a valid
    candidate, :class:`~clusterml.errors.FolderInUseError` for a folder in use by another process, :class:`OptionError`
    for wrong names and values, :class:`~clusterml.errors.OutputError` for a full disk, and what loading the model and
    reading files raise.  What was finished by then is in the folder.

    Examples:
        >>> import clusterml as cm
        >>> rings = {"ag3": {"build": {"name": "ag3", "thiolate": ["SH", "SCH3"]}}}
        >>> done = cm.screen(cm.Screen(name="rings", parents=rings, objectives=[{"max_g": "3..5 eV"}]), "rings")
        >>> done.board.valid
        2
    """
    settings = load_screen(what) if isinstance(what, str | Path) else what
    check_own(settings, candidates is not None, reference is not None)
    target, place = Path(folder), launcher or Here()
    with using_ligands_of(settings):
        check_names(settings)
        other_labels = None if labels is None else labels_of(Path(labels))
        setting, current = setting_of(settings, target, model, device, reference, other_labels)
        settings = setting.screen
        inputs = inputs_of(settings, setting.model_sha256)
        # before the network is loaded, and again once the folder is locked
        check_claim(target, settings, current, inputs, resume)
        bench = bench_of(setting)
        check_bench(bench)
        source: Source = OwnSource(bench.maker) if candidates is None else UsersSource(candidates, settings.block)
        make_folder(target)
        with exclusive(target):
            record = check_claim(target, settings, current, inputs, resume)
            if reference is not None:
                write_text(target / REFERENCE, _text(reference))
            if setting.by_engine:
                make_folder(target / FOLDER, within=target)
            board = Board(bench.merit, settings.seed, settings.keep, settings.front, settings.verify_random)
            run = Run(bench, current, inputs, source.total, board, record.get("sessions", []))
            write_run(run, target, "running")
            _evaluate(bench, source, Log(target / RESULTS), place, run, reporter)
            _check_valid(run, target)
            verification = None
            if not setting.by_engine:
                verification = verify(setting, board, source, target, place, settings, reporter, other_labels)
            if candidates is None:
                write_trends(bench.space, bench.merit.names, Log(target / RESULTS), verification, target)
            write_results(run, source, target, verification, place, reporter)
            write_report(target)
        return ScreenResult(target, board, run, verification)


def _check_valid(run: Run, folder: Path) -> None:
    """Raise :class:`ScreeningError` if no candidate is valid, with the reasons; run.json then says so."""
    board = run.board
    if board.valid:
        return
    write_run(run, folder, "no valid candidate")
    reasons = "; ".join(f"{count} x {reason}" for reason, count in board.rejections.counts.most_common())
    examples = (*board.rejections.examples.values(), *run.lost_blocks.values())
    example = next(iter(examples), "there was none to try")
    raise ScreeningError(f"none of {board.evaluated} candidates is valid: {reasons or 'none came'}", example)


def setting_of(
    screen: Screen,
    folder: Path,
    model: str | Path | None,
    device: str,
    reference: Atoms | None,
    other_labels: Path | None = None,
) -> tuple[ScreenSetting, str]:
    """The setting for the workers, and the screen's fingerprint."""
    from clusterml.training.catalogue import SPEC, find_release

    place, labels = model or screen.model or DEFAULT_MODEL, tuple[str, ...]()
    if str(place) == ENGINE:
        sha = ENGINE_SHA256
        labels = tuple(map(str, filter(None, (folder.resolve() / FOLDER, other_labels))))
    else:
        place = find_release(place).resolve()
        screen = _with_orbitals_of(place, screen)
        sha = sha256_of_file(place / SPEC, links=False)
    text = "" if reference is None else _text(reference)
    file = None if reference is None else str((folder / REFERENCE).resolve())
    current = fingerprint(screen, sha, text.encode())
    library = None if screen.library is None else read_text(screen.library)
    return ScreenSetting(
        screen,
        str(place),
        sha,
        current,
        device,
        file,
        library,
        tuple(own_code(screen).items()),
        labels,
    ), current


def using_ligands_of(screen: Screen) -> AbstractContextManager[None]:
    """A context in which the screen's own ligand library is in use, too; raises what reading it raises."""
    from clusterml.structure.anatomy.library import load_library, using_library

    return using_library(None if screen.library is None else load_library(screen.library))


def _text(atoms: Atoms) -> str:
    from clusterml.structure.write import extxyz

    return extxyz(atoms)


def _with_orbitals_of(checkpoint: Path, screen: Screen) -> Screen:
    """``screen`` with an engine that labels as the labels of the network were made, if it names no orbitals."""
    from clusterml.engine.orbitals.source import SOURCES
    from clusterml.engine.protocol import DEFAULT_PROTOCOL
    from clusterml.inference.checkpoint import label_protocol

    learnt, engine = label_protocol(checkpoint), screen.engine
    is_open = "orbitals" not in engine.model_fields_set and engine.orbitals == DEFAULT_PROTOCOL.orbitals
    if not is_open or learnt not in SOURCES.names:
        return screen
    return screen.model_copy(update={"engine": engine.but(orbitals=learnt)})


def check_bench(bench: Bench) -> None:
    """Check model, measures and parents before anything is written; raises what is wrong with them."""
    predictor = bench.predictor
    if bench.screen.value != "expected" and not predictor.knows_spread:
        raise OptionError(
            f"value is {bench.screen.value}, but {predictor.name} does not know its uncertainty",
            "use value: expected, or a model with several members or a calibration",
        )
    bench.gauges  # noqa: B018  # made once, and kept
    check_parents(bench.maker)


def _evaluate(bench: Bench, source: Source, log: Log, launcher: Launcher, run: Run, reporter: Reporter) -> None:
    """Evaluate the blocks that are not in the log yet, and add all blocks to the board."""
    board, finished = run.board, dict[int, str]()
    for entry in log:
        block = _read(entry, log)
        if block.number not in finished:
            finished[block.number] = block.given
            board.add(block)
    start, before = time.perf_counter(), board.evaluated
    last_note = start
    reporter.show(State("candidates", board.evaluated, source.total, _price(bench, source, board.evaluated)))
    for task, result in launcher.run(partial(evaluate_block, bench.setting), source.tasks(finished, board.numbers)):
        if isinstance(result, Lost):
            run.lost_blocks[f"{task.start} to {task.stop - 1}"] = result.reason
            continue
        log.add(result.to_dict())
        board.add(result)
        source.release(task, lambda: board.numbers)
        run.evaluated_now, run.seconds_now = board.evaluated - before, time.perf_counter() - start
        if time.perf_counter() - last_note >= _SECONDS_BETWEEN_NOTES:
            last_note = time.perf_counter()
            write_run(run, log.path.parent, "running")
        reporter.show(_state(board, source))


def _state(board: Board, source: Source) -> State:
    """What is shown of a screen."""
    return State("candidates", board.evaluated, source.total, _words(board))


def _price(bench: Bench, source: Source, finished: int) -> str:
    """What the candidates that are not ``finished`` and the labels cost, where that is long."""
    parts, total = [], source.total
    if (seconds := bench.seconds_each) is not None:
        parts.append(f"{bench.predictor.name} takes about {seconds:.2g} s of a core for each")
        parts += [] if total is None else [f"{duration(seconds * (total - finished))} on one core"]
    screen = bench.screen
    labels = 0 if bench.setting.by_engine else screen.verify + screen.verify_random
    labels = labels if total is None else min(labels, total)
    if labels * (each := bench.seconds_per_label) > _LONG:
        parts.append(f"then {labels} labels of about {each:.2g} s, {duration(labels * each)}")
    return ", ".join(parts)


def _words(board: Board) -> str:
    words = f"{board.valid} valid, {board.rejections.counts.total()} dropped"
    return words if board.best is None else f"{words}, best score {board.best.standing.score:.4g}"


def _read(entry: dict[str, object], log: Log) -> CandidateBlock:
    try:
        return CandidateBlock.from_dict(entry)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ScreeningError(f"{log.path}: holds no results of this version", "choose another folder") from error
