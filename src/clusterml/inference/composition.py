"""What a cluster consists of, and whether training data held the like: elements, ligand classes, size, charge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError
from clusterml.structure.anatomy.charge import signed_charge
from clusterml.structure.anatomy.ligands import Ligand, find_ligands
from clusterml.structure.elements import is_metal

if TYPE_CHECKING:
    from ase import Atoms

_LARGER = 1.25
"""A cluster may have this many times the metal atoms of the largest in training."""


@dataclass(frozen=True)
class Composition:
    """What a structure consists of: symbols of ``elements`` and ``metals``, ``ligands``: their classes (see
    :func:`ligand_class`), ``n_metals``, ``charge``."""

    elements: frozenset[str]
    metals: frozenset[str]
    ligands: frozenset[str]
    n_metals: int
    charge: int


def composition(atoms: Atoms, charge: int) -> Composition:
    """The composition of ``atoms`` with total ``charge``."""
    symbols = np.array(atoms.get_chemical_symbols())
    metal = is_metal(np.asarray(atoms.numbers, dtype=np.int64))
    classes = frozenset(ligand_class(ligand, symbols) for ligand in find_ligands(atoms))
    return Composition(
        frozenset(symbols.tolist()), frozenset(symbols[metal].tolist()), classes, int(metal.sum()), int(charge)
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
    """The range of compositions in training: names sorted, ``n_metals`` and ``charge`` from smallest to largest."""

    elements: tuple[str, ...]
    metals: tuple[str, ...]
    ligands: tuple[str, ...]
    n_metals: tuple[int, int]
    charge: tuple[int, int]

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
        )

    @classmethod
    def from_dict(cls, values: Any, source: str) -> KnownCompositions:
        """What :meth:`to_dict` gave; raises :class:`InputFileError` naming ``source`` if it is anything else."""
        try:
            elements, metals, ligands = (
                tuple(str(x) for x in values[key]) for key in ("elements", "metals", "ligands")
            )
            (low, high), (least, most) = ([int(x) for x in values[key]] for key in ("n_metals", "charge"))
        except (KeyError, TypeError, ValueError) as error:
            problem = f"{source}: has no composition rules ({error!r})"
            raise InputFileError(problem, "get the checkpoint again") from error
        return cls(elements, metals, ligands, (low, high), (least, most))

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


def _names(sets: Iterable[frozenset[str]]) -> tuple[str, ...]:
    return tuple(sorted(frozenset().union(*sets)))
