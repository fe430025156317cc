"""A checkpoint judged on the splits of a dataset: what ``clusterml evaluate`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clusterml.dataset.split import Split, load_split
from clusterml.dataset.splits import find_split
from clusterml.dataset.store import Dataset
from clusterml.errors import DatasetError, OptionError
from clusterml.inference.judge import ForeignCheck, NetworkJudge, UnseenErrors, measure_uncertainty, measure_unseen
from clusterml.model.spec import NetworkSpec
from clusterml.training.baselines import BASELINES
from clusterml.training.catalogue import find_release
from clusterml.training.evaluation import MEAN, Evaluation, evaluate
from clusterml.training.release import Release, open_release
from clusterml.training.targets import Wanted


class Evaluator:
    """Judges the checkpoint ``model`` (name or folder) on ``dataset``.

    ``method``: protocol of the labels; default: that the checkpoint learnt.  ``baselines``: all of them, or only the
    training mean.  ``allow_unknown_training``: judge networks, too, of which it is not known whether they have learnt
    from the test records.  ``responses``: the folder of those that spectra start from, None: none are kept.

    Raises :class:`~clusterml.training.catalogue.ReleaseError` or
    :class:`~clusterml.errors.DatasetError` for what is missing or damaged.
    """

    def __init__(
        self,
        model: str | Path,
        dataset: str | Path,
        *,
        method: str | None = None,
        device: str = "auto",
        baselines: bool = True,
        allow_unknown_training: bool = False,
        responses: Path | None = None,
    ) -> None:
        self.folder = find_release(model)
        self.name = _title(self.folder)
        self._dataset = Dataset(dataset)
        self._release = open_release(self.folder)
        self._method = method or self._release.about.get("data", {}).get("method")
        self._spec = self._release.spec
        self._wanted = _gauges_of(self._release)
        self._device = device
        self._responses = responses
        self._allow_unknown = allow_unknown_training
        self._baselines = {name: fit for name, fit in BASELINES.items() if baselines or name == MEAN}

    def splits(self, paths: Sequence[Path]) -> dict[str, Split]:
        """The splits in the files ``paths`` by name of the file; without any that of the checkpoint, made again.

        Raises :class:`OptionError` if it has none, or two files have one name, and
        :class:`~clusterml.errors.DatasetError` where it cannot be made again from this dataset.
        """
        if len({path.stem for path in paths}) < len(paths):
            raise OptionError("two splits have the same file name", "give each a name of its own")
        if paths:
            return {path.stem: load_split(path, self._dataset) for path in paths}
        if self._release.split is None:
            raise OptionError(f"{self.folder}: does not say what it was trained with", "give a split with --split")
        return {"split": find_split(self._release.split, self._dataset, self.folder)}

    def calibrate(
        self, split: Split, unseen: Sequence[str | Path] = (), foreign: str | Path | None = None
    ) -> tuple[list[UnseenErrors], ForeignCheck | None]:
        """Measure uncertainty and domain with ``split`` and keep them in the checkpoint.

        ``unseen``: networks trained without some ligands or clusters, whose errors there are this checkpoint's
        uncertainty for new ones; ``foreign``: a dataset of known clusters in geometries from elsewhere, whose errors
        say how the uncertainty grows with the distance from the training geometries.  What was measured is returned.
        Raises :class:`OptionError` for networks of other splits.
        """
        options: dict[str, Any] = {"method": self._method, "wanted": self._wanted, "device": self._device}
        options["responses"] = self._responses
        for model in unseen:
            self._check_alike(model, open_release(find_release(model)).spec)
        novel = [measure_unseen(find_release(model), self._dataset, **options) for model in unseen]
        if len({errors.novelty for errors in novel}) < len(novel):
            raise OptionError("two networks of --unseen have the same kind of split", "give one of each kind")
        elsewhere = None if foreign is None else Dataset(foreign)
        return novel, measure_uncertainty(self.folder, self._dataset, split, novel=novel, foreign=elsewhere, **options)

    def evaluate(self, title: str, split: Split, beside: Sequence[str | Path] = ()) -> Evaluation:
        """The checkpoint, those ``beside`` it and the baselines on the test records of ``split``.

        Raises :class:`OptionError` for a network that has learnt from some of them, or of which that is not known.
        """
        judges = {_title(model): self._judge(model, split) for model in (*beside, self.folder)}
        return self._evaluate_judges(title, split, judges)

    def learning_curve(
        self, evaluations: Sequence[Evaluation], splits: Mapping[str, Split], models: Sequence[str | Path]
    ) -> list[dict[str, Any]]:
        """Table rows of the checkpoint, from ``evaluations``, and of ``models``; ``n_train`` counts training records.

        Raises :class:`OptionError` for one that does not say it.
        """
        tables: list[tuple[str | Path, list[dict[str, Any]]]] = [
            (self.folder, evaluation.table()) for evaluation in evaluations
        ]
        for model in models:
            for title, split in splits.items():
                judge = {_title(model): self._judge(model, split)}
                tables.append((model, self._evaluate_judges(title, split, judge, only_mean=True).table()))
        return [
            {**row, "n_train": _number_of_training_records(model)}
            for model, rows in tables
            for row in rows
            if row["model"] == _title(model)
        ]

    def _evaluate_judges(
        self, title: str, split: Split, judges: Mapping[str, NetworkJudge], *, only_mean: bool = False
    ) -> Evaluation:
        baselines = {MEAN: BASELINES[MEAN]} if only_mean else self._baselines
        return evaluate(
            self._dataset,
            split,
            title,
            self._spec,
            judges,
            method=self._method,
            wanted=self._wanted,
            baselines=baselines,
        )

    def _judge(self, model: str | Path, split: Split) -> NetworkJudge:
        """Raises :class:`OptionError` for a network of another grid, which cannot stand in the same table, and for one
        that has learnt from test records of ``split``."""
        folder = find_release(model)
        self._check_alike(model, open_release(folder).spec)
        if n_shared := len(set(self._training_records(folder, split)) & set(split.test)):
            raise OptionError(
                f"{model}: has learnt from {n_shared} of the {len(split.test)} test records of the "
                f"{split.question} split",
                "train a network with this split and judge that one",
            )
        return NetworkJudge(folder, self._device, self._wanted, self._responses)

    def _training_records(self, folder: Path, split: Split) -> tuple[str, ...]:
        """Records that a checkpoint was trained on.

        Raises :class:`OptionError` where that is not known, unless it is allowed: none are given then.
        """
        recipe = open_release(folder).split
        if recipe is not None and recipe.sha256 == split.sha256:
            return split.train
        try:
            if recipe is None:
                raise DatasetError(f"{folder}: does not say what it was trained with")
            return find_split(recipe, self._dataset, folder).train
        except DatasetError as error:
            if self._allow_unknown:
                return ()
            problem = f"whether {folder} has learnt from records that it is tested on is not known: {error.problem}"
            remedy = "judge it on the dataset and split it was trained with, or add --allow-unknown-training"
            raise OptionError(problem, remedy) from error

    def _check_alike(self, model: str | Path, spec: NetworkSpec) -> None:
        if (spec.grid, spec.fwhm_ev) != (self._spec.grid, self._spec.fwhm_ev):
            raise OptionError(f"{model}: has another grid or width than {self.name}", "evaluate it by itself")


def _title(model: str | Path) -> str:
    """Name of a checkpoint in tables; that of the run for RUN/release."""
    folder = find_release(model).resolve()
    return folder.parent.name if folder.name == "release" else folder.name


def _gauges_of(release: Release) -> Wanted:
    """The gauges that the checkpoint learnt."""
    data = release.about.get("config", {}).get("data", {})
    return Wanted(data.get("absorption", "length"), data.get("cd", "velocity"))


def _number_of_training_records(model: str | Path) -> int:
    count = open_release(find_release(model)).about.get("data", {}).get("train")
    if not isinstance(count, int):
        raise OptionError(f"{model}: does not say how many records it learnt from", "leave it out of --curve")
    return count
