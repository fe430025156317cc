"""Verification: the engine labels the best candidates and a random sample, and predictions are compared with labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.errors import ScreeningError
from clusterml.io.files import make_folder
from clusterml.io.log import Log
from clusterml.run.launcher import Launcher, Lost
from clusterml.run.progress import Reporter, State
from clusterml.screening.bench import ScreenSetting
from clusterml.screening.board import Board, BoardEntry, unique_entries
from clusterml.screening.config import Screen
from clusterml.screening.labels import CandidateLabel, LabelTask, label_candidate
from clusterml.screening.merit import Merit, Standing
from clusterml.screening.source import Source
from clusterml.typing import BoolArray, FloatArray

LEAST = 5
"""Pairs below which no correlation and no hit rate is given."""
LEAST_BEST = 10
"""Labels of the best below which a hit rate says nothing; of random labels it takes so many that :data:`LEAST` hit."""
_TOLD = 0.01
"""Numbers below this share of the largest have no meaningful sign: the CD of an achiral shape is rounding error."""
TOP = 10
"""The overlap is that of this many best candidates, or of half the sample if that is fewer."""


@dataclass(frozen=True)
class LabelPairs:
    """Predicted and verified numbers (n,) of the same candidates; larger is better.

    ``feasible``: do they satisfy all constraints, as predicted and by label?  Two arrays (n,), None: there are none.
    """

    predicted: FloatArray
    verified: FloatArray
    feasible: tuple[BoolArray, BoolArray] | None = None

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.predicted)

    @property
    def allowed(self) -> BoolArray:
        """Which (n,) satisfy all constraints by label."""
        return np.ones(len(self), dtype=bool) if self.feasible is None else self.feasible[1]

    def tops(self, count: int) -> tuple[set[int], set[int]]:
        """Places of the best ``count`` as predicted and by label: what satisfies the constraints ranks first."""
        pairs = zip((self.predicted, self.verified), self.feasible or (self.allowed, self.allowed), strict=True)
        best, by_label = (set(np.lexsort((-numbers, ~kept))[:count].tolist()) for numbers, kept in pairs)
        return best, by_label


def errors(pairs: LabelPairs) -> dict[str, Any]:
    """Number of pairs, Spearman's rank correlation, mean absolute error, mean of predicted minus verified, and
    ``same_sign``: see :func:`same_sign`."""
    difference = pairs.predicted - pairs.verified
    return {
        "count": len(pairs),
        "spearman": spearman(pairs),
        "mean_absolute_error": float(np.abs(difference).mean()) if len(pairs) else None,
        "mean_error": float(difference.mean()) if len(pairs) else None,
        "same_sign": same_sign(pairs),
    }


def same_sign(pairs: LabelPairs) -> float | None:
    """Share of pairs with the same sign, among those with a label above a hundredth of the largest.

    None for too few of them, and where no number is negative.

    A screen that ranks by magnitude may be right about the order and wrong about the hand: only this number shows it.
    """
    sizes = np.abs(pairs.verified)
    clear = sizes > _TOLD * sizes.max(initial=0.0)
    predicted, verified = pairs.predicted[clear], pairs.verified[clear]
    if len(verified) < LEAST or not ((predicted < 0.0).any() or (verified < 0.0).any()):
        return None
    return float(np.mean(np.sign(predicted) == np.sign(verified)))


def spearman(pairs: LabelPairs) -> float | None:
    """Rank correlation, ties having their mean rank; None for too few pairs, or where all numbers are equal."""
    from scipy.stats import rankdata

    if len(pairs) < LEAST:
        return None
    ranks = [rankdata(values) - (len(pairs) + 1) / 2.0 for values in (pairs.predicted, pairs.verified)]
    size = float(np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))
    return float(ranks[0] @ ranks[1]) / size if size > 0.0 else None


def count_hits(best: LabelPairs, random: LabelPairs, share: float) -> dict[str, Any]:
    """How many of the ``best`` are verified to be as good as the best ``share`` of the ``random`` ones.

    Who violates a constraint by label is no hit, and sets no threshold: ``feasible`` counts who violates none.

    ``threshold``: the verified number that makes a hit; ``enrichment``: rate among the best divided by that among the
    random ones.  ``overlap``: share of the best of the random candidates by prediction that are among the best by
    label, ``overlap_of`` each.  None where there are too few.  ``rate_interval``: of the rate, with 95 % probability
    (Wilson), for the threshold as it is; ``enough``: are there ``needed`` best and feasible random ones, so that it
    means something?
    """
    keys = ("threshold", "rate", "rate_interval", "random_rate", "enrichment", "overlap", "overlap_of")
    result: dict[str, Any] = dict.fromkeys(keys)
    needed = {"best": LEAST_BEST, "random": math.ceil(LEAST / share)}
    feasible = {"best": int(best.allowed.sum()), "random": int(random.allowed.sum())}
    result |= {"share": share, "count": {"best": len(best), "random": len(random)}, "feasible": feasible}
    result |= {"needed": needed, "enough": len(best) >= needed["best"] and feasible["random"] >= needed["random"]}
    if len(random) >= LEAST:
        count = min(TOP, len(random) // 2)
        predicted, verified = random.tops(count)
        result |= {"overlap": len(predicted & verified) / count, "overlap_of": count}
    if feasible["random"] < LEAST:
        return result
    threshold = float(np.quantile(random.verified[random.allowed], 1.0 - share))
    base = _share_of_hits(random, threshold)
    result |= {"threshold": threshold, "random_rate": base}
    if len(best):
        rate = _share_of_hits(best, threshold)
        result |= {"rate": rate, "rate_interval": list(wilson(rate, len(best))), "enrichment": rate / base}
    return result


def _share_of_hits(pairs: LabelPairs, threshold: float) -> float:
    return float(np.mean(pairs.allowed & (pairs.verified >= threshold)))


def wilson(rate: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share observed as ``rate`` of ``count`` (Wilson, 1927)."""
    z = 1.959964
    middle, scale = rate + z**2 / (2 * count), 1.0 + z**2 / count
    half = z * math.sqrt(rate * (1.0 - rate) / count + z**2 / (4 * count**2))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def hits_words(hits: Mapping[str, Any]) -> str:
    """Hit rate and enrichment with their interval, or how many labels they would need; who violates constraints."""
    count, needed = hits["count"], hits["needed"]
    feasible = hits.get("feasible", count)  # which is not in older files
    violating = {part: count[part] - feasible[part] for part in count}
    if not hits["enough"]:
        best, random = needed["best"], needed["random"]
        without = f" without {violating['random']} that violate a constraint" if violating["random"] else ""
        words = (
            f"{count['best']} best and {count['random']} random labels{without} are too few for a hit rate: "
            f"it takes {best} and {random} (verify={best} verify_random={random}; fewer with a larger hit_share)"
        )
    else:
        low, high = (100.0 * bound for bound in hits["rate_interval"])
        whom = "random ones that violate no constraint" if violating["random"] else "random ones"
        words = (
            f"{100 * hits['rate']:.0f} % of the best are hits (95 % interval {low:.0f} to {high:.0f} %; as good as "
            f"the best {100 * hits['share']:.0f} % of the {whom}), {hits['enrichment']:.1f} times the rate among "
            f"{'all random ones' if violating['random'] else 'those'}"
        )
    broken = f"; {violating['best']} of {count['best']} best violate a constraint by label"
    return words + (broken if violating["best"] else "")


