"""From stored labels to what a network is asked for: broader spectra on its grid, and a few numbers, as tensors.

The dataset stores spectra at fwhm 0.10 eV; a network's are broader.  Gaussian widths add in squares, so the stored
spectrum is convolved with a Gaussian of the missing width.  Below the stored range nothing absorbs; above it the last
value goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from clusterml.dataset.record import COLUMNS, FWHM_EV, GRID_EV, Record
from clusterml.errors import DatasetError, OptionError
from clusterml.spectrum.broadening import gaussian
from clusterml.typing import FloatArray

SPECTRA = ("epsilon", "delta_epsilon")
"""Targets (m,) in L mol-1 cm-1."""
TENSORS = ("absorption_tensor", "rotatory_tensor")
"""Targets (m, 3, 3) in L mol-1 cm-1, in the axes of the positions: velocity gauge, about the centroid."""
MEASURES = ("gap_ev", "opd", "ccm")
"""Targets of one number: HOMO-LUMO gap (eV), signed chirality index of the frame (times 1000), chirality measure."""
_OF_CHIRALITY = {"opd": ("opd_local_frame", 1e3), "ccm": ("ccm_frame", 1.0)}
"""Key in a record's chirality measures, and factor."""
_GAUGES = {"epsilon": {"length": "epsilon", "velocity": "epsilon_velocity"}}
_GAUGES["delta_epsilon"] = {"velocity": "delta_epsilon", "length": "delta_epsilon_length"}
_NARROWEST_EV = 0.12
_MARGIN = 6.0  # standard deviations of the convolution beyond the stored range

Gauge = Literal["length", "velocity"]


@dataclass(frozen=True)
class Wanted:
    """Which labels become targets: the gauges of both spectra, and ``others`` of :data:`TENSORS` and
    :data:`MEASURES`."""

    absorption: Gauge = "length"
    cd: Gauge = "velocity"
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, weights: Mapping[str, float], absorption: Gauge, cd: Gauge) -> Wanted:
        """What terms of the loss with these ``weights`` ask for."""
        return cls(absorption, cd, tuple(name for name in (*TENSORS, *MEASURES) if weights.get(name, 0.0) > 0.0))

    def columns(self) -> dict[str, str]:
        """Target -> column of the record, of spectra and tensors."""
        spectra = {"epsilon": _GAUGES["epsilon"][self.absorption], "delta_epsilon": _GAUGES["delta_epsilon"][self.cd]}
        return spectra | {name: name for name in self.others if name in TENSORS}


def energies(grid: Mapping[str, float]) -> FloatArray:
    """The energies (m,) in eV of a network's ``grid``: ``low_ev``, ``high_ev``, ``step_ev``."""
    points = round((grid["high_ev"] - grid["low_ev"]) / grid["step_ev"]) + 1
    return np.asarray(grid["low_ev"] + grid["step_ev"] * np.arange(points))


def broadening_matrix(energy_ev: FloatArray, fwhm_ev: float) -> FloatArray:
    """W (m, 251) so that W @ stored is the stored spectrum at ``fwhm_ev`` on ``energy_ev`` (m,).

    Raises :class:`OptionError` for energies outside the stored range, or a width below 0.12 eV.
    """
    if not _NARROWEST_EV <= fwhm_ev < np.inf:
        raise OptionError(f"fwhm is {fwhm_ev} eV", f"labels are stored at {FWHM_EV} eV: at least {_NARROWEST_EV}")
    step = GRID_EV[1] - GRID_EV[0]
    if energy_ev.min() < GRID_EV[0] - 1e-9 or energy_ev.max() > GRID_EV[-1] + 1e-9:
        raise OptionError(
            f"the grid is {energy_ev.min():.2f} to {energy_ev.max():.2f} eV",
            f"labels are stored from {GRID_EV[0]:.2f} to {GRID_EV[-1]:.2f} eV",
        )
    width = float(np.sqrt(fwhm_ev**2 - FWHM_EV**2))
    beyond = int(np.ceil(_MARGIN * width / 2.0 / step))
    reached = GRID_EV[0] + step * np.arange(-beyond, len(GRID_EV) + beyond)
    kernel = gaussian(energy_ev[:, None] - reached[None, :], width)
    kernel /= kernel.sum(axis=1, keepdims=True)
    matrix = kernel[:, beyond : beyond + len(GRID_EV)].copy()
    matrix[:, -1] += kernel[:, beyond + len(GRID_EV) :].sum(axis=1)
    return matrix


def targets(record: Record, wanted: Wanted, matrix: FloatArray) -> dict[str, Tensor]:
    """Target name -> float32 tensor, (1, m) for spectra, (1, m, 3, 3) for tensors and (1,) for numbers.

    ``matrix``: :func:`broadening_matrix`.

    Raises :class:`DatasetError` naming record, label and the labels found if one is missing.
    """
    missing = set(record.details.get("missing", ()))
    found: dict[str, Tensor] = {}
    for name, column in wanted.columns().items():
        if column in missing:
            raise _no_label(record, name, column)
        found[name] = torch.from_numpy(np.tensordot(matrix, getattr(record, column), axes=1)).float()[None]
    for name in (name for name in wanted.others if name in MEASURES):
        found[name] = torch.tensor([_measure(record, name)], dtype=torch.float32)
    return found


def _measure(record: Record, name: str) -> float:
    if name == "gap_ev":
        if not record.gap_ev > 0.0:  # imported labels need not have one
            raise _no_label(record, name, "gap_ev")
        return record.gap_ev
    key, factor = _OF_CHIRALITY[name]
    value = _chirality(record).get(key)
    if not isinstance(value, int | float) or not np.isfinite(value):
        raise _no_label(record, name, f"details.chirality.{key}")
    return factor * float(value)


def _chirality(record: Record) -> dict[str, Any]:
    measures = record.details.get("chirality")
    return measures if isinstance(measures, dict) else {}


def _no_label(record: Record, name: str, source: str) -> DatasetError:
    missing = set(record.details.get("missing", ()))
    known = [c.name for c in COLUMNS if c.dtype in ("f4", "scaled") and c.name not in missing]
    known = [column for column in known if column != "gap_ev" or record.gap_ev > 0.0]
    known += [f"details.chirality.{key}" for key in _chirality(record)]
    remedy = "choose another gauge" if name in SPECTRA else f"set loss.{name} to 0"
    return DatasetError(
        f"record {record.id} has no label '{name}' ({source}); it has {', '.join(known)}",
        f"{remedy}, or leave such records out",
    )
