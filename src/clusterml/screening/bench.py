"""The work on one block of candidates, in whatever process: make them, predict their spectra, measure them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine.protocol import Compute
from clusterml.errors import ClusterMLError, OptionError, SpectrumError, StructureError
from clusterml.io.files import sha256
from clusterml.run.caches import Cache
from clusterml.screening.board import Block, Drops, Row
from clusterml.screening.claim import own_code
from clusterml.screening.config import Screen
from clusterml.screening.making import Dropped, Maker, candidate_name
from clusterml.screening.measures.measure import Gauge, Origin, Sample, Value
from clusterml.screening.measures.registry import measured
from clusterml.screening.merit import Merit
from clusterml.screening.names import ScreeningError
from clusterml.screening.space import Recipe, Space
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.geometry import Geometry

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import Prediction
    from clusterml.inference.predictor import Predictor, Prepared


SpectrumOf = Callable[["Atoms"], Spectrum]


@dataclass(frozen=True)
class OfRecipe:
    """The origin of a candidate of a space; ``spectrum_of`` a parent's geometry gives its spectrum."""

    maker: Maker
    recipe: Recipe
    spectrum_of: SpectrumOf

    def spectrum(self) -> Spectrum:
        """The spectrum of the parent as it is, with its own ligands."""
        return self.spectrum_of(_made(self.maker.parent(self.recipe.variant)))

    def rest(self) -> Atoms:
        """The parent with the candidate's ligands, without snapshot and distortions."""
        return _made(self.maker.shell(self.recipe.variant, self.recipe.steps))


@dataclass(frozen=True)
class OfReference:
    """The origin of a candidate that the user made: the reference given with them, or none."""

    reference: Atoms | None
    spectrum_of: SpectrumOf

    def spectrum(self) -> Spectrum:
        """The reference's spectrum; raises :class:`OptionError` without one."""
        return self.spectrum_of(self.rest())

    def rest(self) -> Atoms:
        """The reference; raises :class:`OptionError` without one."""
        if self.reference is None:
            raise OptionError("a measure compares with a reference", "give reference=ATOMS")
        return self.reference


def _made(found: Atoms | Dropped) -> Atoms:
    if isinstance(found, Dropped):
        raise StructureError(f"{found.reason}: {found.example}")
    return found


PREDICTION, MEASURE = "the network cannot take it in", "an objective cannot be computed"
"""Further reasons to drop a candidate, see :mod:`clusterml.screening.making`."""


@dataclass(frozen=True)
class Setting:
    """What every worker needs to know: the ``screen``, the checkpoint's folder, the device, the reference file.

    ``model_sha256``: of the checkpoint's specification, ``fingerprint``: of the screen with the contents of its files,
    so that whatever changed under the same name is loaded anew.  ``library``: the text of the user's ligand file, for
    the manifest; ligands are looked up in the library in use.  ``own``: what identifies each function of the user's
    own, by its name.
    """

    screen: Screen = field(hash=False)  # mappings have no hash
    model: str
    model_sha256: str
    fingerprint: str
    device: str
    reference: str | None = None
    library: str | None = None
    own: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Task:
    """The candidates ``start`` to ``stop`` - 1 to evaluate; ``given``: their geometries where the user made them."""

    number: int
    start: int
    stop: int
    given: tuple[Atoms, ...] | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of the structures that were given: names, charges, elements, positions to 0.001 A; empty without."""
        if self.given is None:
            return ""
        return sha256(b"".join(part for atoms in self.given for part in _parts_to_hash(atoms)))


def _parts_to_hash(atoms: Atoms) -> Iterator[bytes]:
    yield f"{atoms.info.get('name')} {atoms.info.get('charge')} {len(atoms)}\n".encode()
    yield np.asarray(atoms.numbers, dtype=np.int64).tobytes()
    yield (np.round(atoms.positions, 3) + 0.0).tobytes()  # no negative zeros


def evaluate(setting: Setting, task: Task) -> Block:
    """Do one task; runs in a worker."""
    return bench_of(setting).evaluate(task)


@lru_cache(maxsize=1)
def bench_of(setting: Setting) -> Bench:
    """The process's own network and maker of geometries."""
    return Bench(setting)


