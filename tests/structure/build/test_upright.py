"""Ligands whose lone pair lies on their axis stand on their metal in line with it."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.structure.anatomy.library import load_library
from clusterml.structure.bonds import bonds, neighbours
from clusterml.structure.build.build import build
from clusterml.structure.build.conformers import find_conformers
from clusterml.structure.distort.substitute import substitute
from clusterml.structure.elements import is_metal


def angles_at(atoms: Atoms, element: int) -> np.ndarray:
    """Angles (degrees) metal-donor-neighbour at every donor of an ``element`` with one metal, a row for each."""
    table = neighbours(len(atoms), bonds(np.asarray(atoms.numbers, dtype=np.int64), atoms.positions))
    metal = is_metal(np.asarray(atoms.numbers))
    rows = []
    for donor in np.flatnonzero(atoms.numbers == element).tolist():
        held = [j for j in table[donor] if metal[j]]
        if len(held) == 1:
            arms = [atoms.positions[j] - atoms.positions[donor] for j in table[donor] if not metal[j]]
            back = atoms.positions[held[0]] - atoms.positions[donor]
            cosines = [arm @ back / np.linalg.norm(arm) / np.linalg.norm(back) for arm in arms]
            rows.append(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))))
    return np.array(rows)


@pytest.mark.parametrize(("name", "element", "angle"), [("IMe", 6, 126), ("CO", 6, 180), ("pyridine", 7, 122)])
def test_terminal_donors_stand_in_line_with_their_lone_pair(name, element, angle):
    for atoms, count in ((build("ag1", phosphine=name), 2), (build("ag29", thiolate="SH", phosphine=name), 4)):
        found = angles_at(atoms, element)
        assert len(found) == count
        assert found == pytest.approx(angle, abs=1.0)


def test_a_substituted_carbene_stands_as_a_built_one_does():
    atoms = substitute(build("ag29", thiolate="SH"), "PH3", "IiPr", rng=np.random.default_rng(0), problems="warn")
    assert angles_at(atoms, 6) == pytest.approx(126.0, abs=1.0)


def test_a_carbene_has_the_ring_of_its_ion_however_it_is_written(tmp_path):
    (tmp_path / "own.yaml").write_text('ligands:\n  own: {smiles: "CN1C=CN(C)[C]1", donors: [6], charge: 0}\n')
    for entry in (load_library().entry("IMe"), load_library(tmp_path / "own.yaml").entry("own")):
        shapes = find_conformers(entry)
        donor = int(shapes.donors[0])
        arms = shapes.positions[0][shapes.neighbours(donor)] - shapes.positions[0][donor]
        assert np.linalg.norm(arms, axis=1) == pytest.approx(1.34, abs=0.02)
        cosine = arms[0] @ arms[1] / np.prod(np.linalg.norm(arms, axis=1))
        assert np.degrees(np.arccos(cosine)) == pytest.approx(107.5, abs=1.5)
