"""The orientation of a point group that fits best once it is known which atom each operation carries to which."""

from __future__ import annotations

import numpy as np

from clusterml.structure.rotations import rotation_vector_matrix
from clusterml.typing import FloatArray

_LEVI_CIVITA = np.zeros((3, 3, 3))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _LEVI_CIVITA[_i, _j, _k], _LEVI_CIVITA[_i, _k, _j] = -1.0, 1.0
# (_LEVI_CIVITA[a] is the generator L_a of rotations about axis a: L_a v = e_a x v)


def overlap(elements: FloatArray, orientation: FloatArray, correlation: FloatArray) -> FloatArray:
    """``sum_g trace((R g R^T)^T C_g)`` ``(...)``: the larger, the better the operations fit.

    ``elements`` ``(g, 3, 3)`` in the standard orientation, ``orientation`` R ``(..., 3, 3)``, ``correlation``
    ``(..., g, 3, 3)``: ``C_g = sum_i y_i x_i^T`` with y_i the position of the atom to which operation g carries atom i.
    """
    turned = np.swapaxes(orientation, -1, -2)[..., None, :, :] @ correlation @ orientation[..., None, :, :]
    return np.asarray(turned.reshape(*turned.shape[:-3], -1) @ elements.ravel())


def best_orientation(
    elements: FloatArray, orientation: FloatArray, correlation: FloatArray, rounds: int = 30, tolerance: float = 1e-8
) -> FloatArray:
    """The orientation ``(..., 3, 3)`` near the given one that maximises :func:`overlap`: Newton's method, batched.

    Steps that do not increase the overlap are halved; directions in which the overlap is flat or convex (a turn about
    the only axis) are followed along the gradient or left alone.  Ends when all steps are below ``tolerance`` (rad).
    """
    scale = np.maximum(np.sqrt((correlation**2).sum(axis=(-1, -2))).sum(axis=-1), 1e-300)
    value = overlap(elements, orientation, correlation)
    tables = _tables(elements)
    for _ in range(rounds):
        gradient, hessian = _derivatives(tables, orientation, correlation)
        step = _ascent(gradient / scale[..., None], hessian / scale[..., None, None])
        done = np.abs(step).max(axis=-1) < tolerance
        for _ in range(6):
            if done.all():
                break
            trial = orientation @ rotation_vector_matrix(step)
            reached = overlap(elements, trial, correlation)
            better = (reached > value) & ~done
            orientation = np.where(better[..., None, None], trial, orientation)
            value = np.where(better, reached, value)
            done = done | better
            step = np.where(better[..., None], step, 0.5 * step)
        if np.abs(step).max() < tolerance or not (done & (np.abs(step).max(axis=-1) >= tolerance)).any():
            break
    return orientation


def _tables(elements: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What the derivatives need to be contracted with ``M_g``: of order 0 ``(g, 9)``, 1 ``(3, 9 g)``, 2 ``(9, 9 g)``.

    With F(w) = sum_g trace(exp(w) g^T exp(-w) M_g), w = sum_a w_a L_a: dF/dw_a = sum_g trace((L_a g^T - g^T L_a) M_g),
    and the second derivative is the symmetric part of sum_g trace((L_a L_b g^T + g^T L_b L_a - 2 L_a g^T L_b) M_g).
    """
    back = np.swapaxes(elements, -1, -2)
    turns = _LEVI_CIVITA
    left = np.einsum("aij,gjk->agik", turns, back)
    right = np.einsum("gij,ajk->agik", back, turns)
    second = np.einsum("aij,bgjk->abgik", turns, left) + np.einsum("bgij,ajk->abgik", right, turns)
    second = second - 2.0 * np.einsum("agij,bjk->abgik", left, turns)
    second = 0.5 * (second + np.swapaxes(second, 0, 1))
    return back, (left - right).reshape(3, -1), second.reshape(9, -1)


def _derivatives(
    tables: tuple[FloatArray, FloatArray, FloatArray], orientation: FloatArray, correlation: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """First ``(..., 3)`` and second ``(..., 3, 3)`` derivatives by a turn ``R exp(w)`` of the orientation."""
    turned = np.swapaxes(orientation, -1, -2)[..., None, :, :] @ correlation @ orientation[..., None, :, :]
    flat = np.swapaxes(turned, -1, -2).reshape(*turned.shape[:-3], -1)  # trace(X M) = sum_ik X_ik M_ki
    return flat @ tables[1].T, (flat @ tables[2].T).reshape(*flat.shape[:-1], 3, 3)


def _ascent(gradient: FloatArray, hessian: FloatArray) -> FloatArray:
    """Newton's step ``(..., 3)`` uphill, at most 0.5 rad long."""
    values, vectors = np.linalg.eigh(hessian)
    along = np.einsum("...ij,...i->...j", vectors, gradient)
    curvature = np.maximum(np.abs(values), 1e-6)
    step = np.einsum("...ij,...j->...i", vectors, along / curvature)
    length = np.linalg.norm(step, axis=-1, keepdims=True)
    return np.asarray(step * np.minimum(1.0, 0.5 / np.maximum(length, 1e-300)))
