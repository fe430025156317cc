"""From the unit cell to the cluster: whole molecules, counter-ions and solvent set apart, periodic input unwrapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError, StructureError
from clusterml.structure.crystal.crystal import PARTIAL, AtomSite, Crystal, make_crystal
from clusterml.structure.crystal.hydrogens import add_hydrogens
from clusterml.structure.crystal.molecules import FilledCell, count_formulas, unwrap
from clusterml.structure.crystal.spacegroup import identity, triplet
from clusterml.structure.crystal.witness import Companions, anions_near, identify_companions, weigh_counter_ions
from clusterml.structure.elements import formula_table
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms


_VACUUM = 20.0
"""How far (A) copies are apart along a direction in which the structure does not repeat."""


def periodic_crystal(atoms: Atoms, source: str) -> Crystal:
    """The crystal of ``atoms``, which repeat along the cell vectors that ``pbc`` names.

    Along the others they are set apart.  Raises :class:`StructureError` for vectors that enclose nothing, and
    coordinates that are not finite.
    """
    positions = np.asarray(atoms.positions, dtype=np.float64)
    if not np.all(np.isfinite(positions)):
        raise StructureError(f"{source}: coordinates are not finite numbers", "correct the coordinates")
    lattice, origin = _filled(np.asarray(atoms.cell.array, dtype=np.float64), np.asarray(atoms.pbc), positions, source)
    fractional = (positions - origin) @ np.linalg.inv(lattice)
    symbols = atoms.get_chemical_symbols()
    sites = [
        AtomSite(f"{symbol}{k}", int(number), (float(x), float(y), float(z)))
        for k, (symbol, number, (x, y, z)) in enumerate(zip(symbols, atoms.numbers, fractional, strict=True), start=1)
    ]
    warnings = atoms.info.get("provenance", {}).get("warnings", ())
    return make_crystal("", lattice, sites, identity(), source, warnings=warnings)


def _filled(
    lattice: FloatArray, periodic: FloatArray, positions: FloatArray, source: str
) -> tuple[FloatArray, FloatArray]:
    """Lattice vectors (rows, A) and origin; directions without repetition get long vectors at right angles."""
    problem = StructureError(
        f"{source}: the lattice vectors {lattice.round(3).tolist()} enclose no cell",
        "correct the lattice (A), or leave it out if the structure is a molecule",
    )
    if not np.all(np.isfinite(lattice)):
        raise problem
    lattice = lattice.copy()
    own = [k for k in range(3) if periodic[k]]
    _, _, normal = np.linalg.svd(lattice[own])
    free = [k for k in range(3) if not periodic[k]]
    origin = np.zeros(3)
    for k, direction in zip(free, normal[len(own) :], strict=True):
        along = positions @ direction
        lattice[k] = direction * (np.ptp(along) + _VACUUM)
        origin += direction * (along.min() - _VACUUM / 2)
    lengths = np.linalg.norm(lattice, axis=1)
    volume = abs(float(np.linalg.det(lattice)))
    if lengths.min() < 1.0 or volume < 0.05 * np.prod(lengths):
        raise problem
    return lattice, origin


def cut(filled: FilledCell, *, cluster: int = 1, hydrogens: bool = False, source: str = "crystal") -> Atoms:
    """Cluster number ``cluster`` (from 1, in the order of :attr:`FilledCell.clusters`) as Atoms without periodicity.

    ``hydrogens`` adds those that are missing on carbon.  ``info["charge"]`` is set where the counter-ions in the cell
    are complete and leave no other charge.  ``info["provenance"]`` says what the cell holds, which cluster
    this is, what was dropped and added, what the counter-ions say (``charge_witness``), and lists ``warnings``.  Raises
    :class:`OptionError` if there is no such cluster, :class:`StructureError` if it is an endless network.
    """
    from ase import Atoms

    candidates = filled.clusters
    if not 1 <= cluster <= len(candidates):
        raise OptionError(
            f"{source}: there is no cluster {cluster}",
            f"the cell holds {len(candidates)}: {_listing(filled, candidates)}; choose 1 to {len(candidates)}",
        )
    number = candidates[cluster - 1]
    molecule = filled.molecules[number]
    atoms = Atoms(numbers=filled.numbers[molecule.atoms], positions=unwrap(filled, number, source))
    others = identify_companions(filled)
    warnings = [*filled.warnings, *_notes(filled, candidates, cluster, others), *anions_near(filled, others, number)]
    provenance = _provenance(filled, candidates, cluster)
    if hydrogens:
        atoms, added = add_hydrogens(atoms)
        provenance["hydrogens_added"] = added.groups
        warnings += added.sentences()
    if np.any(atoms.numbers == 6) and not np.any(atoms.numbers == 1):
        warnings.append("the cluster has carbon but no hydrogen atoms: the crystal structure lists none")
    witness = weigh_counter_ions(filled, others)
    provenance["charge_witness"] = witness.to_dict()
    if witness.charge is not None and witness.may_decide(atoms):
        atoms.info["charge"] = witness.charge
        provenance["charge_from"] = witness.reason
        warnings.append(f"the counter-ions set the charge: {witness.reason}")
    atoms.info["provenance"] = provenance | {"warnings": warnings}
    return atoms


def _listing(filled: FilledCell, numbers: list[int]) -> str:
    return formula_table(filled.molecules[k].formula for k in numbers)


def _notes(filled: FilledCell, candidates: list[int], cluster: int, others: Companions) -> list[str]:
    notes = []
    chosen = filled.molecules[candidates[cluster - 1]]
    if len(candidates) > 1:
        notes.append(
            f"the cell holds {len(candidates)} clusters ({_listing(filled, candidates)}); took number {cluster}, "
            f"{chosen.formula}"
        )
    listed = [text for ions in (True, False) if (text := others.listing(ions=ions))]
    if listed:
        notes.append(f"counter-ions and solvent in the cell, left out: {', '.join(listed)}")
    partial = int(np.sum(filled.occupancy[chosen.atoms] < PARTIAL))
    if partial:
        notes.append(f"{partial} atoms of the cluster have partial occupancy")
    return notes


def _provenance(filled: FilledCell, candidates: list[int], cluster: int) -> dict[str, Any]:
    crystal = filled.crystal
    molecule = filled.molecules[candidates[cluster - 1]]
    operation = triplet(crystal.rotations[molecule.operation], crystal.translations[molecule.operation])
    record = {
        "block": crystal.block,
        "space_group": crystal.space_group,
        "sohncke": crystal.sohncke,
        "cell": crystal.cell.tolist(),
        "cluster": cluster,
        "clusters": [filled.molecules[k].formula for k in candidates],
        "symmetry_operation": operation,
        "cell_contents": count_formulas(filled, range(len(filled.molecules))),
    }
    record |= {"mixed_sites": [site.to_dict() for site in filled.mixed]} if filled.mixed else {}
    return record | ({"dropped": [entry.to_dict() for entry in filled.dropped]} if filled.dropped else {})
