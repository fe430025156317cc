"""Is a structure like those the network was trained on?  Distance in the network's own features, and composition rules.

The features are whitened along their principal components over the training data.  The score of a structure is its
distance from the nearest of some training structures, spread evenly over them, divided by the distance that 99 % of
records which took no part in training stay within: up to 1 is in the domain.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.errors import DatasetError, InputFileError
from clusterml.inference.composition import Composition, KnownCompositions
from clusterml.spectrum.files import check_regular, write_bytes
from clusterml.typing import FloatArray

MOST_REFERENCES = 512
"""Training structures that are kept."""
MOST_COMPONENTS = 16
"""Principal components that are kept, at most."""
KEPT_VARIANCE = 0.999
"""Share of the variance that the components carry."""
SHARE_INSIDE = 0.99
"""Share of held-out records whose score is at most 1."""
_ARRAYS = ("mean", "axes", "references", "limit")


@dataclass(frozen=True)
class DomainReport:
    """``score``: 0 (a training structure) upwards, at most 1 in the domain; ``reasons``: why not, empty if it is."""

    score: float
    reasons: tuple[str, ...]

    @property
    def in_domain(self) -> bool:
        """Is there no reason against it?"""
        return not self.reasons


@dataclass(frozen=True, eq=False)
class Domain:
    """What a network was trained on.

    ``mean`` (f,) and ``axes`` (f, k) whiten features (f,); ``references`` (r, k): training structures, whitened;
    ``limit``: distance that counts as score 1; ``known``: compositions.
    """

    mean: FloatArray
    axes: FloatArray
    references: FloatArray
    limit: float
    known: KnownCompositions

    def scores(self, features: FloatArray) -> FloatArray:
        """Scores (g,) of structures with ``features`` (g, f)."""
        return _nearest((features - self.mean) @ self.axes, self.references) / self.limit

    def report(self, score: float, found: Composition) -> DomainReport:
        """Score and composition together."""
        reasons = self.known.objections(found)
        if not score <= 1.0:
            reasons.append(
                f"its features are {score:.1f} times as far from the training data as those of known clusters"
            )
        return DomainReport(float(score), tuple(reasons))


def fit_domain(
    training: FloatArray, held_out: FloatArray, compositions: Iterable[Composition], *, seed: int = 0
) -> Domain:
    """The domain of ``training`` features (n, f); ``held_out`` (h, f) are those of records that took no part.

    Raises :class:`DatasetError` for fewer than 2 training records or no held-out ones.
    """
    if len(training) < 2 or not len(held_out):
        raise DatasetError(
            f"{len(training)} training and {len(held_out)} held-out records cannot describe a domain",
            "use more records",
        )
    mean = training.mean(axis=0)
    axes = _whitening(training - mean)
    projected = (training - mean) @ axes
    references = projected[_spread_evenly(projected, MOST_REFERENCES, seed)]
    distances = _nearest((held_out - mean) @ axes, references)
    limit = max(float(np.quantile(distances, SHARE_INSIDE)), 1e-6)
    return Domain(mean, axes, references, limit, KnownCompositions.of(compositions))


def write_domain(domain: Domain, path: Path) -> Path:
    """Write ``domain`` as safetensors (single precision), the rules in its metadata, atomically."""
    from safetensors.numpy import save

    # safetensors writes the buffer as it lies: a transposed array would come back scrambled
    arrays = {name: np.ascontiguousarray(getattr(domain, name), dtype=np.float32) for name in _ARRAYS}
    return write_bytes(path, save(arrays, metadata={"known": json.dumps(domain.known.to_dict())}))


def read_domain(path: Path) -> Domain:
    """The domain that :func:`write_domain` wrote; raises :class:`InputFileError` naming a file that holds none."""
    from safetensors import SafetensorError, safe_open

    check_regular(path, links=False)
    try:
        with safe_open(path, framework="numpy") as file:
            arrays: dict[str, Any] = {name: file.get_tensor(name).astype(np.float64) for name in _ARRAYS}
            known = json.loads((file.metadata() or {})["known"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputFileError(f"{path}: holds no domain of a network ({error})", "get the checkpoint again") from error
    mean, axes, references = (arrays[name] for name in _ARRAYS[:3])
    shapes = [array.ndim for array in arrays.values()] == [1, 2, 2, 1]
    fits = shapes and axes.shape == (len(mean), references.shape[1]) and len(references) > 0
    if not fits or not all(np.isfinite(values).all() for values in arrays.values()) or arrays["limit"].min() <= 0.0:
        raise InputFileError(f"{path}: the arrays of the domain do not fit together", "get the checkpoint again")
    return Domain(mean, axes, references, float(arrays["limit"].item()), KnownCompositions.from_dict(known, str(path)))


def _whitening(centred: FloatArray) -> FloatArray:
    """Axes (f, k) along the principal components, scaled to unit variance."""
    _, singular, rows = np.linalg.svd(centred / np.sqrt(len(centred)), full_matrices=False)
    share = np.cumsum(singular**2) / max(float(np.sum(singular**2)), 1e-30)
    count = min(int(np.searchsorted(share, KEPT_VARIANCE)) + 1, MOST_COMPONENTS, len(singular))
    return np.asarray(rows[:count].T / np.maximum(singular[:count], 1e-9))


def _spread_evenly(points: FloatArray, most: int, seed: int) -> list[int]:
    """Indices of at most ``most`` points, each the one farthest from those before it."""
    chosen = [int(np.random.default_rng(seed).integers(len(points)))]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(most, len(points)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def _nearest(points: FloatArray, references: FloatArray) -> FloatArray:
    """Distance (g,) of each of ``points`` (g, k) from the nearest of ``references`` (r, k)."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(points, references).min(axis=1))
