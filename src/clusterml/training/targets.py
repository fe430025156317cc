"""From stored labels to what a network is asked for: broader spectra on its grid, and a few numbers, as tensors.

A dataset stores spectra on a grid of its own, with bands of its own width (imported ones may be broader); a network's
are as broad or broader.  Gaussian widths add in squares, so the stored spectrum is convolved with a Gaussian of the
missing width.  On a fine grid that is a sum over the stored energies: below the stored range nothing absorbs, above it
the last value goes on.  On a coarse one the likeliest spectrum of such bands is taken that has the stored values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from clusterml.dataset.record import COLUMNS, FINE, Record, SpectralGrid
from clusterml.errors import DatasetError, OptionError
from clusterml.model.spec import NetworkSpec
from clusterml.spectrum.transitions import gaussian
from clusterml.typing import FloatArray
from clusterml.units import FWHM_PER_SIGMA

SPECTRA = ("epsilon", "delta_epsilon")
"""Targets (m,) in L mol-1 cm-1."""
TENSORS = ("absorption_tensor", "rotatory_tensor")
"""Targets (m, 3, 3) in L mol-1 cm-1, in the axes of the positions: velocity gauge, about the centroid."""
MEASURES = ("gap_ev", "opd", "ccm")
"""Targets of one number: HOMO-LUMO gap (eV), signed chirality index of the frame (times 1000), chirality measure."""
GROUND_STATE = ("shell_charges", "level_histogram")
"""Targets (n, 3): charges (e) of the s, p and d shells of each atom, and (80,): orbital levels in each 0.2 eV."""
_OF_CHIRALITY = {"opd": ("opd_local_frame", 1e3), "ccm": ("ccm_frame", 1.0)}
"""Key in a record's chirality measures, and factor."""
_GAUGES = {"epsilon": {"length": "epsilon", "velocity": "epsilon_velocity"}}
_GAUGES["delta_epsilon"] = {"velocity": "delta_epsilon", "length": "delta_epsilon_length"}
_NARROWEST_EV = 0.12
_SMALLEST_WIDTH_EV = 0.005  # what is missing to 0.2 eV where the label has 0.19994
_FINE_STEP = 0.21  # of the width: up to this a grid is fine
_ROUNDING = 1e-3  # of the typical size of a spectrum
_MARGIN = 6.0  # standard deviations of the convolution beyond the stored range

OTHERS = (*TENSORS, *MEASURES, *GROUND_STATE)
"""Targets beside both spectra."""
Gauge = Literal["length", "velocity"]


@dataclass(frozen=True)
class Wanted:
    """Which labels become targets: the gauges of both spectra, and ``others`` of :data:`TENSORS`, :data:`MEASURES` and
    :data:`GROUND_STATE`."""

    absorption: Gauge = "length"
    cd: Gauge = "velocity"
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, weights: Mapping[str, float], absorption: Gauge, cd: Gauge) -> Wanted:
        """What terms of the loss with these ``weights`` ask for."""
        return cls(absorption, cd, tuple(name for name in OTHERS if weights.get(name, 0.0) > 0.0))

    def columns(self) -> dict[str, str]:
        """Target -> column of the record, of spectra and tensors."""
        spectra = {"epsilon": _GAUGES["epsilon"][self.absorption], "delta_epsilon": _GAUGES["delta_epsilon"][self.cd]}
        return spectra | {name: name for name in self.others if name in TENSORS}


