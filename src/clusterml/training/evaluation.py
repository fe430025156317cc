"""How good a network is on records that it has not seen, by split and kind of geometry, beside the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clusterml.dataset.record import KINDS, Record
from clusterml.dataset.split import Split
from clusterml.dataset.store import Dataset
from clusterml.errors import DatasetError
from clusterml.model.spec import NetworkSpec
from clusterml.training.baselines import BASELINES, Fit, Samples, Spectra
from clusterml.training.metrics import mean_of_known, summary
from clusterml.training.targets import SPECTRA, Broadening, Wanted, targets
from clusterml.typing import BoolArray, FloatArray

MEAN = "training mean"
"""The baseline that R2 is measured against."""
ALL = "all"
"""Name of the rows over every kind of geometry."""
CHIRAL, ACHIRAL = "all of one hand", "all others"
"""Names of the rows over the parents whose frame is chiral, and over the others (of which some have chiral ligands)."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What a model says of the s test records: ``spectra`` (s, m), and seconds per structure where they were taken.

    ``extra``: further numbers (s,) by name, of which tables show the mean: coverage, share in the domain, ...
    """

    spectra: Spectra
    seconds: float = float("nan")
    extra: Mapping[str, FloatArray] = field(default_factory=dict)


Judge = Callable[[Sequence[Record]], Judged]
"""A model: records -> what it says of their geometries."""


@dataclass(frozen=True, eq=False)
class Part:
    """Records of one part of a split: ``ids``, ``kinds``, ``groups`` (parent and hand), their targets and samples."""

    ids: tuple[str, ...]
    kinds: tuple[str, ...]
    truth: Spectra
    samples: Samples


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of one split: ``title``, ``question``; the test ``part``; ``energy_ev`` (m,); ``judged`` by model name,
    which holds at least the baseline :data:`MEAN`."""

    title: str
    question: str
    n_train: int
    part: Part
    energy_ev: FloatArray
    judged: dict[str, Judged]

    def kinds(self) -> list[str]:
        """The kinds of geometry in the test set, and :data:`ALL` if there are several."""
        present = [kind for kind in KINDS if kind in self.part.kinds]
        return present + ([ALL] if len(present) > 1 else [])

    def rows_of(self, kind: str) -> BoolArray:
        """Which test records (s,) are of this kind."""
        return np.array([kind in (own, ALL) for own in self.part.kinds])

    def table(self) -> list[dict[str, Any]]:
        """One row for each kind and model: ``split``, ``kind``, ``model``, ``seconds`` and the numbers of
        :func:`clusterml.training.metrics.summary`."""
        return [self._row(self.rows_of(kind), model, {"kind": kind}) for kind in self.kinds() for model in self.judged]

    def groups(self) -> dict[str, BoolArray]:
        """Which test records (s,) are of each parent, in order of their names, then :data:`CHIRAL` and :data:`ACHIRAL`
        if there are both."""
        parents, handed = np.array(self.part.samples.parent), self.part.samples.hand != 0
        rows: dict[str, BoolArray] = {str(name): parents == name for name in np.unique(parents)}
        return rows | ({CHIRAL: handed, ACHIRAL: ~handed} if 0 < handed.sum() < len(handed) else {})

    def table_by_group(self, model: str) -> list[dict[str, Any]]:
        """One row for each kind but :data:`ALL` and each of :meth:`groups` with such records: as :meth:`table`, and
        ``group``."""
        chosen = [
            ({"kind": kind, "group": name}, self.rows_of(kind) & members)
            for kind in self.kinds()
            if kind in self.part.kinds
            for name, members in self.groups().items()
        ]
        return [self._row(rows, model, named) for named, rows in chosen if rows.any()]

    def _row(self, rows: BoolArray, model: str, named: Mapping[str, str]) -> dict[str, Any]:
        judged = self.judged[model]
        truth, mean, said = self.part.truth, self.judged[MEAN].spectra, judged.spectra
        numbers = summary(
            (said.epsilon[rows], truth.epsilon[rows]),
            (said.delta_epsilon[rows], truth.delta_epsilon[rows]),
            (mean.epsilon[rows], mean.delta_epsilon[rows]),
            self.energy_ev,
        )
        extra = {name: mean_of_known(values[rows]) for name, values in judged.extra.items()}
        return {
            "split": self.title,
            "question": self.question,
            **named,
            "model": model,
            **numbers,
            **extra,
            "seconds": judged.seconds,
        }


