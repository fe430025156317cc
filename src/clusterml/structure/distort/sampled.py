"""Exchange of a ligand with conformer and orientation drawn at random, instead of the best placement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.build.attach import BoundLigand, site_of
from clusterml.structure.build.cleanup import clean_up
from clusterml.structure.build.conformers import conformers
from clusterml.structure.build.packing import Slot, screen
from clusterml.structure.build.poses import poses, site_donors
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import LigandEntry

SPREAD = 1.0
"""Cost of a pose (overlaps, leaning, conformer energy; see the packing) that makes it e times less likely."""


def exchange_sampled(atoms: Atoms, ligand: BoundLigand, entry: LigandEntry, *, rng: np.random.Generator) -> Atoms:
    """As :func:`clusterml.structure.build.attach.exchange`, with the pose drawn by ``rng``.

    All conformers in all orientations take part, with weights exp(-(cost - lowest) / SPREAD).  Raises
    :class:`~clusterml.errors.StructureError` where the ligand cannot be placed.
    """
    shapes = conformers(entry)
    site = site_of(atoms, ligand, shapes)
    rest = np.setdiff1d(np.arange(len(atoms)), ligand.atoms)
    frame = atoms[rest]
    frame.info = {**atoms.info}
    if "charge" in frame.info:
        old = next(x for x in find_ligands(atoms) if x.atoms[0] == ligand.atoms[0])
        frame.info["charge"] = int(frame.info["charge"]) + old.charge - entry.charge
    bound = site_donors(site, shapes, entry.name)
    slot = Slot(shapes.numbers, poses(site, shapes, entry.name), np.eye(3)[None], bound)
    numbers = np.asarray(frame.numbers, dtype=np.int64)
    slot = screen(slot, numbers, np.asarray(frame.positions), np.empty((0, 3)), np.empty(0))
    weight = np.exp(-(slot.poses.cost - slot.poses.cost.min()) / SPREAD)
    drawn = slot.poses.positions[int(rng.choice(len(weight), p=weight / weight.sum()))]
    return _tidied(frame, drawn, bound, entry)


def _tidied(frame: Atoms, drawn: FloatArray, bound: IntArray, entry: LigandEntry) -> Atoms:
    """The frame with the ligand at the end, tidied with the frame and the ``bound`` donors held fast."""
    from ase import Atoms as New

    shapes = conformers(entry)
    count = len(frame)
    done = New(np.concatenate([frame.numbers, shapes.numbers]), np.concatenate([frame.positions, drawn]))
    done.info = frame.info
    fixed = np.concatenate([np.arange(count), count + bound])
    done.positions[:] = clean_up(done, [(entry, shapes)], count, fixed)
    return done
