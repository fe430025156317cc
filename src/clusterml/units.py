"""Physical constants and unit conversions used across the package.

Energies are in eV, lengths in angstrom, rotatory strengths in 1e-40 cgs (esu2 cm2), molar absorption
coefficients in L mol-1 cm-1.  The programs xtb4stda and std2 use slightly different constants: those called
``REFERENCE_..``, with which their results are reproduced to all digits.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray

HARTREE_EV = 27.211386245988
"""One hartree in eV (CODATA 2018)."""

BOHR_ANGSTROM = 0.529177210903
"""One bohr in angstrom (CODATA 2018)."""

SPEED_OF_LIGHT_AU = 137.035999084
"""Speed of light in atomic units (CODATA 2018)."""

EV_NM = 1239.841984
"""Product of photon energy (eV) and vacuum wavelength (nm)."""

EPSILON_AREA_PER_F = 28706.0
"""Area of an absorption band, integral of epsilon over E, per unit oscillator strength (L mol-1 cm-1 eV).

The value of the reference spectrum tool (stda-xtb.md, section 13: 1.6196e4 * sqrt(pi)); the textbook
constant differs in the fourth digit."""

DELTA_EPSILON_AREA_PER_ER = 1.0 / 22.97
"""Area of a CD band, integral of delta_epsilon over E, per E (eV) times R (1e-40 cgs)."""

MDEG_PER_DELTA_A = 32982.0
"""Ellipticity in millidegrees per unit of differential absorbance A_L - A_R: 1000 (180 / pi) (ln 10) / 4."""

MOLAR_ELLIPTICITY_PER_DELTA_EPSILON = 3298.2
"""Molar ellipticity in deg cm2 dmol-1 per unit of delta_epsilon in L mol-1 cm-1."""

ROTATORY_AU_TO_CGS = 2 * 235.7220
"""Rotatory strength -Im <0|mu|n><n|m|0> from atomic units to 1e-40 cgs (spin-summed closed shell)."""

DIPOLE_STRENGTH_AU_TO_CGS = 64604.8
"""Dipole strength |<0|mu|n>|^2 from atomic units (e a0)^2 to 1e-40 cgs."""

BOLTZMANN_EV = 8.617333262e-5
"""Boltzmann constant in eV per kelvin (CODATA 2018)."""

BOLTZMANN_HARTREE = 3.166808578545117e-6
"""Boltzmann constant in hartree per kelvin, as the xtb programs have it."""

REFERENCE_BOHR_ANGSTROM = 0.52917726
"""Bohr in angstrom as the reference programs convert input coordinates."""

REFERENCE_HARTREE_EV = 27.2113957
"""Hartree in eV of the reference's tight-binding part."""

REFERENCE_THRESHOLD_HARTREE_EV = 27.21138505
"""Hartree in eV with which the reference converts the energy threshold."""

REFERENCE_OUTPUT_HARTREE_EV = 27.21139
"""Hartree in eV of the reference's printed excitation energies."""

REFERENCE_KSHIFT_EV_HARTREE = 0.03674932
"""eV in hartree of the reference's K-shift parameters."""

FWHM_PER_SIGMA = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
"""Full width at half maximum of a Gaussian divided by its standard deviation."""


@overload
def ev_to_nm(energy_ev: float) -> float: ...
@overload
def ev_to_nm(energy_ev: NDArray[np.float64]) -> NDArray[np.float64]: ...
def ev_to_nm(energy_ev: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
    """Vacuum wavelength in nm of a photon energy in eV (and the reverse: the map is its own inverse)."""
    return EV_NM / energy_ev


nm_to_ev = ev_to_nm
