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
from clusterml.dataset.geometry import centred
from clusterml.dataset.store import Store
from clusterml.errors import UNEXPECTED, ClusterMLError, OptionError
from clusterml.io.files import exclusive
from clusterml.io.log import Log
from clusterml.run.launcher import Here, Launcher, Lost
from clusterml.run.progress import SILENT, Reporter, State
from clusterml.screening.bench import Bench, Setting, bench_of
from clusterml.screening.board import Row, different, rows_in
from clusterml.screening.labels import SMALLEST_GAP_EV
from clusterml.screening.making import Dropped
from clusterml.screening.merit import Merit
from clusterml.screening.run import RESULTS, Finished, using_ligands_of
from clusterml.screening.space import Recipe, Space

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.dataset.record import Record

HANDS = ("R", "S", "P", "M")
"""Hands that a blueprint may have given; records of all others have hand 0."""


@dataclass(frozen=True)
class Added:
    """What became of the least certain candidates: ``names`` of the new records in the dataset ``folder``, how many
    were there ``before``, and ``failed``: name to reason of those without a label."""

    folder: Path
    names: tuple[str, ...]
    before: int
    failed: dict[str, str]


def label_uncertain(
    done: Finished,
    count: int,
    folder: str | Path,
    *,
    launcher: Launcher | None = None,
    reporter: Reporter = SILENT,
) -> Added:
    """Label the ``count`` least certain candidates of a screen and add them to the dataset ``folder``, made if needed.

    Least certain: the largest sum over the objectives of weight x standard deviation / step (where the network knows no
    uncertainty, the largest domain score), evenly from all shells, see :func:`least_certain`.  Labels are those of a
    campaign with the screen's ``engine``.  Candidates that the dataset has already are not labelled again; each label
    is on disk before the next begins.

    Raises :class:`OptionError` if the network knows neither or a user's iterable gave the candidates, and what
    :class:`Store` raises.
    """
    bench = done.run.bench
    if not bench.screen.parents:
        raise OptionError("the candidates of a user's iterable are not kept", "label them with clusterml label")
    rows = least_certain(rows_in(Log(done.folder / RESULTS)), bench.space, bench.merit, count)
    store, names, failed = Store(folder), list[str](), dict[str, str]()
    with exclusive(store.folder), using_ligands_of(bench.screen):
        known = store.finished()
        todo = [row for row in rows if _name(bench.screen.name, done.run.fingerprint, row.number) not in known]
        work = partial(record_of_candidate, bench.setting, done.run.fingerprint)
        reporter.show(State("labels", 0, len(todo), "least certain candidates"))
        for number, (task, found) in enumerate((launcher or Here()).run(work, iter(todo)), start=1):
            if isinstance(found, Lost | str):
                failed[task.name] = found.reason if isinstance(found, Lost) else found
            else:
                store.add(found)
                names.append(found.id)
            reporter.show(State("labels", number, len(todo), "least certain candidates"))
        store.pack({"name": store.folder.resolve().name} if not known else None)
    return Added(store.folder, tuple(names), len(known), failed)


def least_certain(rows: Iterable[Row], space: Space, merit: Merit, count: int) -> list[Row]:
    """The ``count`` rows whose uncertainty is largest, evenly from all ligand shells of all parents.

    First the least certain row of each shell, then the second ones, and so on, each time the largest first: without
    this the shells with the largest CD, where deviations are largest too, take most places and teach the same thing
    many times.  One of several rows that are the same geometry, turned or mirrored (a ligand on another of equivalent
    sites), is enough.  At most ``count`` rows of each shell are in memory.  Raises :class:`OptionError` for a count
    below 1 and where no row has an uncertainty.
    """
    if count < 1:
        raise OptionError(f"{count} candidates are to be labelled", "give a number of at least 1")
    shells: dict[tuple[object, ...], list[tuple[float, int, Row]]] = {}
    for row in rows:
        size = uncertainty(row, merit)
        if size is None:
            continue
        best = shells.setdefault(_shell(space.recipe(row.number)), [])
        entry = (size, -row.number, row)  # numbers differ: rows are never compared
        if any(row.alike(other) for _, _, other in best):
            continue
        if len(best) < count:
            heapq.heappush(best, entry)
        else:
            heapq.heappushpop(best, entry)
    if not shells:
        raise OptionError(
            "the network knows neither its uncertainty nor its domain", "use one with several members or a calibration"
        )
    ranked = [pair for best in shells.values() for pair in enumerate(sorted(best, reverse=True))]
    ranked.sort(key=lambda pair: (pair[0], -pair[1][0], -pair[1][1]))
    return different((row for _, (_, _, row) in ranked), count)


def _shell(recipe: Recipe) -> tuple[object, ...]:
    """The parent and which ligands are exchanged, whatever their number."""
    return recipe.variant.name, *((step.shell, step.exchange, step.new) for step in recipe.steps)


def uncertainty(row: Row, merit: Merit) -> float | None:
    """How uncertain the score of a row is, or how far it is from the training data; None where neither is known."""
    pairs = zip(merit.objectives, row.values, strict=False)  # values of constraints follow
    parts = [line.weight * value.std / line.kind.step for line, value in pairs if value.std is not None]
    return sum(parts) if parts else row.domain_score


def record_of_candidate(setting: Setting, fingerprint: str, row: Row) -> Record | str:
    """The record of a candidate, or why it has no label; runs in a worker."""
    from clusterml.dataset.labelling import RejectedError

    bench = bench_of(setting)
    recipe = bench.space.recipe(row.number)
    made = bench.maker.make(recipe)
    if isinstance(made, Dropped):
        return f"{made.reason}: {made.example}"
    try:
        return _record(bench, _name(bench.screen.name, fingerprint, row.number), recipe, made, row)
    except (RejectedError, ClusterMLError) as error:
        return str(error)
    except UNEXPECTED as error:
        return f"{type(error).__name__}: {error}"  # of a numerical library: one candidate must not end the others


def _record(bench: Bench, name: str, recipe: Recipe, made: Atoms, row: Row) -> Record:
    """The record ``name`` of a geometry, as a campaign would make it; raises what :func:`record_of` raises."""
    from clusterml.dataset.labelling import Identity, record_of
    from clusterml.structure.anatomy.anatomy import anatomy

    screen, history = bench.screen, made.info["provenance"]
    atoms = made.copy()
    atoms.positions[:] = centred(atoms.positions)
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
    return record_of(identity, [atoms], protocol, bench.compute)


def _name(screen: str, fingerprint: str, number: int) -> str:
    """A record's name: no other screen has it."""
    return f"{screen}-{fingerprint[:8]}-{number:07d}"


def _kind(recipe: Recipe) -> SampledKind:
    if recipe.amounts:
        return "mode"
    return "reference" if recipe.snapshot is None else "thermal"
