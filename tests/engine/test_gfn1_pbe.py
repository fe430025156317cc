"""Orbitals of ``gfn1-pbe``: what they share with GFN1, their invariances, and that their data file stays as it is."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
from ase import Atoms

from clusterml.engine.label import label
from clusterml.engine.orbitals.gfn import gfn_orbitals, gfn_source
from clusterml.engine.orbitals.gfn1 import FockCorrection, gfn1_hamiltonian
from clusterml.engine.orbitals.gfn1_pbe import SEEN, correction, fitted, refit, terms
from clusterml.engine.orbitals.newton import corrected, self_consistent
from clusterml.engine.protocol import Compute, Protocol, make_protocol
from clusterml.errors import OptionError
from clusterml.io.files import sha256
from clusterml.structure.build.build import build
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV

DATA_SHA256 = "d9af0f5ce989b5353baec35f9b8daaba1eb5239e277cbadaa9e92d8379184d34"
"""Of data/gfn1_pbe.json: another fit is another protocol, so that its labels must not be mixed with earlier ones."""
_KT = 300.0 * BOLTZMANN_HARTREE


@pytest.fixture(scope="module")
def twisted() -> Atoms:
    """Ag3(SCH3)3 without symmetry."""
    atoms = build("ag3", thiolate="SCH3")
    atoms.rattle(stdev=0.1, seed=5)
    return atoms


def _levels(atoms: Atoms, charge: int = 0, **options) -> np.ndarray:
    return gfn_orbitals(atoms, charge, correction=refit(), **options).energies_ev


def test_the_data_file_is_the_one_of_this_version():
    content = files("clusterml.engine").joinpath("data/gfn1_pbe.json").read_bytes()
    assert sha256(content) == DATA_SHA256, "a new fit: tell it in the changelog, and change this hash"


def test_the_data_file_says_what_it_was_fitted_to():
    fit = fitted()["fit"]
    assert len(fit["records"]) == 50
    assert len(fit["records_sha256"]) == 16
    assert fit["elements"] == sorted(SEEN)
    held_out, published = fit["scores"]["held out"], fit["scores"]["published"]
    assert held_out["cd"] > published["cd"]
    assert held_out["oriented_cd"] > published["oriented_cd"]


def test_every_term_of_the_file_exists(twisted):
    names = set(fitted()["terms"])
    symbols = twisted.get_chemical_symbols()
    parts = gfn1_hamiltonian(symbols, twisted.positions / BOHR_ANGSTROM)
    have = {term.name for term in terms(parts, symbols, np.zeros(len(parts.reference)))}
    assert have <= names  # the fit has seen silver, sulfur, carbon and hydrogen
    assert {"onsite Ag.d", "projector Ag.s metal", "pair Ag.s S.p far", "pair Ag.d Ag.d kinetic"} <= have


def test_without_coefficients_the_orbitals_are_those_of_gfn1(twisted):
    symbols = twisted.get_chemical_symbols()
    parts = gfn1_hamiltonian(symbols, twisted.positions / BOHR_ANGSTROM)
    state = self_consistent(parts, 0, _KT, 2e-5, 100)
    same = corrected(state, correction(parts, symbols, state.shell_charges, {}))
    assert np.abs(same.energies - state.energies).max() < 1e-12
    assert np.abs(np.abs((same.coefficients * (parts.overlap @ state.coefficients)).sum(axis=0)) - 1.0).max() < 1e-6


def test_the_orbitals_are_those_of_the_corrected_fock_matrix(twisted):
    symbols = twisted.get_chemical_symbols()
    parts = gfn1_hamiltonian(symbols, twisted.positions / BOHR_ANGSTROM)
    state = self_consistent(parts, 0, _KT, 2e-5, 100)
    coefficients = {"onsite Ag.d": -1.0, "pair Ag.s S.p": 0.7, "projector S.p": 0.3, "pair Ag.p Ag.s kinetic": 0.2}
    new = corrected(state, correction(parts, symbols, state.shell_charges, coefficients))
    dual = parts.overlap @ state.coefficients
    fock = (dual * state.energies) @ dual.T + correction(parts, symbols, state.shell_charges, coefficients)
    assert np.abs(fock @ new.coefficients - parts.overlap @ new.coefficients * new.energies).max() < 1e-8
    assert np.abs(new.coefficients.T @ parts.overlap @ new.coefficients - np.eye(len(fock))).max() < 1e-8


def test_a_level_term_moves_the_level_of_an_atom():
    atoms = Atoms(["Ag"], [[0.0, 0.0, 0.0]])
    parts = gfn1_hamiltonian(["Ag"], atoms.positions)
    state = self_consistent(parts, 1, _KT, 2e-5, 100)
    moved = corrected(state, correction(parts, ["Ag"], state.shell_charges, {"onsite Ag.d": -0.5}))
    assert np.sort((moved.energies - state.energies) * HARTREE_EV) == pytest.approx([-0.5] * 5 + [0.0] * 4, abs=1e-9)


@pytest.mark.parametrize("solvent", [None, "toluene"])
def test_turning_a_molecule_changes_nothing(twisted, solvent):
    turned = twisted.copy()
    turned.rotate(71.0, (1.0, -0.4, 0.7))
    turned.positions += 3.0
    levels, others = (_levels(atoms, solvent=solvent) for atoms in (twisted, turned))
    assert np.abs(levels - others).max() < (2e-5 if solvent is None else 1e-3)


def test_a_mirror_image_has_the_opposite_cd(twisted):
    image = twisted.copy()
    image.positions[:, 0] *= -1.0
    one, other = (label(atoms, 0, orbitals="gfn1-pbe", emax_ev=5.0).spectrum for atoms in (twisted, image))
    scale = np.abs(one.delta_epsilon).max()
    assert scale > 1.0
    assert np.abs(one.delta_epsilon + other.delta_epsilon).max() < 1e-3 * scale
    assert np.abs(one.epsilon - other.epsilon).max() < 1e-4 * one.epsilon.max()


def test_far_fragments_do_not_feel_each_other(twisted):
    other = build("ag4", thiolate="SH")
    both = twisted.copy()
    far = other.copy()
    far.positions += [400.0, 0.0, 0.0]
    both.extend(far)
    alone = np.sort(np.concatenate([_levels(twisted), _levels(other)]))
    assert np.abs(_levels(both) - alone).max() < 2e-3  # dipoles at 400 angstrom


def test_the_gap_of_ag25_is_nearer_to_that_of_pbe():
    atoms = build("ag25", thiolate="SH")
    pbe = 1.33  # CP2K, DZVP-MOLOPT-SR
    published, ours = (gfn_orbitals(atoms, -1, correction=added).gap_ev for added in (None, refit()))
    assert abs(published - pbe) > 0.2
    assert abs(ours - pbe) < 0.13


def test_elements_that_the_fit_has_not_seen_are_named():
    gold = build("ag3", thiolate="SH")
    gold.symbols[gold.symbols == "Ag"] = "Au"
    result = label(gold, 0, orbitals="gfn1-pbe", emax_ev=3.0)
    assert any("gfn1-pbe was not fitted to Au" in words for words in result.warnings)
    silver = label(build("ag3", thiolate="SH"), 0, orbitals="gfn1-pbe", emax_ev=3.0)
    assert not any("fitted" in words for words in silver.warnings)


def test_elements_that_the_fit_has_not_seen_have_no_terms():
    symbols = ["Au", "I"]
    parts = gfn1_hamiltonian(symbols, np.array([[0.0, 0.0, 0.0], [4.4, 0.0, 0.0]]))
    names = [term.name for term in terms(parts, symbols, np.zeros(len(parts.reference)))]
    assert names == ["field of all charges", "field of far charges"]


def test_a_method_of_another_package_may_bring_a_correction(twisted):
    """Every level up by 1 eV, which is the overlap matrix; the charges stay."""
    rise = FockCorrection("risen", lambda parts, symbols, charges: parts.overlap / HARTREE_EV, lambda symbols: ("Up.",))
    below, above = gfn_orbitals(twisted, 0), gfn_orbitals(twisted, 0, correction=rise)
    assert np.abs(above.energies_ev - below.energies_ev - 1.0).max() < 1e-9
    assert np.array_equal(above.charges, below.charges)
    assert (above.method, above.warnings) == ("risen", (*below.warnings, "Up."))
    result = gfn_source("risen", "gfn1", rise).compute(twisted, 0, Protocol(), Compute(), None)
    assert np.array_equal(result.energies_ev, above.energies_ev)


def test_gfn2_has_no_correction(twisted):
    with pytest.raises(OptionError, match="GFN1-PBE corrects the Fock matrix of GFN1, not of gfn2"):
        gfn_orbitals(twisted, 0, method="gfn2", correction=refit())


def test_its_protocol_is_not_that_of_gfn1(twisted):
    protocol = Protocol(orbitals="gfn1-pbe")
    assert protocol.name == "gfn1-pbe" == Protocol().name != Protocol(orbitals="gfn1").name
    assert make_protocol(orbitals="gfn1-pbe", solvent="Methanol").name == "gfn1-pbe-in-methanol"
    assert json.loads(protocol.model_dump_json())["orbitals"] == "gfn1-pbe"
    result = label(twisted, 0, protocol, emax_ev=3.0)
    assert result.orbitals.method == result.provenance["orbitals"] == "GFN1-PBE"


def test_it_knows_the_solvents_of_gfn1():
    with pytest.raises(OptionError, match="did you mean 'methanol'"):
        make_protocol(orbitals="gfn1-pbe", solvent="methanl")
    with pytest.raises(OptionError, match="GBSA has no parameters of"):
        make_protocol(orbitals="gfn1-pbe", solvent="phenol", solvation="gbsa")


def test_gfn1_stays_as_published(twisted):
    """Its levels do not depend on the data file: those of tblite are compared in test_gfn1."""
    assert np.abs(gfn_orbitals(twisted, 0).energies_ev - _levels(twisted)).max() > 0.1
