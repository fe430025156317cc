"""Shortened ligands: the same metals, donors and charges, with hydrogens in place of what lies behind."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.engine.charge import shorten_ligands
from clusterml.structure.anatomy.superatom import propose_charge
from clusterml.structure.elements import formula, is_metal
from clusterml.structure.read import read

SHIPPED = {
    "ag25_sphme2": "Ag25H18S18",
    "ag29_bdta_pph3_R": "Ag29C72H60P4S24",  # the rings that join two sulfurs stay, their acid groups go
    "ag12_sipr_tfa": "Ag12C6H12O12S6",
    "ag29_sh_ph3_S": "Ag29H36P4S24",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models(examples, name):
    atoms = read(examples.parent / "structures" / f"{name}.xyz")
    short = shorten_ligands(atoms)
    assert formula(short.numbers) == SHIPPED[name]
    assert propose_charge(short).candidates == propose_charge(atoms).candidates
    for chosen in (lambda x: is_metal(x.numbers), lambda x: x.numbers == 16):
        np.testing.assert_array_equal(short.positions[chosen(short)], atoms.positions[chosen(atoms)])


def test_a_hydrogen_takes_the_place_of_the_rest(examples):
    atoms = read(examples.parent / "structures" / "ag25_sphme2.xyz")
    short = shorten_ligands(atoms)
    for sulfur in np.flatnonzero(short.numbers == 16):
        distance = short.get_distances(sulfur, np.flatnonzero(short.numbers == 1)).min()
        assert distance == pytest.approx(1.36, abs=0.01)
