"""Labelling many structures: every file gives a result or a failure, one after the other or in several processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.errors import ClusterMLError, OptionError, OutputError
from clusterml.printable import counted
from clusterml.spectrum.files import make_folder
from clusterml.spectrum.view import WHOLE, View
from clusterml.stda.inputs import Input, expand
from clusterml.stda.settings import ExcitedSettings, OrbitalSource, default_memory_gb
from clusterml.stda.structures import UNEXPECTED, Failure, Outcome, Structure, Watch, failure, outcome, read_structures
from clusterml.structure.options import DEFAULT_READING, ReadOptions

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.stda.label import Label


@dataclass(frozen=True)
class BatchOptions:
    """What is the same for every structure of a batch; see :func:`clusterml.stda.label.label` for the physics.

    ``settings``: keywords of :class:`~clusterml.stda.settings.ExcitedSettings`.  ``groups``: JSON file of atom groups.
    ``ensemble``: number of thermal snapshots at ``temperature_k`` to average over, None for the geometry alone.
    ``reading``: how the files are read.  ``output``: folder of the results, None to write none.  ``molden``: file for
    the orbitals.  ``states``, ``jcamp``: see :func:`clusterml.stda.output.write_label`.
    ``view``: what the pictures show.  ``keep_json``: hand the JSON back.
    """

    charge: int | None = None
    orbitals: OrbitalSource | None = None
    solvent: str | None = None
    electronic_temperature_k: float | None = None
    gauge: str = "velocity"
    settings: Mapping[str, Any] = field(default_factory=dict)
    groups: Path | None = None
    ensemble: int | None = None
    temperature_k: float = 300.0
    seed: int = 0
    reading: ReadOptions = DEFAULT_READING
    output: Path | None = None
    molden: Path | None = None
    states: bool = False
    jcamp: bool = False
    view: View = WHOLE
    keep_json: bool = False


@dataclass(frozen=True)
class Task:
    """One structure to label; ``where`` names it in messages, ``name`` in the output folder."""

    atoms: Atoms
    where: str
    name: str
    molden: Path | None = None
    groups: dict[str, list[int]] | None = None


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
    yield from (failure(problem, "") for problem in problems)
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
    watch = watch or Watch()
    watch.starting(task.name, counted(len(task.atoms), "atom"))
    try:
        groups = atom_groups(task.groups, len(task.atoms), str(options.groups)) if task.groups else None
        work: Callable[..., Label] = label if options.ensemble is None else partial(label_ensemble, **_thermal(options))
        result = work(
            task.atoms,
            options.charge,
            orbitals=options.orbitals,
            solvent=options.solvent,
            electronic_temperature_k=options.electronic_temperature_k,
            advise=True,
            gauge=options.gauge,
            groups=groups,
            allow_several=options.reading.allow_several,
            **_told(watch, task.name, options.ensemble),
            **options.settings,
        )
        files: list[Path] = []
        if options.output is not None:
            how: dict[str, Any] = {"states": options.states, "jcamp": options.jcamp, "view": options.view}
            files = write_label(result, options.output, task.name, molden=task.molden, **how)
        elif task.molden is not None:
            files = [write_orbitals(result, task.molden)]
        text = json.dumps(label_dict(result, options.states), allow_nan=False) if options.keep_json else None
    except (ClusterMLError, *UNEXPECTED) as error:
        return failure(error, task.where, is_option=isinstance(error, OptionError))
    seconds = time.perf_counter() - start
    return outcome(
        result.spectrum, result.atoms.numbers, result.charge, task, seconds, result.warnings, tuple(files), text
    )


def _told(watch: Watch, name: str, members: int | None) -> dict[str, Callable[[int], None]]:
    """What a label tells of its progress: Krylov blocks, or snapshots."""
    if members is None:
        return {"progress": lambda blocks: watch.working(name, f"{blocks} Krylov blocks")}
    return {"drawing": lambda number: watch.working(name, f"snapshot {number} of {members}")}


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
    options.view.check(0.5, float(options.settings.get("emax_ev", 6.0)))
    if options.output is not None:
        make_folder(options.output)
    if options.molden is not None and not options.molden.absolute().parent.is_dir():
        raise OutputError(f"{options.molden} cannot be written: its folder does not exist", "make the folder first")
    return options, groups


def _tasks(
    inputs: list[Input], options: BatchOptions, groups: dict[str, list[int]] | None, watch: Watch
) -> Iterator[Task | Failure]:
    """The structures in ``inputs``, read one at a time; a file that cannot be read is a failure in their place."""
    for found in read_structures(inputs, options.reading, watch):
        yield found if isinstance(found, Failure) else _task(found, options, groups)


def _task(found: Structure, options: BatchOptions, groups: dict[str, list[int]] | None) -> Task:
    file = options.molden
    molden = file and file.with_name(f"{file.stem}{found.addition}{file.suffix}")
    return Task(found.atoms, found.where, found.name, molden, groups)
