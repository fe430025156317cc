"""Records with orbitals of PBE: their spectra, those of other orbitals of the same geometry, and how far these are."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from ase import Atoms

from clusterml.dataset.record import GRID_EV, Record
from clusterml.dataset.shards import open_shard
from clusterml.dataset.store import Dataset
from clusterml.engine.orbitals.cp2k import molden_file
from clusterml.engine.orbitals.molden import molden_orbitals
from clusterml.engine.orbitals.orbitals import Orbitals
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response.contour import contour_spectra
from clusterml.spectrum.fit import cosine
from clusterml.structure.formats.molden import read_molden
from clusterml.training.targets import broadening_matrix
from clusterml.typing import FloatArray

AXIS_EV: FloatArray = np.arange(60, 221) / 50.0
"""Energies at which spectra are compared: 1.2 to 4.4 eV."""
WIDTH_EV = 0.3
"""Width of their bands."""
_REACH_EV = 4.8
_CHIRAL = 2e-5
"""Largest CD, as a share of the largest absorption, from which on a record is chiral."""
_ANISOTROPIC = 0.05
"""Largest deviation of the absorption tensor from its mean, as a share of it, from which on directions differ."""
_STRONG = 0.3
"""Bands of at least this share of the strongest are strong."""


@dataclass(frozen=True)
class Curves:
    """Absorption and CD (m,) on :data:`AXIS_EV`, the CD tensor (m, 3, 3), and the gap in eV."""

    absorption: FloatArray
    cd: FloatArray
    cd_tensor: FloatArray
    gap_ev: float

    @classmethod
    def of(cls, orbitals: Orbitals) -> Curves:
        """Those of the engine's response."""
        response = contour_spectra(orbitals, Protocol(emax_ev=_REACH_EV, fwhm_ev=WIDTH_EV), Compute())
        spectrum, tensors = response.broaden(AXIS_EV, WIDTH_EV), response.broaden_tensors(AXIS_EV, WIDTH_EV)
        return cls(spectrum.epsilon, spectrum.delta_epsilon, tensors[1], orbitals.gap_ev)

    @property
    def first_band(self) -> float:
        """Energy in eV of the first strong maximum of the absorption; NaN without one."""
        a = self.absorption
        peaks = np.flatnonzero((a[1:-1] > a[:-2]) & (a[1:-1] >= a[2:]) & (a[1:-1] > _STRONG * a.max())) + 1
        return float(AXIS_EV[peaks[0]]) if len(peaks) else float("nan")


@dataclass(frozen=True, eq=False)
class Reference:
    """A record, and the Molden file of its orbitals."""

    record: Record
    file: Path

    @property
    def name(self) -> str:
        """Id of the record."""
        return self.record.id

    @property
    def family(self) -> str:
        """Cluster that it is a geometry of, up to ligands."""
        return self.record.family

    @cached_property
    def atoms(self) -> Atoms:
        """The geometry."""
        return Atoms(self.record.numbers, self.record.positions)

    @property
    def orbitals(self) -> Orbitals:
        """Those of PBE, read from the file."""
        return molden_orbitals(read_molden(gzip.decompress(self.file.read_bytes()).decode(), str(self.file)), ax=0.0)

    @cached_property
    def chiral(self) -> bool:
        """Has it a CD worth comparing?"""
        return float(np.abs(self.record.delta_epsilon).max()) > _CHIRAL * float(self.record.epsilon.max())

    @cached_property
    def oriented(self) -> bool:
        """Has it a CD that depends on the direction, as achiral molecules of low symmetry have?"""
        absorption, largest = self.record.absorption_tensor, float(self.record.epsilon.max())
        mean = np.trace(absorption, axis1=1, axis2=2)[:, None, None] / 3.0
        anisotropic = np.abs(absorption - mean * np.eye(3)).max() > _ANISOTROPIC * mean.max()
        return bool(anisotropic) and float(np.abs(self.record.rotatory_tensor).max()) > 5.0 * _CHIRAL * largest

    @cached_property
    def curves(self) -> Curves:
        """Those of the record."""
        matrix = broadening_matrix(GRID_EV, WIDTH_EV)[np.searchsorted(GRID_EV, AXIS_EV - 1e-6)]
        columns = self.record.epsilon, self.record.delta_epsilon, self.record.rotatory_tensor
        a, cd, tensor = (np.tensordot(matrix, np.asarray(c, dtype=np.float64), 1) for c in columns)
        return Curves(a, cd, tensor, float(self.record.gap_ev))


def references(folders: Sequence[Path]) -> Iterator[Reference]:
    """Records of campaigns, packed or finished a moment ago, whose orbitals lie in ``checkpoints``."""
    seen: set[str] = set()
    for folder in folders:
        records = list(Dataset(folder)) if (folder / "index.json").exists() else []
        staged = sorted((folder / "staging").glob("*.h5"))
        records += [open_shard(path).record(0) for path in staged if path.stem not in {r.id for r in records}]
        for record in records:
            atoms = Atoms(record.numbers, record.positions)
            file = molden_file(folder / "checkpoints", atoms, record.charge)
            if record.id not in seen and file.exists():
                seen.add(record.id)
                yield Reference(record, file)


def likeness(a: FloatArray, b: FloatArray) -> float:
    """Cosine of two curves or tensors; 0 if one of them vanishes."""
    value = cosine(a.ravel(), b.ravel())
    return 0.0 if math.isnan(value) else value


def deviator(tensor: FloatArray) -> FloatArray:
    """``tensor`` (m, 3, 3) without its trace."""
    return np.asarray(tensor - np.trace(tensor, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3.0)
