"""From a crystal to one whole cluster: fill the cell, find the molecules, cut one out across the cell's faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError, StructureError
from clusterml.structure.bonds import Pairs, close_periodic_pairs, components, keep_bonds, longest_bond
from clusterml.structure.crystal.cif import Crystal
from clusterml.structure.crystal.disorder import major_component, without_overlaps
from clusterml.structure.elements import formula, formula_table, is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

SPECIAL_POSITION = 0.3
"""Symmetry images of a site nearer than this (A) are one atom on a symmetry element."""
MOST_ATOMS = 1_000_000
"""Largest number of atoms in a filled cell."""
DENSEST = 0.6
"""Atoms per A^3 beyond which cell and sites cannot belong together (diamond has 0.18)."""


@dataclass(frozen=True)
class FilledCell:
    """All atoms of a cell: ``numbers`` ``(n,)``, ``fractional`` ``(n, 3)`` in [0, 1), ``occupancy`` ``(n,)``, bonds."""

    numbers: IntArray
    fractional: FloatArray
    occupancy: FloatArray
    bonds: Pairs
    warnings: tuple[str, ...]


def cut_cluster(crystal: Crystal, *, cluster: int = 1, source: str = "crystal") -> Atoms:
    """One whole cluster of ``crystal`` as Atoms without periodicity.

    The candidates are the molecules that contain metal, those with most metal atoms and then most atoms first (all
    molecules, largest first, where there is no metal); ``cluster`` counts them from 1, symmetry copies included.
    ``info["provenance"]`` says what the cell holds, which cluster this is, and lists ``warnings``.  Raises
    :class:`OptionError` if there is no such cluster, :class:`StructureError` if it is an endless network.
    """
    from ase import Atoms

    ordered = major_component(crystal)
    filled = fill_cell(ordered, source)
    molecules = components(len(filled.numbers), filled.bonds)
    candidates = _candidates(filled, molecules)
    if not 1 <= cluster <= len(candidates):
        raise OptionError(
            f"{source}: there is no cluster {cluster}",
            f"the cell holds {len(candidates)}: {_listing(filled, candidates)}; choose 1 to {len(candidates)}",
        )
    chosen = candidates[cluster - 1]
    positions = _unwrap(filled, chosen, crystal.cell, source)
    atoms = Atoms(numbers=filled.numbers[chosen], positions=positions)
    warnings = [*ordered.warnings, *filled.warnings, *_notes(filled, molecules, candidates, cluster)]
    atoms.info["provenance"] = _provenance(crystal, filled, molecules, candidates, cluster) | {"warnings": warnings}
    return atoms


def fill_cell(crystal: Crystal, source: str = "crystal") -> FilledCell:
    """Apply the symmetry, merge atoms on special positions, drop overlapping partial sites, find the bonds."""
    if len(crystal.numbers) * len(crystal.rotations) > MOST_ATOMS:
        raise StructureError(
            f"{source}: the filled cell would hold {len(crystal.numbers) * len(crystal.rotations)} atoms",
            f"at most {MOST_ATOMS} can be handled",
        )
    images = np.einsum("mij,nj->mni", crystal.rotations, crystal.fractional) + crystal.translations[:, None, :]
    images -= np.floor(images)
    images[images >= 1.0] = 0.0
    operation, site = np.nonzero(_distinct(images, crystal.cell))
    numbers, occupancy, fractional = crystal.numbers[site], crystal.occupancy[site], images[operation, site]
    volume = abs(float(np.linalg.det(crystal.cell)))
    if len(numbers) > DENSEST * volume:
        raise StructureError(
            f"{source}: {len(numbers)} atoms in a cell of {volume:.0f} A^3", "check cell, symmetry and duplicate sites"
        )
    keep = without_overlaps(numbers, fractional, occupancy, crystal.cell)
    warnings: list[str] = []
    if not keep.all():
        warnings.append(f"{int((~keep).sum())} overlapping or duplicate atoms in the cell were left out")
        numbers, fractional, occupancy = numbers[keep], fractional[keep], occupancy[keep]
    pairs = close_periodic_pairs(fractional, crystal.cell, longest_bond(numbers))
    return FilledCell(numbers, fractional, occupancy, keep_bonds(numbers, pairs), tuple(warnings))


def _distinct(images: FloatArray, cell: FloatArray) -> Any:
    """Which of the images ``(m, n, 3)`` of each site are different atoms: ``(m, n)`` booleans."""
    keep = np.ones(images.shape[:2], dtype=np.bool_)
    to_first = _shortest(images - images[:1], cell)
    special = np.flatnonzero(np.any(to_first[1:] < SPECIAL_POSITION, axis=0))
    for site in special:
        own = images[:, site]
        close = _shortest(own[:, None] - own[None, :], cell) < SPECIAL_POSITION
        keep[:, site] = ~np.any(np.tril(close, -1), axis=1)
    return keep


def _shortest(difference: FloatArray, cell: FloatArray) -> FloatArray:
    """Length (A) of fractional differences, each component taken to the nearest cell; right for short ones."""
    return np.asarray(np.linalg.norm((difference - np.rint(difference)) @ cell, axis=-1))


def _candidates(filled: FilledCell, molecules: list[IntArray]) -> list[IntArray]:
    metal = is_metal(filled.numbers)
    with_metal = [part for part in molecules if metal[part].any()]
    # the sort is stable: of equal molecules the one nearest to the listed asymmetric unit comes first
    return sorted(with_metal or molecules, key=lambda part: (-int(metal[part].sum()), -len(part)))


def _unwrap(filled: FilledCell, part: IntArray, cell: FloatArray, source: str) -> FloatArray:
    """Positions ``(k, 3)`` (A) of one molecule made whole, its centre in the home cell."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order

    local = np.full(len(filled.numbers), -1, dtype=np.int64)
    local[part] = np.arange(len(part))
    inside = filled.bonds.select(local[filled.bonds.first] >= 0)
    first, second = local[inside.first], local[inside.second]
    steps = {
        (i, j): step
        for a, b, shift in ((first, second, inside.shift), (second, first, -inside.shift))
        for i, j, step in zip(a.tolist(), b.tolist(), shift, strict=True)
    }
    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(part), len(part))).tocsr()
    order, previous = breadth_first_order(graph, 0, directed=False)
    shifts = np.zeros((len(part), 3), dtype=np.int64)
    for atom in order[1:].tolist():
        parent = int(previous[atom])
        shifts[atom] = shifts[parent] + steps[(parent, atom)]
    if np.any(shifts[first] + inside.shift != shifts[second]):
        raise StructureError(
            f"{source}: the {formula(filled.numbers[part])} in the cell is bonded to its own images: "
            "a polymer or network, not a cluster",
            "give a crystal of separate clusters, or cut one out by hand and give it as xyz",
        )
    whole = filled.fractional[part] + shifts
    return np.asarray((whole - np.floor(whole.mean(axis=0) + 1e-6)) @ cell, dtype=np.float64)


