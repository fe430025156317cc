"""Labelling many structures, in this process or in several: every file gives a result or a failure."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.batch.inputs import Input, expand
from clusterml.batch.resume import finished, mark
from clusterml.batch.structures import (
    Count,
    Failure,
    Finished,
    Outcome,
    Result,
    Structure,
    failure,
    outcome,
    read_structures,
)
from clusterml.engine.protocol import DEFAULT_COMPUTE, DEFAULT_PROTOCOL, RESULTS, Compute, Protocol
from clusterml.errors import (
    UNEXPECTED,
    ClusterMLError,
    InputFileError,
    OptionError,
    OutputError,
    counted,
)
from clusterml.io.files import make_folder, read_text
from clusterml.io.json import parse_json
from clusterml.run.launcher import Launcher, Lost, check_workers, launcher
from clusterml.run.progress import SECONDS_BETWEEN_STARTS, SILENT, Reporter
from clusterml.spectrum.view import WHOLE, View
from clusterml.structure.options import DEFAULT_READING, ReadOptions
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms


REST = "other"
"""Name of the group that takes the atoms in no other."""
_FORM = 'write {"NAME": [atom numbers from 1], ...}'


def read_groups(path: str | Path) -> dict[str, list[int]]:
    """Group name -> atom numbers, counted from 1, of the JSON object in ``path``.

    Raises :class:`InputFileError` naming the file if it is not such an object, and what :func:`check_groups` raises.
    """
    groups = parse_json(read_text(path), str(path))
    check_groups(groups, str(path))
    return groups


def check_groups(groups: Mapping[str, Any], where: str) -> None:
    """Raise :class:`InputFileError` unless ``groups`` are lists of atom numbers from 1, each atom in one of them."""
    owner: dict[int, str] = {}
    for name, members in groups.items():
        if not isinstance(members, list) or not members or not all(_is_number(m) for m in members):
            raise InputFileError(f"{where}: group '{name}' is not a list of atom numbers", _FORM)
        for member in members:
            if member in owner:
                raise InputFileError(
                    f"{where}: atom {member} is in group '{owner[member]}' and again in '{name}'",
                    "each atom belongs to one group",
                )
            owner[member] = name
    if not groups:
        raise InputFileError(f"{where}: there are no groups", _FORM)


def atom_groups(groups: dict[str, list[int]], n_atoms: int, source: str) -> dict[str, IntArray]:
    """Group name -> indices from 0, a partition of ``n_atoms`` atoms: those in no group make up :data:`REST`.

    Raises :class:`InputFileError` naming ``source`` (the groups' file) for an atom that the structure does not have.
    """
    taken = np.zeros(n_atoms, dtype=np.bool_)
    result: dict[str, IntArray] = {}
    for name, members in groups.items():
        if max(members) > n_atoms:
            raise InputFileError(
                f"{source}: group '{name}' has atom {max(members)}, but the structure has {counted(n_atoms, 'atom')}",
                "correct the numbers; they count from 1",
            )
        result[name] = np.sort(np.array(members, dtype=np.int64) - 1)
        taken[result[name]] = True
    left = np.flatnonzero(~taken).astype(np.int64)
    if len(left):
        result[REST] = np.sort(np.concatenate([left, result[REST]])) if REST in result else left
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@dataclass(frozen=True)
class BatchOptions:
    """What is the same for every structure of a batch; see :func:`clusterml.engine.label.label` for the physics.

    ``consensus``: several protocols whose agreement is asked for, in place of ``protocol``.
    ``protocol``: how, also over how many snapshots is averaged; ``compute``: with what, all processes together.
    ``own_orbitals``: structures from Molden files are labelled with the orbitals in these.
    ``groups``: JSON file of atom groups.
    ``reading``: how the files are read.  ``output``: folder of the results, None to write none.  ``molden``: file for
    the orbitals.  ``states``, ``jcamp``: see :func:`clusterml.engine.output.write_label`.
    ``view``: what the pictures show.  ``keep_json``: hand the JSON back.  ``resume``: leave out structures whose
    results are in ``output`` and would be made again.
    """

    charge: int | None = None
    protocol: Protocol = DEFAULT_PROTOCOL
    consensus: tuple[Protocol, ...] = ()
    compute: Compute = DEFAULT_COMPUTE
    own_orbitals: bool = False
    groups: Path | None = None
    reading: ReadOptions = DEFAULT_READING
    output: Path | None = None
    molden: Path | None = None
    states: bool = False
    jcamp: bool = False
    view: View = WHOLE
    keep_json: bool = False
    resume: bool = False

    def settings(self) -> dict[str, Any]:
        """What determines the files of a structure, apart from itself and ``groups``, as values that JSON can hold."""
        return {
            "results": RESULTS,
            "protocols": [each.model_dump(mode="json") for each in self.consensus or (self.protocol,)],
            "own_orbitals": self.own_orbitals,
            "charge": self.charge,
            "states": self.states,
            "jcamp": self.jcamp,
            "view": asdict(self.view),
        }


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
    reporter: Reporter = SILENT,
) -> Iterator[Result]:
    """Label every structure in ``paths`` (files and folders), yielding in their order as they are done.

    ``jobs`` processes share ``threads`` CPU threads and the memory of ``options.compute``; with more than
    one, a script that calls this needs the usual ``if __name__ == "__main__":``.  No more than a few structures per
    process are in memory at a time.

    Raises OptionError, InputFileError, OutputError for what concerns all structures, before any is computed, and
    OutputError once a result cannot be written, nor could those that follow: the disk is full, or the folder is gone.
    """
    options, groups = _checked(options, jobs)
    inputs, problems = expand(paths)
    if options.molden is not None and len(inputs) > 1:
        raise OptionError("--molden names one file, but there are several structures", "give one structure")
    yield from (failure(problem, "") for problem in problems)
    count = Count("label", inputs, reporter)
    tasks = _tasks(inputs, options, groups, count)
    any_done = False
    for result in compute_all(launcher(jobs, threads), tasks, options, count if jobs == 1 else SILENT):
        if isinstance(result, Failure) and result.is_option and not any_done:
            # The same option would fail for every structure: say it once.
            raise OptionError(result.problem, result.remedy)
        any_done |= isinstance(result, Outcome)
        count.finish()
        yield result


def compute(task: Task, options: BatchOptions, reporter: Reporter = SILENT) -> Outcome | Failure:
    """Label one structure and write its files."""
    from clusterml.engine.label import ground_state_cost, label, with_own_orbitals
    from clusterml.engine.output import label_dict, write_label, write_orbitals

    start = time.perf_counter()
    try:
        protocol = with_own_orbitals(task.atoms, options.protocol, named=not options.own_orbitals)
        cost = ground_state_cost(task.atoms, protocol, options.compute)
        expected = "" if cost is None else f", {cost.functions} atomic functions: {cost}"
        reporter.note(f"{task.name}: {counted(len(task.atoms), 'atom')}{expected}", after=SECONDS_BETWEEN_STARTS)
        groups = atom_groups(task.groups, len(task.atoms), str(options.groups)) if task.groups else None
        result = label(
            task.atoms,
            options.charge,
            protocol,
            options.compute,
            groups=groups,
            allow_several=options.reading.allow_several,
            advise=True,
            progress=lambda words: reporter.note(f"{task.name}: {words}"),
        )
        files: list[Path] = []
        if options.output is not None:
            files = write_label(
                result,
                options.output,
                task.name,
                molden=task.molden,
                states=options.states,
                jcamp=options.jcamp,
                view=options.view,
            )
        elif task.molden is not None:
            files = [write_orbitals(result, task.molden)]
        text = json.dumps(label_dict(result, options.states), allow_nan=False) if options.keep_json else None
    except (ClusterMLError, *UNEXPECTED) as error:
        return failure(error, task.where, is_option=isinstance(error, OptionError))
    seconds = time.perf_counter() - start
    return outcome(
        result.spectrum,
        result.atoms.numbers,
        result.charge,
        task,
        seconds,
        result.warnings,
        tuple(files),
        text,
        worth=result.reliability.agreement,
        supported=result.reliability.supported,
    )


def compute_consensus(task: Task, options: BatchOptions, reporter: Reporter = SILENT) -> Outcome | Failure:
    """The spectra of one structure by several protocols, and how far they agree; its files."""
    from clusterml.engine.consensus import find_consensus, write_consensus

    start = time.perf_counter()
    try:
        result = find_consensus(
            task.atoms,
            options.charge,
            options.consensus,
            options.compute,
            allow_several=options.reading.allow_several,
            progress=lambda words: reporter.note(f"{task.name}: {words}"),
        )
        files: tuple[Path, ...] = ()
        if options.output is not None:
            written = write_consensus(result, options.output, task.name, jcamp=options.jcamp, view=options.view)
            files = tuple(written)
        text = json.dumps(result.to_dict(), allow_nan=False) if options.keep_json else None
    except (ClusterMLError, *UNEXPECTED) as error:
        return failure(error, task.where, is_option=isinstance(error, OptionError))
    strongest = result.strongest
    return outcome(
        result.spectrum,
        result.atoms.numbers,
        result.decision.charge,
        task,
        time.perf_counter() - start,
        result.warnings,
        files,
        text,
        sign="" if strongest is None else _VERDICTS[strongest.verdict],
        table=result.table,
    )


_VERDICTS = {"all": "agreed by all", "most": "agreed by most", "open": "open"}


def _checked(options: BatchOptions, jobs: int) -> tuple[BatchOptions, dict[str, list[int]] | None]:
    """Everything that can be refused before a structure is read; the memory is shared among the processes."""
    check_workers(jobs, "jobs")
    options = replace(options, compute=options.compute.shared(jobs))
    groups = None
    if options.groups is not None:
        groups = read_groups(options.groups)
    options.view.check(0.5, options.protocol.emax_ev)
    if options.output is not None:
        make_folder(options.output)
    if options.molden is not None and not options.molden.absolute().parent.is_dir():
        raise OutputError(f"{options.molden} cannot be written: its folder does not exist", "make the folder first")
    return options, groups


def _tasks(
    inputs: list[Input], options: BatchOptions, groups: dict[str, list[int]] | None, count: Count
) -> Iterator[Task | Finished | Failure]:
    """The structures in ``inputs``, read one at a time; a file that cannot be read is a failure in their place."""
    for structure in read_structures(inputs, options.reading, count):
        yield structure if isinstance(structure, Failure) else _task(structure, options, groups)


def _task(structure: Structure, options: BatchOptions, groups: dict[str, list[int]] | None) -> Task | Finished:
    file = options.molden
    molden = file and file.with_name(f"{file.stem}{structure.addition}{file.suffix}")
    mark(structure.atoms, {**options.settings(), "groups": groups})
    if options.resume and (molden is None or molden.is_file()):
        kept = finished(structure.atoms, structure, options.output, options.keep_json)
        if kept is not None:
            return kept
    return Task(structure.atoms, structure.where, structure.name, molden, groups)


def compute_all(
    place: Launcher, tasks: Iterable[Task | Finished | Failure], options: BatchOptions, reporter: Reporter = SILENT
) -> Iterator[Result]:
    """What :func:`compute` says of each task, computed at a ``place``, in their order; failures and finished ones are
    passed on.

    ``reporter`` is told by this process only: at other places give :data:`SILENT`.
    """
    for task, result in place.run(partial(_compute_or_pass, options=options, reporter=reporter), tasks, ordered=True):
        if not isinstance(result, Lost):
            yield result
        else:
            yield task if isinstance(task, Failure) else Failure(f"{task.where}: {result.problem}", result.remedy)


def _compute_or_pass(task: Task | Finished | Failure, options: BatchOptions, reporter: Reporter) -> Result:
    if isinstance(task, Finished | Failure):
        return task
    return (compute_consensus if options.consensus else compute)(task, options, reporter)
