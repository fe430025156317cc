"""``predict``: the spectrum of one structure by the network, or by the engine where the network cannot be trusted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from clusterml.engine.choices import PUBLISHED, REFITTED
from clusterml.engine.cost import Cost, busyness, label_cost
from clusterml.errors import (
    UNEXPECTED,
    ClusterMLError,
    NoGapError,
    OptionError,
    OutsideNetworkError,
    UnsupportedElementError,
    counted,
    duration,
)
from clusterml.io.shipped import DEFAULT_MODEL
from clusterml.run.progress import SECONDS_BETWEEN_STARTS, SILENT, Reporter
from clusterml.structure.options import DEFAULT_READING, ReadOptions

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.label import Label
    from clusterml.engine.protocol import Protocol, ThermalEnsemble
    from clusterml.inference.answer import Answer, Prediction
    from clusterml.inference.predictor import Predictor
    from clusterml.structure.charge import ChargeDecision


EngineUse = Literal["auto", "never", "always"]
"""``auto``: where the network is out of its domain, or its CD not significant."""
DEFAULT_MINUTES = 60.0
"""Engine time that all structures together may take, in minutes."""


def why_engine(prediction: Prediction) -> str:
    """Why the engine should compute what the network predicts; empty if there is no reason."""
    if prediction.in_domain is False:
        return ": ".join(["out of the network's domain", *prediction.objections[:1]])
    if prediction.significance.verdict == "not significant":
        return "the network's CD is not significant"
    if prediction.significance.verdict == "unknown":
        return "nothing says how sure the network's CD is"
    return ""


@dataclass(frozen=True)
class Advice:
    """Whether the engine should compute a structure: the ``reason`` (empty: the network's spectrum will do), the
    ``cost`` on this computer now (None: not known), and the ``objection`` to beginning without being asked (or empty).
    ``charge_is_open``: is the charge a guess between alternatives?
    """

    reason: str
    cost: Cost | None
    objection: str
    charge_is_open: bool

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        seconds = None if self.cost is None else self.cost.seconds
        words = None if self.cost is None else str(self.cost)
        said = {"reason": self.reason, "seconds": seconds, "cost": words, "objection": self.objection}
        return {**said, "charge_is_open": self.charge_is_open}


def advise_engine(atoms: Atoms, decision: ChargeDecision, reason: str, seconds: float, threads: int = 1) -> Advice:
    """What to do about ``atoms`` for a ``reason`` (:func:`why_engine`, or the network's refusal), which may be empty.

    The engine objects where it would take more than ``seconds`` with ``threads`` threads, lacks an element, or where
    the charge of ``decision`` is a guess between alternatives.
    """
    try:
        cost = label_cost(atoms, threads)
    except UnsupportedElementError as error:
        return Advice(reason, None, error.problem, decision.is_open)
    cost = replace(cost, seconds=cost.seconds * busyness(threads))
    guess = f"its charge is a guess: {decision.assumption}" if decision.is_open else ""
    return Advice(reason, cost, f"it would take {cost}" if cost.seconds > seconds else guess, decision.is_open)


@dataclass(frozen=True)
class EngineOptions:
    """``use``: see :data:`EngineUse`; ``minutes``: time of all structures together; ``thermal``: the ensemble that the
    network was averaged over, of which each snapshot is a label.  Raises OptionError."""

    use: EngineUse = "auto"
    minutes: float = DEFAULT_MINUTES
    thermal: ThermalEnsemble | None = None
    allow_several: bool = False

    def __post_init__(self) -> None:
        if self.use not in get_args(EngineUse):
            raise OptionError(f"engine is {self.use!r}", f"choose one of {', '.join(get_args(EngineUse))}")
        if not 0.0 <= self.minutes < 1e6:
            raise OptionError(f"the engine limit is {self.minutes:g} minutes", "give a number of minutes from 0 up")


class Engine:
    """Decides for one structure after the other, and computes; a ``reporter`` is told the cost and the progress.

    Its orbitals, energies and width of bands are those of the ``predictor``.  The first estimate of time counts what
    else the computer does; others follow the times that were measured.
    """

    def __init__(self, options: EngineOptions, predictor: Predictor, reporter: Reporter = SILENT) -> None:
        self._options = options
        self._grid = predictor.energy_ev
        self._fwhm_ev = predictor.fwhm_ev
        self._orbitals = predictor.orbitals
        self._reporter = reporter
        self._spent_s = 0.0
        self._slowness = 0.0  # not known yet

    def answer(self, prediction: Prediction, charge: int | None = None, name: str = "") -> Answer:
        """The network's answer, or where that is not to be trusted the engine's.

        ``charge``: what was asked for; the engine proposes the same as the network where that is None.
        """
        from clusterml.inference.answer import Answer

        reason = "asked for" if self._options.use == "always" else why_engine(prediction)
        if self._options.use == "never" or not reason:
            return Answer("", prediction, None, (*prediction.warnings, *_other_charges(prediction)))
        try:
            label = self._label(prediction.atoms, charge, reason, name or prediction.name)
        except (ClusterMLError, *UNEXPECTED) as error:
            words = f"{reason}, but the engine did not compute it: {_words(error)}"
            return Answer(words, prediction, None, (*prediction.warnings, words))
        return Answer(reason, prediction, label, tuple(map(_of_label, label.warnings)))

    def answer_alone(self, atoms: Atoms, charge: int | None, refusal: ClusterMLError, name: str) -> Answer:
        """The engine's answer for ``atoms`` that the network does not take in, which ``refusal`` says.

        Raises ``refusal`` where the engine is not to be used, or would fail on the very same ground state; with the
        engine's reason if it cannot either.
        """
        from clusterml.inference.answer import Answer

        if self._options.use == "never" or self._shares_failure(refusal):
            raise refusal
        try:
            label = self._label(atoms, charge, refusal.problem, name)
        except ClusterMLError as error:
            problem = f"{refusal.problem}; and the engine: {error.problem}"
            remedies = (_of_label(error.remedy), refusal.remedy)
            raise type(error)(problem, "; or ".join(filter(None, dict.fromkeys(remedies)))) from error
        return Answer(refusal.problem, None, label, tuple(map(_of_label, label.warnings)))

    def _shares_failure(self, refusal: ClusterMLError) -> bool:
        """Was the network's start stuck on the ground state that the engine's orbitals are made of?"""
        from clusterml.engine.orbitals.newton import StuckError

        return isinstance(refusal.__cause__, StuckError) and self._orbitals in (PUBLISHED, REFITTED)

    def _label(self, atoms: Atoms, charge: int | None, reason: str, name: str) -> Label:
        """Compute, after saying what it costs; raises OptionError where that exceeds the bound."""
        from clusterml.engine.label import label
        from clusterml.engine.protocol import Protocol

        cost = self._cost(atoms)
        words = f"{name}: engine, {counted(len(atoms), 'atom')}, {cost}: {reason}"
        self._reporter.note(words, after=SECONDS_BETWEEN_STARTS)
        protocol = Protocol(
            orbitals=self._orbitals,
            emax_ev=float(self._grid[-1]),
            fwhm_ev=self._fwhm_ev,
            ensemble=self._options.thermal,
        )
        compute = partial(
            label,
            atoms,
            charge,
            grid=self._grid,
            groups={},
            allow_several=self._options.allow_several,
            advise=True,
            progress=lambda words: self._reporter.note(f"{name}: engine, {words}"),
        )
        start = time.perf_counter()
        try:
            return _label_with_any_gap(compute, protocol)
        finally:
            seconds = time.perf_counter() - start
            self._spent_s += seconds
            self._slowness = max(seconds / (cost.seconds / self._slowness), 0.2)

    def _cost(self, atoms: Atoms) -> Cost:
        import torch

        members = 1 if self._options.thermal is None else self._options.thermal.members + 1
        threads = torch.get_num_threads()
        single = label_cost(atoms, threads)
        self._slowness = self._slowness or busyness(threads)
        cost = replace(single, seconds=single.seconds * members * self._slowness)
        remaining = 60.0 * self._options.minutes - self._spent_s
        if cost.seconds > remaining:
            raise OptionError(
                f"it would take {cost}, more than the {max(remaining, 0.0) / 60.0:.0f} min that are left of the limit",
                "raise --engine-limit (minutes)",
            )
        return cost


def _label_with_any_gap(compute: Callable[..., Label], protocol: Protocol) -> Label:
    """What ``compute`` makes of ``protocol``, or where refitted orbitals have no gap, of those as published."""
    try:
        return compute(protocol=protocol)
    except NoGapError as error:
        if protocol.orbitals != REFITTED:
            raise
        result = compute(protocol=protocol.but(orbitals=PUBLISHED))
        instead = f"computed with {PUBLISHED} orbitals: {error.problem}"
        return replace(result, warnings=(instead, *result.warnings))


def _other_charges(prediction: Prediction) -> Iterator[str]:
    """Advice of a charge that opens the gap, where that of a prediction is small; seconds."""
    from clusterml.engine.charge import gap_advice
    from clusterml.structure.charge import SMALL_GAP_EV

    if prediction.gap_ev < SMALL_GAP_EV and (advice := gap_advice(prediction.atoms, prediction.charge)):
        yield advice


def _words(error: BaseException) -> str:
    if isinstance(error, ClusterMLError):
        return _of_label(str(error))
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"


def _of_label(words: str) -> str:
    """Advice that names options says whose they are."""
    if "--engine-limit" in words or "clusterml label" in words:
        return words
    return re.sub(r"(?<![^\s(])--(?=\w)", "clusterml label's --", words, count=1)


def predict(
    what: Atoms | str | Path,
    charge: int | None = None,
    *,
    engine: EngineUse = "auto",
    engine_minutes: float = DEFAULT_MINUTES,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    thermal: ThermalEnsemble | None = None,
    fwhm_ev: float | None = None,
    reading: ReadOptions = DEFAULT_READING,
    reporter: Reporter = SILENT,
) -> Answer:
    """The spectrum of a structure, or of the file of one, as ``clusterml predict`` gives it.

    ``charge``, ``thermal``: see :meth:`Predictor.prepare`.  ``fwhm_ev``: see :meth:`Predictor.at_width`.
    ``engine``: ``auto``: the engine computes the spectrum where the structure is out of the network's domain or the
    network's CD is not significant; ``never``; ``always``.  ``engine_minutes``: it is left out, with a warning, where
    it would take longer.  ``reporter`` is told what it costs before it begins.  The checkpoint last used stays in
    memory.

    Raises what :meth:`Predictor.prepare`, :meth:`Predictor.at_width` and reading raise, and for a structure that the
    network does not take in what :func:`clusterml.engine.label.label` raises.

    Examples:
        >>> import clusterml as cm
        >>> answer = cm.predict(cm.build("ag3", thiolate="SH"), engine="never")
        >>> answer.summary
        'network, in domain; no CD'
    """
    from clusterml.structure.check import check_structure
    from clusterml.structure.elements import structure_name
    from clusterml.structure.read import read

    options = EngineOptions(engine, engine_minutes, thermal, reading.allow_several)
    atoms = read(what, options=reading) if isinstance(what, str | Path) else what
    check_structure(atoms, "Predictor.load()(LIST) predicts several")
    predictor = _predictor(str(model), device).at_width(fwhm_ev)
    runner = Engine(options, predictor, reporter)
    note_cost(predictor, atoms, thermal, structure_name(atoms), reporter)
    try:
        prepared = predictor.prepare(
            atoms,
            charge,
            allow_several=reading.allow_several,
            thermal=thermal,
            progress=lambda words: reporter.note(f"{structure_name(atoms)}: network, {words}"),
        )
    except OutsideNetworkError as error:
        return runner.answer_alone(atoms, charge, error, structure_name(atoms))
    (prediction,) = predictor.predict([prepared])
    return runner.answer(prediction, charge)


def note_cost(
    predictor: Predictor, atoms: Atoms, thermal: ThermalEnsemble | None, name: str, reporter: Reporter
) -> None:
    """Tell the ``reporter`` what a prediction will take, where that is more than a moment."""
    seconds = predictor.seconds_of_start(atoms) * (1 if thermal is None else thermal.members)
    if seconds > SECONDS_BETWEEN_STARTS:
        about = duration(seconds * busyness(1))
        words = f"{name}: network, {counted(len(atoms), 'atom')}, about {about}"
        reporter.note(words, after=SECONDS_BETWEEN_STARTS)


@lru_cache(maxsize=1)
def _predictor(model: str, device: str) -> Predictor:
    from clusterml.inference.predictor import Predictor

    return Predictor.load(model, device)
