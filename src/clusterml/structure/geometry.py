"""Elements and positions of a structure as a key, for results that are computed once and remembered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.io.files import sha256

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Geometry:
    """Atomic numbers (int64) and positions (float64, A) as bytes; equal for equal geometries."""

    numbers: bytes
    positions: bytes

    @classmethod
    def of(cls, atoms: Atoms) -> Geometry:
        """The geometry of ``atoms``; charge, name and history are not part of it."""
        return cls(
            np.asarray(atoms.numbers, dtype=np.int64).tobytes(), np.asarray(atoms.positions, dtype=np.float64).tobytes()
        )

    @property
    def atoms(self) -> Atoms:
        """The structure, without charge, name and history."""
        from ase import Atoms

        return Atoms(np.frombuffer(self.numbers, dtype=np.int64), np.frombuffer(self.positions).reshape(-1, 3))


def digest_of(atoms: Atoms, settings: object) -> str:
    """A hash of a geometry, whose positions are rounded to 1e-5 A, and of ``settings``, values that JSON can hold."""
    places = np.rint(1e5 * atoms.positions).astype(np.int64)
    numbers = atoms.numbers.astype(np.int64)
    return sha256(numbers.tobytes() + places.tobytes() + json.dumps(settings, sort_keys=True).encode())
