"""Objectives of one's own: functions of a spectrum and a geometry that give a number.

``spectrum``: energies in eV, epsilon and delta_epsilon in L mol-1 cm-1 (arrays of one length); ``atoms``: an ase.Atoms
with positions in A.  Both are copies.
"""

import numpy as np


def purity(spectrum, atoms):
    """How far the CD between 3 and 5 eV has one sign: |integral| / integral of the magnitude, 0 to 1.

    The 1 (the sum of a hundred energies) keeps the rest of an achiral cluster's CD, 1e-4 L mol-1 cm-1, near 0.
    """
    seen = (spectrum.energy_ev >= 3.0) & (spectrum.energy_ev <= 5.0)
    curve = spectrum.delta_epsilon[seen]
    return abs(curve.sum()) / (np.abs(curve).sum() + 1.0)


def silver_spread(spectrum, atoms):
    """Standard deviation of the silver atoms' distances from their centre, A."""
    silver = atoms.positions[atoms.numbers == 47]
    return np.linalg.norm(silver - silver.mean(axis=0), axis=1).std()