def evaluate(
    dataset: Dataset,
    split: Split,
    title: str,
    spec: NetworkSpec,
    judges: Mapping[str, Judge],
    *,
    method: str | None = None,
    wanted: Wanted | None = None,
    baselines: Mapping[str, Fit] = BASELINES,
) -> Evaluation:
    """Judge ``judges`` and ``baselines`` on the test records of ``split``.

    ``spec``: grid and width of the networks.  ``method``: protocol of the labels, needed where the dataset has several.
    ``wanted``: gauges of the targets.  Baselines learn from the training records and choose their settings on the
    validation records.  Raises :class:`DatasetError` for an empty part or a missing label.
    """
    asked, described = wanted or Wanted(), any(name != MEAN for name in baselines)
    made = {
        name: part_of(dataset, getattr(split, name), spec, asked, method, described=described)
        for name in ("train", "validation", "test")
    }
    test = made["test"]
    judged = {name: _baseline(fit, made["train"], made["validation"], test) for name, fit in baselines.items()}
    if MEAN not in judged:
        judged[MEAN] = _baseline(BASELINES[MEAN], made["train"], made["validation"], test)
    records = Records(dataset, test.ids)
    judged |= {name: judge(records) for name, judge in judges.items()}
    return Evaluation(title, split.question, len(made["train"].ids), test, spec.grid.energy_ev, judged)


def part_of(
    dataset: Dataset,
    names: Sequence[str],
    spec: NetworkSpec,
    wanted: Wanted,
    method: str | None,
    *,
    described: bool = True,
) -> Part:
    """The records ``names`` of one protocol with targets on the grid of ``spec``, ``described`` for baselines or not.

    Raises :class:`DatasetError` if none is left, several protocols would be mixed, or a label is missing.
    """
    known = set(dataset.ids)
    gone = [name for name in names if name not in known]
    if gone:
        raise DatasetError(f"{dataset.folder}: has no record '{gone[0]}' of the split", "give the dataset it is of")
    kept = _of_method(dataset, names, method)
    broadening = Broadening.of(spec)
    asked = Wanted(wanted.absorption, wanted.cd)
    rows: list[dict[str, Any]] = []
    kinds: list[str] = []

    def each() -> Iterator[Record]:
        for record in Records(dataset, kept):
            if not broadening.known(record).all():
                raise DatasetError(
                    f"record {record.id}: its excitations end at {record.reaches_ev:.2f} eV, within the network's grid",
                    "choose the records of another method with --method, or a split without it",
                )
            rows.append(targets(record, asked, broadening))
            kinds.append(record.kind)
            yield record

    samples = Samples.of(each(), described=described)
    spectra = (np.concatenate([one[name].double().numpy() for one in rows]) for name in SPECTRA)
    return Part(tuple(kept), tuple(kinds), Spectra(*spectra), samples)


class Records(Sequence[Record]):
    """The records ``names`` of a dataset, read when they are asked for."""

    def __init__(self, dataset: Dataset, names: Sequence[str]) -> None:
        self._dataset = dataset
        self._names = tuple(names)

    def __len__(self) -> int:
        """Number of records."""
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        """Record number ``index``, or those of a slice."""
        if isinstance(index, slice):
            return Records(self._dataset, self._names[index])
        return self._dataset.find(self._names[index])


def _of_method(dataset: Dataset, names: Sequence[str], method: str | None) -> list[str]:
    protocol = dict(zip(dataset.ids, dataset.column("method"), strict=True))
    kept = [name for name in names if method in (None, protocol[name])]
    several = sorted({protocol[name] for name in kept})
    if len(several) > 1:
        raise DatasetError(f"{dataset.folder}: holds labels of {', '.join(several)}", "choose one with --method")
    if not kept:
        raise DatasetError(f"{dataset.folder}: no record is left to judge on", "check the split and --method")
    return kept


def _baseline(fit: Fit, train: Part, validation: Part, test: Part) -> Judged:
    return Judged(fit(train.samples, train.truth, validation.samples, validation.truth)(test.samples))
