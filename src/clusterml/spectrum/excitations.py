"""Excitations of a finished calculation by another program, in our units: what its output says, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clusterml.errors import InputFileError, SpectrumError, counted
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.typing import FloatArray

FWHM_EV = 0.10
"""Width in eV to which excitations are broadened where no other is asked for: comparisons broaden it further."""
_LOWEST_EV = 0.5
_BELOW_EV = 1.0
"""Spectra begin so far below the first excitation."""


_HOW_TO_CD = {
    "ORCA": "ORCA prints them with the spectra of every TDDFT run: is the output whole",
    "Gaussian": "Gaussian prints them with every TD run: is the output whole",
    "Turbomole": "escf of Turbomole prints them: is the output whole",
    "NWChem": "NWChem prints them with CDSPECTRUM in the block of tddft",
}
_NO_CD = (
    "those of ORCA, Gaussian, Turbomole and NWChem are read, of other programs energies and oscillator strengths alone"
)
"""What to do about rotatory strengths that are missing."""


@dataclass(frozen=True)
class Excitations:
    """n excitations without a change of spin, in any order; None for what the output does not say.

    ``energies_ev`` (n,); ``f_length``, ``f_velocity`` (n,); ``r_length_cgs``, ``r_velocity_cgs`` (n,) in 1e-40 cgs;
    ``symbols`` and ``positions`` (n_atoms, 3) in A, empty where unknown; ``charge`` in units of e.
    """

    where: str
    program: str
    energies_ev: Sequence[float]
    f_length: Sequence[float]
    f_velocity: Sequence[float] | None = None
    r_length_cgs: Sequence[float] | None = None
    r_velocity_cgs: Sequence[float] | None = None
    symbols: Sequence[str] = ()
    positions: Sequence[Sequence[float]] = ()
    charge: int | None = None

    @property
    def has_cd(self) -> bool:
        """Are there rotatory strengths?"""
        return self.r_length_cgs is not None or self.r_velocity_cgs is not None

    @property
    def gauge(self) -> str:
        """Of the rotatory strengths: velocity, which does not depend on the origin, where it is known."""
        return "velocity" if self.r_velocity_cgs is not None else "length"

    @property
    def notes(self) -> list[str]:
        """Sentences about what is missing."""
        if not self.has_cd:
            return [f"{self.where}: no rotatory strengths: absorption alone; {_HOW_TO_CD.get(self.program, _NO_CD)}"]
        if self.gauge == "length":
            return [f"{self.where}: rotatory strengths are of the length gauge, which depends on the origin"]
        return []

    def transitions(self) -> Transitions:
        """As :class:`Transitions`: a gauge that is not there has the numbers of the other, moments are zero.

        Rotatory strengths are zero where none are known, and ``meta["warnings"]`` says so.  Raises
        :class:`InputFileError` naming the output for energies that are not positive.
        """
        n = len(self.energies_ev)
        r_length = self.r_length_cgs if self.r_length_cgs is not None else self.r_velocity_cgs
        r_velocity = self.r_velocity_cgs if self.r_velocity_cgs is not None else self.r_length_cgs
        none = np.zeros((n, 3))
        try:
            return Transitions(
                np.asarray(self.energies_ev, dtype=np.float64),
                np.asarray(self.f_length, dtype=np.float64),
                np.asarray(self.f_length if self.f_velocity is None else self.f_velocity, dtype=np.float64),
                np.zeros(n) if r_length is None else np.asarray(r_length, dtype=np.float64),
                np.zeros(n) if r_velocity is None else np.asarray(r_velocity, dtype=np.float64),
                none,
                none,
                none,
                meta={"method": self.program, "source": self.where, "warnings": self.notes},
            )
        except SpectrumError as error:
            raise InputFileError(f"{self.where}: {error.problem}", error.remedy) from error

    def spectrum(self, fwhm_ev: float = FWHM_EV) -> Spectrum:
        """Absorption and CD up to the last excitation; the CD is NaN where there are no rotatory strengths."""
        transitions = self.transitions()
        low, high = float(transitions.energy_ev.min()), float(transitions.energy_ev.max())
        if high < _LOWEST_EV + 2.0 * fwhm_ev:
            raise InputFileError(f"{self.where}: the excitations end at {high:.2f} eV", "compute more of them")
        axis = np.arange(round(50.0 * max(_LOWEST_EV, low - _BELOW_EV)), int(50.0 * high + 1e-9) + 1) / 50.0
        spectrum = transitions.broaden(axis, fwhm_ev, gauge=self.gauge)
        end = (
            f"{self.where}: {counted(len(transitions), 'excitation')} up to {high:.2f} eV, broadened to {fwhm_ev:g} eV"
        )
        meta = {**spectrum.meta, "warnings": [f"{end} (--fwhm gives a larger width)", *self.notes]}
        cd: FloatArray = spectrum.delta_epsilon if self.has_cd else np.full(len(axis), np.nan)
        return Spectrum(axis, spectrum.epsilon, cd, meta=meta)
