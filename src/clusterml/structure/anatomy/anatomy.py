"""What a cluster is made of: kernel, shells of metals, surface motifs, named ligands, charge, superatom electrons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.printable import counted
from clusterml.structure.anatomy.charge import ChargeProposal, propose_charge
from clusterml.structure.anatomy.frame import metal_frame
from clusterml.structure.anatomy.library import Library
from clusterml.structure.anatomy.motifs import Motif, find_motifs
from clusterml.structure.anatomy.recognise import NamedLigand, name_ligands
from clusterml.structure.check import check_geometry, check_size, connected_molecules
from clusterml.structure.elements import formula, is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Anatomy", "Motif", "NamedLigand", "anatomy"]


@dataclass(frozen=True, repr=False)
class Anatomy:
    """The parts of one cluster; all indices are those of the structure, sorted.

    ``kernel`` ``(k,)``, ``shells``: metals outside it, inside out, and ``layers``: all metals, those of the kernel
    included, inside out (the rule is that of :mod:`clusterml.structure.anatomy.frame`); ``centre`` ``(3,)`` (A) of the
    kernel, or of the metals without one; ``motifs``: crowns, staples, trigons; ``ligands``: bonded to the cluster;
    ``leftovers``: molecules and ions that are not.  ``superatom_electrons`` belongs to the charge the structure states
    (``atoms.info["charge"]``), else to the proposed one; None without a group-11 metal.
    """

    kernel: IntArray
    shells: tuple[IntArray, ...]
    layers: tuple[IntArray, ...]
    centre: FloatArray
    motifs: tuple[Motif, ...]
    ligands: tuple[NamedLigand, ...]
    leftovers: tuple[NamedLigand, ...]
    charge: ChargeProposal
    superatom_electrons: int | None

    def __repr__(self) -> str:
        """One line: metals from the inside out, motifs, ligands, superatom electrons."""
        metals = "@".join(str(len(part)) for part in (self.kernel, *self.shells) if len(part)) or "none"
        motifs = [counted(n, kind) for kind, n in Counter(m.kind for m in self.motifs).items()]
        ligands = [f"{n} {name}" for name, n in self.ligand_counts().items()]
        words = [f"metals {metals}", *motifs, *ligands]
        if self.superatom_electrons is not None:
            words.append(f"{self.superatom_electrons} superatom electrons")
        return f"Anatomy({', '.join(words)})"

    @property
    def metals(self) -> IntArray:
        """All metals of the cluster ``(m,)``."""
        return _union(self.layers)

    @property
    def donors(self) -> IntArray:
        """The ligand atoms bonded to metals ``(d,)``."""
        return _union([ligand.donors for ligand in self.ligands])

    def motifs_of(self, kind: str) -> tuple[Motif, ...]:
        """The motifs of one kind: ``staple``, ``crown`` or ``trigon``."""
        return tuple(motif for motif in self.motifs if motif.kind == kind)

    def parts(self) -> dict[str, IntArray]:
        """Parts for reports, without empty ones: ``kernel``, ``shell 1`` ... inside out, ``metal + donor frame`` (all
        metals and the ligand atoms bonded to them) and ``ligand layer`` (the other atoms of the ligands)."""
        frame = np.union1d(self.metals, self.donors)
        layer = np.setdiff1d(_union([ligand.atoms for ligand in self.ligands]), frame)
        shells = {f"shell {n}": shell for n, shell in enumerate(self.shells, start=1)}
        parts = {"kernel": self.kernel, **shells, "metal + donor frame": frame, "ligand layer": layer}
        return {name: part for name, part in parts.items() if len(part)}

    def ligand_counts(self) -> dict[str, int]:
        """Name -> number of the ligands, in order of first appearance."""
        return dict(Counter(ligand.name for ligand in self.ligands))


def anatomy(atoms: Atoms, library: Library | None = None) -> Anatomy:
    """The anatomy of the cluster ``atoms`` (positions in A), its ligands named from ``library`` (default: shipped).

    The cluster is the molecule with the most metals; others are leftovers.  Raises
    :class:`~clusterml.errors.StructureError` for coordinates that cannot be a structure.
    """
    check_size(atoms)
    check_geometry(atoms)
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    molecules = connected_molecules(atoms)
    main = max(molecules, key=lambda part: int(metal[part].sum())) if metal.any() else np.zeros(0, dtype=np.int64)
    frame = metal_frame(atoms, main)
    motifs = find_motifs(numbers, np.asarray(atoms.positions, dtype=np.float64), frame)
    complexes = [part for part in molecules if metal[part].any() and part[0] != main[0]]
    named = name_ligands(atoms, library)
    elsewhere = np.concatenate([main, *complexes])
    free = [ligand for ligand in named if ligand.atoms[0] not in elsewhere]
    charge = propose_charge(atoms)
    return Anatomy(
        frame.kernel,
        frame.shells,
        frame.layers,
        frame.centre,
        motifs,
        tuple(ligand for ligand in named if ligand.atoms[0] in main),
        (*(_complex(atoms, part) for part in complexes), *free),
        charge,
        _electrons(atoms, charge),
    )


def _electrons(atoms: Atoms, proposal: ChargeProposal) -> int | None:
    """Superatom electrons at the charge that the structure states, else at the proposed one."""
    stated = atoms.info.get("charge")
    if stated is None or proposal.superatom_electrons is None:
        return proposal.superatom_electrons
    return proposal.superatom_electrons + proposal.charge - int(stated)


def _complex(atoms: Atoms, part: IntArray) -> NamedLigand:
    """Another molecule with metals, beside the cluster."""
    name = formula(atoms.numbers[part])
    charge = -propose_charge(atoms[part]).charge
    none = np.zeros(0, dtype=np.int64)
    return NamedLigand(name, name, part, none, charge, None, None, 0, "another molecule with metals")


def _union(parts: Sequence[IntArray]) -> IntArray:
    return np.unique(np.concatenate(parts)) if len(parts) else np.zeros(0, dtype=np.int64)
