"""Active learning: the candidates that the network is least certain of, labelled and added to a dataset."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clusterml.dataset.campaign import SampledKind
from clusterml.dataset.parents import centre
from clusterml.dataset.store import Store, grid_of
from clusterml.errors import UNEXPECTED, ClusterMLError, OptionError, words_of
from clusterml.io.log import Log
from clusterml.run.launcher import Here, Launcher, Lost
from clusterml.run.progress import SILENT, Reporter, State
from clusterml.screening.bench import Bench, ScreenSetting, bench_of
from clusterml.screening.board import Row, distinct_rows, rows_in
from clusterml.screening.making import Rejection
from clusterml.screening.merit import Merit
from clusterml.screening.run import RESULTS, ScreenResult, using_ligands_of
from clusterml.screening.space import Recipe, Space
from clusterml.screening.spectra import SMALLEST_GAP_EV

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.dataset.record import Record, SpectralGrid

HANDS = ("R", "S", "P", "M")
"""Hands that a blueprint may give; the records of all others have hand 0."""


@dataclass(frozen=True)
class DatasetAddition:
    """The outcome of labelling: ``names`` of the new records in the dataset ``folder``, the number of records there
    ``before``, and ``failed``: the reason for each candidate without a label, by name."""

    folder: Path
    names: tuple[str, ...]
    before: int
    failed: dict[str, str]


def label_uncertain(
    result: ScreenResult,
    count: int,
    folder: str | Path,
    *,
    launcher: Launcher | None = None,
    reporter: Reporter = SILENT,
) -> DatasetAddition:
    """Label the ``count`` least certain candidates of a screen and add them to the dataset ``folder`` (made if needed).

    The least certain have the largest sum of weight x standard deviation / step over the objectives (or, where the
    network has no uncertainty, the largest domain score); all shells contribute evenly, see :func:`least_certain`.
    Labels are those of a campaign with the screen's ``engine``.  Candidates that the dataset has already are not
    labelled again; each label is on disk before the next begins.

    Raises :class:`OptionError` if the network has neither, if the user gave the candidates, or if the dataset's spectra
    go above ``engine.emax_ev``, and what :class:`Store` raises.
    """
    bench = result.run.bench
    if not bench.screen.parents:
        raise OptionError("candidates from Python are not kept", "label them with clusterml label")
    top, emax = grid_of(Path(folder)).energy_ev[-1], bench.screen.engine.emax_ev
    if emax < top:
        problem = f"spectra of {folder} go to {top:g} eV, and engine.emax_ev is {emax:g}"
        raise OptionError(problem, f"give engine.emax_ev {top:g} or more in a new screen, or another dataset")
    rows = least_certain(rows_in(Log(result.folder / RESULTS)), bench.space, bench.merit, count)
    names, failed = list[str](), dict[str, str]()
    with Store.held(folder) as store, using_ligands_of(bench.screen):
        earlier = store.finished()
        missing = [row for row in rows if _name(bench.screen.name, result.run.fingerprint, row.number) not in earlier]
        work = partial(record_of_candidate, bench.setting, result.run.fingerprint, store.grid)
        reporter.show(State("labels", 0, len(missing), "least certain candidates"))
        for number, (task, outcome) in enumerate((launcher or Here()).run(work, iter(missing)), start=1):
            if isinstance(outcome, Lost | str):
                failed[task.name] = outcome.reason if isinstance(outcome, Lost) else outcome
            else:
                store.add(outcome)
                names.append(outcome.id)
            reporter.show(State("labels", number, len(missing), "least certain candidates"))
        store.pack({"name": store.folder.resolve().name} if not earlier else None)
    return DatasetAddition(store.folder, tuple(names), len(earlier), failed)


def least_certain(rows: Iterable[Row], space: Space, merit: Merit, count: int) -> list[Row]:
    """The ``count`` rows whose uncertainty is largest, evenly from all ligand shells of all parents.

    The least certain row of each shell comes first, then the second of each, and so on, each time the largest first.
    Otherwise the shells with the largest CD, which have the largest deviations, would take most places and teach the
    same thing many times.  Of several rows with the same geometry, turned or mirrored (a ligand on an equivalent site),
    one is kept.  At most ``count`` rows of each shell are in memory.  Raises :class:`OptionError` for a count
    below 1 and where no row has an uncertainty.
    """
    if count < 1:
        raise OptionError(f"{count} candidates were asked for", "label at least 1")
    shells: dict[tuple[object, ...], list[tuple[float, int, Row]]] = {}
    for row in rows:
        size = uncertainty(row, merit)
        if size is None:
            continue
        best = shells.setdefault(_shell(space.recipe(row.number)), [])
        entry = (size, -row.number, row)  # numbers differ: rows are never compared
        if len(best) == count and entry < best[0]:
            continue
        if any(row.alike(rival) for _, _, rival in best):
            continue
        if len(best) < count:
            heapq.heappush(best, entry)
        else:
            heapq.heappushpop(best, entry)
    if not shells:
        raise OptionError(
            "the network has neither an uncertainty nor a domain", "use a network with several members or a calibration"
        )
    ranked = [pair for best in shells.values() for pair in enumerate(sorted(best, reverse=True))]
    ranked.sort(key=lambda pair: (pair[0], -pair[1][0], -pair[1][1]))
    return distinct_rows((row for _, (_, _, row) in ranked), count)


def _shell(recipe: Recipe) -> tuple[object, ...]:
    """The parent and the kinds of exchange, whatever the number of ligands."""
    return recipe.variant.name, *((step.shell, step.exchange, step.new) for step in recipe.steps)


def uncertainty(row: Row, merit: Merit) -> float | None:
    """The uncertainty of a row's score, else its distance from the training data; None if neither is known."""
    pairs = zip(merit.objectives, row.values, strict=False)  # values of constraints follow
    parts = [line.weight * value.std / line.kind.step for line, value in pairs if value.std is not None]
    return sum(parts) if parts else row.domain_score


