"""The reference mode against the results of xtb4stda and std2 (tests/data/engine/README.md)."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from clusterml.engine import atomic as charges
from clusterml.engine import label as engine
from clusterml.engine.orbitals.stda_xtb import stage_one_charges
from clusterml.units import REFERENCE_BOHR_ANGSTROM

label = partial(engine.label, orbitals="stda-xtb")

ONE_D_ATOM_AT_MOST = ["h2o2", "ch3sh", "S-chfclbr", "propylene_oxide", "helicene4", "agsch3", "ag_ph3_2_plus", "agh"]
SEVERAL_D_ATOMS = ["ag2_tfa2", "ag3_sch3_3", "ag13_sch3_6_minus"]
ACHIRAL = ["ch3sh", "ag2_tfa2", "agh", "ag_ph3_2_plus"]
LARGE = {"large_ag25_sme18": 115, "large_ag24pt_sme18": 115, "large_ag25_sphme18": 349}


@pytest.fixture(scope="module")
def agreement(check_reference, reference_data, molecule):
    """Name -> comparison with the programs, computed once."""
    known = {}

    def get(name):
        if name not in known:
            known[name] = check_reference.compare(reference_data(name), molecule(name))
        return known[name]

    return get


@pytest.mark.parametrize("name", [*ONE_D_ATOM_AT_MOST, *SEVERAL_D_ATOMS])
class TestEveryMolecule:
    def test_charges(self, reference_data, molecule, name):
        data, atoms = reference_data(name), molecule(name)
        symbols, coords = data["symbols"], atoms.positions / REFERENCE_BOHR_ANGSTROM
        cn = charges.coordination_numbers(symbols, coords)
        q = stage_one_charges(symbols, coords, cn, data["charge"])
        np.testing.assert_allclose(cn, data["cn"], atol=6e-4)
        np.testing.assert_allclose(q[0], data["q_en_stage0"], atol=6e-4)
        np.testing.assert_allclose(q[2], data["q_cm5_stage1"], atol=6e-5)
        mulliken = q[2] - charges.cm5_correction(symbols, coords)
        np.testing.assert_allclose(mulliken, data["q_mulliken_stage1"], atol=6e-5)

    def test_orbital_energies(self, agreement, name):
        assert agreement(name).mo_ev < 1e-4

    def test_configurations(self, agreement, name):
        assert agreement(name).csf == agreement(name).expected_csf
        assert agreement(name).n_states == agreement(name).expected_states

    def test_excitation_energies(self, agreement, name):
        assert agreement(name).excitation_ev < 1e-4

    def test_strengths(self, agreement, name):
        assert agreement(name).f < 0.01
        assert agreement(name).r < 0.01

    def test_broadened_spectra(self, agreement, name):
        assert agreement(name).absorption < 0.005
        assert agreement(name).cd < (0.01 if name in SEVERAL_D_ATOMS else 0.005)


@pytest.mark.parametrize("name", ACHIRAL)
@pytest.mark.parametrize("mode", ["reference", "smooth"])
def test_achiral_molecules_have_no_rotatory_strength(reference_data, molecule, name, mode):
    emax = reference_data(name)["energy_threshold_eV"]
    ours = label(molecule(name), mode=mode, solver="states", emax_ev=emax).transitions
    assert len(ours) > 0
    assert np.abs(ours.r_velocity_cgs).max() < 1e-3, "strong CD bands have 10 to 300"
    assert np.abs(reference_data(name)["RV_corr"]).max() < 1e-3, "so the programs say, too"


def test_a_perturbed_geometry_is_noticed(check_reference, reference_data, molecule):
    atoms = molecule("S-chfclbr")
    atoms.positions[1] += [0.0, 0.01, 0.0]
    result = check_reference.compare(reference_data("S-chfclbr"), atoms)
    assert result.mo_ev > 1e-3
    assert result.excitation_ev is None or result.excitation_ev > 1e-3
    assert result.cd > 0.005


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", LARGE)
def test_large_clusters(check_reference, shared, name):
    folder = shared / "stda" / "reference"
    data = json.loads((folder / f"{name}.json").read_text())
    atoms = check_reference.geometry(data, folder)
    assert len(atoms) == LARGE[name]
    result = check_reference.compare(data, atoms)
    assert result.csf[0] == result.expected_csf[0]
    assert abs(result.csf[1] - result.expected_csf[1]) <= 2, "single precision decides at the threshold"
    assert result.n_states == result.expected_states
    assert result.excitation_ev < 1e-3
    assert result.f < 0.01
    assert result.absorption < 0.005
    assert result.cd < 0.01
