"""``label``: what it fills in, what it says about bad input, and its warnings."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from ase import Atoms

from clusterml.engine import label as module
from clusterml.engine.label import label as label_by_default
from clusterml.engine.linalg import inverse_cholesky, overlap_powers
from clusterml.engine.orbitals.orbitals import composition, gap_warnings
from clusterml.engine.orbitals.source import find_source
from clusterml.engine.orbitals.stda_xtb import fermi_occupations, stda_xtb_orbitals
from clusterml.engine.protocol import Protocol
from clusterml.errors import (
    ChargeError,
    ElectronicStructureError,
    OptionError,
    SeveralMoleculesError,
    SpectrumError,
    StructureError,
    UnsupportedElementError,
)

label = partial(label_by_default, orbitals="stda-xtb")

WATER = Atoms("OHH", [[0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]])
TRIANGLE = Atoms("Ag3", [[0, 0, 0], [2.8, 0, 0], [1.4, 2.4, 0]])
SQUARE = Atoms("Ag4", [[0, 0, 0], [2.8, 0, 0], [2.8, 2.8, 0], [0, 2.8, 0]])


@pytest.mark.parametrize(("options", "method"), [({}, "GFN1-PBE"), ({"mode": "reference"}, "sTDA-xTB")])
def test_defaults(molecule, options, method):
    found = label_by_default(molecule("agsch3"), **options)
    assert found.charge == 0
    assert found.protocol.mode == options.get("mode", "smooth")
    assert found.protocol.solver == "spectrum"
    assert found.warnings == ()
    np.testing.assert_allclose(found.spectrum.energy_ev, np.arange(25, 301) / 50)
    assert found.spectrum.meta["gauge"] == "velocity"
    assert found.provenance["orbitals"] == method
    assert found.provenance["raw_gap_ev"] == pytest.approx(found.orbitals.raw_gap_ev)
    assert found.timings_s["total"] >= found.timings_s["ground_state"] > 0
    assert found.bands


def test_gfn_orbitals_have_no_reference_mode():
    with pytest.raises(OptionError, match=r"mode reference .*GFN1-xTB.*--orbitals stda-xtb"):
        label_by_default(WATER, 0, orbitals="gfn1", mode="reference")


def test_input_is_left_alone(molecule):
    atoms = molecule("agsch3")
    before = atoms.copy()
    label(atoms)
    assert atoms == before
    assert atoms.info == before.info


def test_the_charge_argument_wins_over_the_file():
    atoms = TRIANGLE.copy()
    atoms.info["charge"] = 3
    assert label(atoms, emax_ev=4.0).charge == 3
    assert label(atoms, 1, emax_ev=4.0).charge == 1


def test_a_missing_charge_is_proposed_with_a_warning():
    found = label(TRIANGLE, emax_ev=4.0)
    assert found.charge == 1
    assert "charge +1 assumed" in found.warnings[0]
    assert "2 superatom electrons" in found.warnings[0]


def test_an_odd_number_of_electrons_proposes_charges():
    with pytest.raises(ChargeError, match=r"charge 0 gives 141 electrons, an odd number .*likely charges: \+1"):
        label(TRIANGLE, 0)


@pytest.mark.parametrize("charge", [8, -100])
def test_impossible_charges(charge):
    with pytest.raises(ElectronicStructureError, match=r"valence electrons .*check the charge"):
        label(WATER, charge)


@pytest.mark.parametrize(("charge", "words"), [(10, "leaves 0 electrons"), (0.5, "0.5"), ("0", "'0'"), (True, "True")])
def test_charges_that_mean_nothing(charge, words):
    with pytest.raises(ChargeError, match=words):
        label(WATER, charge)


def test_an_unsupported_element_is_named():
    with pytest.raises(UnsupportedElementError, match=r"'He' .*--orbitals gfn1"):
        label(Atoms("HeH", [[0, 0, 0], [0, 0, 0.8]]), 1)


def test_coincident_atoms_are_named():
    with pytest.raises(StructureError, match=r"H3 and H4 are 0\.000 A apart"):
        label(WATER + Atoms("H", [WATER.positions[2]]), 1)


def test_several_molecules_must_be_wanted():
    two = WATER + Atoms("H2", [[20, 0, 0], [20, 0, 0.74]])
    with pytest.raises(SeveralMoleculesError, match="1 x H2O, 1 x H2"):
        label(two, 0)
    assert len(label(two, 0, allow_several=True, emax_ev=12.0).transitions) > 0


def test_singular_overlap_matrices_are_caught():
    same = torch.tensor([[1.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    with pytest.raises(ElectronicStructureError, match=r"not positive definite.*too close"):
        inverse_cholesky(same - 1e-9 * torch.eye(2))
    with pytest.raises(ElectronicStructureError, match=r"singular.*too close"):
        overlap_powers(same)


def test_powers_of_an_overlap_matrix():
    x = torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    s = x @ x.T + torch.eye(5)
    root, inverse = overlap_powers(s)
    np.testing.assert_allclose(root @ root, s, atol=1e-12)
    np.testing.assert_allclose(root @ inverse, np.eye(5), atol=1e-12)
    low = inverse_cholesky(s)
    np.testing.assert_allclose(low @ s @ low.T, np.eye(5), atol=1e-12)


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("emax_ev", 0.1, "between 1 and 15"),
        ("emax_ev", float("nan"), "between 1 and 15"),
        ("fwhm_ev", -1, "between 0.01 and 5"),
        ("mode", "fast", "smooth, reference"),
        ("solver", "dense", "spectrum, states"),
        ("dtype", "float16", "float64, float32"),
        ("device", "tpu", "cpu or cuda"),
        ("memory_gb", -1, "between 0.001"),
        ("tolerance", 0, "between 1e-10"),
        ("k_shift_width_ev", 0, "between 1e-06"),
        ("window_ev", 1, "between 2 and 100"),
        ("orbitals", "mp2", "gfn1-pbe, gfn1, gfn2, stda-xtb, dft"),
        ("solvent", "water", "--orbitals gfn1"),
        ("gauge", "coulomb", "velocity, length"),
        ("bogus", 1, "known options: orbitals, emax_ev"),
    ],
)
def test_bad_settings_name_the_key_and_the_remedy(key, value, remedy):
    with pytest.raises(OptionError) as caught:
        label(WATER, 0, **{key: value})
    assert key.removesuffix("_ev").removesuffix("_gb") in caught.value.problem
    assert remedy in caught.value.remedy


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said():
    with pytest.raises(OptionError, match=r"no CUDA GPU .*--device cpu"):
        label(WATER, 0, device="cuda")


@pytest.mark.parametrize("options", [{}, {"mode": "reference"}, {"solver": "states"}])
def test_an_empty_spectrum_is_a_warning(options):
    found = label(WATER, 0, emax_ev=3.0, **options)
    assert len(found.transitions) == 0
    assert not found.spectrum.epsilon.any()
    assert found.bands == []
    assert "no excitation below 3 eV" in found.warnings[0]


def test_an_unconverged_spectrum_is_a_warning(molecule, monkeypatch):
    monkeypatch.setattr("clusterml.engine.response.krylov.MAX_KRYLOV_VECTORS", 40)
    found = label(molecule("ag3_sch3_3"))
    assert not found.response.converged
    assert "not converged" in found.warnings[0]


@pytest.mark.parametrize(("gap", "unfit"), [(0.05, False), (0.002, True)])
def test_a_small_gap_names_the_parts_of_the_frontier_orbitals(molecule, gap, unfit):
    atoms = molecule("agsch3")
    good = stda_xtb_orbitals(atoms.get_chemical_symbols(), atoms.positions, 0)
    assert gap_warnings(good) == []
    energies = good.energies_ev.copy()
    energies[good.n_occupied :] -= good.raw_gap_ev - gap
    (warning,) = gap_warnings(replace(good, energies_ev=energies))
    homo, lumo = (composition(good, good.n_occupied - k) for k in (1, 0))
    assert f"only {gap:.3f} eV" in warning
    assert f"HOMO: S {homo['S']:.0%}, Ag {homo['Ag']:.0%}" in warning
    assert f"LUMO: Ag {lumo['Ag']:.0%}" in warning
    assert "--orbitals gfn1" in warning
    assert ("unfit for training" in warning) == unfit


def test_a_ground_state_without_the_gap_wanted_costs_no_excitations(molecule, monkeypatch):
    gap = label(molecule("agsch3"), smallest_gap_ev=0.1).orbitals.raw_gap_ev
    label(molecule("agsch3"), smallest_gap_ev=gap - 1e-3)
    monkeypatch.setattr("clusterml.engine.label.find_solver", None)  # would fail if it were called
    with pytest.raises(ElectronicStructureError, match="gap"):
        label(molecule("agsch3"), smallest_gap_ev=gap + 1e-3)


def test_a_degenerate_frontier_is_reported_by_label():
    found = label(SQUARE, 0, emax_ev=3.0)
    assert any("raw HOMO-LUMO gap of sTDA-xTB is only" in w and "HOMO: Ag 100%" in w for w in found.warnings)


def test_parts_of_an_orbital_add_up(molecule):
    atoms = molecule("ag3_sch3_3")
    found = stda_xtb_orbitals(atoms.get_chemical_symbols(), atoms.positions, 0)
    groups = {"first": np.arange(9), "second": np.arange(9, 18)}
    for shares in (composition(found, found.n_occupied - 1), composition(found, 3, groups)):
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-10)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_fermi_occupations():
    e = np.array([-12.0, -10.0, -9.99, -5.0])
    f = fermi_occupations(e, 4, 300.0)
    assert f.sum() == pytest.approx(4.0, abs=1e-8)
    assert f[0] == pytest.approx(2.0)
    kt = 8.61733e-5 * 300
    assert np.log(f[1] / f[2] * (2 - f[2]) / (2 - f[1])) == pytest.approx(0.01 / kt, rel=1e-3)
    np.testing.assert_array_equal(fermi_occupations(e, 8, 300.0), 2.0)
    np.testing.assert_array_equal(fermi_occupations(e, 0, 300.0), 0.0)


def test_how_exact_the_charges_are_is_a_choice(molecule, deviation):
    """By default they are exact enough: spectra change by less than 1e-3 of their maximum."""
    atoms = molecule("ag2_tfa2")
    atoms.rattle(0.05, seed=3)
    tight, usual, loose = (
        label_by_default(atoms, charge_tolerance=tolerance).spectrum for tolerance in (1e-9, None, 1e-2)
    )
    assert max(deviation(usual, tight)) < 1e-3
    assert 1e-6 < max(deviation(loose, tight)) < 0.1


def test_a_charge_tolerance_is_never_in_vain():
    with pytest.raises(OptionError, match=r"charge_tolerance 0\.0001 has no effect on stda-xtb orbitals"):
        label(WATER, 0, charge_tolerance=1e-4)
    with pytest.raises(OptionError, match=r"charge_tolerance is 0.5 .give a number between 1e-10 and 0.01"):
        label_by_default(WATER, 0, charge_tolerance=0.5)


def test_a_grid_ends_where_the_excitations_do(molecule):
    atoms = molecule("agh")
    with pytest.raises(OptionError, match=r"grid ends at 8 eV, .* to emax_ev, 6 eV .end the grid there"):
        label_by_default(atoms, 0, grid=np.linspace(1.0, 8.0, 20))
    with pytest.raises(SpectrumError, match="grid is not ascending"):
        label_by_default(atoms, 0, grid=np.array([2.0, 1.0]))
    low = label_by_default(atoms, 0, emax_ev=5.0)
    with pytest.raises(OptionError, match="grid ends at 6 eV"):
        low.response.broaden(np.linspace(1.0, 6.0, 20))
    assert low.response.broaden().energy_ev[-1] == 5.0
    wide = label_by_default(atoms, 0, emax_ev=8.0, grid=low.spectrum.energy_ev)
    np.testing.assert_allclose(wide.spectrum.epsilon, low.spectrum.epsilon, atol=1e-4 * wide.spectrum.epsilon.max())


def test_threads_are_those_that_are_asked_for_and_only_meanwhile(molecule, monkeypatch):
    import torch

    seen, before = [], torch.get_num_threads()
    source = find_source(Protocol())

    def watched(*args):
        seen.append(torch.get_num_threads())
        return source.compute(*args)

    monkeypatch.setattr(module, "find_source", lambda protocol: replace(source, compute=watched))
    label_by_default(molecule("agh"), 0, threads=before + 1)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
    with pytest.raises(OptionError, match="threads is 0"):
        label_by_default(molecule("agh"), 0, threads=0)
