"""The work on one block of candidates, in whatever process: make them, predict their spectra, measure them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.protocol import Compute
from clusterml.errors import (
    UNEXPECTED,
    ClusterMLError,
    OptionError,
    OutputError,
    ScreeningError,
    SpectrumError,
    StructureError,
    words_of,
)
from clusterml.io.files import sha256
from clusterml.io.trouble import concerns_all
from clusterml.run.launcher import Lost
from clusterml.run.resources import Cache
from clusterml.screening.board import CandidateBlock, Rejections, Row, nuclear_repulsion
from clusterml.screening.claim import own_code
from clusterml.screening.config import Screen
from clusterml.screening.making import Maker, Rejection, candidate_name
from clusterml.screening.measures.measure import Gauge, Origin, Sample, Value, measure_sample
from clusterml.screening.merit import Merit
from clusterml.screening.space import Recipe, Space
from clusterml.screening.spectra import ENGINE, CandidateAnswer, Labeller, ScreenEngine, SpectrumSource, label_seconds
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.geometry import Geometry

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.predictor import Predictor
    from clusterml.inference.preparation import Molecule


SpectrumOf = Callable[["Atoms"], Spectrum]


@dataclass(frozen=True)
class RecipeOrigin:
    """Where a candidate of a space comes from; ``spectrum_of`` maps a parent's geometry to its spectrum."""

    maker: Maker
    recipe: Recipe
    spectrum_of: SpectrumOf

    def spectrum(self) -> Spectrum:
        """The spectrum of the parent as it is, with its own ligands."""
        return self.spectrum_of(_require_atoms(self.maker.parent(self.recipe.variant)))

    def rest(self) -> Atoms:
        """The parent with the candidate's ligands, without snapshot and distortions."""
        return _require_atoms(self.maker.shell(self.recipe.variant, self.recipe.steps))


@dataclass(frozen=True)
class ReferenceOrigin:
    """Where a candidate that the user made comes from: the reference given with it, if any."""

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


def _require_atoms(atoms: Atoms | Rejection) -> Atoms:
    if isinstance(atoms, Rejection):
        raise StructureError(f"{atoms.reason}: {atoms.example}")
    return atoms


PREDICTION, LABEL, MEASURE = (
    "the network cannot take it in",
    "the engine has no label of it",
    "an objective cannot be computed",
)
"""Further reasons to reject a candidate, see :mod:`clusterml.screening.making`."""
PASSING = (MemoryError, OSError, OutputError)
"""Troubles that are not the candidate's, and may be gone the next time: none is rejected for them."""


