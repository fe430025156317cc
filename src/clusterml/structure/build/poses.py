"""Poses: ways in which a ligand can stand on a site, and those that keep the symmetry of the site.

A ligand with one donor points along one of the site's directions, may lean, and turns about that direction; one that
binds a single metal by a lone pair in line with its body (carbene, CO, nitrile, pyridine) stands upright on it.  One
with two donors is hinged on the line between them.  Every conformer is tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.errors import OptionError, StructureError
from clusterml.structure.build.conformers import Conformers
from clusterml.structure.build.sites import BindingSite
from clusterml.structure.points import index_of_least, rank_stably
from clusterml.structure.rotations import axis_rotation, kabsch
from clusterml.typing import FloatArray, IntArray

LARGEST_MISFIT = 0.6
"""Largest difference (A) between the bite of a ligand and that of its site."""
_SPIN = 15.0
_LEAN = 14.0
_HINGES = np.radians(np.arange(-60.0, 61.0, 7.5))
_COST_OF_LEANING = 0.3
_COST_OF_HINGE = 1.0
_COST_PER_KCAL = 0.1


@dataclass(frozen=True)
class Poses:
    """``positions`` ``(p, n, 3)`` in A of the ligand's atoms, and what each pose costs by itself, ``cost`` ``(p,)``."""

    positions: FloatArray
    cost: FloatArray

    def select(self, keep: IntArray) -> Poses:
        """The poses with the given indices."""
        return Poses(self.positions[keep], self.cost[keep])


def site_donors(site: BindingSite, shapes: Conformers, name: str) -> IntArray:
    """The ligand's donors that bind at the site; raises :class:`~clusterml.errors.OptionError` if it has too few."""
    n_donors = len(site.donors)
    if len(shapes.donors) < n_donors:
        raise OptionError(
            f"{name} has {len(shapes.donors)} donor atoms, the site needs {n_donors}", "choose another ligand"
        )
    if n_donors > 2:
        raise OptionError(f"a site has {n_donors} donors", "ligands with up to two donors can be placed")
    return shapes.donors[:n_donors]


def stands_upright(site: BindingSite, shapes: Conformers) -> bool:
    """Does the ligand bind the one metal of the site along the axis of its lone pair: by a C or N with one or two
    neighbours, of sp or sp2 kind?"""
    donor = int(shapes.donors[0])
    single = len(site.metals) == 1 and len(site.donors) == 1
    return single and int(shapes.numbers[donor]) in (6, 7) and len(shapes.neighbours(donor)) in (1, 2)


def generate_poses(site: BindingSite, shapes: Conformers, name: str) -> Poses:
    """All poses of a ligand (called ``name`` in messages) on a site.

    Raises :class:`~clusterml.errors.OptionError` if the ligand has too few donors and
    :class:`~clusterml.errors.StructureError` if its bite does not fit.
    """
    donors = site_donors(site, shapes, name)
    if len(donors) == 1:
        return _stand(site, shapes, int(donors[0]))
    candidates = _hinge(site, shapes, donors, name)
    candidates.positions[:, donors] = np.where(
        (np.linalg.norm(candidates.positions[:, donors] - site.donors, axis=-1) < LARGEST_MISFIT)[..., None],
        site.donors, site.donors[::-1],
    )  # fmt: skip
    return candidates


def _stand(site: BindingSite, shapes: Conformers, donor: int) -> Poses:
    if len(shapes.numbers) == 1:
        return Poses(site.donors[None].copy(), np.zeros(1))
    near = shapes.neighbours(donor)
    spins = np.arange(0.0, 360.0, _SPIN) if len(shapes.numbers) > 2 else np.zeros(1)
    upright = stands_upright(site, shapes)
    positions, costs = [], []
    for shape, energy in zip(shapes.positions, shapes.energy_kcal, strict=True):
        local = shape - shape[donor]
        arms = local[near] / np.linalg.norm(local[near], axis=1, keepdims=True)
        body = arms.sum(axis=0) if len(near) else local.sum(axis=0)
        for rank, out in enumerate(site.outward):
            for lean, direction in enumerate([out] if upright else _lean(out)):
                start = local @ _turn_onto(body, direction).T
                turns = [axis_rotation(direction, np.radians(a)) for a in spins]
                positions.append(np.einsum("sij,nj->sni", np.array(turns), start) + site.donors[0])
                cost = _COST_PER_KCAL * energy + _COST_OF_LEANING * (lean > 0) + 1e-3 * rank
                costs.append(np.full(len(turns), cost))
    return Poses(np.concatenate(positions), np.concatenate(costs))


def _lean(out: FloatArray) -> list[FloatArray]:
    """A direction and six others that lean away from it."""
    side = np.cross(out, np.eye(3)[index_of_least(np.abs(out))])
    tilted = axis_rotation(side, np.radians(_LEAN)) @ out
    return [out, *(axis_rotation(out, k * np.pi / 3) @ tilted for k in range(6))]


