"""Spectrum: absorption and circular dichroism on an energy axis, the form every source of spectra ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError, SpectrumError
from clusterml.io.display import card, wrapped
from clusterml.spectrum.curves import as_floats, check_array, check_axis
from clusterml.typing import FloatArray
from clusterml.units import ev_to_nm

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from xarray import Dataset

    from clusterml.spectrum.transitions import Transitions
    from clusterml.spectrum.view import View

G_THRESHOLD = 1e-3
"""g_abs is given only where epsilon exceeds this share of its maximum."""
G_FLOOR = 0.02
"""Below this share of the highest absorption g is a ratio of two small numbers, which no summary counts."""


def default_grid(emax_ev: float = 6.0) -> FloatArray:
    """The energy axis used unless another is asked for: 0.50 eV to ``emax_ev`` in steps of 0.02 eV (276,)."""
    return np.asarray(np.arange(25, round(50.0 * emax_ev) + 1) / 50.0)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Absorption and CD at m photon energies.

    ``energy_ev`` (m,) ascending, eV; ``epsilon`` (m,) and ``delta_epsilon`` = eps_L - eps_R (m,) in L mol-1 cm-1, NaN
    throughout for a quantity that is not known; ``epsilon_std``, ``delta_epsilon_std`` (m,): standard deviations, NaN
    where they are not known.  ``label_error`` (m,): how far the delta_epsilon of its protocol is from DFT, a standard
    deviation too, of its own kind (:mod:`clusterml.engine.label_error`).  ``meta`` states ``fwhm_ev``, ``gauge`` (of
    the CD), ``absorption_gauge`` and whatever else is known.

    Raises :class:`SpectrumError` naming the field if shapes differ, the axis is not ascending and positive, single
    values are not finite, a standard deviation is negative, or neither quantity is present.

    Examples:
        >>> import clusterml as cm
        >>> spectrum = cm.Spectrum([2.0, 3.0, 4.0], [1e4, 2e4, 1e4], [5.0, -20.0, 0.0])
        >>> spectrum.g_abs
        array([ 0.0005, -0.001 ,  0.    ])
        >>> spectrum.mirrored().delta_epsilon
        array([-5., 20., -0.])
    """

    energy_ev: FloatArray
    epsilon: FloatArray
    delta_epsilon: FloatArray
    epsilon_std: FloatArray | None = None
    delta_epsilon_std: FloatArray | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    label_error: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check and copy every field."""
        object.__setattr__(self, "energy_ev", check_axis("energy_ev", self.energy_ev))
        shape = self.energy_ev.shape
        for name in ("epsilon", "delta_epsilon"):
            values = as_floats(name, getattr(self, name))
            missing = values.shape == shape and bool(np.isnan(values).all())
            object.__setattr__(self, name, check_array(name, values, shape, finite=not missing))
        if not (self.has_absorption or self.has_cd):
            raise SpectrumError("the spectrum has neither absorption nor CD", "give at least one of the two")
        for name in ("epsilon_std", "delta_epsilon_std", "label_error"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _check_std(name, values, shape))
        object.__setattr__(self, "meta", dict(self.meta))

    def __len__(self) -> int:
        """Number of points."""
        return len(self.energy_ev)

    def __repr__(self) -> str:
        """Range, points, width, strongest bands."""
        low, high = self.energy_ev[0], self.energy_ev[-1]
        parts = [f"{low:.2f} to {high:.2f} eV", f"{len(self)} points"]
        if isinstance(fwhm := self.meta.get("fwhm_ev"), int | float):
            parts.append(f"fwhm {fwhm:.2f} eV")
        parts += [
            f"{name} {values[at]:+.3g} at {ev_to_nm(float(self.energy_ev[at])):.0f} nm"
            for name, values in (("epsilon", self.epsilon), ("delta_epsilon", self.delta_epsilon))
            if not np.isnan(values[0])
            for at in [int(np.abs(values).argmax())]
        ]
        return wrapped(f"Spectrum({', '.join(parts)})")

    def _repr_html_(self) -> str:
        """A picture, for notebooks."""
        from clusterml.spectrum.picture import spectra_picture

        return card(repr(self), [spectra_picture([self])], self.meta.get("warnings", ()))

    @property
    def title(self) -> str:
        """What and by which method it is, as far as ``meta`` says; empty where it does not."""
        words = [str(self.meta[key]) for key in ("title", "source") if self.meta.get(key)][:1]
        width = self.meta.get("fwhm_ev")
        return ", ".join([*words, *([f"fwhm {width:g} eV"] if isinstance(width, int | float) else [])])

    @property
    def has_absorption(self) -> bool:
        """Is epsilon known?"""
        return not bool(np.isnan(self.epsilon[0]))

    @property
    def has_cd(self) -> bool:
        """Is delta_epsilon known?"""
        return not bool(np.isnan(self.delta_epsilon[0]))

    @property
    def wavelength_nm(self) -> FloatArray:
        """Vacuum wavelengths (m,) in nm, descending."""
        return ev_to_nm(self.energy_ev)

    @property
    def g_abs(self) -> FloatArray:
        """g = delta_epsilon / epsilon (m,); NaN where epsilon is below 1e-3 of its maximum."""
        return self.g_factor(G_THRESHOLD)

    def g_factor(self, threshold: float) -> FloatArray:
        """g = delta_epsilon / epsilon (m,); NaN where epsilon <= ``threshold`` times its maximum.

        Raises :class:`OptionError` unless 0 <= threshold < 1.
        """
        if not 0.0 <= threshold < 1.0:
            raise OptionError(f"threshold = {threshold} is not a share", "give a number from 0 up to 1")
        g = np.full_like(self.epsilon, np.nan)
        if not (self.has_absorption and self.has_cd):
            return g
        bright = self.epsilon > max(threshold * float(self.epsilon.max()), 0.0)
        with np.errstate(over="ignore"):
            np.divide(self.delta_epsilon, self.epsilon, out=g, where=bright)
        g[~np.isfinite(g)] = np.nan
        return g

    @property
    def total_error(self) -> FloatArray | None:
        """Standard deviation (m,) of delta_epsilon from that of DFT; NaN where it is not known, None where none is.

        That is ``label_error``, and of a prediction its ``delta_epsilon_std`` too, as independent errors; the spread of
        an ensemble (``meta["ensemble"]``) is no error.
        """
        if self.label_error is None or self.delta_epsilon_std is None or self.meta.get("ensemble"):
            return self.label_error
        return np.hypot(self.label_error, self.delta_epsilon_std)

    def mirrored(self) -> Spectrum:
        """The spectrum of the mirror image: the same absorption, the CD with opposite sign."""
        return replace(self, delta_epsilon=-self.delta_epsilon)

    def to_csv(self, path: str | Path) -> Path:
        """Write a CSV table; see :func:`clusterml.spectrum.export.write_csv`."""
        from clusterml.spectrum.export import write_csv

        return write_csv(self, path)

    @classmethod
    def from_csv(cls, path: str | Path) -> Spectrum:
        """Read a table in absolute units; see :func:`clusterml.spectrum.measured.read_spectrum`."""
        from clusterml.spectrum.measured import read_spectrum

        return read_spectrum(path)

    def to_pandas(self) -> DataFrame:
        """A table over ``energy_ev``; see :func:`clusterml.spectrum.export.to_pandas`."""
        from clusterml.spectrum.export import to_pandas

        return to_pandas(self)

    def to_xarray(self) -> Dataset:
        """A data set over ``energy_ev``; see :func:`clusterml.spectrum.export.to_xarray`."""
        from clusterml.spectrum.export import to_xarray

        return to_xarray(self)

    def to_json(self, path: str | Path) -> Path:
        """Write strict JSON; see :func:`clusterml.spectrum.export.write_spectrum`."""
        from clusterml.spectrum.export import write_spectrum

        return write_spectrum(self, path)

    @classmethod
    def from_json(cls, path: str | Path) -> Spectrum:
        """Read the spectrum of a JSON file of ours; see :func:`clusterml.spectrum.export.read_spectrum`."""
        from clusterml.spectrum.export import read_spectrum

        return read_spectrum(path)

    def to_jcamp(self, path: str | Path, title: str | None = None) -> Path:
        """Write JCAMP-DX; see :func:`clusterml.spectrum.export.write_jcamp`."""
        from clusterml.spectrum.export import write_jcamp

        return write_jcamp(self, path, title)

    @classmethod
    def from_jcamp(cls, path: str | Path) -> Spectrum:
        """Read JCAMP-DX in absolute units; see :func:`clusterml.spectrum.measured.read_spectrum`."""
        from clusterml.spectrum.measured import read_spectrum

        return read_spectrum(path)

    def plot(
        self,
        path: str | Path | None = None,
        title: str | None = None,
        transitions: Transitions | None = None,
        others: Sequence[Spectrum] = (),
        labels: Sequence[str] = (),
        view: View | None = None,
    ) -> Figure:
        """Draw absorption, CD and g, and save a PNG if ``path`` is given; see :func:`clusterml.spectrum.plot.draw`.

        ``title``: default what ``meta`` says of the spectrum.  Several spectra have a legend, with their own titles
        where no ``labels`` are given.
        """
        from clusterml.spectrum.plot import draw

        if title is None and not others:
            title = self.title
        if others and not labels:
            labels = [spectrum.title or f"spectrum {k}" for k, spectrum in enumerate((self, *others), start=1)]
        return draw([self, *others], path=path, title=title, transitions=transitions, labels=labels, view=view)


def _check_std(name: str, values: Any, shape: tuple[int, ...]) -> FloatArray:
    """Standard deviations of ``shape``, NaN where not known; :class:`SpectrumError` naming ``name`` otherwise."""
    array = as_floats(name, values)
    std = check_array(name, np.where(np.isnan(array), 0.0, array), shape)
    if (std < 0).any():
        raise SpectrumError(f"{name} holds negative values", "a standard deviation is zero or positive")
    return np.where(np.isnan(array), np.nan, std)


def mean_and_spread(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation over the first axis of ``values`` (n, ..); the spread of one value is zero."""
    mean = values.mean(axis=0)
    return mean, values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(mean)


def mean_spectrum(spectra: Sequence[Spectrum], meta: Mapping[str, Any]) -> Spectrum:
    """The mean of spectra on one axis, with their spread; ``meta`` is added to that of the first."""
    epsilon, epsilon_std = mean_and_spread(np.stack([s.epsilon for s in spectra]))
    cd, cd_std = mean_and_spread(np.stack([s.delta_epsilon for s in spectra]))
    return Spectrum(spectra[0].energy_ev, epsilon, cd, epsilon_std, cd_std, meta={**spectra[0].meta, **meta})
