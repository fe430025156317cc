"""How the frame (metals and donors) moves in each mode: smooth functions of the amount, batched over amounts.

Every function takes a :class:`Subject`, amounts ``(a,)`` in the mode's unit and an axis (or None), and gives
displacements ``(a, n, 3)`` in A; rows of atoms outside the frame are zero.  All of them commute with proper and
improper rotations of the parent, up to the sign of angles under improper ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import OptionError
from clusterml.structure.distort.modes import MODES, check_amounts, find_mode
from clusterml.structure.distort.subject import MOTIF_KINDS, Subject, axis_of
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from clusterml.structure.anatomy.anatomy import Motif

Field = Callable[[Subject, FloatArray, FloatArray | None], FloatArray]

TD_TO_T_DEG = 2.6
"""Rotation (deg) of the trigons in the GFN1-xTB relaxed T model of Ag70S4(SH)24(HCOO)12Cl8 against its Td parent."""
TD_TO_T_OTHERS = -0.29
"""Rotation of the thiolates outside the trigons in the same pair of models, per rotation of the trigons (-0.75 deg)."""
_TIE = 1e-3  # A; atoms at the same distance to within this are alike
_CHALCOGENS = (16, 34, 52)


def turn(offset: FloatArray, axis: FloatArray, angle: FloatArray) -> FloatArray:
    """Displacements ``(a, m, 3)`` of points at ``offset`` ``(m, 3)`` turned about ``axis`` by ``angle`` ``(a, m)``.

    Rodrigues' formula; the angle is in radians, right-handed.
    """
    across = np.cross(axis, offset)
    inward = np.cross(axis, across)
    return np.sin(angle)[..., None] * across + (1.0 - np.cos(angle))[..., None] * inward


def trigon_rotation(subject: Subject, amounts: FloatArray, axis: FloatArray | None) -> FloatArray:
    """The metals of the trigons turn; donors follow by the share of their metals that turn (mu4-S: by one half)."""
    return _metals_turn(subject, amounts, ("trigon",))


def crown_rotation(subject: Subject, amounts: FloatArray, axis: FloatArray | None) -> FloatArray:
    """The metals of the crowns turn; donors follow by the share of their metals that turn."""
    return _metals_turn(subject, amounts, ("crown",))


def motif_twist(subject: Subject, amounts: FloatArray, axis: FloatArray | None) -> FloatArray:
    """Every motif turns as one piece; an atom shared by several takes part of the motion of each."""
    return _motifs_turn(subject, amounts, MOTIF_KINDS, _turns_whole(subject, MOTIF_KINDS))


def td_to_t(subject: Subject, amounts: FloatArray, axis: FloatArray | None) -> FloatArray:
    """Trigons with their donors turn as one piece, other thiolates turn back about the nearest trigon's axis.

    S, Se, Te on metals of the kernel alone (the sulfides of Ag70) stay.

    Angles per amount: +2.6 and -0.75 deg, as between the Td and T models of Ag70; the shells' changes of radius between
    the models, which are achiral, are left out.
    """
    trigons = subject.motifs(("trigon",))
    weights = _turns_whole(subject, ("trigon",))
    inside = np.sum(weights, axis=0) > 0
    others = [
        donor
        for donor in subject.donors.tolist()
        if not inside[donor]
        and subject.numbers[donor] in _CHALCOGENS
        and not np.isin(subject.metals_of(donor), subject.anatomy.kernel).all()
    ]
    if others:
        height = np.stack([(subject.positions[others] - subject.centre) @ motif.axis for motif in trigons])
        near = height >= height.max(axis=0) - _TIE
        for weight, mask in zip(weights, near / near.sum(axis=0), strict=True):
            weight[others] = TD_TO_T_OTHERS * mask
    return _motifs_turn(subject, TD_TO_T_DEG * amounts, ("trigon",), weights)


def core_shell_twist(subject: Subject, amounts: FloatArray, axis: FloatArray | None) -> FloatArray:
    """Rotation about one axis through the centre by an angle that grows smoothly with the distance from the centre.

    0 up to the kernel's outermost atom, the full amount from the outermost metal on, ``3 t^2 - 2 t^3`` between.
    """
    offset = subject.positions - subject.centre
    radius = np.linalg.norm(offset, axis=1)
    inner = radius[subject.anatomy.kernel].max()
    outer = max(radius[subject.metal].max(), inner + _TIE)
    t = np.clip((radius - inner) / (outer - inner), 0.0, 1.0)
    share = t * t * (3.0 - 2.0 * t)
    return _of_frame(subject, turn(offset, axis_of(subject, axis), np.radians(amounts)[:, None] * share))


def breathing(subject: Subject, amounts: FloatArray, axis: FloatArray | None) -> FloatArray:
    """Uniform scaling of the frame about its centre."""
    return _of_frame(subject, amounts[:, None, None] / 100.0 * (subject.positions - subject.centre))


def shear(subject: Subject, amounts: FloatArray, axis: FloatArray | None) -> FloatArray:
    """Pure shear: the symmetric strain g/2 (u v^T + v u^T), with u and v normal to the axis."""
    w = axis_of(subject, axis)
    offset = subject.positions - subject.centre
    across = offset - np.outer(offset @ w, w)
    distance = np.where(subject.metal | (not subject.metal.any()), np.linalg.norm(across, axis=1), -1.0)
    farthest = int(np.flatnonzero(distance >= distance.max() - _TIE)[0])
    u = across[farthest] / max(float(distance[farthest]), _TIE)
    v = np.cross(w, u)
    strain = 0.5 * (np.outer(u, v) + np.outer(v, u))
    return _of_frame(subject, amounts[:, None, None] / 100.0 * (offset @ strain))


FIELDS: dict[str, Field] = {
    "trigon-rotation": trigon_rotation,
    "crown-rotation": crown_rotation,
    "motif-twist": motif_twist,
    "core-shell-twist": core_shell_twist,
    "td-to-t": td_to_t,
    "breathing": breathing,
    "shear": shear,
}
"""The modes that move the frame, by name."""


def mixture_weights(subject: Subject, rng: np.random.Generator) -> dict[str, float]:
    """Amount of each mode the cluster has, in its unit: a normal random number times the mode's typical amount.

    A number is drawn for every mode, present or not, so that a seed means the same for related clusters.
    """
    weights = {name: rng.standard_normal() * MODES[name].typical for name in FIELDS}
    return {name: amount for name, amount in weights.items() if subject.has(MODES[name])}


def check_weights(subject: Subject, weights: Mapping[str, float]) -> dict[str, float]:
    """Amounts of modes that are to be added up, in the units of each.

    Raises :class:`~clusterml.errors.OptionError` for none, a mode that cannot be part of a sum or that the cluster does
    not have, and an amount out of its range.
    """
    if not weights:
        raise OptionError("a mixture of no modes", f"give amounts of {', '.join(FIELDS)}")
    for name, amount in weights.items():
        mode = find_mode(name)
        if name not in FIELDS:
            raise OptionError(f"{name} cannot be part of a mixture", f"choose from {', '.join(FIELDS)}")
        subject.require(mode)
        check_amounts(mode, np.array([amount], dtype=np.float64))
    return {name: float(amount) for name, amount in weights.items()}


def mixture(
    subject: Subject, amounts: FloatArray, weights: dict[str, float], axis: FloatArray | None = None
) -> FloatArray:
    """Sum of the displacements ``(a, n, 3)`` of several modes, each by ``amounts`` times its weight."""
    total = np.zeros((len(amounts), *subject.positions.shape))
    for name, weight in weights.items():
        total += FIELDS[name](subject, amounts * weight, axis)
    return total


def _metals_turn(subject: Subject, amounts: FloatArray, kinds: tuple[str, ...]) -> FloatArray:
    return _motifs_turn(subject, amounts, kinds, [_follows(subject, motif) for motif in subject.motifs(kinds)])


def _motifs_turn(
    subject: Subject, amounts: FloatArray, kinds: tuple[str, ...], weights: list[FloatArray]
) -> FloatArray:
    """Sum over motifs of the displacement of each atom turned about the motif's axis by its weight times the angle."""
    total = np.zeros((len(amounts), *subject.positions.shape))
    for motif, weight in zip(subject.motifs(kinds), weights, strict=True):
        moving = np.flatnonzero(weight)
        offset = subject.positions[moving] - motif.centre
        total[:, moving] += turn(offset, motif.axis, np.radians(amounts)[:, None] * weight[moving])
    return total


