"""A bare core gets its shell: the right sulfurs, one oxygen per open metal, the charge that closes the shell."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from clusterml.errors import OptionError, StructureError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.build.complete import _plan, complete
from clusterml.structure.build.contacts import find_closest_contact
from clusterml.structure.build.sites import find_bare_sulfurs, find_open_directions, find_thiolate_sulfurs


def bare(atoms):
    """Metals and sulfurs alone, in another orientation."""
    core = atoms[[i for i, s in enumerate(atoms.symbols) if s in ("Ag", "S")]]
    core.rotate(33, (1, 2, 3))
    core.positions += 4.0
    core.info = {"charge": atoms.info["charge"], "name": "core", "provenance": {"warnings": []}}
    return core


@pytest.fixture
def core(built):
    return bare(built("ag70"))


@pytest.fixture(scope="module")
def dressed(built):
    return complete(bare(built("ag70")), thiolate="SH", carboxylate="HCOO")


def test_sulfides_are_told_from_thiolates(core):
    numbers, positions = core.numbers, core.positions
    assert len(find_bare_sulfurs(numbers, positions)) == 28
    thiolates = find_thiolate_sulfurs(numbers, positions)
    assert len(thiolates) == 24
    radius = np.linalg.norm(positions - positions[numbers == 47].mean(axis=0), axis=1)
    assert radius[np.setdiff1d(find_bare_sulfurs(numbers, positions), thiolates)].max() < radius[thiolates].min()


def test_open_metals_are_the_surface(core):
    """Ag6, Ag24 and the four trigons: 42; the two inner shells and Ag12 under the thiolates have no room."""
    directions = find_open_directions(core.numbers, core.positions)
    assert len(directions) == 42
    centre = core.positions[core.numbers == 47].mean(axis=0)
    for metal, out in directions.items():
        assert out @ (core.positions[metal] - centre) > 0


def test_the_shell_of_ag70(core, dressed):
    parts = anatomy(dressed)
    assert dressed.info["name"] == "[Ag70S4(SH)24(HCOO)20]2-"
    assert parts.ligand_counts() == {"S": 4, "SH": 24, "HCOO": 20}
    assert parts.superatom_electrons == 20
    assert dressed.info["provenance"]["electrons"] == 20
    assert find_closest_contact(dressed).ratio > 0.85
    metals = dressed.positions[dressed.numbers == 47]
    np.testing.assert_array_equal(metals, core.positions[core.numbers == 47])
    assert any("choice" in w for w in dressed.info["provenance"]["warnings"])


def test_one_oxygen_on_every_open_metal(core, dressed):
    """No metal has two; bridges need neighbours, so that a few of the 42 metals go without."""
    opened = list(find_open_directions(core.numbers, core.positions))
    oxygen = dressed.positions[dressed.numbers == 8]
    near = np.linalg.norm(core.positions[opened][:, None] - oxygen[None], axis=-1) < 2.5
    counts = Counter(near.sum(axis=1).tolist())
    assert set(counts) <= {0, 1}
    assert counts[1] >= 36


def test_numbers_and_charge_go_together(core, ligand):
    """14 formates fewer leave 34 electrons at that charge; without a charge, one that closes a shell is proposed."""
    few = _plan(core, ligand("SH"), ligand("HCOO"), 42, 6, 0, None)
    assert (few.charge, few.electrons) == (-2, 34)
    del core.info["charge"]
    both = _plan(core, ligand("SH"), ligand("HCOO"), 42, None, 0, None)
    assert (both.charge, both.carboxylates, both.electrons) == (-3, 21, 20)  # 42 oxygens for 42 open metals
    assert "HCOO is a proposal" in both.proposal
    proposed = _plan(core, ligand("SH"), ligand("HCOO"), 42, 18, 0, None)
    assert (proposed.charge, proposed.electrons) == (0, 20)


@pytest.mark.parametrize(("centre", "charge"), [("Ag", -1), ("Pt", -2), ("Pd", -2), ("Cd", 0), ("Hg", 0)])
def test_a_metal_of_another_group_in_the_middle_gives_its_own_electrons(built, ligand, centre, charge):
    """As Ag25(SR)18 1-, Ag24Pt(SR)18 2- and Ag24Hg(SR)18: 8 electrons each."""
    core = bare(built("ag25"))
    middle = np.linalg.norm(core.positions - core.positions[core.numbers == 47].mean(axis=0), axis=1).argmin()
    core.symbols[middle] = centre
    core.info = {}
    plan = _plan(core, ligand("SH"), ligand("HCOO"), 42, 0, 0, None)
    assert (len(plan.sulfurs), plan.charge, plan.electrons) == (18, charge, 8)


@pytest.mark.slow
def test_the_full_shell(core):
    cluster = complete(core, thiolate="SiPr", carboxylate="CF3COO", solvent="DMF")
    assert len(cluster) == 514
    assert anatomy(cluster).ligand_counts() == {"S": 4, "SiPr": 24, "CF3COO": 20, "DMF": 3}
    assert find_closest_contact(cluster).ratio > 0.75
    oxygen = [x.donors[0] for x in anatomy(cluster).ligands if x.name == "DMF"]
    gaps = np.linalg.norm(cluster.positions[oxygen][:, None] - cluster.positions[oxygen], axis=-1)
    assert gaps.max() < 7.0  # all three on one trigon


def test_no_molecules_of_a_solvent_are_none(built):
    core = built("ag4", thiolate="SH")[[0, 1, 2, 3, 4, 6, 8, 10]]
    core.info = {"charge": 0}
    done = complete(core, thiolate="SH", carboxylate="HCOO", carboxylates=0, solvent="H2O", solvents=0)
    assert done.info["provenance"]["ligands"] == {"SH": 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thiolate": "SH", "carboxylate": "HCOO", "carboxylates": 99}, "99 carboxylates"),
        ({"thiolate": "SH", "carboxylate": "HCOO", "solvents": 3}, "no solvent is named"),
        ({"thiolate": "SH", "carboxylate": "HCOO", "solvents": -3}, r"-3 solvent.*not negative"),
        ({"thiolate": "SH", "carboxylate": "HCOO", "solvent": "DMF", "solvents": -3}, r"-3 solvent.*not negative"),
        ({"thiolate": "none", "carboxylate": "HCOO"}, "no ligand 'none'"),
        ({"thiolate": "SH", "carboxylate": "DMF"}, "no negative charge"),
        ({"thiolate": "SH", "carboxylate": "HCOO", "solvent": "DMF", "solvents": 60}, "60 solvent"),
        ({"thiolate": "SH", "carboxylate": "HCOO", "seed": -1}, "seed is -1"),
    ],
)
def test_wishes_that_cannot_be_met(core, options, message):
    with pytest.raises(OptionError, match=message):
        complete(core, **options)


def test_what_is_no_bare_core(built):
    with pytest.raises(StructureError, match="neither metal nor bare sulfur"):
        complete(built("ag12"), thiolate="SH", carboxylate="HCOO", carboxylates=2)
    metals = built("ag12")[:12]
    with pytest.raises(StructureError, match="no sulfur"):
        complete(metals, thiolate="SH", carboxylate="HCOO", carboxylates=2)
