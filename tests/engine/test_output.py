"""Writing a label: the JSON contract, and that every format reads back what was computed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import clusterml as cm
from clusterml.engine import output
from clusterml.engine.kernels import local_kernels
from clusterml.engine.label import Label, label
from clusterml.engine.output import label_dict, write_label
from clusterml.errors import InputFileError, OutputError
from clusterml.spectrum.spectrum import Spectrum
from clusterml.units import EV_NM


@pytest.fixture(scope="module")
def silver(molecule) -> Label:
    atoms = molecule("agsch3")
    atoms.info |= {"source": "in/agsch3.xyz", "provenance": {"format": "xyz", "warnings": ["looks odd"]}}
    return label(atoms, solver="states", orbitals="stda-xtb")


def test_the_object_is_the_contract(silver):
    result = label_dict(silver)
    text = json.dumps(result, allow_nan=False)
    assert json.loads(text) == result
    assert list(result)[:9] == [
        *("schema_version", "program", "version", "method", "name", "source", "charge", "n_atoms", "formula"),
    ]
    assert (result["schema_version"], result["program"], result["method"]) == (1, "clusterml", "sTDA-xTB")
    assert (result["name"], result["source"], result["charge"]) == ("agsch3", "in/agsch3.xyz", 0)
    assert (result["n_atoms"], result["formula"]) == (6, "AgCH3S")
    assert result["warnings"][0] == "looks odd"
    assert set(result["timings_s"]) >= {"ground_state", "solver", "total"}
    spectrum = result["spectrum"]
    assert (spectrum["gauge"], spectrum["absorption_gauge"], spectrum["fwhm_ev"]) == ("velocity", "length", 0.2)
    assert len(spectrum["energy_ev"]) == len(spectrum["g_abs"]) == 276
    assert None in spectrum["g_abs"], "g is not defined where nothing absorbs"


def test_provenance_says_how_it_was_computed(silver):
    provenance = label_dict(silver)["provenance"]
    keys = {"orbitals", "mode", "solver", "parameters", "raw_gap_ev", "counts", "structure", "versions"}
    assert set(provenance) >= keys
    assert provenance["solver"] == "states"
    assert provenance["structure"] == {"format": "xyz"}
    assert set(provenance["versions"]) == {"clusterml", "numpy", "torch", "pyscf", "tblite"}


def test_bands_are_complete(silver):
    bands = label_dict(silver)["bands"]
    assert {band["kind"] for band in bands} <= {"absorption", "cd"}
    assert len(bands) == len(silver.bands) > 0
    for band in bands:
        assert list(band) == ["kind", "energy_ev", "wavelength_nm", "height", "hole", "electron"]
        assert band["wavelength_nm"] * band["energy_ev"] == pytest.approx(EV_NM)
        assert sum(band["hole"].values()) == pytest.approx(1.0, abs=1e-9)
        assert sum(band["electron"].values()) == pytest.approx(1.0, abs=1e-9)


def test_states_only_on_request_and_they_give_the_spectrum_again(silver, tmp_path):
    assert "states" not in label_dict(silver)
    write_label(silver, tmp_path, "plain")
    with pytest.raises(InputFileError, match=r"plain\.json holds no 'states'.*--states"):
        cm.read_transitions(tmp_path / "plain.json")
    write_label(silver, tmp_path, "full", states=True)
    states = cm.read_transitions(tmp_path / "full.json")
    assert states.meta == {
        "name": label_dict(silver)["name"],
        "method": label_dict(silver)["method"],
        "source": str(tmp_path / "full.json"),
    }
    assert np.array_equal(states.energy_ev, silver.transitions.energy_ev)
    again = states.broaden(silver.spectrum.energy_ev)
    assert np.array_equal(again.epsilon, silver.spectrum.epsilon)
    assert np.array_equal(again.delta_epsilon, silver.spectrum.delta_epsilon)


def test_every_format_reads_back(silver, tmp_path):
    written = write_label(silver, tmp_path / "out", "x", jcamp=True, molden=tmp_path / "x.molden")
    assert [p.name for p in written] == ["x.csv", "x.png", "x.jdx", "x.molden", "x.json"]
    assert all(p.is_file() for p in written)
    spectrum = silver.spectrum
    for read, digits in ((Spectrum.from_json(written[4]), 0.0), (Spectrum.from_csv(written[0]), 1e-6)):
        for key in ("energy_ev", "epsilon", "delta_epsilon"):
            np.testing.assert_allclose(getattr(read, key), getattr(spectrum, key), rtol=digits)
    assert Spectrum.from_json(written[4]).meta["gauge"] == "velocity"
    jcamp = Spectrum.from_jcamp(written[2])
    np.testing.assert_allclose(jcamp.epsilon, spectrum.epsilon, rtol=1e-9)
    np.testing.assert_allclose(jcamp.delta_epsilon, spectrum.delta_epsilon, rtol=1e-9, atol=1e-12)
    assert written[1].read_bytes().startswith(b"\x89PNG")


def test_the_json_comes_last(silver, tmp_path, monkeypatch):
    def full(*_):
        raise OutputError("no space")

    monkeypatch.setattr(output, "write_json", full)
    with pytest.raises(OutputError, match="no space"):
        write_label(silver, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agsch3.csv", "agsch3.png"]


def test_a_folder_that_is_a_file_is_named(silver, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        write_label(silver, tmp_path / "taken")


def test_an_empty_spectrum_is_written(molecule, tmp_path):
    empty = label(molecule("h2o2"), emax_ev=1.0)
    written = write_label(empty, tmp_path, jcamp=True)
    result = json.loads(written[-1].read_text())
    assert not any(result["spectrum"]["epsilon"])
    assert set(result["spectrum"]["g_abs"]) == {None}
    assert result["bands"] == []
    assert any("no excitation below 1 eV" in warning for warning in result["warnings"])


def test_other_orbitals_are_named(silver):
    kernels = local_kernels(silver.orbitals.symbols, silver.orbitals.basis.coords_bohr)
    gfn = replace(silver, orbitals=replace(silver.orbitals, method="GFN1-xTB", kernels=kernels))
    assert label_dict(gfn)["method"] == "GFN1-xTB linear response"
    nameless = replace(silver, atoms=silver.atoms.copy())
    nameless.atoms.info.clear()
    assert label_dict(nameless)["name"] == "structure"
    assert label_dict(nameless)["source"] is None


def test_molden_holds_f_and_g_functions_as_another_program_reads_them(silver, tmp_path):
    """Orbitals that mix all functions of a water molecule with f and g: orthonormal for that program, too."""
    from pyscf import gto
    from pyscf.tools import molden

    from clusterml.engine.integrals import basis_of, overlap
    from clusterml.engine.output import write_molden

    mol = gto.M(atom="O 0 0 0.1; H 0.1 0.76 -0.5; H 0.2 -0.75 -0.45", basis="cc-pvqz")
    basis = basis_of(mol)
    values, vectors = np.linalg.eigh(overlap(basis))
    orbitals = replace(
        silver.orbitals,
        symbols=("O", "H", "H"),
        basis=basis,
        energies_ev=np.arange(basis.n_ao, dtype=float),
        coefficients=vectors / np.sqrt(values),
        n_occupied=5,
    )
    loaded, _, coefficients, *_ = molden.load(str(write_molden(orbitals, tmp_path / "g.molden")))
    identity = coefficients.T @ loaded.intor("int1e_ovlp") @ coefficients
    np.testing.assert_allclose(identity, np.eye(basis.n_ao), atol=1e-6)
    assert {shell.l for shell in basis.shells} == {0, 1, 2, 3, 4}


def test_molden_has_no_place_for_h_functions(silver, tmp_path):
    from clusterml.engine.basis import Basis, Shell
    from clusterml.engine.output import write_molden

    basis = Basis(np.zeros((1, 3)), (Shell(0, 5, np.array([1.0]), np.array([1.0])),))
    with pytest.raises(OutputError, match="cannot hold the h functions"):
        write_molden(replace(silver.orbitals, basis=basis), tmp_path / "h.molden")


@pytest.mark.parametrize(("name", "source"), [("agsch3", "stda-xtb"), ("propylene_oxide", "gfn1")])
def test_molden_as_another_program_reads_it(molecule, tmp_path, name, source):
    from pyscf.tools import molden

    from clusterml.engine.orbitals.source import find_source
    from clusterml.engine.output import write_molden
    from clusterml.engine.protocol import Compute, Protocol

    protocol = Protocol(orbitals=source)
    orbitals = find_source(protocol).compute(molecule(name), 0, protocol, Compute(), None)
    path: Path = write_molden(orbitals, tmp_path / "a.molden")
    mol, energies, coefficients, occupations, *_ = molden.load(str(path))
    overlap = mol.intor("int1e_ovlp")
    identity = coefficients.T @ overlap @ coefficients
    np.testing.assert_allclose(identity, np.eye(len(energies)), atol=1e-6)
    np.testing.assert_allclose(np.array(energies) * 27.2113957, orbitals.energies_ev, atol=1e-5)
    np.testing.assert_array_equal(occupations, orbitals.occupations)
    assert mol.nao == orbitals.basis.n_ao
