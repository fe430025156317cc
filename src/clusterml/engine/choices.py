"""The words that a label's choices may be; nothing large is imported, so that the command line lists
them at once."""

from __future__ import annotations

from typing import Literal

from clusterml.errors import OptionError

Mode = Literal["smooth", "reference"]
"""``smooth``: invariant and continuous; ``reference``: as the programs xtb4stda and std2."""
Dtype = Literal["float64", "float32"]
"""Precision of the excited states."""
Gauge = Literal["velocity", "length"]
"""Of the rotatory strengths; with ``length`` they depend on the origin."""
PUBLISHED, REFITTED = "gfn1", "gfn1-pbe"
"""Sources of orbitals: GFN1-xTB as published, and the default, GFN1-xTB with a Hamiltonian fitted to PBE."""

WIDEST_EV = 5.0
"""Full width at half maximum of the widest bands."""
HOTTEST_K = 20000.0
"""Highest electronic temperature."""


def check_kelvin(name: str, kelvin: float) -> None:
    """Raise OptionError, naming the option ``name``, unless ``kelvin`` can be an electronic temperature."""
    if not 0.0 < kelvin <= HOTTEST_K:
        raise OptionError(f"{name} is {kelvin:g}", f"give a number above 0 and up to {HOTTEST_K:g} K")
