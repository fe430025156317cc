"""How bond angles and torsions change with the positions of their atoms."""

from __future__ import annotations

import numpy as np

from clusterml.typing import BoolArray, FloatArray

_SMALLEST_SINE = 0.1


def bend_rows(points: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Derivatives ``(m, 3, 3)`` (rad/A) of the angles at the middle of ``points`` ``(m, 3, 3)`` (A); which are usable.

    Wilson, Decius and Cross, Molecular Vibrations, section 4-1.  A straight angle (sine below 0.1) is not usable.
    """
    u, v = points[:, 0] - points[:, 1], points[:, 2] - points[:, 1]
    length_u, length_v = np.linalg.norm(u, axis=1)[:, None], np.linalg.norm(v, axis=1)[:, None]
    u, v = u / length_u, v / length_v
    cosine = np.sum(u * v, axis=1)[:, None]
    sine = np.sqrt(np.maximum(1.0 - cosine**2, 0.0))
    divisor = np.maximum(sine, 1e-6)
    first, third = (cosine * u - v) / (length_u * divisor), (cosine * v - u) / (length_v * divisor)
    return np.stack([first, -first - third, third], axis=1), np.asarray(sine[:, 0] > _SMALLEST_SINE, dtype=np.bool_)


def torsion_rows(points: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Derivatives ``(m, 4, 3)`` (rad/A) of the torsions of chains at ``points`` ``(m, 4, 3)`` (A); which are usable.

    Blondel and Karplus, J. Comput. Chem. 17, 1132 (1996), equation 27.  A chain with a straight angle (sine below 0.1)
    has no torsion and is marked as not usable; its row is not to be used.
    """
    f = points[:, 0] - points[:, 1]
    g = points[:, 1] - points[:, 2]
    h = points[:, 3] - points[:, 2]
    a, b = np.cross(f, g), np.cross(h, g)
    length_f, length_g, length_h = (np.linalg.norm(v, axis=1) for v in (f, g, h))
    norm_a, norm_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    usable = (norm_a > _SMALLEST_SINE * length_f * length_g) & (norm_b > _SMALLEST_SINE * length_h * length_g)
    square_a, square_b = np.maximum(norm_a, 1e-6) ** 2, np.maximum(norm_b, 1e-6) ** 2
    end_1 = -(length_g / square_a)[:, None] * a
    end_4 = (length_g / square_b)[:, None] * b
    along = (np.sum(f * g, axis=1) / (square_a * length_g))[:, None] * a
    along -= (np.sum(h * g, axis=1) / (square_b * length_g))[:, None] * b
    rows = np.stack([end_1, -end_1 + along, -end_4 - along, end_4], axis=1)
    return rows, np.asarray(usable, dtype=np.bool_)