def _listing(filled: FilledCell, parts: list[IntArray]) -> str:
    return formula_table(formula(filled.numbers[part]) for part in parts)


def _notes(filled: FilledCell, molecules: list[IntArray], candidates: list[IntArray], cluster: int) -> list[str]:
    notes = []
    chosen = candidates[cluster - 1]
    if len(candidates) > 1:
        notes.append(
            f"the cell holds {len(candidates)} clusters ({_listing(filled, candidates)}); took number {cluster}, "
            f"{formula(filled.numbers[chosen])}"
        )
    taken = {int(part[0]) for part in candidates}
    others = [part for part in molecules if int(part[0]) not in taken]
    if others:
        notes.append(f"counter-ions and solvent in the cell, left out: {_listing(filled, others)}")
    partial = int(np.sum(filled.occupancy[chosen] < 0.999))
    if partial:
        notes.append(f"{partial} atoms of the cluster have partial occupancy")
    if np.any(filled.numbers[chosen] == 6) and not np.any(filled.numbers[chosen] == 1):
        notes.append("the cluster has carbon but no hydrogen atoms: the crystal structure lists none")
    return notes


def _provenance(
    crystal: Crystal, filled: FilledCell, molecules: list[IntArray], candidates: list[IntArray], cluster: int
) -> dict[str, Any]:
    names = [formula(filled.numbers[part]) for part in molecules]
    return {
        "block": crystal.block,
        "space_group": crystal.space_group,
        "sohncke": crystal.sohncke,
        "cell": crystal.cell.tolist(),
        "cluster": cluster,
        "clusters": [formula(filled.numbers[part]) for part in candidates],
        "cell_contents": {name: names.count(name) for name in dict.fromkeys(names)},
    }
