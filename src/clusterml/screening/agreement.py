"""How well predictions agree with labels: errors, rank correlation, hit rate, enrichment over random candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clusterml.typing import FloatArray

LEAST = 5
"""Pairs below which no correlation and no hit rate is given."""
LEAST_BEST = 10
"""Best ones below which a hit rate says nothing; of random ones it takes so many that :data:`LEAST` are hits."""
_TOLD = 0.01
"""Numbers below this share of the largest have no sign worth a comparison: an achiral shape's CD is rounding error."""
TOP = 10
"""The overlap of the best ones is given for so many, or half of the sample if that is fewer."""


@dataclass(frozen=True)
class Pairs:
    """Predicted and verified numbers (n,) of the same candidates, larger being better."""

    predicted: FloatArray
    verified: FloatArray

    def __len__(self) -> int:
        """How many candidates."""
        return len(self.predicted)


def errors(pairs: Pairs) -> dict[str, Any]:
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


def same_sign(pairs: Pairs) -> float | None:
    """Share of pairs with one sign, of those verified to be more than a hundredth of the largest; None for few of them,
    and where no number is negative.

    Ranked by magnitude, a screen may be right about the order and wrong about the hand: only this says so.
    """
    sizes = np.abs(pairs.verified)
    told = sizes > _TOLD * sizes.max(initial=0.0)
    predicted, verified = pairs.predicted[told], pairs.verified[told]
    if len(verified) < LEAST or not ((predicted < 0.0).any() or (verified < 0.0).any()):
        return None
    return float(np.mean(np.sign(predicted) == np.sign(verified)))


def spearman(pairs: Pairs) -> float | None:
    """Rank correlation with ties sharing their mean rank; None for few pairs, or where all numbers are equal."""
    from scipy.stats import rankdata

    if len(pairs) < LEAST:
        return None
    ranks = [rankdata(values) - (len(pairs) + 1) / 2.0 for values in (pairs.predicted, pairs.verified)]
    size = float(np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))
    return float(ranks[0] @ ranks[1]) / size if size > 0.0 else None


def hits(best: Pairs, random: Pairs, share: float) -> dict[str, Any]:
    """How many of the ``best`` are verified to be as good as the best ``share`` of the ``random`` ones.

    ``threshold``: the verified number that makes a hit; ``enrichment``: rate among the best divided by that among the
    random ones.  ``overlap``: share of the best of the random candidates by prediction that are among the best by
    label, ``overlap_of`` each.  None where there are too few.  ``rate_interval``: of the rate, with 95 % probability
    (Wilson), for the threshold as it is; ``enough``: are there ``needed`` best and random ones, so that it means
    something?
    """
    keys = ("threshold", "rate", "rate_interval", "random_rate", "enrichment", "overlap", "overlap_of")
    found: dict[str, Any] = dict.fromkeys(keys)
    needed = {"best": LEAST_BEST, "random": math.ceil(LEAST / share)}
    found |= {"share": share, "count": {"best": len(best), "random": len(random)}, "needed": needed}
    found["enough"] = len(best) >= needed["best"] and len(random) >= needed["random"]
    if len(random) < LEAST:
        return found
    threshold = float(np.quantile(random.verified, 1.0 - share))
    base = float(np.mean(random.verified >= threshold))
    found |= {"threshold": threshold, "random_rate": base}
    if len(best):
        rate = float(np.mean(best.verified >= threshold))
        found |= {"rate": rate, "rate_interval": list(wilson(rate, len(best))), "enrichment": rate / base}
    count = min(TOP, len(random) // 2)
    tops = [set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (random.predicted, random.verified)]
    return found | {"overlap": len(tops[0] & tops[1]) / count, "overlap_of": count}


def wilson(rate: float, count: int) -> tuple[float, float]:
    """The interval of a share seen as ``rate`` of ``count``, with 95 % probability (Wilson, 1927)."""
    z = 1.959964
    middle, scale = rate + z**2 / (2 * count), 1.0 + z**2 / count
    half = z * math.sqrt(rate * (1.0 - rate) / count + z**2 / (4 * count**2))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def hits_words(hits: Mapping[str, Any]) -> str:
    """Rate and enrichment with their interval, or how many labels it would take to say something."""
    count, needed = hits["count"], hits["needed"]
    if not hits["enough"]:
        best, random = needed["best"], needed["random"]
        return (
            f"{count['best']} best and {count['random']} random labels are too few for a rate of hits: "
            f"it takes {best} and {random} (verify={best} verify_random={random})"
        )
    low, high = (100.0 * bound for bound in hits["rate_interval"])
    return (
        f"{100 * hits['rate']:.0f} % of the best are hits (95 % interval {low:.0f} to {high:.0f} %; as good as the "
        f"best {100 * hits['share']:.0f} % of the random ones), {hits['enrichment']:.1f} times as many as among these"
    )


def statistics(
    numbers: Mapping[str, tuple[Pairs, Pairs]],
    scores: tuple[Pairs, Pairs],
    ranked: tuple[Pairs, Pairs],
    share: float,
) -> dict[str, Any]:
    """All of it.

    ``numbers``: by line of the screen, pairs of the best and of the random candidates; ``scores``: those of the score
    of expected values, for its errors; ``ranked``: with the score that candidates were ranked by, which optimism or
    pessimism may have shifted, for its rank correlation and hits; ``share``: see :func:`hits`.
    """
    parts: Sequence[str] = ("best", "random")
    by_line = {
        name: {part: errors(pairs) for part, pairs in zip(parts, both, strict=True)} for name, both in numbers.items()
    }
    score = {
        part: errors(pairs) | {"spearman": spearman(order)}
        for part, pairs, order in zip(parts, scores, ranked, strict=True)
    }
    return {"score": score, "lines": by_line, "hits": hits(*ranked, share)}
