"""The mean of several spectra and their spread: one definition for snapshots, ensembles, records and networks.

The spread is the standard deviation of the sample, with n - 1 in the denominator: what it estimates does not depend on
the number of spectra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray


def mean_and_spread(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation over the first axis of ``values`` (n, ..); the spread of one value is zero."""
    mean = values.mean(axis=0)
    return mean, values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(mean)


def mean_spectrum(spectra: Sequence[Spectrum], meta: Mapping[str, Any]) -> Spectrum:
    """The mean of spectra on one axis, with their spread; ``meta`` is added to that of the first."""
    epsilon, epsilon_std = mean_and_spread(np.stack([s.epsilon for s in spectra]))
    cd, cd_std = mean_and_spread(np.stack([s.delta_epsilon for s in spectra]))
    return Spectrum(spectra[0].energy_ev, epsilon, cd, epsilon_std, cd_std, meta={**spectra[0].meta, **meta})