def broadening_matrix(
    energy_ev: FloatArray, fwhm_ev: float, stored_ev: float | None = None, grid: SpectralGrid = FINE
) -> FloatArray:
    """W (m, n) so that W @ stored, of bands ``stored_ev`` wide on ``grid`` (n,) (default: as wide as the grid says), is
    the spectrum at ``fwhm_ev`` on ``energy_ev`` (m,).

    Gaussian widths add in squares: what is missing to ``fwhm_ev`` is added, and nothing where the spectrum is that wide
    already.  Raises :class:`OptionError` for energies outside the stored range, a width below 0.12 eV or below the
    stored one.
    """
    own = grid.fwhm_ev if stored_ev is None else stored_ev
    if not max(_NARROWEST_EV, own - 1e-6) <= fwhm_ev < np.inf:
        raise OptionError(f"fwhm is {fwhm_ev} eV", f"labels are stored at {own} eV: at least {max(_NARROWEST_EV, own)}")
    stored = grid.energy_ev
    if energy_ev.min() < stored[0] - 1e-9 or energy_ev.max() > stored[-1] + 1e-9:
        raise OptionError(
            f"the grid is {energy_ev.min():.2f} to {energy_ev.max():.2f} eV",
            f"labels are stored from {stored[0]:.2f} to {stored[-1]:.2f} eV",
        )
    if grid.step_ev > _FINE_STEP * own:
        return _likeliest(energy_ev, stored, fwhm_ev / FWHM_PER_SIGMA, own / FWHM_PER_SIGMA)
    width = float(np.sqrt(max(fwhm_ev**2 - own**2, 0.0)))
    step = grid.step_ev
    if width < 2.0 * step:  # too narrow a kernel for the stored energies
        return _narrowly_broadened(energy_ev, width, stored)
    beyond = int(np.ceil(_MARGIN * width / 2.0 / step))
    reached = stored[0] + step * np.arange(-beyond, len(stored) + beyond)
    kernel = _kernel(energy_ev, reached, width)
    matrix = kernel[:, beyond : beyond + len(stored)].copy()
    matrix[:, -1] += kernel[:, beyond + len(stored) :].sum(axis=1)
    return matrix


def _likeliest(energy_ev: FloatArray, stored: FloatArray, sigma: float, own: float) -> FloatArray:
    """:func:`broadening_matrix` for a coarse grid, with standard deviations for widths: kriging.

    Sums of many Gaussian bands of random signs are a random process whose values d apart go together as
    exp(-d^2 / (4 own^2)); with those of broader bands as exp(-d^2 / (2 (own^2 + sigma^2))), and less of it.  A little
    noise stands for the rounding of stored values.  C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine
    Learning, chapter 2 (2006).
    """
    among = np.exp(-((stored[:, None] - stored) ** 2) / (4.0 * own**2)) + _ROUNDING**2 * np.eye(len(stored))
    both = own**2 + sigma**2
    across = np.exp(-((energy_ev[:, None] - stored) ** 2) / (2.0 * both)) * np.sqrt(2.0 * own**2 / both)
    return np.asarray(np.linalg.solve(among, across.T).T)


def _kernel(energy_ev: FloatArray, reached: FloatArray, width: float) -> FloatArray:
    kernel = gaussian(energy_ev[:, None] - reached[None, :], width)
    return np.asarray(kernel / kernel.sum(axis=1, keepdims=True))


def _narrowly_broadened(energy_ev: FloatArray, width: float, stored: FloatArray) -> FloatArray:
    """:func:`broadening_matrix` for a small missing ``width``: over splines, which bands on a fine grid follow."""
    from scipy.interpolate import CubicSpline

    low, high = stored[0], stored[-1]
    spline = CubicSpline(stored, np.eye(len(stored)))
    if width < _SMALLEST_WIDTH_EV:
        return np.asarray(spline(np.clip(energy_ev, low, high)))
    fine = np.arange(low - _MARGIN * width, high + _MARGIN * width, width / 8.0)
    values = np.where((fine >= low)[:, None], spline(np.clip(fine, low, high)), 0.0)
    return np.asarray(_kernel(energy_ev, fine, width) @ values)


