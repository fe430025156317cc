"""The words that a label's choices may be; nothing is imported, so that the command line lists them at once."""

from typing import Literal

Mode = Literal["smooth", "reference"]
"""``smooth``: invariant and continuous; ``reference``: as the programs xtb4stda and std2."""
Dtype = Literal["float64", "float32"]
"""Precision of the excited states."""
Gauge = Literal["velocity", "length"]
"""Of the rotatory strengths; with ``length`` they depend on the origin."""
PUBLISHED, REFITTED = "gfn1", "gfn1-pbe"
"""Sources of orbitals: GFN1-xTB as published, and the default, GFN1-xTB with a Hamiltonian fitted to PBE."""
