"""The network judged on labelled records, and its uncertainty measured on records it has not learnt from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clusterml.dataset.record import Record
from clusterml.dataset.split import Split
from clusterml.dataset.splits import find_split
from clusterml.dataset.store import Dataset
from clusterml.engine.protocol import ThermalEnsemble
from clusterml.errors import OptionError
from clusterml.inference.calibration import Calibration, Novelty, Uncertainty, calibrate
from clusterml.inference.checkpoint import load_ensemble, read_uncertainty, write_uncertainty
from clusterml.inference.domain import Composition, Domain, composition, fit_domain
from clusterml.inference.ensemble import Ensemble, Output, edges_of, in_batches
from clusterml.inference.labelled import LabelledOutputs, by_parent
from clusterml.training.baselines import Spectra
from clusterml.training.evaluation import Judged, Part, Records, part_of
from clusterml.training.metrics import mean_of_known
from clusterml.training.release import open_release
from clusterml.training.responses import KeptResponses
from clusterml.training.targets import SPECTRA, Wanted
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from clusterml.model.graph import Graph

_COVERAGES = {"epsilon": "absorption_coverage", "delta_epsilon": "cd_coverage"}
_NOVEL: dict[str, Novelty] = {"shell": "ligand", "parent": "cluster"}


class NetworkJudge:
    """A checkpoint's networks as :data:`clusterml.training.evaluation.Judge`.

    ``wanted``: gauges of the labels; ``responses``: the folder of those that spectra start from, None: none are
    kept. The numbers beside the spectra: error of the gap and, where the checkpoint knows its uncertainty, the
    share of energies inside the 90 % interval and the share of structures in the domain.
    """

    def __init__(self, folder: Path, device: str, wanted: Wanted, responses: Path | None = None) -> None:
        self.ensemble = load_ensemble(folder, device)
        self._kept = KeptResponses(responses, self.ensemble.spec)
        self._uncertainty, self._domain = read_uncertainty(folder)
        self._wanted = wanted

    def __call__(self, records: Sequence[Record]) -> Judged:
        """What the networks say of ``records``."""
        start = time.perf_counter()
        output = output_of(self.ensemble, records, self._kept)
        seconds = (time.perf_counter() - start) / len(records)
        gap = np.array([record.gap_ev for record in records])
        extra = {"gap_error_ev": np.where(gap > 0.0, np.abs(output.gap_ev.mean(axis=0) - gap), np.nan)}
        if self._uncertainty is not None and self._domain is not None:
            compositions = _compositions(records)
            scores = scores_of(self._domain, output, compositions)
            extra |= self._coverages(
                self._uncertainty, output, records, novelties_of(self._domain, compositions), scores
            )
            extra["in_domain"] = _inside(self._domain, scores, compositions)
        return Judged(Spectra(output.epsilon.mean(axis=0), output.delta_epsilon.mean(axis=0)), seconds, extra)

    def _coverages(
        self,
        uncertainty: Uncertainty,
        output: Output,
        records: Sequence[Record],
        novelties: Sequence[Novelty | None],
        scores: FloatArray,
    ) -> dict[str, FloatArray]:
        members, truth = _by_quantity(output), _by_quantity(_truth(self.ensemble, records, self._wanted))
        covered = uncertainty.coverages(self.ensemble.energy_ev, members, truth, novelties, scores)
        return {name: covered[key] for key, name in _COVERAGES.items()}


@dataclass(frozen=True)
class ForeignCheck:
    """What holds on the geometries from elsewhere, ``records`` of ``parents``, each parent with the calibration that
    the others ask for: coverage of absorption and CD, and of the signs stated as significant, ``sure``, how many are
    ``right``."""

    parents: int
    records: int
    in_domain: int
    absorption_coverage: float
    cd_coverage: float
    sure: int
    right: int


def measure_uncertainty(
    folder: Path,
    dataset: Dataset,
    split: Split,
    *,
    method: str | None,
    wanted: Wanted,
    device: str = "auto",
    novel: Sequence[UnseenErrors] = (),
    foreign: Dataset | None = None,
    responses: Path | None = None,
) -> ForeignCheck | None:
    """Measure the uncertainty of the checkpoint in ``folder`` and keep it there.

    Factors, the error of the strongest CD and the limit of the domain come from the validation records of
    ``split``, the domain from its training records: give the split that the networks were trained with. Thermal
    means take no part: they differ from their predictions by the snapshots that each of them drew. ``novel``:
    what :func:`measure_unseen` gives for other networks. ``foreign``: known clusters in geometries from elsewhere,
    of which no network has learnt; what is found there is returned. ``responses``: see :class:`NetworkJudge`. The
    error of the strongest CD is the larger of both, as a structure in the domain may be of either kind. Raises
    :class:`~clusterml.errors.DatasetError` for too few records.
    """
    ensemble = load_ensemble(folder, device)
    kept = KeptResponses(responses, ensemble.spec)
    parts = [_static_part(dataset, names, ensemble, wanted, method) for names in (split.train, split.validation)]
    records = [Records(dataset, part.ids) for part in parts]
    outputs = [output_of(ensemble, part_records, kept) for part_records in records]
    members, truth = _by_quantity(outputs[1]), _by_quantity(parts[1].truth)
    calibration = calibrate(ensemble.energy_ev, members, truth, parts[1].samples.parent)
    compositions = [_compositions(part_records) for part_records in records]
    domain = fit_domain(outputs[0].features, outputs[1].features, *compositions)
    uncertainty = Uncertainty(calibration, {errors.novelty: errors.calibration for errors in novel})
    validation = _label_outputs(ensemble, parts[1], outputs[1], compositions[1], domain)
    if foreign is None:
        write_uncertainty(folder, validation.with_sign_error(uncertainty), domain)
        return None
    part = _static_part(foreign, foreign.ids, ensemble, wanted, method)
    foreign_records = Records(foreign, part.ids)
    elsewhere = _label_outputs(
        ensemble, part, output_of(ensemble, foreign_records, kept), _compositions(foreign_records), domain
    )

    def fit(labelled: LabelledOutputs) -> Uncertainty:
        return labelled.with_sign_error(validation.with_sign_error(labelled.with_reach(uncertainty)))

    write_uncertainty(folder, fit(elsewhere), domain)
    return _cross_check(elsewhere, fit)


def _static_part(
    dataset: Dataset, names: Sequence[str], ensemble: Ensemble, wanted: Wanted, method: str | None
) -> Part:
    """Those of ``names`` whose label is of one geometry, as the uncertainty is.

    A thermal mean differs from its prediction by the snapshots that each of them drew: its sign may be that of chance
    where the networks are right to a thousandth.  Raises DatasetError if none is left, and what :func:`part_of` raises.
    """
    kinds = dict(zip(dataset.ids, dataset.column("kind"), strict=True))
    static = [name for name in names if kinds.get(name) != "ensemble"]
    return part_of(dataset, static, ensemble.spec, wanted, method, described=False)


def _label_outputs(
    ensemble: Ensemble, part: Part, output: Output, compositions: Sequence[Composition], domain: Domain
) -> LabelledOutputs:
    scores = scores_of(domain, output, compositions)
    inside = _inside(domain, scores, compositions) > 0.5
    novelties, parents = tuple(novelties_of(domain, compositions)), tuple(part.samples.parent)
    members, truth = _by_quantity(output), _by_quantity(part.truth)
    return LabelledOutputs(ensemble.energy_ev, members, truth, parents, novelties, scores, inside)


def _by_quantity(values: Output | Spectra) -> dict[str, FloatArray]:
    return {key: getattr(values, key) for key in SPECTRA}


def _cross_check(records: LabelledOutputs, fit: Callable[[LabelledOutputs], Uncertainty]) -> ForeignCheck:
    """How well the uncertainty holds on the records of each parent when it is fitted to those of the others."""
    pairs = by_parent(records)
    covered: dict[str, list[float]] = {key: [] for key in SPECTRA}
    sure = right = 0
    for of_parent, of_others in pairs:
        uncertainty = fit(of_others)
        for key, shares in of_parent.coverages(uncertainty).items():
            covered[key].append(mean_of_known(shares))
        signs = of_parent.signs(uncertainty)
        stated = signs.sure(uncertainty.sign_error)
        sure, right = sure + int(stated.sum()), right + int(signs.right[stated].sum())
    coverage = {name: mean_of_known(np.array(covered[key])) for key, name in _COVERAGES.items()}
    return ForeignCheck(len(pairs), len(records.parents), int(records.inside.sum()), **coverage, sure=sure, right=right)


@dataclass(frozen=True)
class UnseenErrors:
    """Errors on what networks had not seen: the ``calibration`` for this ``novelty``, from ``records`` of ``parents``,
    and its coverage of absorption and CD on ``tested`` others."""

    novelty: Novelty
    calibration: Calibration
    parents: int
    records: int
    tested: int
    absorption_coverage: float
    cd_coverage: float


def measure_unseen(
    folder: Path,
    dataset: Dataset,
    *,
    method: str | None,
    wanted: Wanted,
    device: str = "auto",
    responses: Path | None = None,
) -> UnseenErrors:
    """How wrong the checkpoint in ``folder`` is on the ligands or clusters that its own split held out.

    The errors are taken relative to the size of the predicted spectrum, so that they hold for ensembles of other sizes:
    fitted on the validation records, checked on the test records.  Raises :class:`~clusterml.errors.OptionError` for
    one that was trained with neither a ``shell`` nor a ``parent`` split,
    and DatasetError for too few records or a split that cannot be made again.
    """
    recipe = open_release(folder).split
    if recipe is None or recipe.question not in _NOVEL:
        history = "has no split" if recipe is None else f"was trained with a {recipe.question} split"
        raise OptionError(f"{folder}: {history}", "give a network of a shell or parent split")
    split = find_split(recipe, dataset, folder)
    ensemble = load_ensemble(folder, device)
    parts = [_static_part(dataset, names, ensemble, wanted, method) for names in (split.validation, split.test)]
    kept = KeptResponses(responses, ensemble.spec)
    outputs = [output_of(ensemble, Records(dataset, part.ids), kept) for part in parts]
    means = [{key: getattr(output, key).mean(axis=0, keepdims=True) for key in SPECTRA} for output in outputs]
    truths = [{key: getattr(part.truth, key) for key in SPECTRA} for part in parts]
    parents = parts[0].samples.parent
    calibration = calibrate(ensemble.energy_ev, means[0], truths[0], parents, floors=(1.0,))
    novelties: list[Novelty | None] = [None] * len(parts[1].ids)
    covered = Uncertainty(calibration).coverages(ensemble.energy_ev, means[1], truths[1], novelties)
    coverages = {name: mean_of_known(covered[key]) for key, name in _COVERAGES.items()}
    return UnseenErrors(
        _NOVEL[split.question], calibration, len(set(parents)), len(parents), len(parts[1].ids), **coverages
    )


def output_of(ensemble: Ensemble, records: Sequence[Record], kept: KeptResponses | None = None) -> Output:
    """The networks' output for ``records``; only the graphs of one batch are in memory.  ``kept``: what their spectra
    start from.

    For a thermal spectrum (kind ``ensemble``) it is the mean over snapshots of the record's geometry.
    """
    sizes: list[int] = []
    parts = [ensemble(graphs) for graphs in _batches(ensemble, records, sizes, kept)]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("epsilon", "delta_epsilon", "gap_ev", "opd", "ccm")
    }
    return Output(**arrays, features=np.concatenate([part.features for part in parts])).average(sizes)


def _batches(
    ensemble: Ensemble, records: Sequence[Record], sizes: list[int], kept: KeptResponses | None
) -> Iterator[list[Graph]]:
    """Graphs of the records' geometries; how many each record has is added to ``sizes``."""
    made = KeptResponses(None, ensemble.spec) if kept is None else kept

    def graphs() -> Iterator[Graph]:
        for record in records:
            geometries = _geometries(record)
            sizes.append(len(geometries))
            yield from (made.graph(record.numbers, geometry, record.charge) for geometry in geometries)

    return in_batches(graphs(), edges_of, lambda: ensemble.most_edges)