@dataclass(frozen=True)
class Broadening:
    """Makes stored spectra those of a network: on ``energy_ev`` (m,), with bands ``fwhm_ev`` wide."""

    energy_ev: FloatArray
    fwhm_ev: float
    _matrices: dict[tuple[SpectralGrid, float], FloatArray] = field(init=False, default_factory=dict)

    @classmethod
    def of(cls, spec: NetworkSpec) -> Broadening:
        """That of a network's ``spec``."""
        return cls(spec.grid.energy_ev, spec.fwhm_ev)

    def matrix(self, record: Record) -> FloatArray:
        """W (m, n) for the spectra of ``record``.

        Raises :class:`DatasetError` if they are wider than they may be, and what :func:`broadening_matrix` raises.
        """
        own = record.fwhm_ev
        if own > self.fwhm_ev + 1e-6:
            problem = f"record {record.id}: its bands are {own:g} eV wide, those of the network {self.fwhm_ev:g} eV"
            raise DatasetError(problem, "leave such records out (data.kinds, data.method), or choose a larger fwhm_ev")
        key = record.grid, own
        if key not in self._matrices:
            self._matrices[key] = broadening_matrix(self.energy_ev, self.fwhm_ev, own, record.grid)
        return self._matrices[key]

    def known(self, record: Record) -> FloatArray:
        """1 at the energies (m,) that the label reaches, else 0: its excitations go on for a width above them.

        Raises :class:`DatasetError` for a label that reaches none.
        """
        reached = self.energy_ev <= record.reaches_ev - self.fwhm_ev
        if not reached.any():
            raise DatasetError(
                f"record {record.id}: its excitations end at {record.reaches_ev:.2f} eV, below the network's grid",
                "leave such records out (data.kinds, data.method)",
            )
        return reached.astype(np.float64)


def targets(record: Record, wanted: Wanted, broadening: Broadening) -> dict[str, Tensor]:
    """Target name -> float32 tensor, (1, m) for spectra, (1, m, 3, 3) for tensors and (1,) for numbers, (n, 3) for
    charges of shells, (1, 80) for the level histogram.

    Raises :class:`DatasetError` naming record, label and the labels found if one is missing, and what
    :meth:`Broadening.matrix` raises.
    """
    matrix = broadening.matrix(record)
    missing = record.missing
    tensors: dict[str, Tensor] = {}
    for name, column in wanted.columns().items():
        if column in missing:
            raise _no_label(record, name, column)
        tensors[name] = torch.from_numpy(np.tensordot(matrix, getattr(record, column), axes=1)).float()[None]
    for name in (name for name in wanted.others if name in MEASURES):
        tensors[name] = torch.tensor([_measure(record, name)], dtype=torch.float32)
    for name in (name for name in wanted.others if name in GROUND_STATE):
        if not len(getattr(record, name)):
            raise _no_label(record, name, name)
        values = _by_angular_momentum(record) if name == "shell_charges" else record.level_histogram[None]
        tensors[name] = torch.from_numpy(values).float()
    return tensors


def _by_angular_momentum(record: Record) -> FloatArray:
    """Charges (n, 3) of the s, p and d shells of each atom: two of the same kind are one.

    Raises :class:`DatasetError` for charges of other shells than GFN1's.
    """
    from ase.data import chemical_symbols

    from clusterml.engine.basis import gfn_basis

    symbols = [chemical_symbols[number] for number in record.numbers]
    shells = gfn_basis(symbols, np.asarray(record.positions), "gfn1").shells
    if len(shells) != len(record.shell_charges):
        raise DatasetError(
            f"record {record.id}: has charges of {len(record.shell_charges)} shells, GFN1 has {len(shells)}",
            "set loss.shell_charges to 0",
        )
    charges = np.zeros((record.n_atoms, 3))
    np.add.at(charges, ([shell.atom for shell in shells], [shell.l for shell in shells]), record.shell_charges)
    return charges


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
    known = [c.name for c in COLUMNS if c.dtype in ("f4", "curve") and c.name not in record.missing]
    known = [column for column in known if column != "gap_ev" or record.gap_ev > 0.0]
    known += [f"details.chirality.{key}" for key in _chirality(record)]
    remedy = "choose another gauge" if name in SPECTRA else f"set loss.{name} to 0"
    return DatasetError(
        f"record {record.id} has no label '{name}' ({source}); it has {', '.join(known)}",
        f"{remedy}, or leave such records out",
    )