def _turns_whole(subject: Subject, kinds: tuple[str, ...]) -> list[FloatArray]:
    """For each motif the weights ``(n,)`` of the atoms that turn with it as one piece.

    1 for its atoms and for S, Se, Te with at least half of their metals in it; other donors by their share of metals.
    Weights of an atom claimed by several motifs are scaled down to a sum of 1.
    """
    weights = []
    for motif in subject.motifs(kinds):
        weight = _follows(subject, motif)
        weight[(weight >= 0.5) & np.isin(subject.numbers, _CHALCOGENS)] = 1.0
        weight[np.intersect1d(motif.atoms, subject.donors)] = 1.0
        weights.append(weight)
    total = np.maximum(np.sum(weights, axis=0), 1.0)
    return [weight / total for weight in weights]


def _follows(subject: Subject, motif: Motif) -> FloatArray:
    """1 for the metals of a motif, for every donor the share of its metals that are in the motif: ``(n,)``."""
    weight = np.zeros(len(subject.numbers))
    weight[motif.metals] = 1.0
    for donor in subject.donors.tolist():
        weight[donor] = np.mean(np.isin(subject.metals_of(donor), motif.metals))
    return weight


def _of_frame(subject: Subject, displacement: FloatArray) -> FloatArray:
    """``displacement`` ``(a, n, 3)`` with the rows of atoms outside the frame set to zero.

    A molecule without metals is all frame.
    """
    frame = subject.metal.copy()
    frame[subject.donors] = True
    if not subject.metal.any():
        return displacement
    return np.where(frame[:, None], displacement, 0.0)