def record_of_candidate(setting: ScreenSetting, fingerprint: str, grid: SpectralGrid, row: Row) -> Record | str:
    """The record of a candidate on ``grid``, or the reason why it has no label; runs in a worker."""
    from clusterml.dataset.labelling import RejectedError

    bench = bench_of(setting)
    recipe = bench.space.recipe(row.number)
    atoms = bench.maker.make(recipe)
    if isinstance(atoms, Rejection):
        return f"{atoms.reason}: {atoms.example}"
    try:
        return _record(bench, _name(bench.screen.name, fingerprint, row.number), recipe, atoms, row, grid)
    except RejectedError as error:
        return str(error)
    except (ClusterMLError, *UNEXPECTED) as error:  # one candidate must not end the others
        return words_of(error)


def _record(bench: Bench, name: str, recipe: Recipe, candidate: Atoms, row: Row, grid: SpectralGrid) -> Record:
    """The record ``name`` of a geometry, as a campaign would make it; raises what :func:`record_of` raises."""
    from clusterml.dataset.labelling import Identity, record_of, with_chirality
    from clusterml.structure.anatomy.anatomy import anatomy

    screen, history = bench.screen, candidate.info["provenance"]
    atoms = candidate.copy()
    atoms.positions[:] = centre(atoms.positions)
    atoms.info["charge"] = row.charge
    hand = history.get("hand") if history.get("hand") in HANDS else "0"
    details = {
        "exchanges": history.get("substitutions", []),
        "distortions": history.get("distortions", []),
        "ligands": dict(Counter(ligand.name for ligand in anatomy(atoms).ligands)),
        "recipe": history["recipe"],
    }
    variant = recipe.variant
    provenance = {"campaign": screen.name, "job": name, "seed": screen.seed}
    identity = Identity(name, _kind(recipe), variant.name, variant.parent, hand, name, provenance, details)
    protocol = screen.engine.but(smallest_gap_ev=SMALLEST_GAP_EV)
    return with_chirality(record_of(identity, atoms, protocol, bench.compute, grid))


def _name(screen: str, fingerprint: str, number: int) -> str:
    """A name for a record that no other screen uses."""
    return f"{screen}-{fingerprint[:8]}-{number:07d}"


def _kind(recipe: Recipe) -> SampledKind:
    if recipe.amounts:
        return "mode"
    return "reference" if recipe.snapshot is None else "thermal"
