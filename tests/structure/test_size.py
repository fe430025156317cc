"""Structures that are too large for what grows with the square of their atoms are refused before it is tried."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.engine.label import label
from clusterml.errors import StructureError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.check import MOST_ATOMS


@pytest.mark.parametrize("work", [anatomy, label])
def test_a_structure_too_large_is_refused(work):
    grid = np.stack(np.meshgrid(*[np.arange(28)] * 3), axis=-1).reshape(-1, 3)[:20_000]
    atoms = Atoms(np.full(len(grid), 47), grid * 2.88)
    with pytest.raises(StructureError, match=f"20000 atoms, and at most {MOST_ATOMS}"):
        work(atoms)
