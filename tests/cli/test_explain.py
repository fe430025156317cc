"""The explain verb: files, table, JSON, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read

from clusterml.cli.explain import _show
from clusterml.engine.contributions import ContributionPart
from clusterml.structure.build.build import build
from clusterml.structure.distort.apply import distort
from clusterml.structure.write import write_extxyz
from helpers import random_release


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return random_release(tmp_path_factory.mktemp("models") / "tiny", seed=1, head="moments")


@pytest.fixture
def twisted(tmp_path) -> Path:
    return write_extxyz(distort(build("ag4", thiolate="SCH3"), "shear", 5.0), tmp_path / "twisted.xyz")


def test_a_structure_gives_a_table_and_three_files(run, model, twisted):
    done = run("explain", twisted, "--band", "2..4", "--model", model, "-o", "out")
    assert done.code == 0, done.err
    assert "shell 1" in done.out
    assert "SCH3" in done.out
    assert "twisted: CD of the band: no CD" in done.out  # the network of random weights gives next to none
    found = json.loads(Path("out/twisted_contributions.json").read_text())
    per_atom = found["contributions"]["per_atom"]
    atoms = read("out/twisted_contributions.extxyz")
    np.testing.assert_allclose(atoms.arrays["contribution"], per_atom, rtol=1e-7)
    assert atoms.info["charge"] == 0
    np.testing.assert_allclose(atoms.positions, read(twisted).positions, atol=1e-7)
    page = Path("out/twisted_contributions.html").read_text()
    assert page.count('<div class="view large"') == 1
    for name, part in found["contributions"]["parts"].items():
        assert re.search(rf"<td[^>]*>{name}</td>", page)
        assert f'data-v="{part["value"]!r}"' in page


def test_the_engine_shares_its_own_cd_out(run, twisted):
    done = run("explain", twisted, "--band", "3..5", "--orbitals", "gfn1", "--emax", "5.5", "-o", "out")
    assert done.code == 0, done.err
    assert "± of the networks" not in done.out
    assert re.search(r"twisted: CD of the band -?[0-9.]+: gfn1: CD cosine to PBE", done.out)
    found = json.loads(Path("out/twisted_contributions.json").read_text())
    assert found["method"] == "GFN1-xTB linear response"
    per_atom = np.array(found["contributions"]["per_atom"])
    assert np.count_nonzero(per_atom) == len(per_atom)  # carbon and hydrogen too
    np.testing.assert_allclose(read("out/twisted_contributions.extxyz").arrays["contribution"], per_atom, rtol=1e-7)
    page = Path("out/twisted_contributions.html").read_text()
    assert "GFN1-xTB linear response, charge +0, 24 atoms" in page
    assert "of the networks" not in page


def test_options_of_the_engine_are_not_those_of_a_network(run, model, twisted):
    done = run("explain", twisted, "--band", "2..4", "--model", model, "--orbitals", "gfn1", "--fwhm", "0.3")
    assert done.code == 2
    assert done.err.startswith("error: --fwhm has no effect with --model (leave --model out for the engine, or")


@pytest.mark.parametrize("options", [(), ("--xc", "pbe")])
def test_a_molden_file_has_its_own_orbitals(run, options):
    file = Path(__file__).resolve().parents[1] / "data" / "molden" / "agsh_cp2k.molden"
    done = run("explain", file, "--band", "2..4", "-o", "out", *options)
    assert done.code == 0, done.err
    assert "Molden" in json.loads(Path("out/agsh_cp2k_contributions.json").read_text())["method"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--states", "a CD computed by its excitations (--states) cannot be shared out"),
        ("--gauge length", "in the length gauge contributions depend on the origin"),
        ("--mode reference", "the CD of stda-xtb orbitals cannot be shared out: it has Fock exchange"),
        ("--mode reference --orbitals gfn1", "the CD of gfn1 orbitals cannot be shared out"),
        ("--orbitals stda-xtb", "the CD of stda-xtb orbitals cannot be shared out"),
        ("--orbitals dft --xc pbe0", "the CD of xc pbe0 cannot be shared out"),
        ("--orbitals molden --ax 0.2", "the CD of molden orbitals cannot be shared out"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_before_a_file_is_read(run, options, words):
    done = run("explain", "x.xyz", "--band", "2..4", *options.split())
    assert done.code == 2
    assert done.err.startswith(f"error: {words}")


def test_an_error_names_its_file(run, xyz):
    done = run("explain", xyz("agh"), xyz("h2o2"), "--band", "2..9", "-o", "out")
    assert done.code == 1
    lines = done.err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [str(Path("agh.xyz").resolve()), str(Path("h2o2.xyz").resolve())]
    assert all("the band is 2 to 9 eV" in line for line in lines)


def test_the_total_has_the_error_that_it_is_judged_by(capsys):
    sure = SimpleNamespace(height=20.18, std=25.31)
    total = ContributionPart(np.arange(2), 20.18, 6.0)
    spectrum = SimpleNamespace(delta_epsilon_std=np.ones(3))
    shown = SimpleNamespace(name="a", title="a: CD", warnings=(), atoms=molecule("H2"), spectrum=spectrum, parts={},
                            total=total, significance=sure, verdict="not significant")  # fmt: skip
    _show(shown)
    lines = capsys.readouterr().out.splitlines()
    assert "± of the networks" in "".join(lines[:3])
    assert lines[-2] == "± of the networks: how far they agree, not how far they are right"
    assert lines[-1] == "a: CD of the band 20.18 ± 25 (calibrated): not significant"
    spectrum.delta_epsilon_std = None
    _show(shown)
    assert "20.18 ± 25 (of the networks)" in capsys.readouterr().out


def test_names_are_no_markup(run, model, twisted):
    named = twisted.rename(twisted.with_name("a[red]b.xyz"))
    done = run("explain", named, "--band", "2..4", "--model", model, "-o", "out")
    assert done.code == 0, done.err
    assert "a[red]b: CD from" in done.out


def test_warnings_name_the_file(run, model, twisted):
    file = twisted.with_name("charged.xyz")
    lines = twisted.read_text().splitlines()
    file.write_text("\n".join([lines[0], "formal_charge=1 charge=0", *lines[2:]]))
    done = run("explain", file, "--band", "2..4", "--model", model, "--json")
    assert (
        f"warning: {file}: the file states formal_charge=1"
        in run("explain", file, "--band", "2..4", "--model", model, "-o", "o").err
    )
    assert "formal_charge=1" in str(json.loads(done.out)["warnings"])


def test_bands_may_be_in_nm_and_json_goes_to_stdout(run, model, twisted):
    done = run("explain", twisted, "--band", "400..600 nm", "--model", model, "--json")
    assert done.code == 0, done.err
    low, high = json.loads(done.out)["contributions"]["band_ev"]
    assert (low, high) == pytest.approx((1239.84 / 600, 1239.84 / 400), rel=1e-4)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("band", "code", "words"),
    [
        ("3..2", 2, "first number"),
        ("2", 2, "LOW..HIGH"),
        ("2..3 kg", 2, "kg"),
        ("2..9", 1, "within 0.50 to 5.30"),
    ],
)
def test_bands_that_are_none(run, model, twisted, band, code, words):
    done = run("explain", twisted, "--band", band, "--model", model, "-o", "out")
    assert done.code == code
    assert words in done.err


def test_a_bad_file_does_not_stop_the_others(run, model, twisted):
    Path("bad.xyz").write_text("nothing")
    done = run("explain", "bad.xyz", twisted, "--band", "2..4", "--model", model, "-o", "out")
    assert done.code == 1
    assert done.err.startswith("error: bad.xyz")
    assert Path("out/twisted_contributions.json").exists()
