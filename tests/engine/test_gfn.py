"""GFN orbitals, our own and tblite's, in this package's conventions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from ase import Atoms
from tblite.interface import Calculator

from clusterml.engine.integrals import dipole, overlap
from clusterml.engine.orbitals import gfn
from clusterml.engine.orbitals.gfn import gfn_orbitals
from clusterml.errors import ChargeError, ElectronicStructureError, OptionError, UnsupportedElementError
from clusterml.units import BOHR_ANGSTROM, HARTREE_EV


@pytest.mark.parametrize("method", ["gfn1", "gfn2"])
@pytest.mark.parametrize("name", ["ch3sh", "ag3_sch3_3"])
class TestOrbitals:
    def test_they_are_orthonormal_over_our_basis(self, molecule, name, method):
        orbitals = gfn_orbitals(molecule(name), 0, method)
        c = orbitals.coefficients
        assert np.abs(c.T @ overlap(orbitals.basis) @ c - np.eye(len(c))).max() < 1e-8

    def test_the_hamiltonian_they_define_has_their_energies(self, molecule, name, method):
        orbitals = gfn_orbitals(molecule(name), 0, method)
        s, c = overlap(orbitals.basis), orbitals.coefficients
        h = s @ (c * orbitals.energies_ev) @ c.T @ s
        assert np.abs(scipy.linalg.eigh(h, s, eigvals_only=True) - orbitals.energies_ev).max() < 1e-6

    def test_mulliken_charges_and_dipole_are_tblites(self, molecule, name, method):
        """Wrong order, sign or scale of any function would show here."""
        atoms = molecule(name)
        orbitals = gfn_orbitals(atoms, 0, method, charge_tolerance=2e-7)
        calculator = Calculator(
            gfn._METHOD[method], atoms.numbers, atoms.positions / BOHR_ANGSTROM, logger=lambda _: None
        )
        calculator.set("verbosity", 0)
        calculator.set("accuracy", 0.01)
        result = calculator.singlepoint()
        occupied = orbitals.coefficients[:, : orbitals.n_occupied]
        density = 2.0 * occupied @ occupied.T
        basis = orbitals.basis
        populations = np.bincount(basis.atom_of_ao, (density * overlap(basis)).sum(1))
        nuclear = _valence_electrons(orbitals)
        assert np.abs(nuclear - populations - result.get("charges")).max() < 1e-6
        total = nuclear @ basis.coords_bohr - np.einsum("xij,ij->x", dipole(basis), density)
        assert np.abs(total - result.get("dipole")).max() < 1e-5


def _valence_electrons(orbitals) -> np.ndarray:
    return np.array([{"H": 1.0, "C": 4.0, "S": 6.0, "Ag": 11.0}[s] for s in orbitals.symbols])


def test_energies_are_those_of_tblite_in_ev(molecule):
    atoms = molecule("ch3sh")
    orbitals = gfn_orbitals(atoms, 0, "gfn1")
    calculator = Calculator("GFN1-xTB", atoms.numbers, atoms.positions / BOHR_ANGSTROM, logger=lambda _: None)
    calculator.set("verbosity", 0)
    assert np.allclose(orbitals.energies_ev, calculator.singlepoint().get("orbital-energies") * HARTREE_EV, atol=1e-4)
    assert orbitals.method == "GFN1-xTB"
    assert orbitals.n_occupied == 7
    assert orbitals.virtual_shift_ev == 0.0
    assert orbitals.raw_gap_ev == orbitals.gap_ev > 5.0
    assert orbitals.warnings == ()
    assert orbitals.charges.sum() == pytest.approx(0.0, abs=1e-10)


def test_a_solvent_changes_the_orbitals_and_so_does_its_model(molecule):
    gaps = [
        gfn_orbitals(molecule("ch3sh"), 0, "gfn1", solvent, model).gap_ev
        for solvent, model in [(None, "gbsa"), ("methanol", "gbsa"), ("methanol", "alpb"), ("water", "gbsa")]
    ]
    assert len({round(g, 4) for g in gaps}) == 4


def test_nothing_is_printed(molecule, capfd):
    gfn_orbitals(molecule("ch3sh"), 0, "gfn2", "methanol")
    assert capfd.readouterr() == ("", "")


def test_smeared_occupations_are_reported(molecule):
    orbitals = gfn_orbitals(molecule("ag3_sch3_3"), 0, "gfn1", electronic_temperature_k=8000.0)
    (warning,) = orbitals.warnings
    assert "fractionally occupied at 8000 K" in warning


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "gfn3"}, OptionError, "method is 'gfn3'.*gfn1, gfn2"),
        ({"solvation": "pcm"}, OptionError, "solvation is 'pcm'.*alpb, gbsa"),
        ({"solvent": "beer"}, OptionError, "solvent is .beer.*methanol"),
        ({"electronic_temperature_k": -1.0}, OptionError, "electronic_temperature_k is -1"),
        ({"electronic_temperature_k": float("nan")}, OptionError, "electronic_temperature_k is nan"),
        ({"charge_tolerance": 0.0}, OptionError, "charge_tolerance is 0.*between 1e-10 and 0.01"),
        ({"max_iterations": 2}, ElectronicStructureError, "failed at 300 K.*raise the electronic temperature"),
        ({"charge": 1}, ChargeError, "13 valence electrons are an odd number"),
        ({"charge": 14}, ElectronicStructureError, "check"),
    ],
)
def test_what_cannot_be_done_is_said(molecule, options, error, words):
    with pytest.raises(error, match=words):
        gfn_orbitals(molecule("ch3sh"), **({"charge": 0} | options))


def test_an_element_without_parameters_is_named():
    with pytest.raises(UnsupportedElementError, match="'U'"):
        gfn_orbitals(Atoms("UH", [[0, 0, 0], [0, 0, 2]]), 0)


def test_a_basis_that_is_not_tblites_is_noticed(molecule, monkeypatch):
    def scaled(symbols, coords, method):
        return original(symbols, coords * 1.001, method)

    original = gfn.gfn_basis
    monkeypatch.setattr(gfn, "gfn_basis", scaled)
    with pytest.raises(ElectronicStructureError, match="do not fit the basis"):
        gfn_orbitals(molecule("ch3sh"), 0, "gfn2", "methanol")


def test_a_first_guess_from_a_geometry_nearby_changes_nothing_but_the_way():
    atoms = Atoms("Ag3S3H3", positions=np.random.default_rng(0).normal(size=(9, 3)))
    angles = 2.0 * np.pi * np.arange(3) / 3.0
    ring = np.stack([np.cos(angles), np.sin(angles), 0.0 * angles], axis=1)
    turned = np.stack([np.cos(angles + np.pi / 3), np.sin(angles + np.pi / 3), 0.0 * angles], axis=1)
    atoms.positions[:] = np.concatenate([2.0 * ring, 2.6 * turned, 3.6 * turned + [0.0, 0.0, 0.9]])
    moved = atoms.copy()
    moved.positions += np.random.default_rng(1).normal(scale=0.03, size=(9, 3))
    cold, warm = gfn_orbitals(moved, 0), gfn_orbitals(moved, 0, start_from=atoms)
    np.testing.assert_allclose(warm.energies_ev, cold.energies_ev, atol=2e-3)
    np.testing.assert_allclose(warm.charges, cold.charges, atol=5e-4)
    other = gfn_orbitals(moved, 0, start_from=moved)
    np.testing.assert_allclose(other.energies_ev, cold.energies_ev, atol=2e-3)
