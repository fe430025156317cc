"""What the objects of the Python functions look like in an interpreter: one line that fits on a screen."""

from __future__ import annotations

import json
from pathlib import Path

from ase import Atoms

import clusterml

DATA = Path(__file__).parent / "data" / "engine" / "agsch3.json"


def test_reprs_are_one_short_line():
    data = json.loads(DATA.read_text())
    atoms = Atoms(data["symbols"], data["xyz_angstrom"], info={"charge": 0, "name": "agsch3"})
    label = repr(clusterml.label(atoms, emax_ev=4.0))
    assert label.startswith("Label(agsch3: AgCH3S, charge 0; GFN1-xTB, gap ")
    assert repr(clusterml.anatomy(atoms)) == "Anatomy(metals 1, 1 SCH3, 0 superatom electrons)"
    report = repr(clusterml.chirality_report(atoms, template=None, groups=["Cs"]))
    assert report.startswith("ChiralityReport(agsch3: AgCH3S; ccm ")
    assert all(len(text) < 250 and "\n" not in text for text in (label, report))
    assert "array" not in label + report


def test_an_inspection_is_one_line(tmp_path):
    data = json.loads(DATA.read_text())
    Atoms(data["symbols"], data["xyz_angstrom"]).write(tmp_path / "x.xyz", comment="charge=0")
    found = repr(clusterml.inspect(tmp_path / "x.xyz"))
    assert found == "Inspection(x: AgCH3S, charge 0 from file; Anatomy(metals 1, 1 SCH3, 0 superatom electrons))"
