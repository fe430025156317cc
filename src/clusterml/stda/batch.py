"""Labelling many structures: every file gives a result or a failure, one after the other or in several processes."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.errors import ClusterMLError, OptionError, OutputError
from clusterml.spectrum.files import make_folder
from clusterml.stda.inputs import Input, Names, expand
from clusterml.stda.settings import ExcitedSettings, OrbitalSource, default_memory_gb
from clusterml.structure.crystal import Disorder

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.stda.label import Label

_UNEXPECTED = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
"""What numerical libraries raise: one structure must not end a long batch."""


@dataclass(frozen=True)
class BatchOptions:
    """What is the same for every structure of a batch; see :func:`clusterml.stda.label.label` for the physics.

    ``settings``: keywords of :class:`~clusterml.stda.settings.ExcitedSettings`.  ``groups``: JSON file of atom groups.
    ``ensemble``: number of thermal snapshots at ``temperature_k`` to average over, None for the geometry alone.
    ``cluster``, ``disorder``, ``hydrogens``: see :func:`clusterml.structure.read.read`.  ``output``: folder of the
    results, None to write none.  ``molden``: file for the orbitals.  ``states``, ``jcamp``: see
    :func:`clusterml.stda.output.write_label`.  ``keep_json``: hand the JSON back.
    """

    charge: int | None = None
    orbitals: OrbitalSource | None = None
    solvent: str | None = None
    gauge: str = "velocity"
    settings: Mapping[str, Any] = field(default_factory=dict)
    groups: Path | None = None
    ensemble: int | None = None
    temperature_k: float = 300.0
    seed: int = 0
    allow_several: bool = False
    cluster: int = 1
    disorder: Disorder = "major"
    hydrogens: bool | None = None
    output: Path | None = None
    molden: Path | None = None
    states: bool = False
    jcamp: bool = False
    keep_json: bool = False


@dataclass(frozen=True)
class Task:
    """One structure to label; ``where`` names it in messages, ``name`` in the output folder."""

    atoms: Atoms
    where: str
    name: str
    molden: Path | None = None
    groups: dict[str, list[int]] | None = None


@dataclass(frozen=True)
class Outcome:
    """A structure that was labelled: what a summary shows.

    ``first_band_nm``: the absorption maximum lowest in energy; ``cd_band_nm`` and ``cd_height`` (L mol-1 cm-1, signed):
    the strongest CD band; None where there is none.  ``seconds``: computing and writing.  ``json``: the JSON object as
    ASCII text, if it was asked for.
    """

    where: str
    name: str
    formula: str
    charge: int
    first_band_nm: float | None
    cd_band_nm: float | None
    cd_height: float | None
    seconds: float
    warnings: tuple[str, ...]
    files: tuple[Path, ...] = ()
    json: str | None = None


@dataclass(frozen=True)
class Failure:
    """A structure or file that was not labelled: ``problem`` names it and says what is wrong, ``remedy`` what to do."""

    problem: str
    remedy: str
    trace: str = ""
    is_option: bool = False

    def __str__(self) -> str:
        """One line."""
        return str(ClusterMLError(self.problem, self.remedy))


class Watch:
    """Told how a batch proceeds; this one does nothing."""

    def planned(self, total: int) -> None:
        """``total`` structures (files not yet opened count as one) are known so far."""

    def working(self, name: str, blocks: int) -> None:
        """The structure ``name`` has reached ``blocks`` Krylov blocks (only without further processes)."""


def run(
    paths: Iterable[str | Path],
    options: BatchOptions,
    *,
    jobs: int = 1,
    threads: int = 1,
    watch: Watch | None = None,
) -> Iterator[Outcome | Failure]:
    """Label every structure in ``paths`` (files and folders), yielding in their order as they are done.

    ``jobs`` processes share ``threads`` CPU threads and the memory of ``options.settings["memory_gb"]``; with more than
    one, a script that calls this needs the usual ``if __name__ == "__main__":``.  No more than a few structures per
    process are in memory at a time.

    Raises OptionError, InputFileError, OutputError for what concerns all structures, before any is computed.
    """
    options, groups = _checked(options, jobs)
    inputs, problems = expand(paths)
    if options.molden is not None and len(inputs) > 1:
        raise OptionError("--molden names one file, but there are several structures", "give one structure")
    yield from (_failure(problem, "") for problem in problems)
    tasks = _tasks(inputs, options, groups, watch or Watch())
    results: Iterator[Outcome | Failure]
    if jobs == 1:
        results = (t if isinstance(t, Failure) else compute(t, options, watch) for t in tasks)
    else:
        from clusterml.stda.pool import compute_in_processes

        results = compute_in_processes(tasks, options, jobs, max(1, threads // jobs))
    any_done = False
    for result in results:
        if isinstance(result, Failure) and result.is_option and not any_done:
            # The same option would fail for every structure: say it once.
            raise OptionError(result.problem, result.remedy)
        any_done |= isinstance(result, Outcome)
        yield result


def compute(task: Task, options: BatchOptions, watch: Watch | None = None) -> Outcome | Failure:
    """Label one structure and write its files."""
    from clusterml.stda.ensemble import label_ensemble
    from clusterml.stda.groupfile import atom_groups
    from clusterml.stda.label import label
    from clusterml.stda.output import label_dict, write_label, write_orbitals

    start = time.perf_counter()
    try:
        groups = atom_groups(task.groups, len(task.atoms), str(options.groups)) if task.groups else None
        work: Callable[..., Label] = label if options.ensemble is None else partial(label_ensemble, **_thermal(options))
        result = work(
            task.atoms,
            options.charge,
            orbitals=options.orbitals,
            solvent=options.solvent,
            gauge=options.gauge,
            groups=groups,
            allow_several=options.allow_several,
            progress=(lambda blocks: watch.working(task.name, blocks)) if watch else None,
            **options.settings,
        )
        files: list[Path] = []
        if options.output is not None:
            files = write_label(
                result, options.output, task.name, states=options.states, jcamp=options.jcamp, molden=task.molden
            )
        elif task.molden is not None:
            files = [write_orbitals(result, task.molden)]
        text = json.dumps(label_dict(result, options.states), allow_nan=False) if options.keep_json else None
    except (ClusterMLError, *_UNEXPECTED) as error:
        return _failure(error, task.where, is_option=isinstance(error, OptionError))
    return _summary(result, task, time.perf_counter() - start, tuple(files), text)


def _thermal(options: BatchOptions) -> dict[str, Any]:
    return {"members": options.ensemble, "temperature_k": options.temperature_k, "seed": options.seed}


def _checked(options: BatchOptions, jobs: int) -> tuple[BatchOptions, dict[str, list[int]] | None]:
    """Everything that can be refused before a structure is read; the memory is shared among the processes."""
    if not 1 <= jobs <= 256:
        raise OptionError(f"jobs is {jobs}", "give a number of processes between 1 and 256")
    ExcitedSettings(**options.settings)
    if jobs > 1:
        memory = options.settings.get("memory_gb") or default_memory_gb()
        options = replace(options, settings={**options.settings, "memory_gb": memory / jobs})
        ExcitedSettings(**options.settings)
    groups = None
    if options.groups is not None:
        from clusterml.stda.groupfile import read_groups

        groups = read_groups(options.groups)
    if options.output is not None:
        make_folder(options.output)
    if options.molden is not None and not options.molden.absolute().parent.is_dir():
        raise OutputError(f"{options.molden} cannot be written: its folder does not exist", "make the folder first")
    return options, groups


def _tasks(
    inputs: list[Input], options: BatchOptions, groups: dict[str, list[int]] | None, watch: Watch
) -> Iterator[Task | Failure]:
    """The structures in ``inputs``, read one at a time; a file that cannot be read is a failure in their place."""
    from clusterml.structure.read import read_all

    how: dict[str, Any] = {key: getattr(options, key) for key in ("cluster", "disorder", "hydrogens")}
    names, total = Names(), len(inputs)
    watch.planned(total)
    for entry in inputs:
        frames = 0
        try:
            # label() looks for several molecules: here it would hide the frames that follow.
            for atoms in read_all(entry.path, allow_several=True, **how):
                frames += 1
                total += frames > 1
                watch.planned(total)
                yield _task(atoms, entry, names, options, groups)
        except (ClusterMLError, *_UNEXPECTED) as error:
            total += frames > 0
            watch.planned(total)
            yield _failure(error, str(entry.path), after=frames)


def _task(atoms: Atoms, entry: Input, names: Names, options: BatchOptions, groups: dict[str, list[int]] | None) -> Task:
    addition = str(atoms.info["name"]).removeprefix(entry.path.stem)
    name = names.unique(entry.base + addition)
    atoms.info["name"] = name
    frame = atoms.info["provenance"].get("frame")
    where = f"{entry.path} (frame {frame + 1})" if addition and frame is not None else str(entry.path)
    molden = options.molden and options.molden.with_name(f"{options.molden.stem}{addition}{options.molden.suffix}")
    return Task(atoms, where, name, molden, groups)


def _failure(error: BaseException, where: str, after: int = 0, is_option: bool = False) -> Failure:
    """``error`` with the place where it happened in front, unless its message begins with that already."""
    if isinstance(error, ClusterMLError):
        problem, remedy = error.problem, error.remedy
    elif isinstance(error, MemoryError):
        problem, remedy = "the computer's memory is not enough", "use --dtype float32 or fewer --jobs"
    else:
        problem, remedy = f"unexpected {type(error).__name__}: {error}", "run with --debug and report it"
    path = where.split(" (frame ")[0]
    if where:
        problem = f"{where}: {problem.removeprefix(f'{path}: ')}"
    if after:
        remedy += f"; frames after number {after} were not computed"
    return Failure(problem, remedy, "".join(traceback.format_exception(error)), is_option)


def _summary(label: Label, task: Task, seconds: float, files: tuple[Path, ...], text: str | None) -> Outcome:
    from clusterml.spectrum.fit import silent
    from clusterml.spectrum.peaks import find_bands
    from clusterml.structure.elements import formula

    bands = find_bands(label.spectrum, "epsilon", shoulders=False)
    cd = [] if silent(label.spectrum, "delta_epsilon") else find_bands(label.spectrum, "delta_epsilon", shoulders=False)
    strongest = max(cd, key=lambda band: abs(band.height), default=None)
    return Outcome(
        where=task.where,
        name=task.name,
        formula=formula(label.atoms.numbers),
        charge=label.charge,
        first_band_nm=bands[0].wavelength_nm if bands else None,
        cd_band_nm=strongest.wavelength_nm if strongest else None,
        cd_height=strongest.height if strongest else None,
        seconds=seconds,
        warnings=label.warnings,
        files=files,
        json=text,
    )
