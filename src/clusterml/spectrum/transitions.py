"""Transitions: the stick spectrum that a calculation gives, line shapes, and their sum, a :class:`Spectrum`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clusterml.errors import OptionError, SpectrumError
from clusterml.io.display import wrapped
from clusterml.spectrum.curves import as_floats, check_array, check_axis
from clusterml.spectrum.spectrum import Spectrum, default_grid
from clusterml.typing import FloatArray
from clusterml.units import (
    DELTA_EPSILON_AREA_PER_ER,
    DIPOLE_STRENGTH_AU_TO_CGS,
    EPSILON_AREA_PER_F,
    FWHM_PER_SIGMA,
    HARTREE_EV,
)

BLOCK = 2048
"""Transitions summed at a time, to bound memory."""


def gaussian(offset_ev: FloatArray, fwhm_ev: float) -> FloatArray:
    """exp(-x^2 / 2 s^2) / (s sqrt(2 pi)), s = fwhm / 2.3548, in 1/eV; the shape of ``offset_ev``."""
    sigma = fwhm_ev / FWHM_PER_SIGMA
    return np.asarray(np.exp(-0.5 * (offset_ev / sigma) ** 2) / (sigma * math.sqrt(2.0 * math.pi)))


def lorentzian(offset_ev: FloatArray, fwhm_ev: float) -> FloatArray:
    """(w/2) / pi / (x^2 + (w/2)^2), w = fwhm, in 1/eV; the shape of ``offset_ev``."""
    half = 0.5 * fwhm_ev
    return np.asarray(half / math.pi / (offset_ev**2 + half**2))


SHAPES: dict[str, Callable[[FloatArray, float], FloatArray]] = {"gaussian": gaussian, "lorentzian": lorentzian}
"""Line shapes by name."""


def sum_of_bands(
    grid_ev: FloatArray, centre_ev: FloatArray, area: FloatArray, fwhm_ev: float, shape: str
) -> FloatArray:
    """sum_n area[n, k] G(E - centre[n]) on the grid.

    ``grid_ev`` (m,), ``centre_ev`` (n,), ``area`` (n, k); returns (k, m).  Raises :class:`OptionError` for an unknown
    ``shape`` or a width that is not positive.
    """
    if shape not in SHAPES:
        raise OptionError(f"shape '{shape}' is unknown", f"choose one of {', '.join(SHAPES)}")
    if not (math.isfinite(fwhm_ev) and fwhm_ev > 0):
        raise OptionError(f"fwhm_ev = {fwhm_ev} is not a band width", "give a positive number of eV, for example 0.2")
    line = SHAPES[shape]
    total = np.zeros((area.shape[1], len(grid_ev)))
    for start in range(0, len(centre_ev), BLOCK):
        block = slice(start, start + BLOCK)
        total += area[block].T @ line(grid_ev[None, :] - centre_ev[block, None], fwhm_ev)
    return total


GAUGES = ("length", "velocity")
"""Forms of the electric dipole operator: r, or nabla / E."""

Fractions = dict[str, dict[str, FloatArray]]
"""``hole`` and ``electron`` -> name of a group of atoms -> its share in each transition (n,)."""


@dataclass(frozen=True, eq=False)
class Transitions:
    """n excitations from the ground state, in any order.

    ``energy_ev`` (n,) eV; ``f_length``, ``f_velocity`` (n,) oscillator strengths; ``r_length_cgs``,
    ``r_velocity_cgs`` (n,) rotatory strengths in 1e-40 cgs (esu2 cm2) in the gauge of the name.
    ``electric_au``, ``velocity_au``, ``magnetic_au`` (n, 3): sums X_ia of <i|r|a>, <i|nabla|a>, <i|r x nabla|a> in
    atomic units without the closed-shell spin factor, so that f_length = (2/3) 2 w |electric|^2 with w in hartree.
    ``rotatory_tensor_cgs`` (n, 3, 3): electric (row) times magnetic (column) components whose trace is
    ``r_velocity_cgs``, or None.  ``fractions``: ``{"hole": {group: (n,)}, "electron": {...}}`` or None.
    ``meta``: method, origin, remarks.

    Raises :class:`SpectrumError` naming the field if shapes differ, a value is not finite or an energy not positive.

    Examples:
        >>> import clusterml as cm, numpy as np
        >>> none = np.zeros((1, 3))
        >>> lines = cm.Transitions([3.0], [0.5], [0.5], [20.0], [20.0], none, none, none)
        >>> lines.broaden(np.linspace(2.0, 4.0, 101), 0.2)
        Spectrum(2.00 to 4.00 eV, 101 points, fwhm 0.20 eV, epsilon +6.74e+04 at 413 nm, ...
    """

    energy_ev: FloatArray
    f_length: FloatArray
    f_velocity: FloatArray
    r_length_cgs: FloatArray
    r_velocity_cgs: FloatArray
    electric_au: FloatArray
    velocity_au: FloatArray
    magnetic_au: FloatArray
    rotatory_tensor_cgs: FloatArray | None = None
    fractions: Fractions | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check and copy every field."""
        energy = as_floats("energy_ev", self.energy_ev)
        if energy.ndim != 1:
            raise SpectrumError(f"energy_ev has shape {energy.shape}", "give a list of excitation energies in eV")
        n = len(energy)
        object.__setattr__(self, "energy_ev", check_array("energy_ev", energy, (n,)))
        if not (self.energy_ev > 0).all():
            raise SpectrumError("energy_ev holds excitation energies that are not positive", "remove them")
        for name in ("f_length", "f_velocity", "r_length_cgs", "r_velocity_cgs"):
            object.__setattr__(self, name, check_array(name, getattr(self, name), (n,)))
        for name in ("electric_au", "velocity_au", "magnetic_au"):
            object.__setattr__(self, name, check_array(name, getattr(self, name), (n, 3)))
        if self.rotatory_tensor_cgs is not None:
            tensor = check_array("rotatory_tensor_cgs", self.rotatory_tensor_cgs, (n, 3, 3))
            object.__setattr__(self, "rotatory_tensor_cgs", tensor)
        if self.fractions is not None:
            object.__setattr__(self, "fractions", _check_fractions(self.fractions, n))
        object.__setattr__(self, "meta", dict(self.meta))

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self.energy_ev)

    def __repr__(self) -> str:
        """One line: how many, range, the strongest of absorption and CD."""
        if not len(self):
            return "Transitions(none)"
        bright, chiral = int(self.f_length.argmax()), int(np.abs(self.r_velocity_cgs).argmax())
        return wrapped(
            f"Transitions({len(self)} from {self.energy_ev.min():.2f} to {self.energy_ev.max():.2f} eV, "
            f"f {self.f_length[bright]:.3g} at {self.energy_ev[bright]:.2f} eV, "
            f"R {self.r_velocity_cgs[chiral]:+.3g} e-40 cgs at {self.energy_ev[chiral]:.2f} eV)"
        )

    def f(self, gauge: str) -> FloatArray:
        """Oscillator strengths (n,) in ``gauge``; :class:`OptionError` for an unknown one."""
        return self.f_length if _check_gauge(gauge) == "length" else self.f_velocity

    def r_cgs(self, gauge: str) -> FloatArray:
        """Rotatory strengths (n,) in ``gauge``, 1e-40 cgs; :class:`OptionError` for an unknown one."""
        return self.r_length_cgs if _check_gauge(gauge) == "length" else self.r_velocity_cgs

    @property
    def dipole_strength_length_cgs(self) -> FloatArray:
        """D = 2 |electric|^2 (n,) in 1e-40 cgs, spin-summed."""
        return np.asarray(2.0 * DIPOLE_STRENGTH_AU_TO_CGS * (self.electric_au**2).sum(axis=1))

    @property
    def dipole_strength_velocity_cgs(self) -> FloatArray:
        """D = 2 |velocity|^2 / w^2 (n,) in 1e-40 cgs, spin-summed, w in hartree."""
        omega = self.energy_ev / HARTREE_EV
        return np.asarray(2.0 * DIPOLE_STRENGTH_AU_TO_CGS * (self.velocity_au**2).sum(axis=1) / omega**2)

    @property
    def g_length(self) -> FloatArray:
        """Dissymmetry g = 4R/D (n,), both in the length gauge; NaN where D is 0.

        |g| <= 2 as long as the electric moment is the larger one; a transition that is magnetically allowed and
        electrically (nearly) forbidden exceeds it, because D leaves out the magnetic dipole strength.
        """
        return _g(self.r_length_cgs, self.dipole_strength_length_cgs)

    @property
    def g_velocity(self) -> FloatArray:
        """Dissymmetry g = 4R/D (n,), both in the velocity gauge; NaN where D is 0.  See :attr:`g_length`."""
        return _g(self.r_velocity_cgs, self.dipole_strength_velocity_cgs)

    def broaden(
        self,
        grid: FloatArray | None = None,
        fwhm_ev: float = 0.2,
        shape: str = "gaussian",
        gauge: str = "velocity",
        absorption_gauge: str = "length",
    ) -> Spectrum:
        """The spectrum on ``grid`` ((m,) eV, ascending; default 0.50 to 6.00 eV in steps of 0.02).

        epsilon(E) = 28706 sum_n f_n G(E - E_n) and delta_epsilon(E) = sum_n E_n R_n G(E - E_n) / 22.97, with G of
        area 1 and full width at half maximum ``fwhm_ev``: the constants of the sTDA program's spectrum tool.
        ``gauge`` is that of R (velocity: independent of the origin), ``absorption_gauge`` that of f; both are kept in
        ``Spectrum.meta``.  No transitions give a spectrum of zeros.

        Raises :class:`OptionError` for an unknown shape or gauge or a width <= 0, :class:`SpectrumError` for a bad
        grid.
        """
        axis = _axis(grid)
        area = np.stack(
            [
                EPSILON_AREA_PER_F * self.f(absorption_gauge),
                DELTA_EPSILON_AREA_PER_ER * self.energy_ev * self.r_cgs(gauge),
            ],
            axis=1,
        )
        epsilon, delta_epsilon = sum_of_bands(axis, self.energy_ev, area, fwhm_ev, shape)
        meta = {
            **self.meta,
            "gauge": gauge,
            "absorption_gauge": absorption_gauge,
            "fwhm_ev": float(fwhm_ev),
            "shape": shape,
        }
        return Spectrum(axis, epsilon, delta_epsilon, meta=meta)

    def broaden_tensors(
        self, grid: FloatArray | None = None, fwhm_ev: float = 0.2, shape: str = "gaussian"
    ) -> tuple[FloatArray, FloatArray]:
        """Orientation-resolved absorption and CD ``(m, 3, 3)`` each, L mol-1 cm-1, velocity gauge, in the input's axes.

        The traces are the ``epsilon`` (velocity) and ``delta_epsilon`` of :meth:`broaden`.  Light polarised along the
        unit vector u is absorbed by an oriented sample with 3 u.A.u.  The CD tensor holds the electric-dipole
        magnetic-dipole part; light travelling in an oriented sample also sees electric quadrupoles, which are not here.

        Raises :class:`OptionError` where the transitions carry no ``rotatory_tensor_cgs``, or as :meth:`broaden`.
        """
        if self.rotatory_tensor_cgs is None:
            raise OptionError("these transitions have no rotatory tensors", "compute them with clusterml.label")
        axis, n = _axis(grid), len(self)
        norm = (self.velocity_au**2).sum(axis=1)
        unit = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0.0)
        shares = self.velocity_au[:, :, None] * self.velocity_au[:, None, :] * unit[:, None, None]
        absorption = EPSILON_AREA_PER_F * self.f_velocity[:, None] * shares.reshape(n, 9)
        rotatory = DELTA_EPSILON_AREA_PER_ER * self.energy_ev[:, None] * self.rotatory_tensor_cgs.reshape(n, 9)
        curves = sum_of_bands(axis, self.energy_ev, np.hstack([absorption, rotatory]), fwhm_ev, shape)
        tensors = curves.T.reshape(len(axis), 2, 3, 3)
        return tensors[:, 0], tensors[:, 1]


def _axis(grid: FloatArray | None) -> FloatArray:
    return default_grid() if grid is None else check_axis("grid", grid)


def _check_gauge(gauge: str) -> str:
    if gauge not in GAUGES:
        raise OptionError(f"gauge '{gauge}' is unknown", f"choose one of {', '.join(GAUGES)}")
    return gauge


def _g(r_cgs: FloatArray, d_cgs: FloatArray) -> FloatArray:
    return np.divide(4.0 * r_cgs, d_cgs, out=np.full_like(r_cgs, np.nan), where=d_cgs > 0.0)


def _check_fractions(fractions: Mapping[str, Mapping[str, Any]], n: int) -> Fractions:
    if set(fractions) != {"hole", "electron"}:
        raise SpectrumError(f"fractions has the keys {sorted(fractions)}", "they should be 'hole' and 'electron'")
    return {
        side: {group: check_array(f"fractions[{side}][{group}]", share, (n,)) for group, share in groups.items()}
        for side, groups in fractions.items()
    }
