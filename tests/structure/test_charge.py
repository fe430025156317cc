"""The charge taken: who wins, what is said, and what the witnesses disagree about."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import ChargeError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.superatom import propose_charge
from clusterml.structure.build.complete import complete
from clusterml.structure.build.dopants import dope
from clusterml.structure.charge import FrontierGaps, check_charge, decide_charge
from clusterml.structure.crystal.cell import cut
from clusterml.structure.crystal.molecules import fill_cell
from clusterml.structure.distort.substitute import substitute
from clusterml.structure.formats.cif import parse_cif
from clusterml.structure.inspect import inspect
from clusterml.structure.write import write_extxyz
from helpers import icosahedron


def m13(chlorides: int, *, centre: str = "Ag", flat: float = 1.0) -> Atoms:
    """A centred icosahedron of silver, ``chlorides`` on its corners, squeezed along z by the factor ``flat``."""
    shell = icosahedron(2.8)
    metals = np.concatenate([np.zeros((1, 3)), shell]) * (1, 1, flat)
    out = metals[1 : chlorides + 1]
    halides = out * (1 + 2.4 / np.linalg.norm(out, axis=1, keepdims=True))
    return Atoms([centre] + ["Ag"] * 12 + ["Cl"] * chlorides, np.concatenate([metals, halides]))


def gaps_of(values):
    return lambda atoms, charges: FrontierGaps({q: values[q] for q in charges}, "as told")


def test_a_round_kernel_closes_a_shell_and_a_flat_one_stays_neutral():
    """As Ag24Pt(SR)18, 2- with 8 electrons, and Au24Pt(SR)18, neutral with 6, whose icosahedron is flattened."""
    kernel = m13(6, centre="Pt")
    assert (propose_charge(kernel).charge, propose_charge(kernel).superatom_electrons) == (-2, 8)
    flat = propose_charge(m13(6, centre="Pt", flat=0.9))
    assert (flat.charge, flat.superatom_electrons) == (0, 6)
    assert (-2, 8) in flat.candidates
    assert "not spherical" in flat.reason


def test_ground_states_decide_where_the_count_does_not():
    flat = m13(6, centre="Pt", flat=0.9)
    assert propose_charge(flat).close == (0, -2)
    decision = decide_charge(flat, gaps=gaps_of({0: 0.6, -2: 0.7}))
    assert (decision.charge, decision.origin, decision.is_open) == (0, "superatom shells", True)
    turned = decide_charge(flat, gaps=gaps_of({0: 0.05, -2: 0.9}))
    assert (turned.charge, turned.origin, turned.is_open) == (-2, "ground state", False)
    assert turned.candidates[0] == (-2, 8, 0.9)
    assert "gaps of ground states: 0: 0.05 eV, -2: 0.90 eV" in turned.assumption
    opens = "charge -2 opens a gap of 0.90 eV and has 8 superatom electrons; the count alone proposed 0 (6 superatom"
    assert turned.reason.startswith(opens)
    assert [w.charge for w in turned.witnesses] == [0, -2]
    failed = decide_charge(flat, gaps=gaps_of({0: None, -2: None}))
    assert (failed.charge, failed.witnesses[1].charge, failed.is_open) == (0, None, True)
    assert "not converged" in failed.witnesses[1].statement


def test_nothing_is_computed_where_the_count_is_sure():
    def refuse(atoms, charges):
        raise AssertionError(charges)

    assert decide_charge(m13(6), gaps=refuse).charge == -1
    assert not decide_charge(m13(6), gaps=refuse).is_open
    assert decide_charge(m13(5), gaps=refuse).charge == 0
    stated = m13(6)
    stated.info["charge"] = 5
    assert decide_charge(stated, gaps=refuse).charge == 5


def test_a_stated_charge_wins_and_the_witnesses_are_heard():
    flat = m13(6, centre="Pt", flat=0.9)
    flat.info["charge"] = -2
    wide = decide_charge(flat, gaps=gaps_of({0: 0.7, -2: 0.6}), check=True)
    assert (wide.charge, wide.origin, wide.warnings, wide.assumption) == (-2, "file", (), "")
    narrow = decide_charge(flat, gaps=gaps_of({0: 0.7, -2: 0.02}), check=True)
    assert narrow.charge == -2
    assert "leaves hardly a gap" in narrow.warnings[0]
    chosen = decide_charge(flat, 4)
    assert (chosen.charge, chosen.origin) == (4, "option")
    assert "disagrees with the superatom shells" in chosen.warnings[0]


@pytest.fixture
def crystal_of(crystal, molecule, tmp_path):
    """A cell with a cluster and molecules, cut as a cluster and written as a file."""

    def build(cluster, *others, extra=""):
        writer = crystal("P -1", (30, 28, 29), (85, 80, 88)).add(cluster, (0.3, 0.3, 0.3))
        for seed, smiles in enumerate(others):
            writer.add_somewhere(molecule(smiles), seed)
        path = tmp_path / "cell.cif"
        path.write_text(writer.text(extra))
        return path, cut(fill_cell(parse_cif(path.read_text(), "cell"), "major", "cell"))

    return build


def test_a_crystal_with_solvent_and_no_ions_argues_for_neutral(crystal_of):
    path, atoms = crystal_of(m13(6), "Cc1ccccc1")
    decision = decide_charge(atoms)
    assert (decision.charge, decision.origin) == (0, "no counter-ions")
    assert {w.source: w.charge for w in decision.witnesses} == {"superatom count": -1, "counter-ions": 0}
    assert [q for q, _, _ in decision.candidates][:2] == [0, -1]
    assert "2 x C7H8 and no counter-ions" in decision.warnings[0]
    with pytest.raises(ChargeError, match=r"odd number: a radical.*no counter-ions.*--charge=-1"):
        check_charge(atoms, decision)
    data = inspect(path).to_dict()
    assert (data["charge"], data["charge_from"], data["superatom_electrons"]) == (0, "no counter-ions", 7)
    assert any("counter-ions and superatom shells disagree" in warning for warning in data["warnings"])
    assert data["charge_witnesses"][1]["source"] == "counter-ions"


def test_absence_says_nothing_where_ions_may_be_overlooked(crystal_of):
    _, bare = crystal_of(m13(6))
    assert decide_charge(bare).charge == -1
    assert "nothing but clusters" in decide_charge(bare).witnesses[1].statement
    _, masked = crystal_of(m13(6), "Cc1ccccc1", extra="loop_\n_platon_squeeze_void_nr\n1")
    assert decide_charge(masked).charge == -1
    _, agreed = crystal_of(m13(5), "Cc1ccccc1")
    assert (decide_charge(agreed).charge, decide_charge(agreed).warnings) == (0, ())


def test_absence_does_not_overrule_a_charge_of_several(crystal, molecule, ag29):
    writer = crystal("P -1", (44, 40, 40), (85, 80, 88)).add(ag29, (0.3, 0.3, 0.3))
    writer.add_somewhere(molecule("CN(C)C=O"), 9)
    atoms = cut(fill_cell(parse_cif(writer.text(), "x")))
    decision = decide_charge(atoms)
    assert (decision.charge, decision.origin) == (-3, "superatom shells")
    assert "disagree" in decision.warnings[0]


def test_beyond_58_electrons_neutral_is_proposed():
    """As Au133(SR)52: 81 electrons, neutral and a radical."""
    grid = np.array([(x, y, z) for x in range(5) for y in range(4) for z in range(4)], dtype=float)
    lump = Atoms(["Au"] * 80 + ["Cl"], np.concatenate([grid * 2.88, [(-2.3, 0.0, 0.0)]]))
    proposal = propose_charge(lump)
    assert (proposal.charge, proposal.superatom_electrons) == (0, 79)
    assert proposal.candidates[1:] == [(1, 78), (-1, 80)]
    assert "leaves one electron unpaired" in proposal.reason


def shell(metal: str, metals: int, hydrides: int, halides: int) -> Atoms:
    """Metals on a sphere, ligands on the first of them; a chloride stands for a thiolate or dithiophosphate."""
    k = np.arange(metals) + 0.5
    polar, turn = np.arccos(1 - 2 * k / metals), np.pi * (1 + 5**0.5) * k
    unit = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1)
    radius = 0.78 * metals**0.5 + 0.2
    out = np.repeat([1.6, 2.3], [hydrides, halides])[:, None] + radius
    symbols = [metal] * metals + ["H"] * hydrides + ["Cl"] * halides
    return Atoms(symbols, np.concatenate([radius * unit, out * unit[: hydrides + halides]]))


HYDRIDES = {
    "[Cu25H22(PPh3)12]+": (("Cu", 25, 22, 0), 1, 2),
    "[Cu28H15(S2CNR2)12]+": (("Cu", 28, 15, 12), 1, 0),
    "Cu20H11(S2P(OR)2)9": (("Cu", 20, 11, 9), 0, 0),
    "Cu32H20(S2P(OR)2)12": (("Cu", 32, 20, 12), 0, 0),
    "[Ag8H(S2P(OR)2)6]+": (("Ag", 8, 1, 6), 1, 0),
    "Ag7H(S2P(OR)2)6": (("Ag", 7, 1, 6), 0, 0),
    "Ag20(S2P(OR)2)12": (("Ag", 20, 0, 12), 0, 8),
    "[Ag21(S2P(OR)2)12]+": (("Ag", 21, 0, 12), 1, 8),
    "[Ag44(SR)30]4-": (("Ag", 44, 0, 30), -4, 18),
}


@pytest.mark.parametrize("name", HYDRIDES)
def test_the_count_of_published_hydrides_and_silver_clusters(name):
    content, charge, electrons = HYDRIDES[name]
    proposal = propose_charge(shell(*content))
    assert sum(count for count, _ in proposal.ligands.values()) == content[2] + content[3]
    assert (proposal.charge, proposal.superatom_electrons) == (charge, electrons)


@pytest.mark.parametrize("stated", ["minus one", "-1", float("nan"), float("inf"), 0.5, True, [1]])
def test_a_charge_that_is_no_whole_number_is_refused_everywhere(built, stated, tmp_path):
    cluster = built("ag3", thiolate="SH")
    core = cluster[[i for i, symbol in enumerate(cluster.symbols) if symbol in ("Ag", "S")]]
    cluster.info["charge"] = core.info["charge"] = stated
    uses = (
        lambda: propose_charge(cluster),
        lambda: anatomy(cluster),
        lambda: decide_charge(cluster),
        lambda: complete(core, thiolate="SH", carboxylate="HCOO", carboxylates=0),
        lambda: substitute(cluster, "SH", "SCH3", 1, rng=np.random.default_rng(0)),
        lambda: substitute(cluster, "SH", "SCH3", 1, rng=np.random.default_rng(0), sample=True),
        lambda: dope(cluster, rng=np.random.default_rng(0)),
        lambda: write_extxyz(cluster, tmp_path / "x.xyz"),
    )
    for use in uses:
        with pytest.raises(ChargeError, match=r"the stated charge is .*give a whole number"):
            use()
    del cluster.info["charge"]
    with pytest.raises(ChargeError, match="charge is"):
        decide_charge(cluster, stated)


def test_a_whole_charge_may_be_of_any_type_of_number(built):
    cluster = built("ag3", thiolate="SH")
    for stated in (0, 0.0, np.int64(0), np.float64(0.0)):
        cluster.info["charge"] = stated
        decision = decide_charge(cluster)
        assert (decision.charge, type(decision.charge), decision.origin) == (0, int, "file")


def test_no_superatom_electrons_are_counted_where_the_ligands_take_more_than_there_are():
    complex_ = Atoms("CuCl2", [(0, 0, 0), (2.2, 0, 0), (-2.2, 0, 0)], info={"charge": 0})  # copper(II)
    proposal = propose_charge(complex_)
    assert (proposal.charge, proposal.superatom_electrons) == (-1, 0)
    assert "the file states 0;" not in proposal.reason
    assert proposal.reason.endswith("the file states 0")
    assert anatomy(complex_).superatom_electrons is None
    four = Atoms("AgF4", 2.1 * np.array([(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)]))
    four += Atoms("F4", 2.1 * np.array([(0.6, 0.6, 0.6), (-0.6, 0.6, -0.6), (0.6, -0.6, -0.6), (-0.6, -0.6, 0.6)]))
    found = propose_charge(four)
    assert found.superatom_electrons is None
    assert "no superatom" in found.reason
    assert "superatom electrons" not in decide_charge(four).assumption


def test_a_charge_that_counter_ions_ask_for_is_not_called_the_files():
    flat = m13(6, centre="Pt", flat=0.9)
    flat.info |= {"charge": -2, "provenance": {"charge_witness": {"charge": -2, "reason": "two ions"}}}
    assert "; the counter-ions ask for -2 (8 superatom electrons)" in propose_charge(flat).reason
