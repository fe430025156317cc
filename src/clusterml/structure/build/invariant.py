"""Poses that keep the symmetry of their site: a ligand on a mirror plane or an axis must map onto itself."""

from __future__ import annotations

import numpy as np

from clusterml.structure.build.poses import Poses
from clusterml.structure.steady import ranked
from clusterml.typing import FloatArray, IntArray

_TRIED = 30
_STEPS = 40
_START = 0.9  # A, rms misfit from which a rigid turn may still reach a symmetric pose
_LARGEST = 0.12  # A, distortion that making a pose exactly symmetric may cost


def invariant(poses: Poses, numbers: IntArray, donors: FloatArray, stabiliser: FloatArray) -> Poses:
    """Those poses, turned slightly where needed, that every operation of ``stabiliser`` ``(s, 3, 3)`` leaves as a
    whole.

    ``numbers`` ``(n,)`` of the ligand, ``donors`` ``(d, 3)`` of its site in A.  The result may be empty: the ligand
    then cannot keep the symmetry (a chiral one on a mirror plane).
    """
    if len(stabiliser) == 1:
        return poses
    misfit = np.array([_misfit(pose, numbers, stabiliser) for pose in poses.positions])
    order = ranked(misfit + 0.05 * poses.cost)
    found: list[FloatArray] = []
    costs: list[float] = []
    for index in order[:_TRIED].tolist():
        if misfit[index] > _START:
            break
        pose = _settle(poses.positions[index], numbers, donors, stabiliser)
        if pose is None or any(_same(pose, other, numbers) for other in found):
            continue
        found.append(pose)
        costs.append(float(poses.cost[index]))
    return Poses(np.array(found).reshape(-1, *poses.positions.shape[1:]), np.array(costs))


def _settle(pose: FloatArray, numbers: IntArray, donors: FloatArray, stabiliser: FloatArray) -> FloatArray | None:
    """Alternate between averaging over the images and turning the rigid ligand onto the average."""
    rigid = pose
    centre = donors.mean(axis=0)
    for _ in range(_STEPS):
        mean = _mean(rigid, numbers, stabiliser)
        turned = (rigid - centre) @ _rotation_onto(rigid - centre, mean - centre).T + centre
        moved = float(np.abs(turned - rigid).max())
        rigid = turned
        if moved < 1e-5:
            break
    mean = _mean(rigid, numbers, stabiliser)
    if np.abs(mean - rigid).max() > _LARGEST or _misfit(mean, numbers, stabiliser) > 1e-3:
        return None
    return mean


def _mean(pose: FloatArray, numbers: IntArray, stabiliser: FloatArray) -> FloatArray:
    """Average of the pose's images, each paired with the pose."""
    images = [_paired(pose @ g.T, pose, numbers) for g in stabiliser]
    return np.asarray(np.mean(images, axis=0))


def _paired(image: FloatArray, pose: FloatArray, numbers: IntArray) -> FloatArray:
    """Rows of ``image`` in the order of the atoms of ``pose`` they fall on (same element)."""
    from scipy.optimize import linear_sum_assignment

    cost = np.sum((pose[:, None] - image[None]) ** 2, axis=-1)
    cost = np.where(numbers[:, None] == numbers[None], cost, 1e6)
    return np.asarray(image[linear_sum_assignment(cost)[1]])


def _misfit(pose: FloatArray, numbers: IntArray, stabiliser: FloatArray) -> float:
    """Largest rms distance (A) between the pose and an image of it, each atom to the nearest of its element."""
    worst = 0.0
    for g in stabiliser:
        gap = np.sum((pose[:, None] - (pose @ g.T)[None]) ** 2, axis=-1)
        gap = np.where(numbers[:, None] == numbers[None], gap, 1e6)
        worst = max(worst, float(np.sqrt(gap.min(axis=1).mean())))
    return worst


def _rotation_onto(mobile: FloatArray, target: FloatArray) -> FloatArray:
    """The proper rotation that brings ``mobile`` ``(n, 3)`` nearest to ``target`` about the origin (Kabsch)."""
    u, _, v = np.linalg.svd(mobile.T @ target)
    sign = np.sign(np.linalg.det(u @ v))
    return np.asarray((u @ np.diag([1.0, 1.0, sign]) @ v).T)


def _same(first: FloatArray, second: FloatArray, numbers: IntArray) -> bool:
    gap = np.linalg.norm(first[:, None] - second[None], axis=-1)
    gap = np.where(numbers[:, None] == numbers[None], gap, np.inf)
    return bool(gap.min(axis=1).max() < 0.05)
