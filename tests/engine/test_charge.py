"""Gaps of ground states as a witness of the charge, and the charge that a label advises."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

import clusterml as cm
from clusterml.engine import charge as module
from clusterml.engine.charge import frontier_gaps, gap_advice, inspect, resolve_charge
from clusterml.engine.label import label
from clusterml.engine.orbitals.gfn import gfn_orbitals
from clusterml.errors import ChargeError, ElectronicStructureError
from clusterml.structure.read import read
from clusterml.structure.write import write_extxyz

TETRAHEDRON = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) * 2.75 / 8**0.5
TWO_ELECTRONS = Atoms("Ag4H2", np.concatenate([TETRAHEDRON, TETRAHEDRON[:2] * (1 + 1.62 / 1.684)]))
"""A silver tetrahedron with two terminal hydrides: neutral with two superatom electrons, like Ag14(SR)12(PR3)8."""
BRIDGES = Atoms("Ag2HAg2H", [(0, -1.4, 0), (0, 1.4, 0), (1.0, 0, 0), (3.3, -1.4, 0), (3.3, 1.4, 0), (4.3, 0, 0)])
"""Two cations [Ag2H]+ side by side: 2+ together, with no superatom electron; by the count neutral, with two."""


def test_gaps_are_those_of_the_orbitals():
    found = frontier_gaps(TWO_ELECTRONS, (0, 2))
    for charge, gap in found.gaps_ev.items():
        assert gap == pytest.approx(gfn_orbitals(TWO_ELECTRONS, charge).raw_gap_ev, abs=0.03)
    assert found.gaps_ev[0] > 0.8
    assert found.gaps_ev[2] < 0.2


def test_the_widest_gap_confirms_or_corrects_the_count():
    kept = resolve_charge(TWO_ELECTRONS, None)
    assert (kept.charge, kept.origin) == (0, "superatom shells")
    turned = resolve_charge(BRIDGES, None)
    assert (turned.charge, turned.origin) == (2, "ground state")
    assert "alternatives: 0 (2 superatom electrons)" in turned.assumption


def test_what_is_too_large_or_unknown_is_said_and_not_computed(monkeypatch):
    assert frontier_gaps(Atoms("Ag4Fr", [*TETRAHEDRON, (0, 0, 9)]), (0,)).gaps_ev == {}
    monkeypatch.setattr(module, "MOST_FUNCTIONS", 10)
    large = TWO_ELECTRONS.copy()
    large.positions += 1.0  # not the one remembered
    found = frontier_gaps(large, (0, 2))
    assert found.gaps_ev == {}
    assert found.note == "too large: 40 basis functions, at most 10"
    assert resolve_charge(large, None).charge == 0


def test_a_label_without_a_gap_names_the_charge_that_opens_it(monkeypatch):
    wrong = label(TWO_ELECTRONS, 2, emax_ev=4.0, advise=True)
    assert any("another charge would open the gap: 0 (1.0" in w and "--charge=0" in w for w in wrong.warnings)
    silent = label(TWO_ELECTRONS, 2, emax_ev=4.0)
    assert not any("another charge" in w for w in silent.warnings)
    monkeypatch.setattr(module, "MOST_FUNCTIONS", 10)
    large = TWO_ELECTRONS.copy()
    large.positions += 2.0  # not the one remembered
    assert gap_advice(large, 2) == ""


def test_inspect_label_and_predict_agree(tmp_path):
    path = write_extxyz(Atoms(BRIDGES.symbols, BRIDGES.positions, info={"name": "bridges"}), tmp_path / "bridges.xyz")
    seen = inspect(path, allow_several=True).to_dict()
    assert (seen["charge"], seen["charge_from"]) == (2, "ground state")
    assert seen["charge_candidates"][0]["gap_ev"] > 1.0
    found = label(BRIDGES, emax_ev=4.0, allow_several=True)
    assert found.decision.to_dict() == {key: seen[key] for key in found.decision.to_dict()}


def test_an_odd_number_of_electrons_is_refused():
    with pytest.raises(ChargeError, match=r"odd number.*likely charges: 0, \+2"):
        resolve_charge(TWO_ELECTRONS, 1)


@pytest.mark.parametrize("name", ["au18.xyz", "au18h14.xyz"])
def test_clusters_with_four_electrons_are_neutral(shared, name):
    path = shared / "cases" / "charge" / name
    if not path.is_file():
        pytest.skip("no such case")
    data = inspect(path).to_dict()
    assert (data["charge"], data["superatom_electrons"]) == (0, 4)
    assert data["charge_candidates"][0]["gap_ev"] > 0.9
    assert {"charge": 2, "superatom_electrons": 2, "gap_ev": pytest.approx(0.1, abs=0.06)} in data["charge_candidates"]


def test_the_au25_crystal_with_solvent_alone_is_neutral(shared):
    path = shared / "structures" / "cif" / "Au25_PET18_COD1540567.cif"
    if not path.is_file():
        pytest.skip("no such crystal")
    data = inspect(path).to_dict()
    assert (data["charge"], data["charge_from"], data["superatom_electrons"]) == (0, "no counter-ions", 7)
    assert {"charge": -1, "superatom_electrons": 8} in data["charge_candidates"]
    with pytest.raises(ChargeError, match=r"a radical.*--charge=-1"):
        resolve_charge(read(path), None)


def test_the_gaps_do_not_depend_on_what_was_asked_before(molecule):
    """The dianion has two self-consistent states; from the charges of the dication the cycles reach the wrong one."""
    atoms = molecule("agsch3")
    atoms.positions += 0.05 * np.random.default_rng(3).normal(size=(6, 3))
    alone = {charge: frontier_gaps(atoms, [charge]).gaps_ev[charge] for charge in (-2, 2)}
    assert frontier_gaps(atoms, [2, -2]).gaps_ev == pytest.approx(alone, abs=1e-3)
    assert frontier_gaps(atoms, [-2, 2]).gaps_ev == pytest.approx(alone, abs=1e-3)
    assert alone[-2] > 0.5


@pytest.mark.parametrize(("symbol", "charge"), [("He", 0), ("F", -1)])
def test_an_atom_without_empty_orbitals_has_no_gap(symbol, charge):
    assert frontier_gaps(Atoms(symbol), [charge]).gaps_ev == {charge: None}
    with pytest.raises(ElectronicStructureError, match="no virtual orbital"):
        cm.label(Atoms(symbol), charge=charge, advise=True)
