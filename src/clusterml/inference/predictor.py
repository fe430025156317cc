"""From structures to predicted spectra: the network with its charge rule, calibration and domain."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from clusterml.engine.choices import WIDEST_EV
from clusterml.engine.protocol import ThermalEnsemble
from clusterml.errors import ClusterMLError, OptionError, UnsupportedElementError, check_kind, counted
from clusterml.inference.answer import OUT_OF_DOMAIN, PredictedChirality, Prediction
from clusterml.inference.calibration import Novelty, Uncertainty, raw_spread, silent
from clusterml.inference.checkpoint import checksum, label_protocol, load_ensemble, read_uncertainty
from clusterml.inference.domain import Composition, Domain, DomainReport
from clusterml.inference.ensemble import Ensemble, Output, in_batches, refine_grid
from clusterml.inference.labelled import sign_error_of_mean
from clusterml.inference.preparation import Molecule, PreparedStructure, examine, make_graphs
from clusterml.io.shipped import DEFAULT_MODEL
from clusterml.spectrum.compare import broaden_to
from clusterml.spectrum.spectrum import Spectrum, mean_spectrum
from clusterml.structure.charge import SMALL_GAP_EV
from clusterml.structure.check import check_geometry, check_size, check_structure
from clusterml.structure.options import DEFAULT_READING, ReadOptions
from clusterml.training.catalogue import SPEC, find_release
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms


STEP_EV = 0.02
"""Step of the spectra that are handed out: that of the default grid."""


class Predictor:
    """Predicts spectra with an ensemble of networks; see :meth:`load`.

    ``name`` of the checkpoint; its ``uncertainty`` and the ``domain`` of the training data, or None; ``provenance``:
    plain values that every prediction carries.  ``fwhm_ev``: width of the predicted bands, see :meth:`at_width`.

    Examples:
        >>> import clusterml as cm
        >>> predictor = cm.Predictor.load()
        >>> predictor(cm.build("ag3", thiolate="SH")).domain
        'in'
    """

    def __init__(
        self,
        name: str,
        ensemble: Ensemble,
        uncertainty: Uncertainty | None = None,
        domain: Domain | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.ensemble = ensemble
        self.uncertainty = uncertainty
        self.domain = domain
        self.provenance = {"members": len(ensemble), "device": str(ensemble.device), **(provenance or {})}
        self.energy_ev, self._matrix = refine_grid(ensemble.energy_ev, STEP_EV)
        self.fwhm_ev = ensemble.spec.fwhm_ev

    def __repr__(self) -> str:
        """Name, networks and device."""
        networks = counted(self.provenance["members"], "network")
        return f"Predictor({self.name}, {networks} on {self.provenance['device']})"

    @property
    def knows_spread(self) -> bool:
        """Have its spectra standard deviations?"""
        return self.uncertainty is not None or len(self.ensemble) > 1

    @property
    def most_edges(self) -> int:
        """Edges of the largest batch."""
        return self.ensemble.most_edges

    @property
    def orbitals(self) -> str:
        """The orbitals of the labels that it learnt; the engine's default where those are not a source by itself."""
        from clusterml.engine.orbitals.source import SOURCES
        from clusterml.engine.protocol import DEFAULT_PROTOCOL

        learnt = self.provenance.get("label_protocol")
        return learnt if learnt in SOURCES.names else DEFAULT_PROTOCOL.orbitals

    @classmethod
    def load(cls, model: str | Path = DEFAULT_MODEL, device: str = "auto") -> Predictor:
        """The predictor of a shipped checkpoint (``ag-response-v1``, ``ag-quick-v1``) or of a checkpoint's folder.

        ``device``: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:1``.  Raises
        :class:`~clusterml.training.catalogue.ReleaseError` naming a checkpoint that is missing, damaged or foreign, and
        :class:`~clusterml.errors.OptionError` for a device that is not there.
        """

        return load_predictor(model, device)

    def seconds_of_start(self, atoms: Atoms) -> float:
        """CPU time of what the spectra of ``atoms`` start from: nothing, or an estimate of the time of the response."""
        from clusterml.engine.cost import response_seconds

        try:
            return 0.0 if self.ensemble.spec.start == "zero" else response_seconds(atoms)
        except UnsupportedElementError:  # :meth:`prepare` says so
            return 0.0

    def at_width(self, fwhm_ev: float | None) -> Predictor:
        """This predictor with spectra of a larger width (eV), made by broadening; itself for None.

        Standard deviations are then upper bounds, see :func:`clusterml.spectrum.compare.broaden_to`.  Raises
        :class:`~clusterml.errors.OptionError` for a width below that of the network, or above 5 eV.
        """
        if fwhm_ev is None:
            return self
        if not (math.isfinite(fwhm_ev) and fwhm_ev >= self.fwhm_ev):
            problem = f"a width of {fwhm_ev:g} eV is below that of the network {self.name}, {self.fwhm_ev:g} eV"
            raise OptionError(problem, f"give {self.fwhm_ev:g} or more; clusterml label computes narrower bands")
        if fwhm_ev > WIDEST_EV:
            raise OptionError(f"a width of {fwhm_ev:g} eV shows nothing", f"give {WIDEST_EV:g} at most")
        wider = copy.copy(self)
        wider.fwhm_ev = float(fwhm_ev)
        return wider

    @overload
    def __call__(
        self,
        what: Atoms | str | Path,
        charge: int | None = None,
        thermal: ThermalEnsemble | None = None,
        reading: ReadOptions = ...,
    ) -> Prediction: ...
    @overload
    def __call__(
        self,
        what: Sequence[Atoms | str | Path],
        charge: int | None = None,
        thermal: ThermalEnsemble | None = None,
        reading: ReadOptions = ...,
    ) -> list[Prediction]: ...
    def __call__(
        self,
        what: Atoms | str | Path | Sequence[Atoms | str | Path],
        charge: int | None = None,
        thermal: ThermalEnsemble | None = None,
        reading: ReadOptions = DEFAULT_READING,
    ) -> Prediction | list[Prediction]:
        """The prediction for a structure or the file of one, or a list of them for a list.

        ``thermal``: of the mean over thermal snapshots instead of the static geometry, see :meth:`prepare`.
        ``charge``: of all; default: what each structure states, else a proposal with a warning, as in
        :func:`clusterml.engine.label.label`.  ``reading``: how files are read.

        Raises what :meth:`prepare` and reading a file raise, naming the structure.
        """
        from ase import Atoms

        if isinstance(what, Atoms | str | Path):
            return next(self.stream([what], charge, thermal, reading))
        check_kind(what, Iterable, "a structure, a file, or several of them", "give ase.Atoms or paths")
        return list(self.stream(what, charge, thermal, reading))

    def stream(
        self,
        structures: Iterable[Atoms | str | Path],
        charge: int | None = None,
        thermal: ThermalEnsemble | None = None,
        reading: ReadOptions = DEFAULT_READING,
    ) -> Iterator[Prediction]:
        """Predictions of any number of structures in their order, batch by batch: memory stays flat."""
        prepared = (
            self._prepare_and_name(structure, charge, number, thermal, reading)
            for number, structure in enumerate(structures, start=1)
        )
        for batch in in_batches(prepared, lambda item: item.edges, lambda: self.most_edges):
            yield from self.predict(batch)

    def prepare(
        self,
        atoms: Atoms,
        charge: int | None = None,
        *,
        allow_several: bool = False,
        like: Molecule | None = None,
        thermal: ThermalEnsemble | None = None,
        check_charge: bool = False,
        progress: Callable[[str], None] = lambda words: None,
    ) -> PreparedStructure:
        """Check a structure and make its graph, which takes most of the time of a network that starts from a response.

        ``check_charge``: see :func:`~clusterml.inference.preparation.examine`.  ``thermal``: the prediction is the mean
        over these snapshots of the structure, the nuclear-ensemble spectrum; ``progress`` is told in words how many are
        done.  ``like``: its molecule, which is then not found anew: for thousands of distortions of one cluster that
        were checked when they were made.

        Raises StructureError (for more than 5,000 atoms too), SeveralMoleculesError (unless ``allow_several``),
        ChargeError, and OutsideNetworkError for what the network cannot take in at all, or has nothing to start from.
        """
        start = time.perf_counter()
        if like is None:
            like = examine(atoms, charge, allow_several=allow_several, check_charge=check_charge)
        else:
            check_size(atoms)
            check_geometry(atoms)
        geometries = [atoms] if thermal is None else thermal.snapshots(atoms)
        graphs = make_graphs(geometries, like.decision.charge, self.ensemble.spec, self.name, progress)
        return PreparedStructure(atoms, like, graphs, time.perf_counter() - start, thermal)

    def predict(self, prepared: Sequence[PreparedStructure]) -> list[Prediction]:
        """Predictions for structures that :meth:`prepare` checked, of which there is at least one."""
        start = time.perf_counter()
        every = self.ensemble([graph for structure in prepared for graph in structure.graphs])
        sizes = [len(structure.graphs) for structure in prepared]
        output, curves = every.average(sizes), every.curves(sizes, self._matrix)
        novelties = [self._novelty(structure.molecule.composition) for structure in prepared]
        counts = [structure.molecule.composition.n_metals for structure in prepared]
        scores = None if self.domain is None else self.domain.scores(output.features, counts)
        spectra = self._spectra(output, [novelty for novelty, _ in novelties], scores)
        seconds = (time.perf_counter() - start) / len(prepared)
        predictions = [
            self._prediction(
                structure, output, spectra[row], None if scores is None else float(scores[row]), novelty, row, seconds
            )
            for row, (structure, novelty) in enumerate(zip(prepared, novelties, strict=True))
        ]
        if all(structure.thermal is None for structure in prepared):
            return predictions
        return [
            each if structure.thermal is None else _of_snapshots(each, self._thermal(*of_snapshots), structure.thermal)
            for each, structure, of_snapshots in zip(predictions, prepared, curves, strict=True)
        ]

    def _thermal(self, epsilon: FloatArray, delta_epsilon: FloatArray) -> Spectrum:
        """The mean over snapshots, whose mean spectra of the networks (g, m) are given, with their spread."""
        meta = self._spectra_meta | {"ensemble": len(epsilon)}
        spectra = [
            broaden_to(Spectrum(self.energy_ev, *both, meta=meta), self.fwhm_ev)
            for both in zip(epsilon, delta_epsilon, strict=True)
        ]
        return mean_spectrum(spectra, {})

    @property
    def _spectra_meta(self) -> dict[str, Any]:
        gauges = {"gauge": "velocity", "absorption_gauge": "length"}
        return {"fwhm_ev": self.ensemble.spec.fwhm_ev, **gauges, "shape": "gaussian"}

    def _novelty(self, constituents: Composition) -> tuple[Novelty | None, str]:
        return (None, "") if self.domain is None else self.domain.compositions.novelty(constituents)

    def _prepare_and_name(
        self,
        structure: Atoms | str | Path,
        charge: int | None,
        number: int,
        thermal: ThermalEnsemble | None,
        reading: ReadOptions,
    ) -> PreparedStructure:
        """:meth:`prepare` of a structure or file, whose errors name it."""
        from clusterml.structure.read import read

        if isinstance(structure, str | Path):
            structure = read(structure, options=reading)
        check_structure(structure)
        name = str(structure.info.get("source") or structure.info.get("name") or f"structure {number}")
        try:
            return self.prepare(structure, charge, allow_several=reading.allow_several, thermal=thermal)
        except ClusterMLError as error:
            problem = error.problem.removeprefix(f"{name}: ").removeprefix("structure: ")
            raise type(error)(f"{name}: {problem}", error.remedy) from error

    def _spectra(
        self, output: Output, novelties: Sequence[Novelty | None], scores: FloatArray | None
    ) -> list[Spectrum]:
        """Mean and spread over the members, on the finer grid; no calibrated spread (NaN) where nothing absorbs, for
        there none was measured."""
        members = {key: getattr(output, key) @ self._matrix.T for key in ("epsilon", "delta_epsilon")}
        members["epsilon"] = np.maximum(members["epsilon"], 0.0)  # splines may undershoot between points
        spread = {key: self._spread(key, values, novelties, scores) for key, values in members.items()}
        mean = members["epsilon"].mean(axis=0)
        if self.uncertainty is not None:
            nothing = silent(mean)
            spread = {key: None if std is None else np.where(nothing, np.nan, std) for key, std in spread.items()}
        spectra = [
            Spectrum(
                self.energy_ev,
                mean[row],
                members["delta_epsilon"][:, row].mean(axis=0),
                None if spread["epsilon"] is None else spread["epsilon"][row],
                None if spread["delta_epsilon"] is None else spread["delta_epsilon"][row],
                self._spectra_meta,
            )
            for row in range(output.gap_ev.shape[1])
        ]
        return [broaden_to(spectrum, self.fwhm_ev) for spectrum in spectra]

    def _spread(
        self, quantity: str, members: FloatArray, novelties: Sequence[Novelty | None], scores: FloatArray | None
    ) -> FloatArray | None:
        if self.uncertainty is not None:
            return self.uncertainty.spread(quantity, self.energy_ev, members, novelties, scores)
        return raw_spread(self.energy_ev, members, 0.0) if len(members) > 1 else None

    def _prediction(
        self,
        structure: PreparedStructure,
        output: Output,
        spectrum: Spectrum,
        score: float | None,
        novel: tuple[Novelty | None, str],
        row: int,
        seconds: float,
    ) -> Prediction:
        report: DomainReport | None = None
        if self.domain is not None and score is not None:
            report = self.domain.report(score, structure.molecule.composition)
        warnings = [*structure.molecule.warnings]
        warnings += [f"{OUT_OF_DOMAIN}{reason}" for reason in (report.reasons if report else ())]
        novelty, sentence = novel
        if self.uncertainty is None:
            warnings.append(
                "the uncertainty is not calibrated" if len(self.ensemble) > 1 else "no uncertainty is known"
            )
        elif novelty is not None:
            measured = novelty in self.uncertainty.novel
            warnings.append(
                f"{sentence}: the uncertainty is "
                + (f"that of {novelty}s that networks had not seen" if measured else "too small")
            )
        if structure.thermal is not None:
            warnings.append(
                "the uncertainty is that of the network for a static geometry and of a mean over "
                f"{structure.thermal.members} snapshots"
            )
        gap_ev = float(output.gap_ev[:, row].mean())
        if gap_ev < SMALL_GAP_EV:
            warnings.append(f"the predicted HOMO-LUMO gap is only {gap_ev:.2f} eV: check charge and geometry")
        provenance = self.provenance | (
            {"ensemble": structure.thermal.to_dict()} if structure.thermal is not None else {}
        )
        chirality = PredictedChirality(1e-3 * float(output.opd[:, row].mean()), float(output.ccm[:, row].mean()))
        return Prediction(
            structure.atoms,
            structure.molecule.decision,
            self.name,
            spectrum,
            chirality,
            gap_ev,
            None if report is None else report.in_domain,
            None if report is None else report.score,
            novelty,
            tuple(warnings),
            {"preparation": structure.seconds, "network": seconds, "total": structure.seconds + seconds},
            provenance,
            1.0 if self.uncertainty is None else self.uncertainty.sign_error,
        )


