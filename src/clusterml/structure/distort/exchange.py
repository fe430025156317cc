"""The exchange of one ligand: conformer and orientation drawn at random, and a check that the rest is untouched."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.anatomy.ligands import Ligand, find_ligands
from clusterml.structure.bonds import AtomPairs, close_pairs
from clusterml.structure.build.attach import BoundLigand, site_of
from clusterml.structure.build.conformers import find_conformers
from clusterml.structure.build.contacts import clean_up
from clusterml.structure.build.packing import Slot, screen
from clusterml.structure.build.poses import generate_poses, site_donors
from clusterml.structure.check import stated_charge
from clusterml.structure.distort.verify import Problems, contact_limits
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import LigandEntry


_CUTOFF = 3.5  # A; longer than any contact limit


def check_exchange(before: Atoms, after: Atoms, removed: IntArray, entry: LigandEntry, problems: Problems) -> list[str]:
    """Warnings about an exchange of the atoms ``removed`` of ``before`` for a ligand at the end of ``after``.

    Raises :class:`StructureError` if the new ligand is not bound or not what the library says, if another ligand has
    changed, or (unless ``problems`` is ``"warn"``) if atoms are too close.
    """
    n_kept = len(before) - len(removed)
    old, new = find_ligands(before), find_ligands(after)
    expected = _table([x for x in old if x.atoms[0] not in removed])
    expected[(entry.formula, entry.charge)] += 1
    if _table(new) != expected:
        changed = ", ".join(f"{name} ({-charge:+d})" for name, charge in (_table(new) - expected))
        raise StructureError(
            f"the exchange for {entry.name} changes the ligands: {changed or 'one is lost'}", "choose another site"
        )
    added = [x for x in new if x.atoms[0] >= n_kept]
    if len(added) != 1 or len(added[0].donors) == 0:
        raise StructureError(f"the new ligand {entry.name} is not bound to a metal", "choose another site")
    pairs, share = _contacts(after, n_kept)
    bad = pairs.select(share < 1.0)
    if len(bad.first) == 0:
        return []
    text = f"{_name_pair(after, bad)} are too close"
    if problems == "error":
        raise StructureError(f"{entry.name}: {text}", "choose another site or seed, or only warn (--warn-only)")
    return [text]


def _contacts(atoms: Atoms, n_kept: int) -> tuple[AtomPairs, FloatArray]:
    """Pairs of a new and an old atom, and their distances relative to the closest acceptable ones."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    near = close_pairs(np.asarray(atoms.positions, dtype=np.float64), _CUTOFF)
    near = near.select((near.first < n_kept) != (near.second < n_kept))
    limit = contact_limits(numbers[near.first], numbers[near.second], metal[near.first] | metal[near.second])
    return near, near.distance / limit


def _table(ligands: list[Ligand]) -> Counter[tuple[str, int]]:
    return Counter((x.formula, x.charge) for x in ligands)


def _name_pair(atoms: Atoms, pairs: AtomPairs) -> str:
    worst = np.argsort(pairs.distance)[:3]
    return ", ".join(
        f"{atoms.symbols[i]}{i + 1}-{atoms.symbols[j]}{j + 1} ({pairs.distance[k]:.2f} A)"
        for k, i, j in ((int(k), int(pairs.first[k]), int(pairs.second[k])) for k in worst)
    )


SPREAD = 1.0
"""Cost of a pose (overlaps, leaning, conformer energy; see the packing) that makes it e times less likely."""


def exchange_sampled(atoms: Atoms, ligand: BoundLigand, entry: LigandEntry, *, rng: np.random.Generator) -> Atoms:
    """As :func:`clusterml.structure.build.attach.exchange`, with the pose drawn by ``rng``.

    All conformers in all orientations take part, with weights exp(-(cost - lowest) / SPREAD).  Raises
    :class:`~clusterml.errors.StructureError` where the ligand cannot be placed.
    """
    shapes = find_conformers(entry)
    site = site_of(atoms, ligand, shapes)
    rest = np.setdiff1d(np.arange(len(atoms)), ligand.atoms)
    frame = atoms[rest]
    frame.info = {**atoms.info}
    charge = stated_charge(frame)
    if charge is not None:
        old = next(x for x in find_ligands(atoms) if x.atoms[0] == ligand.atoms[0])
        frame.info["charge"] = charge + old.charge - entry.charge
    bound = site_donors(site, shapes, entry.name)
    slot = Slot(shapes.numbers, generate_poses(site, shapes, entry.name), np.eye(3)[None], bound)
    numbers = np.asarray(frame.numbers, dtype=np.int64)
    slot = screen(slot, numbers, np.asarray(frame.positions), np.empty((0, 3)), np.empty(0))
    weight = np.exp(-(slot.poses.cost - slot.poses.cost.min()) / SPREAD)
    pose = slot.poses.positions[int(rng.choice(len(weight), p=weight / weight.sum()))]
    return _tidy(frame, pose, bound, entry)


def _tidy(frame: Atoms, pose: FloatArray, bound: IntArray, entry: LigandEntry) -> Atoms:
    """The frame with the ligand appended, tidied while the frame and the ``bound`` donors are held fixed."""
    from ase import Atoms as New

    shapes = find_conformers(entry)
    count = len(frame)
    cluster = New(np.concatenate([frame.numbers, shapes.numbers]), np.concatenate([frame.positions, pose]))
    cluster.info = frame.info
    fixed = np.concatenate([np.arange(count), count + bound])
    cluster.positions[:] = clean_up(cluster, [(entry, shapes)], count, fixed)
    return cluster
