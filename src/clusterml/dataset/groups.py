"""What can be held out for a test (single geometries, ligands, clusters), and what is by default."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from clusterml.dataset.reader import Dataset

Question = Literal["random", "shell", "parent"]
Groups = dict[str, set[int]]
"""Numbers of records by the name of what they have in common."""


def groups_of(dataset: Dataset, question: Question, homes: Sequence[str], seed: int) -> tuple[Groups, list[str]]:
    """Records by the groups they may be held out in, and the names that are held out by default, the first ones first.

    ``shell`` has a group for each ligand and one for each ``family/shell``.
    """
    known: Groups = defaultdict(set)
    if question == "random":
        for index, home in enumerate(homes):
            known[home].add(index)
        names = list(known)
        np.random.default_rng(seed).shuffle(names)
        return known, names
    families: Groups = defaultdict(set)
    for index, family in enumerate(dataset.column("family")):
        families[family].add(index)
    if question == "parent":
        atoms = dataset.column("n_atoms")
        return families, sorted(families, key=lambda name: (-np.mean(atoms[sorted(families[name])]), name))
    ligands: Groups = defaultdict(set)
    for index, (family, shell) in enumerate(zip(dataset.column("family"), dataset.column("shell"), strict=True)):
        known[f"{family}/{shell}"].add(index)
        for name in ligands_of(shell):
            ligands[name].add(index)
    free = [name for name, own in ligands.items() if not any(members <= own for members in families.values())]
    return known | ligands, sorted(free, key=lambda name: (len(ligands[name]), name))


def ligands_of(shell: str) -> set[str]:
    """The ligands of a record's ``shell``: ``2HCOO+4R-TFL`` has HCOO and R-TFL."""
    return {re.sub(r"^\d+", "", part) for part in shell.split("+")} - {""}


def in_turn(order: Sequence[str], known: Groups, shares: dict[str, float], test: Sequence[str]) -> dict[str, list[str]]:
    """Names for test (after those given) and validation, which take turns while that brings them nearer to a share."""
    chosen: dict[str, list[str]] = {"test": list(test), "validation": []}
    left, took = list(order), True
    everything = union(known, known)
    while took:
        took = False
        for part, share in shares.items():
            others = union(known, [name for other in chosen if other != part for name in chosen[other]])
            own = union(known, chosen[part])
            size = len(own - others) if part == "validation" else len(own)
            for name in left:
                grown = own | known[name]
                count = len(grown - others) if part == "validation" else len(grown)
                first = not chosen[part] and share > 0.0 and count > 0
                if (first or abs(count - share) < abs(size - share)) and grown | others != everything:
                    chosen[part].append(name)
                    left.remove(name)
                    took = True
                    break
    return chosen


def union(known: Groups, names: Iterable[str]) -> set[int]:
    """All records of the groups ``names``."""
    return {index for name in names for index in known[name]}
