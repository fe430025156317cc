"""Which records of a dataset have a geometry, a cluster, a core, a ligand or an origin in common."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from clusterml.dataset.split import Question
from clusterml.dataset.store import Dataset
from clusterml.structure.anatomy.kernel import core_key
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray

SAME_A = 3e-3
"""Geometries whose atoms stand at the same distances from their centroid, to this many A, are the same or mirrored: a
position is stored to 0.001 A in each direction."""


def find_homes(dataset: Dataset) -> list[str]:
    """For each record the name of the first record that it must stay with (its own where there is none before it).

    These are the records of the same ``pair``, and those of the same geometry up to rotation and reflection.
    """
    homes = list(range(len(dataset)))
    seen_pair: dict[str, int] = {}
    of_kind: dict[bytes, list[int]] = defaultdict(list)
    distances: list[FloatArray] = []
    pairs, charges = dataset.column("pair"), dataset.column("charge").tolist()
    for index, (numbers, positions) in enumerate(dataset.geometries()):
        _unite(homes, index, seen_pair.setdefault(pairs[index], index))
        radii = _radii(positions)
        order = np.lexsort((radii, numbers))
        distances.append(radii[order])
        of_kind[numbers[order].tobytes() + str(charges[index]).encode()].append(index)
    for members in of_kind.values():
        ordered = sorted(members, key=lambda index: float(distances[index].sum()))
        for position, index in enumerate(ordered):
            for neighbour in ordered[position + 1 :]:
                apart = distances[neighbour] - distances[index]
                if apart.sum() > SAME_A * len(apart):
                    break  # and so are all that follow
                if np.abs(apart).max() <= SAME_A:
                    _unite(homes, index, neighbour)
    return [dataset.ids[_home(homes, index)] for index in range(len(dataset))]


def _radii(positions: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.norm(positions - positions.mean(axis=0), axis=1))


def _home(homes: list[int], index: int) -> int:
    while homes[index] != index:
        index = homes[index]
    return index


def _unite(homes: list[int], first_index: int, second_index: int) -> None:
    """Give both records the earlier of their homes."""
    first, second = sorted((_home(homes, first_index), _home(homes, second_index)))
    homes[second] = first


Groups = dict[str, set[int]]
"""Numbers of records by the name of what they have in common."""
_SILVER = 47


def groups_of(dataset: Dataset, question: Question, homes: Sequence[str], seed: int) -> tuple[Groups, list[str]]:
    """Records by the groups they may be held out in, and the names that are held out by default, the first ones first.

    ``shell`` has a group for each ligand and one for each ``family/shell``, ``parent`` one for each family, ``core``
    one for the hypothetical families of each core, ``foreign`` one for each ``family/origin``.
    """
    if question == "shell":
        return _by_shell(dataset)
    if question == "parent":
        return _by_family(dataset)
    if question == "foreign":
        groups, names = _by_origin(dataset)
    elif question == "core":
        groups, names = _by_core(dataset)
    else:
        groups = gathered(homes)
        names = list(groups)
    np.random.default_rng(seed).shuffle(names)
    return groups, names


def questions_of(dataset: Dataset) -> tuple[Question, ...]:
    """The questions that can be asked: of a foreign origin where a family has several, of cores where some are
    hypothetical."""
    asked: list[Question] = ["random", "shell", "parent"]
    if _by_origin(dataset)[1]:
        asked.append("foreign")
    if _by_core(dataset)[1]:
        asked.append("core")
    return tuple(asked)


def gathered(values: Iterable[str]) -> Groups:
    """Numbers of records by their value."""
    groups: Groups = defaultdict(set)
    for index, value in enumerate(values):
        groups[value].add(index)
    return groups


def _by_shell(dataset: Dataset) -> tuple[Groups, list[str]]:
    """By ligand, the rarest first that no family carries in all its records, and by family and shell."""
    families, shells = dataset.column("family"), dataset.column("shell")
    of_family = gathered(families)
    ligands: Groups = defaultdict(set)
    for index, shell in enumerate(shells):
        for name in ligands_of(shell):
            ligands[name].add(index)
    groups = gathered(f"{family}/{shell}" for family, shell in zip(families, shells, strict=True))
    free = [name for name, numbers in ligands.items() if not any(members <= numbers for members in of_family.values())]
    return groups | ligands, sorted(free, key=lambda name: (len(ligands[name]), name))


def _by_family(dataset: Dataset) -> tuple[Groups, list[str]]:
    """By family, with hypothetical ones of the same core; the largest clusters first, and no hypothetical ones if there
    are others."""
    kin, drawn = kin_of(dataset), hypothetical_families(dataset)
    groups, atoms = gathered(kin), dataset.column("n_atoms")
    names = [name for name in groups if name not in drawn] or list(groups)
    return groups, sorted(names, key=lambda name: (-np.mean(atoms[sorted(groups[name])]), name))


def _by_core(dataset: Dataset) -> tuple[Groups, list[str]]:
    """Hypothetical families of one core together, by the name of the first; without cores that other clusters have."""
    drawn = hypothetical_families(dataset)
    groups = gathered(kin_of(dataset))
    return groups, [name for name in groups if name in drawn]


def _by_origin(dataset: Dataset) -> tuple[Groups, list[str]]:
    """By :func:`origins_of`; of each family the largest group is not held out, so that it remains known."""
    groups = gathered(origins_of(dataset))
    drawn = hypothetical_families(dataset)
    of_family: dict[str, list[str]] = defaultdict(list)
    for name in groups:
        of_family[name.partition("/")[0]].append(name)
    names: list[str] = []
    for family, members in of_family.items():
        if family not in drawn:
            names += sorted(members, key=lambda name: (-len(groups[name]), name))[1:]
    return groups, names


def origins_of(dataset: Dataset) -> list[str]:
    """``family/origin`` of each record: the method that its geometry was relaxed with, whatever it was scaled by then,
    and whether its ligands were drawn anew."""
    columns = (dataset.column(name) for name in ("family", "kind", "details"))
    origins = []
    for family, kind, details in zip(*columns, strict=True):
        words = [word for word in str(details.get("form", "as given")).split(", ") if not word.endswith("%")]
        words = [*(words or ["as given"]), *(["other conformers"] if kind == "conformer" else [])]
        origins.append(f"{family}/{', '.join(words)}")
    return origins


def hypothetical_families(dataset: Dataset) -> set[str]:
    """Families of hypothetical clusters."""
    pairs = zip(dataset.column("family"), dataset.column("details"), strict=True)
    return {family for family, details in pairs if "hypothetical" in details}


def kin_of(dataset: Dataset) -> list[str]:
    """For each record the name of its family; of hypothetical clusters with the metal contacts of another cluster that
    of the other one, and of those with the same contacts that of the first.

    Contacts are those of the first record of each parent; metals count as alike.
    """
    families, drawn = dataset.column("family"), hypothetical_families(dataset)
    if not drawn:
        return list(families)
    first: dict[str, int] = {}
    for index, parent in enumerate(dataset.column("parent")):
        first.setdefault(parent, index)
    keys: dict[str, str] = {}
    of_family: dict[str, str] = {}
    for index in sorted(first.values(), key=lambda index: (families[index] in drawn, index)):
        numbers, positions = dataset.geometry(index)
        alike = np.where(is_metal(numbers), _SILVER, numbers)
        known = keys.setdefault(core_key(alike, positions), families[index])
        if families[index] in drawn:
            of_family[families[index]] = known
    return [of_family.get(family, family) for family in families]


def ligands_of(shell: str) -> set[str]:
    """The ligands of a record's ``shell``: ``2HCOO+4R-TFL`` has HCOO and R-TFL."""
    return {re.sub(r"^\d+", "", part) for part in shell.split("+")} - {""}


def union(groups: Groups, names: Iterable[str]) -> set[int]:
    """All records of the groups ``names``."""
    return {index for name in names for index in groups[name]}