@dataclass(frozen=True)
class ScreenSetting:
    """What every worker needs to know: the ``screen``, the checkpoint's folder, the device, the reference file.

    ``model`` may be :data:`~clusterml.screening.spectra.ENGINE`; ``labels``: the folders of its labels, see
    :class:`~clusterml.screening.spectra.Labeller`.
    ``model_sha256`` is the hash of the checkpoint's specification, ``fingerprint`` that of the screen with the contents
    of its files: whatever changes under the same name is loaded anew.  ``library`` is the text of the user's ligand
    file, for the manifest; ligands are looked up in the library in use.  ``own_functions`` identifies each function of
    the user's own by its name.
    """

    screen: Screen = field(hash=False)  # the fingerprint stands for it in the hash
    model: str
    model_sha256: str
    fingerprint: str
    device: str
    reference: str | None = None
    library: str | None = None
    own_functions: tuple[tuple[str, str], ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def by_engine(self) -> bool:
        """Do labels rank the candidates?"""
        return self.model == ENGINE


@dataclass(frozen=True)
class BlockTask:
    """The candidates ``start`` to ``stop`` - 1 to evaluate; ``structures`` are theirs where the user gave them."""

    number: int
    start: int
    stop: int
    structures: tuple[Atoms, ...] | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of the user's structures: names, charges, elements, positions to 0.001 A; empty if there are none."""
        if self.structures is None:
            return ""
        return sha256(b"".join(part for atoms in self.structures for part in _parts_to_hash(atoms)))


def _parts_to_hash(atoms: Atoms) -> Iterator[bytes]:
    yield f"{atoms.info.get('name')} {atoms.info.get('charge')} {len(atoms)}\n".encode()
    yield np.asarray(atoms.numbers, dtype=np.int64).tobytes()
    yield (np.round(atoms.positions, 3) + 0.0).tobytes()  # no negative zeros


def evaluate_block(setting: ScreenSetting, task: BlockTask) -> CandidateBlock | Lost:
    """Evaluate one block; runs in a worker.

    A block that meets a passing trouble is lost, as with its worker: it is not finished, and tried again later.  Raises
    :class:`OutputError` for one that all blocks would meet.
    """
    try:
        return bench_of(setting).evaluate(task)
    except PASSING as error:
        if concerns_all(error):
            raise
        return Lost(words_of(error), "" if isinstance(error, OutputError) else "free memory or space")


def answer_of(setting: ScreenSetting, atoms: Atoms) -> dict[str, Any]:
    """The JSON object of the spectrum of a valid candidate; runs in a worker."""
    (answer,) = bench_of(setting).predict([atoms])
    return answer.to_dict()


@lru_cache(maxsize=1)
def bench_of(setting: ScreenSetting) -> Bench:
    """This process's bench, with its network and its maker of geometries."""
    return Bench(setting)


class Bench:
    """Everything that turns numbers of candidates into rows."""

    def __init__(self, setting: ScreenSetting) -> None:
        self.setting = setting
        self.screen = setting.screen
        self.space = Space(self.screen)
        self.maker = Maker(self.space)
        self.merit = Merit(self.screen)
        self._molecules: Cache[Molecule] = Cache(8)
        self._spectra: Cache[Spectrum] = Cache(8)
        self._start_s = 0.0

    @cached_property
    def predictor(self) -> SpectrumSource:
        """The network, or what labels in its place; raises what :meth:`Predictor.load` raises."""
        if self.setting.by_engine:
            return Labeller(self.screen.engine, self.compute, tuple(map(Path, self.setting.labels)))
        return self.network

    @cached_property
    def network(self) -> Predictor:
        """The network, where no engine ranks; raises what :meth:`Predictor.load` raises."""
        from clusterml.inference.predictor import Predictor

        return Predictor.load(self.setting.model, self.setting.device)

    @cached_property
    def engine(self) -> ScreenEngine:
        """The engine on the energies of the predictions."""
        return ScreenEngine(self.screen.engine, self.predictor.energy_ev, self.fwhm_ev, self.compute)

    @cached_property
    def gauges(self) -> list[Gauge]:
        """One for each line of the screen; raises :class:`ScreeningError` if the user's code has changed."""
        for name, identity in own_code(self.screen).items():
            if dict(self.setting.own_functions).get(name) != identity:
                raise ScreeningError(f"{name}: has changed since the screen began", "begin another screen")
        return self.merit.gauges(self.predictor.energy_ev)

    @cached_property
    def fwhm_ev(self) -> float:
        """Width (full width at half maximum, eV) of the spectra."""
        return self.predictor.fwhm_ev

    @property
    def seconds_each(self) -> float | None:
        """CPU time of a candidate that is labelled, or whose network starts from a response: of the first parent that
        can be made; None where it takes milliseconds, or nothing is known of the candidates."""
        return next(map(self.predictor.seconds_of_start, self._known), 0.0) or None

    @property
    def seconds_per_label(self) -> float:
        """CPU time of a label, of the first parent that can be made; 0 where nothing is known of it."""
        return next((label_seconds(self.screen.engine, atoms) for atoms in self._known), 0.0)

    @property
    def _known(self) -> Iterator[Atoms]:
        """The parents that can be made, or the reference, one by one."""
        parents = map(self.maker.parent, self.space.variants) if self.screen.parents else [self.reference]
        return (atoms for atoms in parents if atoms is not None and not isinstance(atoms, Rejection))

    @cached_property
    def reference(self) -> Atoms | None:
        """The structure that the user's own candidates are compared with."""
        from clusterml.structure.read import read

        return None if self.setting.reference is None else read(self.setting.reference)

    def evaluate(self, task: BlockTask) -> CandidateBlock:
        """The rows of a block; rejected candidates are counted by reason.  Raises the :data:`PASSING` troubles."""
        from clusterml.inference.ensemble import in_batches

        begin = time.perf_counter()
        rejections = Rejections()
        rows: list[Row] = []
        spent = {"network": 0.0, "measures": 0.0}
        self._start_s = 0.0
        for batch in in_batches(self._prepare_candidates(task, rejections), _edges, lambda: self.predictor.most_edges):
            before = time.perf_counter()
            predictions = self._predict(batch, rejections)
            between = time.perf_counter()
            rows += self._make_rows(predictions, rejections)
            spent["network"] += between - before
            spent["measures"] += time.perf_counter() - between
        spent["network"] += self._start_s
        geometry = time.perf_counter() - begin - sum(spent.values())
        seconds = {key: round(value, 6) for key, value in {"geometry": geometry, **spent}.items()}
        return CandidateBlock(task.number, task.start, task.stop, tuple(rows), rejections, seconds, task.fingerprint)

    def predict(self, structures: Sequence[Atoms]) -> list[CandidateAnswer]:
        """The spectra of structures that were valid before."""
        return list(self.predictor.stream(structures))

    def origin(self, number: int, spectrum_of: SpectrumOf | None = None) -> Origin:
        """The origin of a candidate; ``spectrum_of`` gives the spectrum of its parent, by default the predicted one."""
        spectrum_of_parent = spectrum_of or self._predict_spectrum
        if self.screen.parents:
            return RecipeOrigin(self.maker, self.space.recipe(number), spectrum_of_parent)
        return ReferenceOrigin(self.reference, spectrum_of_parent)

    @property
    def compute(self) -> Compute:
        """What the engine computes with: the network's device."""
        from clusterml.inference.ensemble import choose_device

        return Compute("cuda" if choose_device(self.setting.device).type == "cuda" else "cpu")

    def prepare(self, recipe: Recipe, atoms: Atoms) -> Any:
        """Prepare a geometry of a recipe, however distorted, for the network, or label it; raises what that raises."""
        from clusterml.inference.preparation import examine

        shell = self.maker.shell(recipe.variant, recipe.steps)
        if isinstance(shell, Rejection):
            raise StructureError(f"{shell.reason}: {shell.example}")
        molecule = self._molecules.find((recipe.variant.number, recipe.steps), lambda: examine(shell))
        return self._start(atoms, molecule)

    def values(self, number: int, prediction: CandidateAnswer) -> tuple[Value, ...]:
        """What the screen measures of a prediction for candidate ``number``.

        Raises :class:`SpectrumError` for a prediction that is not finite, and what :func:`measure_sample` raises.
        """
        if not math.isfinite(prediction.gap_ev + (prediction.domain_score or 0.0)):
            raise SpectrumError("the predicted gap or domain score is not a finite number", "use another model")
        sample = Sample(
            prediction.atoms,
            prediction.charge,
            prediction.spectrum,
            self.fwhm_ev,
            self.origin(number),
            chirality=prediction.chirality,
        )
        return measure_sample(self.gauges, sample)

    def _prepare_candidates(self, task: BlockTask, rejections: Rejections) -> Iterator[tuple[int, Any]]:
        for number in range(task.start, task.stop):
            try:
                candidate = (
                    self._prepare_recipe(number)
                    if task.structures is None
                    else self._prepare_structure(number, task.structures[number - task.start])
                )
            except PASSING:
                raise
            except (ClusterMLError, *UNEXPECTED) as error:
                candidate = Rejection(LABEL if self.setting.by_engine else PREDICTION, words_of(error))
            if isinstance(candidate, Rejection):
                rejections.add(candidate)
            else:
                yield number, candidate

    def _prepare_recipe(self, number: int) -> Any:
        recipe = self.space.recipe(number)
        atoms = self.maker.make(recipe)
        return atoms if isinstance(atoms, Rejection) else self.prepare(recipe, atoms)

    def _prepare_structure(self, number: int, atoms: Atoms) -> Any:
        copy = atoms.copy()
        copy.info["name"] = candidate_name(str(atoms.info.get("name") or "candidate"), number)
        return self._start(copy)

    def _start(self, atoms: Atoms, like: Molecule | None = None) -> Any:
        """Prepare ``atoms``, and count the seconds of a label or of the response that a network starts from."""
        begin = time.perf_counter()
        prepared = self.predictor.prepare(atoms, like=like)
        if self.predictor.seconds_of_start(atoms):
            self._start_s += time.perf_counter() - begin
        return prepared

    def _predict(self, batch: Sequence[tuple[int, Any]], rejections: Rejections) -> list[tuple[int, CandidateAnswer]]:
        """Numbers and predictions of a batch; candidates for which the network gives no spectrum are rejected."""
        try:
            predictions = self.predictor.predict([structure for _, structure in batch])
        except (SpectrumError, *UNEXPECTED) as error:
            if len(batch) > 1:
                return [pair for item in batch for pair in self._predict([item], rejections)]
            if isinstance(error, PASSING):
                raise
            rejections.add(Rejection(PREDICTION, f"{batch[0][1].atoms.info['name']}: {words_of(error)}"))
            return []
        return [(number, prediction) for (number, _), prediction in zip(batch, predictions, strict=True)]

    def _make_rows(self, predictions: Sequence[tuple[int, CandidateAnswer]], rejections: Rejections) -> Iterator[Row]:
        for number, prediction in predictions:
            try:
                values = self.values(number, prediction)
            except PASSING:
                raise
            except (ClusterMLError, *UNEXPECTED) as error:
                rejections.add(Rejection(MEASURE, f"{prediction.name}: {words_of(error)}"))
                continue
            rest = (
                prediction.charge,
                prediction.gap_ev,
                prediction.in_domain,
                prediction.domain_score,
                _sites(prediction.atoms),
                prediction.significance.words,
                nuclear_repulsion(prediction.atoms),
            )
            yield Row(number, prediction.name, values, *rest)

    def _predict_spectrum(self, atoms: Atoms) -> Spectrum:
        key = Geometry.of(atoms), atoms.info.get("charge")
        return self._spectra.find(key, lambda: self.predict([atoms])[0].spectrum)


def _sites(atoms: Atoms) -> tuple[tuple[int, ...], ...]:
    """The sites of each exchange in a candidate's recipe; the parent's history may hold earlier exchanges."""
    provenance = atoms.info.get("provenance", {})
    count = len(provenance.get("recipe", {}).get("exchanges", []))
    history = provenance.get("substitutions", [])
    return tuple(tuple(exchange["sites"]) for exchange in history[len(history) - count :])


def _edges(item: tuple[int, Any]) -> int:
    return int(item[1].edges)
