"""Ligands follow the frame as rigid bodies, so that a distortion of the frame leaves their chemistry alone.

A ligand's donors keep their common centre on the (moved) frame; its rotation is the one that best maps its donors and
the metals around them from before to after (Kabsch, Acta Cryst. A32, 922 (1976)).  Metals count by a Gaussian of their
distance to the nearest donor, and a small pull towards no rotation settles rotations that nothing else decides (about a
terminal metal-donor bond), so that the result is unique, smooth in the displacement, and commutes with mirror planes.
"""

from __future__ import annotations

import numpy as np

from clusterml.structure.anatomy.ligands import Ligand
from clusterml.structure.distort.subject import Subject
from clusterml.typing import FloatArray

_RANGE = 2.0  # A; width of the Gaussian of the distances that count metals, about a metal-donor bond
_PULL = 0.05  # A^2; weight of "no rotation" beside the squared distances of donors and metals


def follow(subject: Subject, frame: FloatArray) -> FloatArray:
    """Displacements ``(a, n, 3)`` (A) of all atoms when metals and donors are displaced by ``frame`` ``(a, n, 3)``."""
    moved = frame.copy()
    if not subject.metal.any():
        return moved
    for ligand in subject.ligands:
        moved[:, ligand.atoms] = _carried(subject, ligand, frame)
    return moved


def _carried(subject: Subject, ligand: Ligand, frame: FloatArray) -> FloatArray:
    metals = np.flatnonzero(subject.metal)
    before = subject.positions[metals]
    donors = ligand.donors if len(ligand.donors) else ligand.atoms
    distance = np.linalg.norm(before[:, None] - subject.positions[donors], axis=2).min(axis=1)
    weight = np.exp(-((distance**2 - distance.min() ** 2) / (2.0 * _RANGE**2)))
    pivot = subject.positions[donors].mean(axis=0)
    if len(ligand.donors):
        shift = frame[:, donors].mean(axis=1)
        anchors = np.concatenate([donors, metals])
        weight = np.concatenate([np.ones(len(donors)), weight])
    else:  # solvent and ions go with the metals nearest to them
        shift = np.einsum("m,amx->ax", weight / weight.sum(), frame[:, metals])
        anchors = metals
    if len(ligand.atoms) == 1:
        return shift[:, None, :]
    old = subject.positions[anchors] - pivot
    new = old + frame[:, anchors] - shift[:, None, :]
    rotation = _best_rotation(old, new, weight)
    offset = subject.positions[ligand.atoms] - pivot
    return shift[:, None, :] + offset @ (rotation.transpose(0, 2, 1) - np.eye(3))


def _best_rotation(old: FloatArray, new: FloatArray, weight: FloatArray) -> FloatArray:
    """Proper rotations ``(a, 3, 3)`` that best turn ``old`` ``(m, 3)`` into ``new`` ``(a, m, 3)``."""
    covariance = np.einsum("m,ami,mj->aij", weight, new, old) + _PULL * np.eye(3)
    left, _, right = np.linalg.svd(covariance)
    left[:, :, 2] *= np.linalg.det(left @ right)[:, None]
    return np.asarray(left @ right)
