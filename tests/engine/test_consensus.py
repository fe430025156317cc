"""How far protocols agree: which are asked, how they are aligned, what the verdicts are, and a mirror image."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clusterml.engine import consensus as module
from clusterml.engine.consensus import AgreedBand, find_consensus, parse_protocols, write_consensus
from clusterml.engine.protocol import Protocol
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.spectrum.fit import Alignment, align
from clusterml.structure.build.build import build

NAMES = "gfn1,gfn1:methanol,stda-xtb"


def test_protocols_are_read_with_their_solvents_and_the_common_range():
    base = Protocol(emax_ev=4.5, fwhm_ev=0.3, xc=None)
    protocols = parse_protocols(" gfn1, gfn1:Methanol ,stda-xtb,dft", base)
    assert [p.name for p in protocols] == ["gfn1", "gfn1-in-methanol", "stda-xtb", "dft-pbe-def2-svp"]
    assert {(p.emax_ev, p.fwhm_ev) for p in protocols} == {(4.5, 0.3)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gfn1", "two or more"),
        ("", "two or more"),
        ("gfn1,gfn1", "names gfn1 twice"),
        ("gfn1:methanol,gfn1:Methanol", "names gfn1-in-methanol twice"),
        ("gfn1,gnf2", "gfn2"),
        ("gfn1,gfn1:watr", "water"),
        ("gfn1,stda-xtb:methanol", "solvent 'methanol' has no effect on stda-xtb"),
    ],
)
def test_what_cannot_be_asked_is_refused(text, words):
    with pytest.raises(OptionError, match=words):
        parse_protocols(text)


@pytest.fixture(scope="module")
def agreed(molecule):
    return find_consensus(molecule("S-chfclbr"), 0, NAMES)


def test_the_mean_and_spread_are_those_of_the_aligned_spectra(agreed):
    first, *others = agreed.protocols
    assert first.shift_ev == 0.0
    for part in others:
        shifted = align(part.label.spectrum, Alignment(part.shift_ev))
        expected = np.interp(agreed.spectrum.energy_ev, shifted.energy_ev, shifted.delta_epsilon)
        np.testing.assert_allclose(part.spectrum.delta_epsilon, expected)
    curves = np.stack([part.spectrum.delta_epsilon for part in agreed.protocols])
    np.testing.assert_allclose(agreed.spectrum.delta_epsilon, curves.mean(axis=0))
    np.testing.assert_allclose(agreed.spectrum.delta_epsilon_std, curves.std(axis=0, ddof=1))


def test_signs_are_those_of_each_protocol_at_the_band(agreed):
    assert agreed.bands
    for band in agreed.bands:
        for part in agreed.protocols:
            value = np.interp(band.energy_ev, part.spectrum.energy_ev, part.spectrum.delta_epsilon)
            assert band.signs[part.name] in (0, np.sign(value))
    strongest = max(agreed.bands, key=lambda band: abs(band.height))
    assert agreed.strongest is strongest
    assert agreed.chance == 0.25


def test_a_mirror_image_has_the_opposite_signs_and_the_same_verdicts(molecule, agreed):
    atoms = molecule("S-chfclbr")
    atoms.positions[:, 2] *= -1.0
    mirrored = find_consensus(atoms, 0, NAMES)
    assert [b.verdict for b in mirrored.bands] == [b.verdict for b in agreed.bands]
    assert [{k: -v for k, v in b.signs.items()} for b in mirrored.bands] == [dict(b.signs) for b in agreed.bands]


@pytest.mark.parametrize(
    ("signs", "verdict"),
    [
        ((1, 1, 1), "all"),
        ((-1, -1), "all"),
        ((1, 1, -1), "most"),
        ((1, 1, 0), "most"),
        ((1, -1), "open"),
        ((1, 0), "open"),
        ((1, 1, -1, -1), "open"),
        ((0, 0, 0), "open"),
    ],
)
def test_verdicts(signs, verdict):
    assert AgreedBand(3.0, 1.0, 0.1, dict(zip("abcd", signs, strict=False))).verdict == verdict


def test_a_protocol_without_a_gap_is_left_out(molecule, agreed, monkeypatch):
    gaps = {part.name: part.label.orbitals.raw_gap_ev for part in agreed.protocols}
    least, *others = sorted(gaps, key=lambda name: gaps[name])
    monkeypatch.setattr(module, "SMALL_GAP_EV", gaps[least] + 1e-3)
    result = find_consensus(molecule("S-chfclbr"), 0, NAMES)
    assert {part.name for part in result.protocols} == set(others)
    assert list(result.left_out) == [least]
    assert any(least in warning and "gap" in warning for warning in result.warnings)
    monkeypatch.setattr(module, "SMALL_GAP_EV", 50.0)
    with pytest.raises(ElectronicStructureError, match="0 protocols of 3 can say something"):
        find_consensus(molecule("S-chfclbr"), 0, NAMES)


def test_an_achiral_molecule_has_no_bands(molecule):
    result = find_consensus(molecule("agh"), 0, "gfn1,gfn1:methanol")
    assert result.bands == ()
    assert result.summary == "no CD"
    assert result.strongest is None


def test_files_say_what_the_object_says(agreed, tmp_path):
    write_consensus(agreed, tmp_path, "one")
    assert {path.name for path in tmp_path.iterdir()} == {"one.csv", "one.json", "one.png"}
    content = json.loads((tmp_path / "one.json").read_text())
    assert [band["verdict"] for band in content["consensus"]["cd_bands"]] == [band.verdict for band in agreed.bands]
    assert [part["name"] for part in content["consensus"]["protocols"]] == [part.name for part in agreed.protocols]
    assert len(agreed.table.splitlines()) == 3 + len(agreed.bands)


def test_each_protocol_takes_what_it_knows():
    base = Protocol(charge_tolerance=1e-6, electronic_temperature_k=500.0, xc="pbe0", basis="def2-svp")
    by_name = {p.orbitals: p for p in parse_protocols("gfn1,stda-xtb,dft", base)}
    assert by_name["gfn1"].charge_tolerance == 1e-6
    assert (by_name["gfn1"].xc, by_name["stda-xtb"].charge_tolerance) == (None, None)
    assert (by_name["dft"].xc, by_name["dft"].electronic_temperature_k) == ("pbe0", 500.0)


def test_an_assumed_charge_is_told():
    atoms = build("ag3", thiolate="SH")
    del atoms.info["charge"]
    assumed = find_consensus(atoms, protocols="gfn1,stda-xtb")
    assert any(words.startswith("charge 0 assumed") for words in assumed.warnings)
    assert assumed.to_dict()["warnings"] == list(assumed.warnings)
