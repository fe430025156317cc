"""From recipes to geometries; parents, ligand shells and snapshots are cached while neighbours share them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from clusterml.dataset.campaign import Parent
from clusterml.dataset.parents import given_atoms
from clusterml.errors import ClusterMLError
from clusterml.run.resources import Cache
from clusterml.screening.space import ExchangeStep, Recipe, Space, Variant, exchange_of, split_mode
from clusterml.structure.distort.apply import ModePath, finish, path_positions, prepare
from clusterml.structure.distort.draws import snapshots
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
class Rejection:
    """Why a candidate is rejected: the ``reason``, one of a few, and as ``example`` what was wrong with this one."""

    reason: str
    example: str


@dataclass(frozen=True, eq=False)
class StartGeometry:
    """The geometry that distortions start from, with the modes prepared for it."""

    subject: Subject
    paths: dict[str, ModePath] = field(default_factory=dict)


class Maker:
    """Makes the geometries of a space; each process has its own.

    All random numbers follow from the screen's seed and the place in the space: a geometry does not depend on which
    others were made before it.
    """

    def __init__(self, space: Space) -> None:
        self.space, self.screen = space, space.screen
        self._parents: Cache[Atoms | Rejection] = Cache(4)
        self._shells: Cache[dict[int, Atoms | Rejection]] = Cache(8)
        self._starts: Cache[StartGeometry | Rejection] = Cache(4)

    def make(self, recipe: Recipe) -> Atoms | Rejection:
        """Make the geometry (A) of a recipe, with name, charge and history in ``info``; or say why there is none."""
        start = self._start(recipe)
        if isinstance(start, Rejection):
            return start
        atoms = self._distort(start, recipe)
        if isinstance(atoms, Rejection):
            return atoms
        atoms.info["name"] = candidate_name(recipe.variant.name, recipe.number)
        entry = {"screen": self.screen.name, "number": recipe.number, **recipe.to_dict(self.screen)}
        atoms.info["provenance"] = {**atoms.info.get("provenance", {}), "recipe": entry}
        return atoms

    def parent(self, variant: Variant) -> Atoms | Rejection:
        """The parent's own geometry."""
        return self._parents.find(variant.number, lambda: self._parent(variant))

    def shell(self, variant: Variant, steps: tuple[ExchangeStep, ...]) -> Atoms | Rejection:
        """The parent with its ligands exchanged, undistorted: what the strain of a candidate is counted from."""
        if not steps:
            return self.parent(variant)
        before, last = steps[:-1], steps[-1]
        key = (variant.number, before, last.shell, last.exchange, last.new, last.draw)
        return self._shells.find(key, lambda: self._exchange_ligands(variant, before, last))[last.count]

    def _parent(self, variant: Variant) -> Atoms | Rejection:
        screen_parent = self.screen.parents[variant.parent]
        options = dict(variant.options) or None
        parent = Parent(
            file=screen_parent.file, build=options, family=variant.parent, charge=screen_parent.charge, counts={}
        )
        try:
            return given_atoms(parent, None if screen_parent.file is None else Path(screen_parent.file))
        except ClusterMLError as error:
            return Rejection(PARENT, f"{variant.name}: {error}")

    def _exchange_ligands(
        self, variant: Variant, before: tuple[ExchangeStep, ...], last: ExchangeStep
    ) -> dict[int, Atoms | Rejection]:
        """The shells of all counts of a series; each contains the exchanges of the smaller counts."""
        exchange = exchange_of(self.screen, last)
        counts = [count for count in exchange.numbers if count > 0]
        atoms = self.shell(variant, before)
        if isinstance(atoms, Rejection):
            return dict.fromkeys(counts, atoms)
        try:
            n_sites = len(find_sites(atoms, exchange.old))
        except ClusterMLError as error:
            return dict.fromkeys(counts, Rejection(SHELL, f"{variant.name}: {error}"))
        rejection = Rejection(SHELL, f"{variant.name}: there are {n_sites} sites with {exchange.old}")
        too_many: dict[int, Atoms | Rejection] = {count: rejection for count in counts if count > n_sites}
        possible = [count for count in counts if count <= n_sites]
        return too_many | (self._series(atoms, variant, last, possible, n_sites) if possible else {})

    def _series(
        self, atoms: Atoms, variant: Variant, step: ExchangeStep, counts: list[int], n_sites: int
    ) -> dict[int, Atoms | Rejection]:
        exchange = exchange_of(self.screen, step)
        rng = self._rng(_EXCHANGE, variant.number, step.shell, step.exchange, crc32(step.new.encode()), step.draw)
        sites = list(range(1, n_sites + 1)) if exchange.sites == "first" else None
        try:
            attempts = attempt_series(
                atoms, exchange.old, step.new, counts, sites=sites, rng=rng, sample=exchange.placement == "sampled"
            )
        except ClusterMLError as error:
            return dict.fromkeys(counts, Rejection(SHELL, f"{variant.name}: {error}"))
        shells = (
            Rejection(SHELL, f"{variant.name}: {attempt}") if isinstance(attempt, ClusterMLError) else attempt
            for attempt in attempts
        )
        return dict(zip(counts, shells, strict=True))

    def _start(self, recipe: Recipe) -> StartGeometry | Rejection:
        key = (recipe.variant.number, recipe.steps, recipe.snapshot)
        return self._starts.find(key, lambda: self._new_start(recipe))

    def _new_start(self, recipe: Recipe) -> StartGeometry | Rejection:
        atoms = self.shell(recipe.variant, recipe.steps)
        if isinstance(atoms, Rejection):
            return atoms
        conformers = self.screen.conformers
        if recipe.snapshot is None or conformers is None:
            return StartGeometry(Subject(atoms))
        still = self._starts.find((recipe.variant.number, recipe.steps, None), lambda: StartGeometry(Subject(atoms)))
        if isinstance(still, Rejection):
            return still
        rng = self._rng(_SNAPSHOT, recipe.variant.number, *_words(recipe.steps), recipe.snapshot)
        try:
            return StartGeometry(Subject(snapshots(still.subject, conformers.temperature_k, 1, rng=rng)[0]))
        except ClusterMLError as error:
            return Rejection(SNAPSHOT, str(error))

    def _distort(self, start: StartGeometry, recipe: Recipe) -> Atoms | Rejection:
        subject, paths = start.subject, start.paths
        for position, (key, amount) in enumerate(recipe.amounts):
            name, index = split_mode(key)
            if not subject.has(find_mode(name)):
                return Rejection(MODE, f"{recipe.variant.name} has no {name}")
            try:
                path = paths.get(key) or self._path(subject, name, index, recipe, position)
                if not path.mode.seeded:
                    paths[key] = path
                positions = path_positions(subject, path, np.array([amount]))[0]
                atoms = finish(subject, positions, path, amount, "error")
            except ClusterMLError as error:
                return Rejection(DISTORTION, f"{recipe.variant.name}: {error}")
            if position == len(recipe.amounts) - 1:
                return atoms
            subject, paths = Subject(atoms), {}
        return subject.atoms.copy()

    def _path(self, subject: Subject, name: str, index: int, recipe: Recipe, position: int) -> ModePath:
        place = recipe.place
        indices = (place.block, place.point) if place is not None else ()
        snapshot = 0 if recipe.snapshot is None else recipe.snapshot + 1
        rng = self._rng(_DIRECTION, recipe.variant.number, *_words(recipe.steps), snapshot, *indices, position)
        return prepare(subject, name, rng=rng, index=index)

    def _rng(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self.screen.seed, *place])


def candidate_name(name: str, number: int) -> str:
    """A name that is unique among candidates and valid as a file name."""
    return f"{re.sub(r'[^A-Za-z0-9._+-]+', '_', name)[:80]}-{number:07d}"


def _words(steps: tuple[ExchangeStep, ...]) -> tuple[int, ...]:
    """The exchanges as whole numbers, for a seed."""
    return tuple(n for s in steps for n in (s.shell, s.exchange, crc32(s.new.encode()), s.draw, s.count))
