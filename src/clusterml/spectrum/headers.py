"""What a column heading or a JCAMP-DX unit label means: which quantity, in which unit."""

from __future__ import annotations

import re
import unicodedata

QUANTITIES = ("epsilon", "delta_epsilon", "absorbance", "delta_absorbance", "mdeg")
"""Ordinates that can be turned into epsilon or delta_epsilon."""
AXES = ("energy_ev", "wavelength_nm", "wavenumber_cm")
"""Abscissas that can be turned into eV, in the order of preference when a file has several."""

_GREEK = {"δ": "delta", "∆": "delta", "ε": "epsilon", "ϵ": "epsilon", "λ": "wavelength", "θ": "theta"}
_MOLAR_UNITS = {"", "lmolcm", "lmol1cm1", "mcm", "m1cm1", "1mcm", "dm3mol1cm1", "lcm1mol1", "lcmmol", "mol1lcm1"}
# Heading (letters and digits only, lower case) -> quantity and the units it may state.
_RULES: tuple[tuple[str, str, set[str]], ...] = (
    (r"energy|photonenergy|ev|electronvolts?", "energy_ev", {"", "ev"}),
    (r"e", "energy_ev", {"ev"}),
    (r"wavelength|lambda|nm|nanomet(?:er|re)s?", "wavelength_nm", {"", "nm", "nanometers", "nanometer"}),
    (r"wavenumbers?|1cm|cm1", "wavenumber_cm", {"", "cm1", "1cm"}),
    (r"1", "wavenumber_cm", {"cm"}),
    (r"(?:delta|d)(?:epsilon|eps)std", "delta_epsilon_std", _MOLAR_UNITS),
    (r"epsilonstd", "epsilon_std", _MOLAR_UNITS),
    (r"(?:delta|d)(?:epsilon|eps)|molarcd|molarcirculardichroism", "delta_epsilon", _MOLAR_UNITS),
    (r"cd|circulardichroism", "delta_epsilon", _MOLAR_UNITS - {""}),
    (r"epsilon|eps|molar(?:absorptivity|absorption|extinction)(?:coefficient)?", "epsilon", _MOLAR_UNITS),
    (r"(?:delta|d)(?:absorbance|abs|a|od)", "delta_absorbance", {"", "au", "oe"}),
    (r"absorbance|abs|a|od|opticaldensity", "absorbance", {"", "au", "oe", "od"}),
    (r"mdeg|millidegrees?", "mdeg", {"", "mdeg"}),
    (r"cd|circulardichroism|ellipticity|theta", "mdeg", {"mdeg", "millidegrees"}),
)
_SUFFIXES = ("_l_mol_cm", "_m_1_cm_1", "_mdeg", "_nm", "_ev", "_cm_1")


def quantity(heading: str) -> str | None:
    """The quantity that ``heading`` names: one of :data:`AXES`, :data:`QUANTITIES`, ``epsilon_std``,
    ``delta_epsilon_std``; None if it is unknown or states a unit that would need a factor.

    >>> quantity("Wavelength (nm)"), quantity("CD [mdeg]"), quantity("epsilon (mM-1 cm-1)")
    ('wavelength_nm', 'mdeg', None)
    """
    name, unit = _split(heading.strip().strip('"'))
    for pattern, kind, units in _RULES:
        if re.fullmatch(pattern, name) and unit in units:
            return kind
    return None


def _split(heading: str) -> tuple[str, str]:
    """Name and unit, reduced to lower-case letters and digits."""
    plain = _plain(heading)
    match = re.fullmatch(r"(.+?)\s*[/(\[](.*)", plain)
    if match and _squeeze(match[1]):
        return _squeeze(match[1]), _squeeze(match[2])
    underscored = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    for suffix in _SUFFIXES:
        if underscored.endswith(suffix):
            return _squeeze(underscored[: -len(suffix)]), _squeeze(suffix)
    return _squeeze(underscored), ""


def _plain(heading: str) -> str:
    # Compatibility decomposition turns superscript digits and the mathematical minus into plain ones.
    text = unicodedata.normalize("NFKC", heading[:200]).replace("−", "-").lower()
    return "".join(_GREEK.get(letter, letter) for letter in text)


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text)
