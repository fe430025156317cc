"""What a cluster consists of, and whether training data held the like: elements, ligand classes, size, charge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError
from clusterml.inference.uncertainty import Novelty
from clusterml.structure.anatomy.charge import signed_charge
from clusterml.structure.anatomy.ligands import Ligand, find_ligands
from clusterml.structure.elements import formula, is_metal

if TYPE_CHECKING:
    from ase import Atoms

_LARGER = 1.25
"""A cluster may have this many times the metal atoms of the largest in training."""


@dataclass(frozen=True)
class Composition:
    """What a structure consists of: symbols of ``elements`` and ``metals``, ``ligands``: their classes (see
    :func:`ligand_class`), ``species``: their formulas, ``core``: formula of the metals, ``n_metals``, ``charge``."""

    elements: frozenset[str]
    metals: frozenset[str]
    ligands: frozenset[str]
    n_metals: int
    charge: int
    core: str
    species: frozenset[str]


def composition(atoms: Atoms, charge: int) -> Composition:
    """The composition of ``atoms`` with total ``charge``."""
    symbols = np.array(atoms.get_chemical_symbols())
    metal = is_metal(np.asarray(atoms.numbers, dtype=np.int64))
    ligands = find_ligands(atoms)
    return Composition(
        elements=frozenset(symbols.tolist()),
        metals=frozenset(symbols[metal].tolist()),
        ligands=frozenset(ligand_class(ligand, symbols) for ligand in ligands),
        n_metals=int(metal.sum()),
        charge=int(charge),
        core=formula(atoms.numbers[metal]),
        species=frozenset(ligand.formula for ligand in ligands),
    )


def ligand_class(ligand: Ligand, symbols: Any) -> str:
    """Class of a ligand: donor elements, charge, and whether it is a bare ion: ``S 1-`` (thiolate), ``S 2- ion``.

    ``symbols`` (n,): of the structure.  A molecule that no metal binds is ``free``.
    """
    donors = "+".join(sorted(set(symbols[ligand.donors].tolist()))) or "free"
    bare = " ion" if len(ligand.atoms) == 1 else ""
    charge = f"{abs(ligand.charge)}{'-' if ligand.charge > 0 else '+'}" if ligand.charge else "neutral"
    return f"{donors} {charge}{bare}"


@dataclass(frozen=True)
class KnownCompositions:
    """The range of compositions in training: names sorted, ``n_metals`` and ``charge`` from smallest to largest.

    ``cores`` and ``species`` (formulas of metal cores and of ligands) are empty where an older file does not know them.
    """

    elements: tuple[str, ...]
    metals: tuple[str, ...]
    ligands: tuple[str, ...]
    n_metals: tuple[int, int]
    charge: tuple[int, int]
    cores: tuple[str, ...] = ()
    species: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: Iterable[Composition]) -> KnownCompositions:
        """The range of those ``found``, of which there is at least one."""
        rows = list(found)
        counts, charges = [row.n_metals for row in rows], [row.charge for row in rows]
        return cls(
            _names(row.elements for row in rows),
            _names(row.metals for row in rows),
            _names(row.ligands for row in rows),
            (min(counts), max(counts)),
            (min(charges), max(charges)),
            tuple(sorted({row.core for row in rows})),
            _names(row.species for row in rows),
        )

    @classmethod
    def from_dict(cls, values: Any, source: str) -> KnownCompositions:
        """What :meth:`to_dict` gave; raises :class:`InputFileError` naming ``source`` if it is anything else."""
        try:
            elements, metals, ligands, cores, species = (
                tuple(str(x) for x in each)
                for each in (
                    *(values[key] for key in ("elements", "metals", "ligands")),
                    *(values.get(key, ()) for key in ("cores", "species")),
                )
            )
            (low, high), (least, most) = ([int(x) for x in values[key]] for key in ("n_metals", "charge"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"{source}: has no composition rules ({error!r})"
            raise InputFileError(problem, "get the checkpoint again") from error
        return cls(elements, metals, ligands, (low, high), (least, most), cores, species)

    def to_dict(self) -> dict[str, Any]:
        """The ranges as plain JSON values."""
        return asdict(self)

    def objections(self, found: Composition) -> list[str]:
        """What of ``found`` training did not hold, one sentence each; empty if nothing."""
        reasons = []
        if not found.metals:
            reasons.append(f"there is no metal atom (training data: {', '.join(self.metals)} clusters)")
        for kind, words in (("elements", "elements"), ("ligands", "ligands of the class")):
            unknown = sorted(getattr(found, kind) - set(getattr(self, kind)))
            if unknown:
                reasons.append(f"training data have no {words} {', '.join(unknown)}")
        low, high = self.n_metals
        if found.metals and not low <= found.n_metals <= _LARGER * high:
            reasons.append(f"{found.n_metals} metal atoms, training data have {low} to {high}")
        least, most = self.charge
        if not least <= found.charge <= most:
            span = f"{signed_charge(least)} to {signed_charge(most)}"
            reasons.append(f"charge {signed_charge(found.charge)}, training data have {span}")
        return reasons

    def novelty(self, found: Composition) -> tuple[Novelty | None, str]:
        """What of ``found`` is new to networks of this training: a ``cluster``'s core before a ``ligand``; a sentence
        that says so."""
        if self.cores and found.core not in self.cores:
            return "cluster", f"training data have no cluster with the core {found.core or 'of no metal'}"
        unknown = sorted(found.species - set(self.species)) if self.species else []
        if unknown:
            return "ligand", f"training data have no ligand {', '.join(unknown)}"
        return None, ""


def _names(sets: Iterable[frozenset[str]]) -> tuple[str, ...]:
    return tuple(sorted(frozenset().union(*sets)))