class Bench:
    """Everything that turns numbers of candidates into rows."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.screen = setting.screen
        self.space = Space(self.screen)
        self.maker = Maker(self.space)
        self.merit = Merit(self.screen)
        self._like: Cache[Prepared] = Cache(8)
        self._spectra: Cache[Spectrum] = Cache(8)

    @cached_property
    def predictor(self) -> Predictor:
        """The network; raises what :meth:`Predictor.load` raises."""
        from clusterml.inference.predictor import Predictor

        return Predictor.load(self.setting.model, self.setting.device)

    @cached_property
    def gauges(self) -> list[Gauge]:
        """One for each line of the screen; raises :class:`ScreeningError` where own code has changed since it began."""
        for name, identity in own_code(self.screen).items():
            if dict(self.setting.own).get(name) != identity:
                raise ScreeningError(f"{name}: has changed since the screen began", "begin another screen")
        return self.merit.gauges(self.predictor.energy_ev)

    @cached_property
    def fwhm_ev(self) -> float:
        """Width of the network's spectra."""
        return self.predictor.ensemble.spec.fwhm_ev

    @cached_property
    def reference(self) -> Atoms | None:
        """The structure that the user's own candidates are compared with."""
        from clusterml.structure.read import read

        return None if self.setting.reference is None else read(self.setting.reference)

    def evaluate(self, task: Task) -> Block:
        """The rows of a block; candidates that do not exist are counted with their reason."""
        from clusterml.inference.ensemble import batched

        begin = time.perf_counter()
        drops = Drops()
        rows: list[Row] = []
        spent = {"network": 0.0, "measures": 0.0}
        for batch in batched(self._prepared(task, drops), _edges, lambda: self.predictor.ensemble.most_edges):
            before = time.perf_counter()
            found = self._predictions(batch, drops)
            between = time.perf_counter()
            rows += self._rows(found, drops)
            spent["network"] += between - before
            spent["measures"] += time.perf_counter() - between
        geometry = time.perf_counter() - begin - sum(spent.values())
        seconds = {key: round(value, 6) for key, value in {"geometry": geometry, **spent}.items()}
        return Block(task.number, task.start, task.stop, tuple(rows), drops, seconds, task.fingerprint)

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        """Predictions of structures that were valid before."""
        return list(self.predictor.stream(structures))

    def origin(self, number: int, spectrum_of: SpectrumOf | None = None) -> Origin:
        """The origin of a candidate; ``spectrum_of`` its parent gives that one's spectrum, default: as predicted."""
        found = spectrum_of or self._predicted
        if self.screen.parents:
            return OfRecipe(self.maker, self.space.recipe(number), found)
        return OfReference(self.reference, found)

    @property
    def compute(self) -> Compute:
        """What the engine computes with: the network's device."""
        return Compute("cuda" if self.predictor.ensemble.device.type == "cuda" else "cpu")

    def prepare(self, recipe: Recipe, atoms: Atoms) -> Prepared:
        """A geometry of a recipe (with whatever distortions) for the network; raises what the predictor raises."""
        shell = self.maker.shell(recipe.variant, recipe.steps)
        if isinstance(shell, Dropped):
            raise StructureError(f"{shell.reason}: {shell.example}")
        like = self._like.find((recipe.variant.number, recipe.steps), lambda: self.predictor.prepare(shell))
        return self.predictor.prepare(atoms, like=like)

    def values(self, number: int, found: Prediction) -> tuple[Value, ...]:
        """What the screen measures of a prediction for candidate ``number``.

        Raises :class:`SpectrumError` for a prediction that is not finite, and what :func:`measured` raises.
        """
        if not math.isfinite(found.gap_ev + (found.domain_score or 0.0)):
            raise SpectrumError("the predicted gap or domain score is not a finite number", "use another model")
        sample = Sample(
            found.atoms, found.charge, found.spectrum, self.fwhm_ev, self.origin(number), chirality=found.chirality
        )
        return measured(self.gauges, sample)

    def _prepared(self, task: Task, drops: Drops) -> Iterator[tuple[int, Prepared]]:
        for number in range(task.start, task.stop):
            try:
                found = (
                    self._own(number) if task.given is None else self._users(number, task.given[number - task.start])
                )
            except ClusterMLError as error:
                found = Dropped(PREDICTION, str(error))
            if isinstance(found, Dropped):
                drops.add(found)
            else:
                yield number, found

    def _own(self, number: int) -> Prepared | Dropped:
        recipe = self.space.recipe(number)
        atoms = self.maker.make(recipe)
        return atoms if isinstance(atoms, Dropped) else self.prepare(recipe, atoms)

    def _users(self, number: int, atoms: Atoms) -> Prepared:
        named = atoms.copy()
        named.info["name"] = candidate_name(str(atoms.info.get("name") or "candidate"), number)
        return self.predictor.prepare(named)

    def _predictions(self, batch: Sequence[tuple[int, Prepared]], drops: Drops) -> list[tuple[int, Prediction]]:
        """Numbers and predictions of a batch, without those for which the network gives no spectrum."""
        try:
            found = self.predictor.predict([one for _, one in batch])
        except SpectrumError as error:
            if len(batch) > 1:
                return [pair for one in batch for pair in self._predictions([one], drops)]
            drops.add(Dropped(PREDICTION, f"{batch[0][1].atoms.info['name']}: {error}"))
            return []
        return [(number, one) for (number, _), one in zip(batch, found, strict=True)]

    def _rows(self, found: Sequence[tuple[int, Prediction]], drops: Drops) -> Iterator[Row]:
        for number, one in found:
            try:
                values = self.values(number, one)
            except ClusterMLError as error:
                drops.add(Dropped(MEASURE, f"{one.name}: {error}"))
                continue
            rest = (one.charge, one.gap_ev, one.in_domain, one.domain_score, _sites(one.atoms), one.significance.words)
            yield Row(number, one.name, values, *rest)

    def _predicted(self, atoms: Atoms) -> Spectrum:
        key = Geometry.of(atoms), atoms.info.get("charge")
        return self._spectra.find(key, lambda: self.predictor(atoms).spectrum)


def _sites(atoms: Atoms) -> tuple[tuple[int, ...], ...]:
    """The sites of each exchange of a candidate's recipe; a parent's own history may hold earlier exchanges."""
    provenance = atoms.info.get("provenance", {})
    count = len(provenance.get("recipe", {}).get("exchanges", []))
    history = provenance.get("substitutions", [])
    return tuple(tuple(each["sites"]) for each in history[len(history) - count :])


def _edges(item: tuple[int, Prepared]) -> int:
    return item[1].edges