def _geometries(record: Record) -> list[FloatArray]:
    """Positions (n, 3) to predict for: the record's own, or snapshots drawn anew if its spectrum is a thermal mean."""
    from ase import Atoms

    if record.kind != "ensemble":
        return [record.positions]
    kelvin = float(record.details["ensemble"]["temperature_k"])
    atoms = Atoms(record.numbers, record.positions, info={"charge": record.charge})
    return [snapshot.positions for snapshot in ThermalEnsemble(temperature_k=kelvin).snapshots(atoms)]


def _truth(ensemble: Ensemble, records: Sequence[Record], wanted: Wanted) -> Spectra:
    from clusterml.training.targets import Broadening

    broadening = Broadening(ensemble.energy_ev, ensemble.spec.fwhm_ev)
    matrices, columns = [broadening.matrix(record) for record in records], wanted.columns()
    pairs = list(zip(matrices, records, strict=True))
    return Spectra(*(np.stack([matrix @ getattr(record, columns[key]) for matrix, record in pairs]) for key in SPECTRA))


def novelties_of(domain: Domain, compositions: Sequence[Composition]) -> list[Novelty | None]:
    """What of each composition the training data of ``domain`` did not hold."""
    return [domain.compositions.novelty(entry)[0] for entry in compositions]


def scores_of(domain: Domain, output: Output, compositions: Sequence[Composition]) -> FloatArray:
    """The distances (g,) from the training geometries of structures of these compositions."""
    return domain.scores(output.features, [entry.n_metals for entry in compositions])


def _inside(domain: Domain, scores: FloatArray, compositions: Sequence[Composition]) -> FloatArray:
    rows = zip(scores, compositions, strict=True)
    return np.array([float(domain.report(float(score), entry).in_domain) for score, entry in rows])


def _compositions(records: Sequence[Record]) -> list[Composition]:
    from ase import Atoms

    return [composition(Atoms(record.numbers, record.positions), record.charge) for record in records]
