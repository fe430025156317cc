"""Counter-ions and solvent beside a cluster in a file without a lattice: set apart as in a crystal.

The cluster is taken alone where one molecule holds all Cu, Ag and Au, and all others are ions or solvents
that crystals are known to hold (:mod:`clusterml.structure.crystal.witness`).  Their charges are what the cluster's
balances: to the charge that the file states, or to none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.structure.bonds import bond_limit
from clusterml.structure.check import connected_molecules, stated_charge
from clusterml.structure.crystal.witness import NEARLY, Companions, Witness, identify
from clusterml.structure.elements import formula, is_cluster_metal
from clusterml.structure.points import distances
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms


def take_cluster(atoms: Atoms) -> Atoms:
    """The cluster of ``atoms`` (A), if ions and solvents are all that is beside it; else ``atoms`` as they are.

    ``info["charge"]`` becomes the cluster's, or leaves if it is not known; ``info["provenance"]`` says what was left
    out (``beside``), what that says about the charge (``charge_witness``), and warns.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    holds = is_cluster_metal(numbers)
    molecules = connected_molecules(atoms)
    clusters = [part for part in molecules if holds[part].any()]
    if len(molecules) == 1 or len(clusters) != 1 or len(clusters[0]) == 1:
        return atoms
    (cluster,) = clusters
    rest = [part for part in molecules if part is not cluster]
    others = companions_of(atoms, rest)
    if not all(species.name for species in others.species.values()):
        return atoms
    if any(
        (s.charge or 0) < 0 and _is_near(atoms, rest[k], cluster[holds[cluster]]) for k, s in others.species.items()
    ):
        return atoms
    alone = atoms[cluster]
    alone.info = {**atoms.info}
    provenance = {**atoms.info.get("provenance", {}), "beside": describe_companions(others)}
    left = ", ".join(text for ions in (True, False) if (text := others.listing(ions=ions)))
    warnings = [
        *provenance.get("warnings", ()),
        f"counter-ions and solvent beside the cluster, left out: {left}; --allow-several computes all of it",
    ]
    alone.info["provenance"] = provenance | {"warnings": warnings}
    if others.count(ions=True):
        _balance(alone, others, stated_charge(atoms))
    return alone


def companions_of(atoms: Atoms, parts: list[IntArray]) -> Companions:
    """What the molecules ``parts`` (indices of ``atoms``) are; one of each formula is looked at."""
    known = {formula(atoms.numbers[part]): part for part in parts}
    species = {name: identify(atoms[part]) for name, part in known.items()}
    found = {k: species[formula(atoms.numbers[part])] for k, part in enumerate(parts)}
    return Companions(found, dict.fromkeys(found, 1.0))


def describe_companions(others: Companions) -> dict[str, Any]:
    """Plain values: ``counter_ions`` and ``solvent`` by formula, and the ``species_names``."""
    return {
        "counter_ions": others.count(ions=True),
        "solvent": others.count(ions=False),
        "species_names": others.names(),
    }


def _is_near(atoms: Atoms, part: IntArray, metals: IntArray) -> bool:
    """Does an atom of a molecule nearly touch one of the ``metals``?"""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    heavy = part[numbers[part] > 1]
    limit = bond_limit(numbers[heavy][:, None], numbers[metals][None, :]) + NEARLY
    return bool((distances(atoms.positions[heavy], atoms.positions[metals]) < limit).any())


def _balance(alone: Atoms, others: Companions, stated: int | None) -> None:
    """Give the cluster the charge that its counter-ions leave, where that is sure and pairs its electrons."""
    total = sum(species.charge or 0 for species in others.species.values())
    charge = (stated or 0) - total
    whole = f"{charge:+d} for the cluster" if charge else "0 for the cluster"
    reason = (
        f"1 cluster and {others.listing(ions=True)} in the file{f', {stated:+d} in all' if stated else ''}: {whole}"
    )
    certain = all(species.certain for species in others.species.values() if species.is_ion)
    reason += "" if certain else "; not complete: the charge of an ion is uncertain"
    witness = Witness(charge, certain, reason)
    alone.info.pop("charge", None)
    provenance = alone.info["provenance"]
    provenance["charge_witness"] = witness.to_dict()
    if witness.may_decide(alone):
        alone.info["charge"] = charge
        provenance["charge_from"] = reason
        provenance["warnings"].append(f"the counter-ions set the charge: {reason}")
    else:
        provenance["warnings"].append(f"the counter-ions were not followed: {reason}")
