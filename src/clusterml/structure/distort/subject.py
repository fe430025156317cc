"""The cluster that is distorted: its frame, ligands and motifs, each determined once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import OptionError
from clusterml.structure.anatomy.ligands import Ligand, find_ligands
from clusterml.structure.bonds import AtomPairs, bonds, neighbours
from clusterml.structure.check import check_geometry
from clusterml.structure.distort.modes import MODES, Mode
from clusterml.structure.elements import is_metal
from clusterml.structure.points import index_of_least
from clusterml.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.anatomy import Anatomy, Motif

MOTIF_KINDS = ("staple", "crown", "trigon")
"""The kinds of motif the anatomy tells apart."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A parent structure and its properties that distortions need; make one per structure and reuse it.

    The frame is the metals and the donors (non-metals bonded to a metal); all other atoms belong to ligands (or to
    solvent and ions, which are treated as ligands without donors) and follow it.
    """

    atoms: Atoms

    def __post_init__(self) -> None:
        check_geometry(self.atoms)

    @cached_property
    def numbers(self) -> IntArray:
        """Atomic numbers ``(n,)``."""
        return np.asarray(self.atoms.numbers, dtype=np.int64)

    @cached_property
    def positions(self) -> FloatArray:
        """Positions ``(n, 3)`` in A."""
        return np.array(self.atoms.positions, dtype=np.float64)

    @cached_property
    def metal(self) -> BoolArray:
        """Which atoms ``(n,)`` are metals of the frame."""
        return is_metal(self.numbers)

    @cached_property
    def pairs(self) -> AtomPairs:
        """The bonds."""
        return bonds(self.numbers, self.positions)

    @cached_property
    def bonded(self) -> list[list[int]]:
        """For each atom the sorted indices of those bonded to it."""
        return neighbours(len(self.numbers), self.pairs)

    @cached_property
    def ligands(self) -> list[Ligand]:
        """Ligands, solvent and ions: every atom that is no metal belongs to exactly one."""
        return find_ligands(self.atoms)

    @cached_property
    def donors(self) -> IntArray:
        """Indices of all donors, ascending."""
        donors = [ligand.donors for ligand in self.ligands]
        return np.sort(np.concatenate(donors)) if donors else np.zeros(0, dtype=np.int64)

    def metals_of(self, atom: int) -> list[int]:
        """The metals bonded to ``atom``."""
        return [j for j in self.bonded[atom] if self.metal[j]]

    @cached_property
    def centre(self) -> FloatArray:
        """Mean position ``(3,)`` of the metals (of all atoms if there are none), in A."""
        chosen = self.positions[self.metal] if self.metal.any() else self.positions
        return np.asarray(chosen.mean(axis=0))

    @cached_property
    def anatomy(self) -> Anatomy:
        """Kernel, shells and motifs."""
        from clusterml.structure.anatomy.anatomy import anatomy

        return anatomy(self.atoms)

    def motifs(self, kinds: tuple[str, ...] = MOTIF_KINDS) -> list[Motif]:
        """The motifs of the given kinds."""
        if not self.metal.any():
            return []
        return [motif for motif in self.anatomy.motifs if motif.kind in kinds]

    def has(self, mode: Mode) -> bool:
        """Can this cluster be distorted by ``mode``?"""
        if mode.needs:
            return bool(self.motifs(mode.needs))
        if mode.name == "core-shell-twist":
            return bool(self.metal.sum() > 1) and 0 < len(self.anatomy.kernel) < int(self.metal.sum())
        return True

    def available(self) -> list[Mode]:
        """The modes this cluster has."""
        return [mode for mode in MODES.values() if self.has(mode)]

    def require(self, mode: Mode) -> None:
        """Raise :class:`OptionError` if the cluster lacks what ``mode`` needs, naming it and the modes there are."""
        if self.has(mode):
            return
        missing = " or ".join(f"{kind}s" for kind in mode.needs) if mode.needs else "kernel inside a shell of metals"
        name = self.atoms.info.get("name") or self.atoms.get_chemical_formula()
        raise OptionError(
            f"mode {mode.name} needs {missing}, and {name} has none",
            f"modes of this cluster: {', '.join(m.name for m in self.available())}",
        )


def axis_of(subject: Subject, axis: FloatArray | None = None) -> FloatArray:
    """Unit vector ``(3,)`` of a twist or shear: the given one, else the first motif's, else a principal axis.

    The principal axis is that of the metals (of all atoms without metals) with the largest moment of inertia; its
    largest component is positive.  Where several are equally good it is the one nearest to x, else y, else z.  Raises
    :class:`OptionError` for a vector without direction.
    """
    if axis is not None:
        vector = np.asarray(axis, dtype=np.float64)
        if vector.shape != (3,) or not np.all(np.isfinite(vector)) or np.linalg.norm(vector) < 1e-6:
            raise OptionError(f"axis is {axis}", "give three numbers that are not all zero")
        return np.asarray(vector / np.linalg.norm(vector))
    motifs = subject.motifs()
    if motifs:
        return np.asarray(motifs[0].axis, dtype=np.float64)
    chosen = subject.positions[subject.metal] if subject.metal.any() else subject.positions
    spread = (chosen - chosen.mean(axis=0)).T @ (chosen - chosen.mean(axis=0))
    values, vectors = np.linalg.eigh(spread)
    equal = vectors[:, values <= values[0] + 1e-6 * values[-1]]  # of these eigh may give any mixture
    shares = equal @ equal.T  # column k: what of axis k lies among them
    vector = shares[:, int(np.argmax(np.linalg.norm(shares, axis=0) > 0.5))]
    vector = vector / np.linalg.norm(vector)
    return vector * np.sign(vector[index_of_least(-np.abs(vector))])