def _of_snapshots(prediction: Prediction, mean: Spectrum, thermal: ThermalEnsemble) -> Prediction:
    """``prediction`` as the ``mean`` over snapshots, with their spread: its standard error is added, in squares, to the
    standard deviations, as other snapshots would have another mean, and its sign counts as that of a mean."""

    def error(name: str) -> FloatArray:
        return np.asarray(getattr(mean, name)) / math.sqrt(thermal.members)

    def joined(name: str) -> FloatArray | None:
        own = getattr(prediction.spectrum, name)
        return None if own is None else np.hypot(own, error(name))

    stds: dict[str, Any] = {name: joined(name) for name in ("epsilon_std", "delta_epsilon_std")}
    sign_error = max(prediction.sign_error, sign_error_of_mean(mean.delta_epsilon, error("delta_epsilon_std")))
    return replace(prediction, spectrum=replace(prediction.spectrum, **stds), thermal=mean, sign_error=sign_error)


def load_predictor(model: str | Path, device: str) -> Predictor:
    """The predictor of the checkpoint ``model`` (name or folder) on ``device``.

    Raises :class:`~clusterml.training.catalogue.ReleaseError` for one that is missing, damaged, foreign or newer, or
    whose uncertainty belongs to other weights, and :class:`~clusterml.errors.OptionError` for a device that is not
    there.
    """

    folder = find_release(model)
    ensemble = load_ensemble(folder, device)
    uncertainty, domain = read_uncertainty(folder)
    provenance = {
        "checkpoint": str(folder),
        "spec_sha256": checksum(folder / SPEC),
        "label_protocol": label_protocol(folder),
    }
    return Predictor(folder.resolve().name, ensemble, uncertainty, domain, provenance)
