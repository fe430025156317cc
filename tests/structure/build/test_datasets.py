"""The shipped models are what their card says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.fans import assign_fan_hand
from clusterml.structure.build.contacts import find_closest_contact, measure_bond_ranges
from clusterml.structure.build.operations import find_operations
from clusterml.structure.read import read

FOLDER = Path(__file__).resolve().parents[3] / "datasets" / "structures"
FILES = sorted(FOLDER.glob("*.xyz"))
OTHER_HAND = {"R": "S", "M": "P"}


def test_every_system_is_there():
    stems = {path.stem for path in FILES}
    small = ("ag12_", "ag25_", "ag29_bdt_ph3_", "ag29_bdta_ph3_", "ag32_", "ag33_", "ag70_td_", "ag70_t_")
    full = ("ag29_bdt_pph3_", "ag70_sipr_tfa20_dmf3_", "ag70_sipr_tfa12_R-tfl8", "ag70_sipr_tfa12_S-tfl8")
    for system in small + full:
        assert any(stem.startswith(system) for stem in stems), system


def test_the_card_lists_every_file():
    card = (FOLDER / "README.md").read_text()
    assert [path.name for path in FILES if f"`{path.name}`" not in card] == []
    assert "model, not a crystal structure" in card


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_composition_charge_and_contacts(path):
    atoms = read(path)
    history = atoms.info["provenance"]
    parts = anatomy(atoms)
    assert "model, not crystal" in history["model"]
    assert "GFN1-xTB" in history["level"] or history["level"] == "as built, not relaxed"
    counts = parts.ligand_counts()
    counts.pop("S", None)
    assert counts == history["ligands"]
    assert not parts.leftovers
    assert parts.superatom_electrons == history["electrons"]
    assert find_closest_contact(atoms).ratio > 0.72
    ranges = measure_bond_ranges(atoms)
    assert ranges["Ag-Ag"].shortest > 2.70
    assert 2.38 < ranges["Ag-S"].shortest < 2.60


@pytest.mark.parametrize("path", [p for p in FILES if p.stem[-2:] in ("_R", "_M")], ids=lambda path: path.stem)
def test_the_other_hand_is_the_mirror_image(path):
    stem = path.stem[:-1] + OTHER_HAND[path.stem[-1]]
    cluster, enantiomer = read(path), read(path.with_stem(stem.replace("S-tfl", "R-tfl")))
    assert cluster.get_chemical_symbols() == enantiomer.get_chemical_symbols()
    np.testing.assert_allclose(cluster.positions[:, [1, 0, 2]], enantiomer.positions, atol=1e-7)


@pytest.mark.parametrize("path", [p for p in FILES if p.stem[-2:] in ("_R", "_S")], ids=lambda path: path.stem)
def test_hands_follow_the_fans(path):
    assert assign_fan_hand(read(path)) == path.stem[-1] == read(path).info["provenance"]["hand"]


@pytest.mark.parametrize(("stem", "order"), [("ag70_td_cl4", 24), ("ag70_td_hcoo20", 8), ("ag70_t_cl4_P", 12)])
def test_symmetry(stem, order):
    operations = find_operations(read(FOLDER / f"{stem}.xyz"), tolerance=0.005)
    assert len(operations) == order
    assert (np.linalg.det(operations.matrices) < 0).any() == ("td" in stem)