def statistics(
    numbers: Mapping[str, tuple[LabelPairs, LabelPairs]],
    scores: tuple[LabelPairs, LabelPairs],
    ranked: tuple[LabelPairs, LabelPairs],
    share: float,
) -> dict[str, Any]:
    """All statistics of a verification.

    ``numbers``: by line of the screen, pairs of the best and of the random candidates; ``scores``: those of the score
    of expected values, for its errors; ``ranked``: with the score that candidates were ranked by, which optimism or
    pessimism may have shifted, for its rank correlation, and with what satisfies the constraints, for hits; ``share``:
    see :func:`count_hits`.
    """
    parts: Sequence[str] = ("best", "random")
    by_line = {
        name: {part: errors(pairs) for part, pairs in zip(parts, both, strict=True)} for name, both in numbers.items()
    }
    score = {
        part: errors(pairs) | {"spearman": spearman(order)}
        for part, pairs, order in zip(parts, scores, ranked, strict=True)
    }
    return {"score": score, "lines": by_line, "hits": count_hits(*ranked, share)}


LABELS = "verified.jsonl"
"""One line for each label."""
FOLDER = "verified"
"""Spectra of the engine, as JSON."""


@dataclass(frozen=True)
class Verification:
    """The ``best`` and the ``random`` candidates to verify, and the label of each by its number."""

    screen: Screen
    merit: Merit
    best: tuple[BoardEntry, ...]
    random: tuple[BoardEntry, ...]
    label_of: dict[int, CandidateLabel]

    @property
    def failed(self) -> dict[int, str]:
        """Number -> the reason why there is no label."""
        return {number: label.problem for number, label in self.label_of.items() if label.problem}

    @property
    def seconds_per_label(self) -> float | None:
        """Mean seconds of a label; None if there is none."""
        seconds = [label.seconds for label in self.label_of.values() if not label.problem]
        return float(np.mean(seconds)) if seconds else None

    def statistics(self) -> dict[str, Any]:
        """See :func:`clusterml.screening.verification.statistics`."""
        parts = [[entry for entry, _ in self.labels(part)] for part in (self.best, self.random)]
        lines = {name: _pair_of(self._values(part, at) for part in parts) for at, name in enumerate(self.merit.names)}
        expected = _pair_of(self._scores(part, self._expected_score) for part in parts)
        ranked = _pair_of(self._ranked(part) for part in parts)
        return statistics(lines, expected, ranked, self.screen.hit_share)

    def to_dict(self) -> dict[str, Any]:
        """The content of verified.json: every label beside its prediction, and the statistics."""
        return {
            "engine": self.screen.engine.model_dump(),
            "best": [self._entry_dict(entry) for entry in self.best],
            "random": [self._entry_dict(entry) for entry in self.random],
            "failed": len(self.failed),
            "seconds_per_label": self.seconds_per_label,
            "statistics": self.statistics(),
        }

    def labels(self, entries: Sequence[BoardEntry]) -> Iterator[tuple[BoardEntry, CandidateLabel]]:
        """The ``entries`` that have a label, each with its label."""
        for entry in entries:
            label = self.label_of.get(entry.row.number)
            if label is not None and not label.problem:
                yield entry, label

    def _values(self, entries: Sequence[BoardEntry], at: int) -> LabelPairs:
        predicted = np.array([entry.row.values[at].value for entry in entries])
        return LabelPairs(predicted, np.array([self.label_of[entry.row.number].values[at].value for entry in entries]))

    def _scores(self, entries: Sequence[BoardEntry], predicted: Callable[[BoardEntry], float]) -> LabelPairs:
        verified = [self._label_standing(entry).score for entry in entries]
        return LabelPairs(np.array([predicted(entry) for entry in entries]), np.array(verified))

    def _ranked(self, entries: Sequence[BoardEntry]) -> LabelPairs:
        """What candidates were ranked by: who satisfies all constraints comes first."""
        predicted = np.array([not entry.standing.violated for entry in entries], dtype=bool)
        verified = np.array([not self._label_standing(entry).violated for entry in entries], dtype=bool)
        return replace(self._scores(entries, _ranked_by), feasible=(predicted, verified))

    def _expected_score(self, entry: BoardEntry) -> float:
        """The score of the predicted values as they are, without optimism or pessimism."""
        return self.merit.standing(entry.row.values, certain=True).score

    def _label_standing(self, entry: BoardEntry) -> Standing:
        return self.merit.standing(self.label_of[entry.row.number].values, certain=True)

    def _entry_dict(self, entry: BoardEntry) -> dict[str, Any]:
        row, label = entry.row, self.label_of.get(entry.row.number)
        content: dict[str, Any] = {
            "number": row.number,
            "name": row.name,
            "in_domain": row.in_domain,
            "predicted": _by_name(self.merit.names, row.values) | {"score": self._expected_score(entry)},
            "ranked_by": _ranked_by(entry),
            "predicted_std": {name: v.std for name, v in zip(self.merit.names, row.values, strict=True)},
            "verified": None,
            "problem": "not labelled yet" if label is None else label.problem,
        }
        if label is not None and not label.problem:
            standing = self._label_standing(entry)
            content["verified"] = _by_name(self.merit.names, label.values) | {"score": standing.score}
            content |= {"violated": standing.violated, "seconds": label.seconds, "warnings": label.warnings}
        return content


