"""Ligands that lack hydrogens: what is asked, what is counted, and what is no fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import ChargeError
from clusterml.structure.anatomy.incomplete import count_ligands
from clusterml.structure.anatomy.superatom import propose_charge
from clusterml.structure.bonds import bonds, neighbours
from clusterml.structure.build.build import build
from clusterml.structure.build.sites import site_on
from clusterml.structure.charge import check_charge, decide_charge
from clusterml.structure.distort.substitute import substitute
from clusterml.structure.read import read

STRUCTURES = Path(__file__).resolve().parents[3] / "datasets" / "structures"


def bare(atoms: Atoms, element: int, count: int) -> Atoms:
    """``atoms`` without ``count`` of the hydrogens on their first atom of an ``element`` that has any."""
    table = neighbours(len(atoms), bonds(np.asarray(atoms.numbers, dtype=np.int64), atoms.positions))
    lost = next(
        hydrogens[:count]
        for i in range(len(atoms))
        if atoms.numbers[i] == element and len(hydrogens := [j for j in table[i] if atoms.numbers[j] == 1]) >= count
    )
    less = atoms.copy()
    del less[lost]
    less.info = {}
    return less


@pytest.mark.parametrize(
    ("name", "element", "count", "charge", "words"),
    [
        ("ag29_sh_ph3_S", 15, 1, -3, "H2P is uncertain, counted 0: 1 hydrogen fewer than 3 x PH3; is one missing?"),
        ("ag29_sh_ph3_S", 15, 2, -3, "HP is uncertain, counted 0: 2 hydrogens fewer than 3 x PH3; are they missing?"),
        ("ag29_sh_ph3_S", 15, 3, -3, "P is uncertain, counted 0: 3 hydrogens are missing, taken for PH3"),
        ("ag29_sh_ph3_S", 16, 1, -3, "S is uncertain, counted -1: 1 hydrogen fewer than 23 x SH; is one missing?"),
        ("ag25_sch3", 6, 1, -1, "CH2S is uncertain, counted -1: 1 hydrogen fewer than 17 x SCH3; is one missing?"),
        ("ag29_bdt_ph3_S", 6, 1, -3, "C6H3S2 is uncertain, counted -2: 1 hydrogen is missing, taken for BDT"),
    ],
)
def test_a_ligand_that_lacks_hydrogens_is_counted_as_if_it_had_them(name, element, count, charge, words):
    proposal = propose_charge(bare(read(STRUCTURES / f"{name}.xyz"), element, count))
    assert (proposal.charge, proposal.superatom_electrons, proposal.missing_hydrogens) == (charge, 8, count)
    assert proposal.close == ()
    (warning,) = proposal.warnings
    assert words in warning
    assert proposal.incomplete == proposal.warnings


def test_a_lost_hydrogen_is_named_where_the_electrons_do_not_pair():
    lost = bare(read(STRUCTURES / "ag29_sh_ph3_S.xyz"), 15, 1)
    for stated in (None, -3):
        decision = decide_charge(lost, stated)
        assert any("is one missing?" in warning for warning in decision.warnings)
        with pytest.raises(ChargeError, match=r"an odd number: the ligands lack 1 hydrogen \(complete the ligands"):
            check_charge(lost, decision)


def with_ligand(metals: list[int], symbols: str, positions: list[tuple[float, float, float]]) -> Atoms:
    """Two terminal PH3 on a pair of silver atoms, and a further ligand on the ``metals``; its first atom binds."""
    frame = Atoms("Ag2", [(0.0, 0.0, 0.0), (0.0, 0.0, 2.9)])
    ends = [((0.0, 0.0, -2.42), -1.0), ((0.0, 0.0, 5.32), 1.0)]
    for place, side in ends:
        around = np.array([(1.2, 0, 0.6 * side), (-0.6, 1.05, 0.6 * side), (-0.6, -1.05, 0.6 * side)])
        frame += Atoms("PH3", np.concatenate([[place], around + place]))
    site = site_on(frame.numbers, frame.positions, np.array(metals), np.array([0.0, 1.0, 0.0]), 15)
    return frame + Atoms(symbols, np.array(positions) + site.donors[0])


PHOSPHIDE = [(0.0, 0.0, 0.0), (1.1, 0.9, 0.0), (-1.1, 0.9, 0.0)]


def test_a_bridging_phosphide_is_no_fault_and_a_terminal_one_is():
    bridging, terminal = with_ligand([0, 1], "PH2", PHOSPHIDE), with_ligand([0], "PH2", PHOSPHIDE)
    assert count_ligands(bridging).missing == 0
    assert count_ligands(terminal).missing == 1


def test_an_acid_and_its_anion_are_a_legal_pair():
    acid = build("ag29", dithiolate="BDTA")
    mixed = substitute(acid, "BDTA", "BDTA-COO", count=2, rng=np.random.default_rng(0))
    assert count_ligands(mixed).missing == 0
    assert propose_charge(mixed).incomplete == ()


def test_rings_and_chains_of_the_same_heavy_atoms_are_both_whole():
    mixed = substitute(build("ag14", thiolate="SPh"), "SPh", "SCy", count=1, rng=np.random.default_rng(0))
    assert count_ligands(mixed).missing == 0
