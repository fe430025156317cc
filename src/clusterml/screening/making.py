"""From recipes to geometries: parents, ligand shells and snapshots are kept while neighbours share them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from clusterml.dataset.campaign import Parent
from clusterml.dataset.geometry import parent_atoms
from clusterml.errors import ClusterMLError
from clusterml.run.caches import Cache
from clusterml.screening.space import Recipe, Space, Step, Variant, exchange_of, split_mode
from clusterml.structure.distort.apply import ModePath, finish, path_positions, prepare, snapshots
from clusterml.structure.distort.modes import find_mode
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.substitute import attempt_series, find_sites

if TYPE_CHECKING:
    from ase import Atoms

PARENT, SHELL, SNAPSHOT, MODE, DISTORTION = (
    "the parent cannot be made",
    "the ligands cannot be exchanged",
    "the thermal snapshot breaks the chemistry",
    "the cluster does not have the mode",
    "the distortion breaks the chemistry",
)
"""Reasons why there is no geometry."""
_EXCHANGE, _SNAPSHOT, _DIRECTION = 4, 5, 6  # of the random draws, see clusterml.screening.space


@dataclass(frozen=True)
class Dropped:
    """A candidate that does not exist: the ``reason``, one of a few, and what exactly was wrong with this one."""

    reason: str
    example: str


@dataclass(frozen=True, eq=False)
class Start:
    """What distortions start from, with the modes made ready for it."""

    subject: Subject
    paths: dict[str, ModePath] = field(default_factory=dict)


class Maker:
    """Makes the geometries of a space; one per process.

    Everything random follows from the screen's seed and the place in the space, so that a geometry does not depend on
    which others were made before it.
    """

    def __init__(self, space: Space) -> None:
        self.space, self.screen = space, space.screen
        self._parents: Cache[Atoms | Dropped] = Cache(4)
        self._shells: Cache[dict[int, Atoms | Dropped]] = Cache(8)
        self._starts: Cache[Start | Dropped] = Cache(4)

    def make(self, recipe: Recipe) -> Atoms | Dropped:
        """The geometry (A) of a recipe, with name, charge and history in ``info``; or why there is none."""
        start = self._start(recipe)
        if isinstance(start, Dropped):
            return start
        made = self._distorted(start, recipe)
        if isinstance(made, Dropped):
            return made
        made.info["name"] = candidate_name(recipe.variant.name, recipe.number)
        recorded = {"screen": self.screen.name, "number": recipe.number, **recipe.to_dict(self.screen)}
        made.info["provenance"] = {**made.info.get("provenance", {}), "recipe": recorded}
        return made

    def parent(self, variant: Variant) -> Atoms | Dropped:
        """The parent's own geometry."""
        return self._parents.find(variant.number, lambda: self._parent(variant))

    def shell(self, variant: Variant, steps: tuple[Step, ...]) -> Atoms | Dropped:
        """The parent with its ligands exchanged, undistorted: what the strain of a candidate is counted from."""
        if not steps:
            return self.parent(variant)
        before, last = steps[:-1], steps[-1]
        key = (variant.number, before, last.shell, last.exchange, last.new, last.draw)
        return self._shells.find(key, lambda: self._exchanged(variant, before, last))[last.count]

    def _parent(self, variant: Variant) -> Atoms | Dropped:
        given = self.screen.parents[variant.parent]
        options = dict(variant.options) or None
        parent = Parent(file=given.file, build=options, family=variant.parent, charge=given.charge, counts={})
        try:
            return parent_atoms(parent, None if given.file is None else Path(given.file))
        except ClusterMLError as error:
            return Dropped(PARENT, f"{variant.name}: {error}")

    def _exchanged(self, variant: Variant, before: tuple[Step, ...], last: Step) -> dict[int, Atoms | Dropped]:
        """All counts of one series, nested: each holds the exchanges of the smaller ones."""
        exchange = exchange_of(self.screen, last)
        counts = [count for count in exchange.numbers if count > 0]
        atoms = self.shell(variant, before)
        if isinstance(atoms, Dropped):
            return dict.fromkeys(counts, atoms)
        try:
            there = len(find_sites(atoms, exchange.old))
        except ClusterMLError as error:
            return dict.fromkeys(counts, Dropped(SHELL, f"{variant.name}: {error}"))
        few = Dropped(SHELL, f"{variant.name}: there are {there} sites with {exchange.old}")
        made: dict[int, Atoms | Dropped] = {count: few for count in counts if count > there}
        possible = [count for count in counts if count <= there]
        return made | (self._series(atoms, variant, last, possible, there) if possible else {})

    def _series(
        self, atoms: Atoms, variant: Variant, step: Step, counts: list[int], there: int
    ) -> dict[int, Atoms | Dropped]:
        exchange = exchange_of(self.screen, step)
        rng = self._rng(_EXCHANGE, variant.number, step.shell, step.exchange, crc32(step.new.encode()), step.draw)
        sites = list(range(1, there + 1)) if exchange.sites == "first" else None
        try:
            found = attempt_series(
                atoms, exchange.old, step.new, counts, sites=sites, rng=rng, sample=exchange.placement == "sampled"
            )
        except ClusterMLError as error:
            return dict.fromkeys(counts, Dropped(SHELL, f"{variant.name}: {error}"))
        dropped = (
            Dropped(SHELL, f"{variant.name}: {each}") if isinstance(each, ClusterMLError) else each for each in found
        )
        return dict(zip(counts, dropped, strict=True))

    def _start(self, recipe: Recipe) -> Start | Dropped:
        key = (recipe.variant.number, recipe.steps, recipe.snapshot)
        return self._starts.find(key, lambda: self._new_start(recipe))

    def _new_start(self, recipe: Recipe) -> Start | Dropped:
        atoms = self.shell(recipe.variant, recipe.steps)
        if isinstance(atoms, Dropped):
            return atoms
        conformers = self.screen.conformers
        if recipe.snapshot is None or conformers is None:
            return Start(Subject(atoms))
        still = self._starts.find((recipe.variant.number, recipe.steps, None), lambda: Start(Subject(atoms)))
        if isinstance(still, Dropped):
            return still
        rng = self._rng(_SNAPSHOT, recipe.variant.number, *_words(recipe.steps), recipe.snapshot)
        try:
            return Start(Subject(snapshots(still.subject, conformers.temperature_k, 1, rng=rng)[0]))
        except ClusterMLError as error:
            return Dropped(SNAPSHOT, str(error))

    def _distorted(self, start: Start, recipe: Recipe) -> Atoms | Dropped:
        subject, paths = start.subject, start.paths
        for position, (written, amount) in enumerate(recipe.amounts):
            name, index = split_mode(written)
            if not subject.has(find_mode(name)):
                return Dropped(MODE, f"{recipe.variant.name} has no {name}")
            try:
                path = paths.get(written) or self._path(subject, name, index, recipe, position)
                if not path.mode.seeded:
                    paths[written] = path
                moved = path_positions(subject, path, np.array([amount]))[0]
                atoms = finish(subject, moved, path, amount, "error")
            except ClusterMLError as error:
                return Dropped(DISTORTION, f"{recipe.variant.name}: {error}")
            if position == len(recipe.amounts) - 1:
                return atoms
            subject, paths = Subject(atoms), {}
        return subject.atoms.copy()

    def _path(self, subject: Subject, name: str, index: int, recipe: Recipe, position: int) -> ModePath:
        place = recipe.place
        where = (place.block, place.point) if place is not None else ()
        snapshot = 0 if recipe.snapshot is None else recipe.snapshot + 1
        rng = self._rng(_DIRECTION, recipe.variant.number, *_words(recipe.steps), snapshot, *where, position)
        return prepare(subject, name, rng=rng, index=index)

    def _rng(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self.screen.seed, *place])


def candidate_name(name: str, number: int) -> str:
    """A name that no other candidate has, and that a file can have."""
    return f"{re.sub(r'[^A-Za-z0-9._+-]+', '_', name)[:80]}-{number:07d}"


def _words(steps: tuple[Step, ...]) -> tuple[int, ...]:
    """The exchanges as numbers for a seed."""
    return tuple(n for s in steps for n in (s.shell, s.exchange, crc32(s.new.encode()), s.draw, s.count))