def labels_of(folder: Path) -> Path:
    """The folder with the labels of the screen in ``folder``; raises :class:`ScreeningError` if it has none."""
    place = folder / FOLDER
    if not place.is_dir():
        raise ScreeningError(f"{folder}: holds no labels", f"give the results of a screen, with a folder '{FOLDER}'")
    return place.resolve()


def verify(
    setting: ScreenSetting,
    board: Board,
    source: Source,
    folder: Path,
    launcher: Launcher,
    screen: Screen,
    reporter: Reporter,
    other_folder: Path | None = None,
) -> Verification | None:
    """Label the best ``screen.verify`` and all random candidates of the ``board``; None if there are none.

    The best are distinct geometries; the random ones stay as drawn.  Labels that are in the ``folder`` already are not
    made again, nor those of the same geometries in ``other_folder``, unless this version computes other spectra.
    """
    best, random = tuple(board.distinct_entries(screen.verify)), tuple(board.random[: screen.verify_random])
    if not best and not random:
        return None
    log = Log(folder / LABELS)
    labels = map(partial(_read, log), log)
    label_of = {label.number: label for label in labels if label.is_current}  # failures are tried again
    entries = unique_entries([*best, *random])
    missing = [entry for entry in entries if entry.row.number not in label_of]
    place = make_folder(folder / FOLDER, within=folder).resolve()
    before = len(entries) - len(missing)
    reporter.show(State("labels", before, len(entries), "verified"))
    work = partial(label_candidate, setting, place, other_folder=other_folder)
    for count, (task, label) in enumerate(launcher.run(work, _tasks(missing, source)), 1):
        if isinstance(label, Lost):
            label = CandidateLabel(task.number, (), 0.0, 0.0, problem=label.reason)  # tried again on --resume
        else:
            log.add(label.to_dict())
        label_of[task.number] = label
        reporter.show(State("labels", before + count, len(entries), "verified"))
    return Verification(screen, board.merit, best, random, label_of)


def _tasks(entries: Sequence[BoardEntry], source: Source) -> Iterator[LabelTask]:
    for entry in entries:
        atoms = source.geometry(entry.row.number)
        atoms.info["name"] = entry.row.name
        yield LabelTask(entry.row.number, atoms, entry.row.charge)


def _read(log: Log, entry: dict[str, Any]) -> CandidateLabel:
    try:
        return CandidateLabel.from_dict(entry)
    except (KeyError, TypeError, ValueError) as error:
        raise ScreeningError(f"{log.path}: holds no labels of this version", "choose another folder") from error


def _ranked_by(entry: BoardEntry) -> float:
    return entry.standing.score


def _by_name(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {name: value.value for name, value in zip(names, values, strict=True)}


def _pair_of(pairs: Iterator[LabelPairs]) -> tuple[LabelPairs, LabelPairs]:
    best, random = pairs
    return best, random