def _hinge(site: BindingSite, shapes: Conformers, donors: IntArray, name: str) -> Poses:
    span = site.donors[1] - site.donors[0]
    bite = np.linalg.norm(shapes.positions[:, donors[1]] - shapes.positions[:, donors[0]], axis=1)
    misfit = np.abs(bite - np.linalg.norm(span))
    if misfit.min() > 2 * LARGEST_MISFIT:
        raise StructureError(
            f"{name} does not fit: its donors are {bite[np.argmin(misfit)]:.2f} A apart, "
            f"those of the site {np.linalg.norm(span):.2f} A",
            "choose another ligand",
        )
    hinge = span / np.linalg.norm(span)
    middle = site.donors.mean(axis=0)
    positions, costs = [], []
    for shape, energy, off in zip(shapes.positions, shapes.energy_kcal, misfit, strict=True):
        if off > 2 * LARGEST_MISFIT:
            continue
        for first, second in (donors,) if site.in_order else (donors, donors[::-1]):
            local = shape - (shape[first] + shape[second]) / 2
            axis = (shape[second] - shape[first]) / np.linalg.norm(shape[second] - shape[first])
            body = _across(_body(local, shapes, donors), axis)
            for out in site.outward:
                frame = _frame(hinge, _across(out, hinge)) @ _frame(axis, body).T
                turned = np.array([axis_rotation(hinge, angle) for angle in _HINGES]) @ frame
                positions.append(np.einsum("sij,nj->sni", turned, local) + middle)
                costs.append(_COST_PER_KCAL * energy + _COST_OF_HINGE * (_HINGES**2))
    return Poses(np.concatenate(positions), np.concatenate(costs))


def _body(local: FloatArray, shapes: Conformers, donors: IntArray) -> FloatArray:
    """Direction from the middle of two donors to the atoms they are bonded to."""
    near = np.unique(np.concatenate([shapes.neighbours(int(d)) for d in donors]))
    return np.asarray(local[near].mean(axis=0))


def _across(vector: FloatArray, axis: FloatArray) -> FloatArray:
    """The component of ``vector`` perpendicular to the unit vector ``axis``, normalised."""
    rest = vector - (vector @ axis) * axis
    if np.linalg.norm(rest) < 1e-3:
        rest = np.cross(axis, np.eye(3)[index_of_least(np.abs(axis))])
    return np.asarray(rest / np.linalg.norm(rest))


def _frame(first: FloatArray, second: FloatArray) -> FloatArray:
    """Columns of a right-handed frame from two perpendicular unit vectors."""
    return np.stack([first, second, np.cross(first, second)], axis=1)


def _turn_onto(vector: FloatArray, target: FloatArray) -> FloatArray:
    """The shortest rotation ``(3, 3)`` that takes ``vector`` onto the direction of ``target``."""
    a, b = vector / np.linalg.norm(vector), target / np.linalg.norm(target)
    axis = np.cross(a, b)
    sine, cosine = float(np.linalg.norm(axis)), float(a @ b)
    if sine < 1e-8:
        if cosine > 0:
            return np.eye(3)
        axis = np.cross(a, np.eye(3)[index_of_least(np.abs(a))])
        return axis_rotation(axis, np.pi)
    return axis_rotation(axis, float(np.arctan2(sine, cosine)))


_TRIED = 30
_STEPS = 40
_START = 0.9  # A, rms misfit from which a rigid turn may still reach a symmetric pose
_LARGEST = 0.12  # A, distortion that making a pose exactly symmetric may cost


def find_invariant_poses(poses: Poses, numbers: IntArray, donors: FloatArray, stabiliser: FloatArray) -> Poses:
    """Those poses, turned slightly where needed, that every operation of ``stabiliser`` ``(s, 3, 3)`` leaves as a
    whole.

    ``numbers`` ``(n,)`` of the ligand, ``donors`` ``(d, 3)`` of its site in A.  The result may be empty: the ligand
    then cannot keep the symmetry (a chiral one on a mirror plane).
    """
    if len(stabiliser) == 1:
        return poses
    misfit = np.array([_misfit(pose, numbers, stabiliser) for pose in poses.positions])
    order = rank_stably(misfit + 0.05 * poses.cost)
    invariant_poses: list[FloatArray] = []
    costs: list[float] = []
    for index in order[:_TRIED].tolist():
        if misfit[index] > _START:
            break
        pose = _settle(poses.positions[index], numbers, donors, stabiliser)
        if pose is None or any(_same(pose, other, numbers) for other in invariant_poses):
            continue
        invariant_poses.append(pose)
        costs.append(float(poses.cost[index]))
    return Poses(np.array(invariant_poses).reshape(-1, *poses.positions.shape[1:]), np.array(costs))


def _settle(pose: FloatArray, numbers: IntArray, donors: FloatArray, stabiliser: FloatArray) -> FloatArray | None:
    """Alternate between averaging over the images and turning the rigid ligand onto the average."""
    rigid = pose
    centre = donors.mean(axis=0)
    for _ in range(_STEPS):
        mean = _mean(rigid, numbers, stabiliser)
        turned = (rigid - centre) @ kabsch(rigid - centre, mean - centre).T + centre
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
    images = [_pair_atoms(pose @ g.T, pose, numbers) for g in stabiliser]
    return np.asarray(np.mean(images, axis=0))


def _pair_atoms(image: FloatArray, pose: FloatArray, numbers: IntArray) -> FloatArray:
    """Rows of ``image`` in the order of the atoms of ``pose`` that they coincide with (same element)."""
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


def _same(first: FloatArray, second: FloatArray, numbers: IntArray) -> bool:
    gap = np.linalg.norm(first[:, None] - second[None], axis=-1)
    gap = np.where(numbers[:, None] == numbers[None], gap, np.inf)
    return bool(gap.min(axis=1).max() < 0.05)
