"""Packing: one pose for every ligand so that no two atoms come too close.

Overlap of two atoms counts ((s - r) / s)^2 with s = 0.9 times the sum of their van der Waals radii, times a hundred.
The ligands take their poses one after the other, the tightest first, and then change them in turn with Boltzmann
weights at a temperature that falls (Gibbs sampling), which ends in sweeps until nothing improves.  The best end is
kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clusterml.structure.build.poses import Poses
from clusterml.structure.points import index_of_least, rank_stably
from clusterml.typing import FloatArray, IntArray

SOFT = 0.90
"""Fraction of the sum of van der Waals radii below which two atoms overlap."""
KEPT = 240
"""Poses of a site that go into the packing: those with the least overlap with the frame."""
_STRENGTH = 100.0
_TEMPERATURES = np.geomspace(8.0, 0.05, 16)
_RUNS = 80  # annealing runs times slots: few slots are cheap and get several runs
_AGAIN = 4  # reaching the best end so often is taken as proof
_SWEEPS, _FEW = 3, 120
_REACH = 4.0
_CHUNK = 2_000_000
_FINAL_SWEEPS = 3


@dataclass(frozen=True)
class Slot:
    """A ligand to place, with its symmetric images.

    ``numbers`` ``(n,)``; ``poses``; ``images`` ``(m, 3, 3)`` operations that make its m copies (the identity first);
    ``bound`` ``(b,)`` atoms of the ligand that are donors.
    """

    numbers: IntArray
    poses: Poses
    images: FloatArray
    bound: IntArray


@dataclass
class _State:
    """Poses chosen so far: for each slot the index of its pose, or -1."""

    chosen: list[int]
    slots: list[Slot]
    radii: list[FloatArray]
    self_cost: list[FloatArray] = field(default_factory=list)


def radii(numbers: IntArray) -> FloatArray:
    """Van der Waals radii ``(n,)`` in A (2.0 where none is tabulated)."""
    from ase.data import vdw_radii

    return np.nan_to_num(np.asarray(vdw_radii, dtype=np.float64)[numbers], nan=2.0)


def overlap(first: FloatArray, r_first: FloatArray, second: FloatArray, r_second: FloatArray) -> FloatArray:
    """Overlap ``(p,)`` of poses ``first`` ``(p, n, 3)`` with atoms ``second`` ``(m, 3)`` or ``(p, m, 3)`` in A."""
    limit = SOFT * (r_first[:, None] + r_second[None])
    total = np.empty(len(first))
    step = max(1, _CHUNK // max(1, first.shape[1] * len(r_second)))
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        other = second[None, None] if second.ndim == 2 else second[part][:, None]
        gap = first[part][:, :, None] - other
        distance = np.sqrt(np.einsum("pnmi,pnmi->pnm", gap, gap))
        total[part] = np.sum((np.clip(limit - distance, 0.0, None) / limit) ** 2, axis=(1, 2))
    return _STRENGTH * total


def screen(slot: Slot, numbers: IntArray, frame: FloatArray, others: FloatArray, r_others: FloatArray) -> Slot:
    """The slot with the overlaps with the ``frame`` ``(f, 3)`` and with other fixed atoms added to its poses' costs.

    ``others`` ``(o, 3)`` with radii ``r_others`` are donors of other ligands.  The slot's own donors touch the frame by
    right and are left out there.  Only the best poses are kept.
    """
    free = np.setdiff1d(np.arange(len(slot.numbers)), slot.bound)
    moving = slot.poses.positions[:, free]
    r_free = radii(slot.numbers[free])
    cost = slot.poses.cost.copy()
    if len(free):
        atoms, sizes = np.concatenate([frame, others]), np.concatenate([radii(numbers), r_others])
        middle = moving.reshape(-1, 3).mean(axis=0)
        reach = float(np.linalg.norm(moving - middle, axis=-1).max()) + _REACH
        near = np.linalg.norm(atoms - middle, axis=1) < reach
        cost += overlap(moving, r_free, atoms[near], sizes[near])
    keep = rank_stably(cost)[:KEPT]
    return Slot(slot.numbers, Poses(slot.poses.positions[keep], cost[keep]), slot.images, slot.bound)


def pack(slots: list[Slot], rng: np.random.Generator, runs: int | None = None) -> tuple[list[int], float]:
    """Index of the chosen pose of every slot, and the total cost of the arrangement.

    ``runs``: annealing runs, at most; default: several for few slots, one for many.
    """
    state = _State([-1] * len(slots), slots, [radii(s.numbers) for s in slots])
    state.self_cost = [_self_cost(slot, r) for slot, r in zip(slots, state.radii, strict=True)]
    for k in rank_stably(np.array([-cost.min() for cost in state.self_cost])).tolist():
        state.chosen[k] = index_of_least(_energies(state, k))
    start, best_cost = list(state.chosen), _descend(state)
    best = list(state.chosen)
    if len(slots) == 1:
        return best, best_cost
    again = 0
    for _ in range(max(1, _RUNS // len(slots)) if runs is None else runs):
        if best_cost < 1e-9 or again == _AGAIN:
            break
        state.chosen = list(start)
        cost = _anneal(state, rng)
        again += abs(cost - best_cost) < 1e-6
        if cost < best_cost - 1e-6:
            best, best_cost, again = list(state.chosen), cost, 0
    return best, best_cost


def _anneal(state: _State, rng: np.random.Generator) -> float:
    """Gibbs sampling at falling temperature, then descent; the cost reached, with the poses in ``state``."""
    for temperature in np.repeat(_TEMPERATURES, _SWEEPS if len(state.slots) < _FEW else 1):
        for k in rng.permutation(len(state.slots)).tolist():
            energies = _energies(state, k)
            weights = np.exp(-(energies - energies.min()) / temperature)
            state.chosen[k] = int(rng.choice(len(weights), p=weights / weights.sum()))
    return _descend(state)


def _descend(state: _State) -> float:
    for _ in range(_FINAL_SWEEPS):
        before = list(state.chosen)
        for k in range(len(state.slots)):
            state.chosen[k] = index_of_least(_energies(state, k))
        if state.chosen == before:
            break
    return _total(state)


def _self_cost(slot: Slot, r: FloatArray) -> FloatArray:
    """Cost of each pose: its own and half the overlap with its images."""
    cost = slot.poses.cost.copy()
    for g in slot.images[1:]:
        cost += 0.5 * overlap(slot.poses.positions, r, slot.poses.positions @ g.T, r)
    return cost


def _energies(state: _State, k: int) -> FloatArray:
    """Cost of every pose of slot k among the ligands placed so far."""
    slot = state.slots[k]
    cost = state.self_cost[k].copy()
    middle = slot.poses.positions.reshape(-1, 3).mean(axis=0)
    reach = float(np.linalg.norm(slot.poses.positions - middle, axis=-1).max()) + _REACH
    atoms, sizes = [], []
    for j, other in enumerate(state.slots):
        if j == k or state.chosen[j] < 0:
            continue
        placed = other.poses.positions[state.chosen[j]]
        images = np.concatenate([placed @ g.T for g in other.images])
        near = np.linalg.norm(images - middle, axis=1) < reach
        atoms.append(images[near])
        sizes.append(np.tile(state.radii[j], len(other.images))[near])
    if atoms and sum(map(len, atoms)):
        cost = cost + overlap(slot.poses.positions, state.radii[k], np.concatenate(atoms), np.concatenate(sizes))
    return cost


def _total(state: _State) -> float:
    """Cost of the arrangement per ligand that is placed independently (pairs count half for each)."""
    total = 0.0
    for k, slot in enumerate(state.slots):
        alone = float(state.self_cost[k][state.chosen[k]])
        together = float(_energies(state, k)[state.chosen[k]])
        total += len(slot.images) * (alone + 0.5 * (together - alone))
    return total
