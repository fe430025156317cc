"""Strain: the energy of a candidate above that of the same cluster and ligands before distortion."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.distort.network import hessian
from clusterml.structure.distort.subject import Subject
from clusterml.structure.geometry import Geometry
from clusterml.structure.rotations import kabsch
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

SMALLEST_STRAIN_EV = 1e-12
"""Below this an elastic strain is rounding of the positions, and counts as zero."""


def elastic_strain(atoms: Atoms, rest: Atoms) -> float:
    """Energy (eV) of the displacement from ``rest`` in its elastic network, after superposition: 1/2 x H x.

    Harmonic, with the limits of :mod:`clusterml.structure.distort.network`: good for a rough order of candidates, too
    large for large rotations of whole groups.  Raises :class:`StructureError` unless the atoms are the same.
    """
    _check(atoms, rest)
    displacements = superpose(atoms.positions, rest.positions)[1].ravel()
    energy = 0.5 * float(displacements @ elastic_hessian(rest) @ displacements)
    return energy if energy > SMALLEST_STRAIN_EV else 0.0


def elastic_slope(atoms: Atoms, rest: Atoms) -> FloatArray:
    """Derivative (n, 3) in eV/A of :func:`elastic_strain` by the positions of ``atoms``, at a fixed superposition."""
    _check(atoms, rest)
    rotation, displacements = superpose(atoms.positions, rest.positions)
    slope = (elastic_hessian(rest) @ displacements.ravel()).reshape(-1, 3) @ rotation
    return np.asarray(slope - slope.mean(axis=0))


def elastic_hessian(rest: Atoms) -> FloatArray:
    """Second derivatives (3n, 3n) in eV/A^2 of the elastic network at rest in ``rest``; cached."""
    return _hessian(Geometry.of(rest))


def superpose(positions: FloatArray, rest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Superpose ``positions`` (n, 3) onto ``rest`` (n, 3), atom by atom, both about their centroids.

    Returns the rotation (3, 3) and the remaining displacements (n, 3) in A.
    """
    centred, centred_rest = (points - points.mean(axis=0) for points in (positions, rest))
    rotation = kabsch(centred, centred_rest)
    return rotation, centred @ rotation.T - centred_rest


def gfn1_strain(atoms: Atoms, rest: Atoms, charge: int) -> float:
    """GFN1-xTB energy (eV, vacuum) of ``atoms`` minus that of ``rest``.

    Raises :class:`StructureError` unless the atoms are the same, and
    :class:`~clusterml.errors.ElectronicStructureError` without a ground state.
    """
    _check(atoms, rest)
    return _gfn1(atoms, charge) - _gfn1_of_rest(Geometry.of(rest), charge)


def _check(atoms: Atoms, rest: Atoms) -> None:
    if not np.array_equal(atoms.numbers, rest.numbers):
        raise StructureError(
            "strain needs a reference with the same atoms", "give a reference with its atoms in the candidate's order"
        )


@lru_cache(maxsize=2)
def _hessian(rest: Geometry) -> FloatArray:
    return hessian(Subject(rest.atoms))


@lru_cache(maxsize=16)
def _gfn1_of_rest(rest: Geometry, charge: int) -> float:
    return _gfn1(rest.atoms, charge)


def _gfn1(atoms: Atoms, charge: int) -> float:
    from clusterml.engine.relax import RelaxSettings, relax

    return relax(atoms, charge, RelaxSettings(steps=0)).step.energy_ev
