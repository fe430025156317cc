"""The GFN basis sets against tblite's own overlap matrix: same functions, same order."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from tblite.interface import Calculator

from clusterml.engine.basis import gfn_atom_shells, gfn_basis, tblite_positions
from clusterml.engine.integrals import overlap
from clusterml.errors import UnsupportedElementError
from clusterml.units import BOHR_ANGSTROM

METHODS = {"gfn1": "GFN1-xTB", "gfn2": "GFN2-xTB"}
ELEMENTS = [
    "H",
    "He",
    "B",
    "C",
    "N",
    "O",
    "F",
    "Na",
    "Si",
    "P",
    "S",
    "Cl",
    "Ca",
    "Ti",
    "Cu",
    "Zn",
    "Se",
    "Br",
    "Rb",
    "Pd",
    "Ag",
    "Cd",
    "I",
    "Cs",
    "La",
    "Lu",
    "Pt",
    "Au",
    "Hg",
    "Pb",
    "Rn",
]


def tblite_overlap(atoms: Atoms, method: str, temperature: float = 9.5e-4) -> np.ndarray:
    calculator = Calculator(METHODS[method], atoms.numbers, atoms.positions / BOHR_ANGSTROM, logger=lambda _: None)
    calculator.set("verbosity", 0)
    calculator.set("save-integrals", 1)
    calculator.set("temperature", temperature)
    return calculator.singlepoint().get("overlap-matrix")


def deviation(atoms: Atoms, method: str, **options: float) -> float:
    basis = gfn_basis(atoms.get_chemical_symbols(), atoms.positions / BOHR_ANGSTROM, method)
    p = tblite_positions(basis)
    return float(np.abs(overlap(basis)[np.ix_(p, p)] - tblite_overlap(atoms, method, **options)).max())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["ch3sh", "ag3_sch3_3", "ag2_tfa2"])
def test_the_overlap_of_molecules_is_tblites(molecule, name, method):
    assert deviation(molecule(name), method) < 1e-8


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("symbol", ELEMENTS)
def test_the_overlap_of_every_kind_of_element_is_tblites(symbol, method):
    pair = Atoms([symbol] * 2, [[0.0, 0.0, 0.0], [1.3, 1.7, 2.1]])
    assert deviation(pair, method, temperature=0.05) < 1e-9


def test_the_order_of_p_functions_matters_in_this_comparison(molecule):
    basis = gfn_basis(*_geometry(molecule("ch3sh")), "gfn1")
    assert np.abs(overlap(basis) - tblite_overlap(molecule("ch3sh"), "gfn1")).max() > 0.1


def _geometry(atoms: Atoms) -> tuple[list[str], np.ndarray]:
    return atoms.get_chemical_symbols(), atoms.positions / BOHR_ANGSTROM


def test_the_second_hydrogen_function_of_gfn1_is_orthogonal_to_the_first():
    s = overlap(gfn_basis(["H"], np.zeros((1, 3)), "gfn1"))
    assert s.shape == (2, 2)
    assert abs(s[0, 1]) < 1e-8
    assert np.allclose(np.diag(s), 1.0, atol=1e-8)
    assert len(gfn_atom_shells(0, "H", "gfn2")) == 1


@pytest.mark.parametrize("method", METHODS)
def test_elements_beyond_radon_are_refused_by_name(method):
    with pytest.raises(UnsupportedElementError, match=f"'U' has no {method.upper()}-xTB parameters"):
        gfn_basis(["Ag", "U"], np.zeros((2, 3)), method)
