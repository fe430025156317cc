"""Rotations in three dimensions: best fits of point sets, even grids of rotations and of directions."""

from __future__ import annotations

import numpy as np

from clusterml.typing import FloatArray

_SUPER_FIBONACCI = (np.sqrt(2.0), 1.533751168755204288118041413)
"""Irrational steps of the super-Fibonacci spiral (the square root of 2, and the positive root of x^4 = x + 4)."""


def kabsch(mobile: FloatArray, target: FloatArray, improper: bool = False) -> FloatArray:
    """Orthogonal matrices ``(..., 3, 3)`` with ``mobile @ R.T`` nearest to ``target``; both ``(..., n, 3)``, centred.

    Determinant +1, or -1 with ``improper``.  W. Kabsch, Acta Cryst. A 32, 922 (1976), by singular values; planar and
    linear sets get one of their equally good answers.
    """
    return nearest_rotation(np.swapaxes(target, -1, -2) @ mobile, improper)


def nearest_rotation(matrix: FloatArray, improper: bool = False) -> FloatArray:
    """The orthogonal matrices R ``(..., 3, 3)``, of determinant +1 or -1, that maximise ``trace(R.T @ matrix)``."""
    left, _, right = np.linalg.svd(matrix)
    determinant = -1.0 if improper else 1.0
    sign = determinant * np.sign(np.linalg.det(left @ right))
    left = left.copy()
    left[..., :, 2] *= sign[..., None]
    return np.asarray(left @ right, dtype=np.float64)


def rotation_grid(count: int) -> FloatArray:
    """``count`` rotations ``(count, 3, 3)`` spread evenly: the super-Fibonacci spiral (M. Alexa, CVPR 2022, 8281).

    Each of the 2 ``count`` quaternions of the double cover is near its neighbours at an angle of about
    ``2 (pi^2 / count)^(1/3)`` rad as a rotation: 19 degrees for 2,000, 8 degrees for 30,000.
    """
    steps = np.arange(count) + 0.5
    inner, outer = np.sqrt(steps / count), np.sqrt(1.0 - steps / count)
    first, second = (2.0 * np.pi * steps / step for step in _SUPER_FIBONACCI)
    quaternions = np.stack(
        [inner * np.sin(first), inner * np.cos(first), outer * np.sin(second), outer * np.cos(second)], axis=1
    )
    return quaternion_matrices(quaternions)


def quaternion_matrices(quaternions: FloatArray) -> FloatArray:
    """Rotation matrices ``(..., 3, 3)`` of unit ``quaternions`` ``(..., 4)`` with the scalar part first."""
    w, x, y, z = np.moveaxis(quaternions, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def axis_rotation(axis: FloatArray, angle: float) -> FloatArray:
    """Matrix ``(3, 3)`` of the rotation by ``angle`` (rad), counter-clockwise seen against ``axis`` ``(3,)``."""
    unit = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    quaternion = np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * unit])
    return quaternion_matrices(quaternion)


def rotation_vector_matrix(turn: FloatArray) -> FloatArray:
    """Rotation matrices ``(..., 3, 3)`` of the rotation vectors ``turn`` ``(..., 3)`` (rad, along the axes)."""
    angle = np.linalg.norm(turn, axis=-1)[..., None]
    imaginary = 0.5 * np.sinc(angle / (2.0 * np.pi)) * turn
    return quaternion_matrices(np.concatenate([np.cos(angle / 2.0), imaginary], axis=-1))


def hemisphere(count: int) -> FloatArray:
    """``count`` unit vectors ``(count, 3)`` spread evenly over the half sphere z > 0 (a Fibonacci spiral)."""
    z = (np.arange(count) + 0.5) / count
    turn = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(count)
    radius = np.sqrt(1.0 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


def sphere(count: int) -> FloatArray:
    """``count`` (an even number) unit vectors ``(count, 3)`` spread evenly, each with its opposite."""
    half = hemisphere(count // 2)
    return np.concatenate([half, -half])


def frames(first: FloatArray, second: FloatArray) -> FloatArray:
    """Right-handed orthonormal frames ``(..., 3, 3)``, axes as columns: along ``first``, towards ``second``, normal.

    Both are ``(..., 3)`` and must not be parallel.
    """
    x = first / np.linalg.norm(first, axis=-1, keepdims=True)
    z = np.cross(x, second)
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=-1)
