from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import StructureError
from clusterml.structure.distort.apply import distort
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.verify import compare, settle


def moved(subject: Subject, atom: int, shift) -> np.ndarray:
    positions = subject.positions.copy()
    positions[atom] += shift
    return positions


def test_the_parent_is_fine(td, ag29):
    for subject in (td, ag29):
        assert compare(subject, subject.positions) == compare(subject, subject.positions + 5.0)
        assert compare(subject, subject.positions).wrong == ()
        assert compare(subject, subject.positions).notes == ()


def test_a_torn_bond_is_named_with_its_length(thiol):
    sulfur = int(np.flatnonzero(thiol.numbers == 16)[0])
    hydrogen = next(j for j in thiol.bonded[sulfur] if thiol.numbers[j] == 1)
    direction = thiol.positions[hydrogen] - thiol.positions[sulfur]
    findings = compare(thiol, moved(thiol, hydrogen, direction))
    assert len(findings.wrong) == 1
    assert "is broken (2." in findings.wrong[0]
    assert f"H{hydrogen + 1}" in findings.wrong[0]
    with pytest.raises(StructureError, match=f"case: covalent bond .*H{hydrogen + 1}"):
        settle(findings, "case", "error")
    assert settle(findings, "case", "warn")[0].startswith("case: covalent bond")


def test_atoms_too_close_are_named(td):
    silver = [i for i in range(len(td.numbers)) if td.metal[i]]
    first = silver[0]
    second = next(j for j in td.bonded[first] if td.metal[j])
    half = 0.5 * (td.positions[second] - td.positions[first])
    distance = np.linalg.norm(half)
    findings = compare(td, moved(td, first, half))
    assert f"Ag{first + 1}-Ag{second + 1} ({distance:.2f} A, was {2 * distance:.2f})" in findings.wrong[0]
    assert "are too close" in findings.wrong[0]


def test_a_detached_ligand_is_an_error():
    """Linear S-Ag-S: a thiolate pulled off its metal."""
    atoms = Atoms("AgSHSH", [[0, 0, 0], [2.4, 0, 0], [2.7, 1.3, 0], [-2.4, 0, 0], [-2.7, -1.3, 0]])
    subject = Subject(atoms)
    off = subject.positions.copy()
    off[1:3, 0] += 1.0
    assert compare(subject, off).wrong == ("Ag1-S2 (3.40 A, was 2.40) are torn apart",)


def test_a_cluster_that_falls_apart_is_an_error_and_a_lost_bridge_a_note(ag29):
    """Of a stretched metal-donor bond it counts whether the rest still holds the cluster together."""
    two = Atoms("AgSHSH", [[0, 0, 0], [2.4, 0, 0], [2.7, 1.3, 0], [-2.4, 0, 0], [-2.7, -1.3, 0]])
    subject = Subject(two)
    strained = subject.positions.copy()
    strained[1:3, 0] += 0.6
    text = "the cluster falls into 2 molecules: Ag1-S2 (3.00 A, was 2.40) were what held it together"
    assert compare(subject, strained).wrong == (text,)
    bridge = next(i for i in ag29.donors if ag29.numbers[i] == 16 and len(ag29.metals_of(i)) == 3)
    group = [bridge, *(j for j in ag29.bonded[bridge] if ag29.numbers[j] == 1)]
    metals = sorted(ag29.metals_of(bridge), key=lambda m: np.linalg.norm(ag29.positions[m] - ag29.positions[bridge]))
    line = ag29.positions[bridge] - ag29.positions[metals[-1]]
    off = ag29.positions.copy()
    off[group] += line * (3.0 / np.linalg.norm(line) - 1.0)
    findings = compare(ag29, off)
    assert findings.wrong == ()
    assert "metal-donor bonds lost" in findings.notes[0]


def test_a_metal_that_bonds_to_no_donor_is_an_error():
    atoms = Atoms(
        "AgSCH3", [[0, 0, 0], [2.4, 0, 0], [3.0, 1.7, 0], [2.5, 2.2, 0.88], [2.5, 2.2, -0.88], [4.05, 1.9, 0]]
    )
    subject = Subject(atoms)
    bent = subject.positions.copy()
    bent[2:] += [-1.4, -0.03, 0.0]  # the methyl group leans over to the silver atom
    assert compare(subject, bent).wrong == ("Ag1-C3 (2.31 A, was 3.45) have become bonded",)


def test_coordinates_that_are_not_numbers(thiol):
    assert compare(thiol, moved(thiol, 0, np.nan)).wrong == ("coordinates are not finite numbers",)


def test_distort_raises_or_warns(td):
    with pytest.raises(StructureError, match=r"core-shell-twist \+40 deg: .* A, was .*\(choose a smaller amount"):
        distort(td, "core-shell-twist", 40.0)
    frame = distort(td, "core-shell-twist", 40.0, problems="warn")
    assert any("A, was" in text for text in frame.info["provenance"]["warnings"])


def test_composition_and_charge_are_kept(td):
    frame = distort(td, "trigon-rotation", 8.0)
    assert np.array_equal(frame.numbers, td.numbers)
    assert frame.info["charge"] == td.atoms.info["charge"]
