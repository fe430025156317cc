"""What a column heading or a unit label means: which quantity, and the factor to the unit used here."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from clusterml.typing import FloatArray

ABSORPTION = ("epsilon", "log_epsilon", "absorbance")
"""What becomes epsilon, the best first."""
CD = ("delta_epsilon", "molar_ellipticity", "delta_absorbance", "mdeg")
"""What becomes delta_epsilon, the best first."""
QUANTITIES = (*ABSORPTION, *CD)
"""Ordinates that can be turned into epsilon or delta_epsilon."""
AXES = ("energy_ev", "wavelength_nm", "wavenumber_cm")
"""Abscissas that can be turned into eV, in the order of preference when a file has several."""
UNSTATED = {"cd": CD, "absorption": ABSORPTION}
"""A quantity without its unit -> what it may be."""
STD = "_std"
"""Ends the name of a standard deviation."""
LABEL_ERROR = "label_error"
"""How far the delta_epsilon of a protocol is from DFT, as our own tables give it beside a delta_epsilon."""


class Meaning(NamedTuple):
    """``quantity``: an axis, an ordinate, one of :data:`UNSTATED`, an ordinate with :data:`STD`, or
    :data:`LABEL_ERROR`; in ``factor``."""

    quantity: str
    factor: float = 1.0

    def scaled(self, values: FloatArray) -> FloatArray:
        """``values`` (m,) as they are written, in the unit of the quantity: of a logarithm, the factor is inside."""
        if self.quantity == "log_epsilon":
            return values + math.log10(self.factor)
        return values if self.quantity == "log_epsilon" + STD else values * self.factor


def companion(quantity: str) -> str | None:
    """The ordinate of which ``quantity`` is an error; None if it is none."""
    if quantity == LABEL_ERROR:
        return "delta_epsilon"
    return quantity.removesuffix(STD) if quantity.endswith(STD) else None


_GREEK = {
    "δ": "delta",
    "∆": "delta",
    "ε": "epsilon",
    "ϵ": "epsilon",
    "λ": "wavelength",
    "θ": "theta",
    "ν": "nu",
    "μ": "u",
    "°": "deg",
}
_MOLAR = dict.fromkeys(
    ("lmolcm", "lmol1cm1", "mcm", "m1cm1", "1mcm", "dm3mol1cm1", "dm3molcm", "lcm1mol1", "lcmmol", "mol1lcm1"), 1.0
)
_MOLAR |= {"mm1cm1": 1e3, "1mmcm": 1e3, "m2mol1": 10.0, "m2mol": 10.0, "cm2mol1": 1e-3, "cm2mol": 1e-3, "cm2mmol1": 1.0}
_MOLAR_OR_NONE = {"": 1.0, **_MOLAR}
_ANGLE = {"mdeg": 1.0, "millidegrees": 1.0, "millideg": 1.0, "deg": 1e3, "degrees": 1e3}
_MOLAR_ANGLE = dict.fromkeys(("degcm2dmol1", "degcm2dmol", "degm1m1", "degcm2decimol1"), 1.0)
_NM = {"nm": 1.0, "nanometers": 1.0, "nanometer": 1.0, "um": 1e3, "micrometers": 1e3}
_NM |= dict.fromkeys(("å", "ångström", "ångströms", "angstrom", "angstroms"), 0.1)
_NO_UNIT = dict.fromkeys(("", "au", "oe", "od", "arbunits"), 1.0)
# Name (letters and digits only, lower case, and %) -> quantity, and the units it may state with their factors.
_RULES: tuple[tuple[str, str, dict[str, float]], ...] = (
    (r"energy|energie|photonenergy|ev|electronvolts?", "energy_ev", {"": 1.0, "ev": 1.0}),
    (r"e|h?nu|hv", "energy_ev", {"ev": 1.0}),
    (r"wavelength|lambda|nm|nanomet(?:er|re)s?|wl|wellenl(?:ae|ä|a)?nge", "wavelength_nm", {"": 1.0, **_NM}),
    (r"um|micromet(?:er|re)s?", "wavelength_nm", {"": 1e3}),
    (r"[åa]ngstr[öo]ms?|å", "wavelength_nm", {"": 0.1}),
    (r"wavenumbers?|1cm|cm1", "wavenumber_cm", {"": 1.0, "cm1": 1.0, "1cm": 1.0}),
    (r"1", "wavenumber_cm", {"cm": 1.0}),
    (r"(?:delta|d)(?:epsilon|eps)|mol(?:ar)?(?:cd|circulardichroism)", "delta_epsilon", _MOLAR_OR_NONE),
    (r"cd|circulardichroism", "delta_epsilon", _MOLAR),
    (r"mol(?:ar)?ellip(?:ticity)?", "molar_ellipticity", {"": 1.0, **_MOLAR_ANGLE}),
    (r"cd|circulardichroism|ellipticity|theta", "molar_ellipticity", _MOLAR_ANGLE),
    (r"log(?:arithm|10)?(?:epsilon|eps|molarabsorptivity)", "log_epsilon", _MOLAR_OR_NONE),
    (r"epsilon|eps|molar(?:absorptivity|absorption|extinction)(?:coefficient)?", "epsilon", _MOLAR_OR_NONE),
    (r"extinction|extinctioncoefficient", "epsilon", _MOLAR),
    (r"labelerror", LABEL_ERROR, _MOLAR_OR_NONE),
    (r"(?:delta|d)(?:absorbance|abs|a|od)", "delta_absorbance", _NO_UNIT),
    (r"cd|circulardichroism", "delta_absorbance", {"deltaa": 1.0, "deltaod": 1.0, "da": 1.0, "dod": 1.0}),
    (r"absorbance|abs|a|od|opticaldensity|extin[ck]tion", "absorbance", {**_NO_UNIT, "mau": 1e-3}),
    (r"mdeg|millidegrees?", "mdeg", {"": 1.0, "mdeg": 1.0}),
    (r"cd|circulardichroism|ellipticity|theta", "mdeg", _ANGLE),
    (r"cd|circulardichroism|ellipticity|theta", "cd", {"": 1.0}),
    (r"absorption", "absorption", {"": 1.0}),
)
_SUFFIXES = ("_l_mol_cm", "_m_1_cm_1", "_m_1cm_1", "_mdeg", "_nm", "_ev", "_cm_1", "_deg_cm2_dmol_1")
_DEVIATION = r"(?:std|stdev|stddev|sd|sigma|err|errors?|uncertainty|standarddeviation|se|sem)"
_OTHER = r"[^\w%‰]|_"
_POWER = re.compile(r"[x×*·]?\s*10\s*\^?\s*([+-]?[1-9]\d?)(?!\d)\s*[·*x]?\s*(?=\D)")


def meaning(heading: str) -> Meaning | None:
    """What ``heading`` names, with the factor of its unit; None if it is unknown, or states a unit that is.

    >>> meaning("Wavelength (nm)"), meaning("CD [mdeg]"), meaning("epsilon (mM-1 cm-1)"), meaning("T / K")
    (Meaning(quantity='wavelength_nm', factor=1.0), Meaning(quantity='mdeg', factor=1.0), \
Meaning(quantity='epsilon', factor=1000.0), None)
    """
    name, unit = _split(heading.strip().strip('"'))
    power = _POWER.match(unit)
    factor = 10.0 ** int(power[1]) if power else 1.0
    unit = _unit(unit[power.end() :] if power else unit)
    if power and not unit and power[0][0] in "x×*·":
        return None  # "ΔA (x10^4)": some multiply by it, others have multiplied
    result = _rule(name, unit)
    if result is None and (deviation := re.fullmatch(rf"(?:{_DEVIATION}(?:of)?)?(.+?){_DEVIATION}?", name)):
        of = _rule(deviation[1], unit) if deviation[1] != name else None
        result = Meaning(of.quantity + STD, of.factor) if of and of.quantity not in AXES else None
    return result and Meaning(result.quantity, result.factor * factor)


def kind_without_its_unit(heading: str) -> str | None:
    """``cd`` or ``absorption`` if that is what ``heading`` names, in a unit that is not known; None for others."""
    if meaning(heading) is not None:
        return None
    name, _ = _split(heading.strip().strip('"'))
    named = {quantity for pattern, quantity, _ in _RULES if re.fullmatch(pattern, name)}
    return next((kind for kind, units in UNSTATED.items() if named & {kind, *units}), None)


def is_deviation(heading: str) -> bool:
    """Does ``heading`` say that the column holds errors, without saying of what?"""
    return re.fullmatch(rf"{_DEVIATION}|", _split(heading.strip().strip('"'))[0]) is not None and bool(heading.strip())


def _rule(name: str, unit: str) -> Meaning | None:
    for pattern, quantity, units in _RULES:
        if re.fullmatch(pattern, name) and unit in units:
            return Meaning(quantity, units[unit])
    return None


def _split(heading: str) -> tuple[str, str]:
    """Name, reduced to lower-case letters, digits and %, and unit as it is written."""
    plain = _plain(heading)
    match = re.fullmatch(r"(.+?)\s*[/(\[,](.*)", plain)
    if match and _squeeze(match[1]):
        return _squeeze(match[1]), match[2].strip()
    underscored = re.sub(rf"(?:{_OTHER})+", "_", plain).strip("_")
    for suffix in _SUFFIXES:
        if underscored.endswith(suffix):
            return _squeeze(underscored[: -len(suffix)]), _squeeze(suffix)
    return _squeeze(underscored), ""


def _plain(heading: str) -> str:
    # Compatibility decomposition turns superscript digits and the mathematical minus into plain ones.
    text = unicodedata.normalize("NFKC", heading[:200]).replace("−", "-").lower()
    return "".join(_GREEK.get(letter, letter) for letter in text)


def _squeeze(text: str) -> str:
    return re.sub(_OTHER, "", text)


def _unit(text: str) -> str:
    """The unit reduced as a name is; "?" for one of signs alone, but "" for a dash, which says that there is none."""
    return _squeeze(text) or ("?" if re.search(r"[^\s()\[\].,;–-]", text) else "")
