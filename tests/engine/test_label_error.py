"""How far a CD is from DFT: what the table says, and what labels make of it."""

import json
from statistics import NormalDist

import numpy as np
import pytest
from ase import Atoms

import clusterml as cm
from clusterml.dataset.protocols import record_hash
from clusterml.engine import label_error
from clusterml.engine.label_error import (
    ErrorTable,
    Measured,
    cluster_kind,
    error_table,
    local_scale,
    protocol_key,
    reliability,
    sign_probability,
)
from clusterml.engine.output import write_label
from clusterml.engine.protocol import ThermalEnsemble
from clusterml.io.shipped import shipped
from clusterml.spectrum.compare import broaden_to

ENERGY = np.arange(50, 301) / 50.0
CD = 40.0 * np.exp(-(((ENERGY - 3.0) / 0.2) ** 2)) - 90.0 * np.exp(-(((ENERGY - 4.0) / 0.2) ** 2))


def spectrum(cd=CD, fwhm=0.2, **meta):
    return cm.Spectrum(ENERGY, np.full(len(ENERGY), 1e5), cd, meta={"fwhm_ev": fwhm, "gauge": "velocity", **meta})


@pytest.fixture
def table(monkeypatch):
    """Errors of half a local scale at 0.1 eV width, a quarter at 0.3; known from 1 to 5 eV."""
    numbers = Measured(
        clusters=5,
        geometries=9,
        shift_ev=0.12,
        absorption=(0.9, 0.95),
        cosine=(0.2, 0.4),
        shifted=(0.6, 0.8),
        error=((0.5, 0.5), (0.25, 0.25)),
        sign_slope=(1.0, 2.0),
    )
    made = ErrorTable(
        dataset="made-up",
        method="PBE",
        records={"a": "0"},
        metals=4,
        widths_ev=(0.1, 0.3),
        energies_ev=(1.0, 5.0),
        protocols={"gfn1": {"silver(I) complex": numbers}},
    )
    monkeypatch.setattr(label_error, "error_table", lambda: made)
    return made


@pytest.fixture(scope="module")
def complex_():
    return cm.build("ag3", thiolate="SH")


def test_the_local_scale_is_the_rms_about_an_energy():
    assert local_scale(ENERGY, np.full(len(ENERGY), -7.0)) == pytest.approx(7.0)
    wave = np.sin(2.0 * np.pi * ENERGY / 0.1)
    middle = (ENERGY > 2.0) & (ENERGY < 5.0)
    assert local_scale(ENERGY, wave)[middle] == pytest.approx(np.sqrt(0.5), rel=0.02)
    assert local_scale(ENERGY, CD).min() == pytest.approx(0.15 * local_scale(ENERGY, CD).max(), rel=1e-3)


def test_the_local_scale_does_not_depend_on_the_axis():
    fine = np.linspace(ENERGY[0], ENERGY[-1], 30_001)
    cd = np.interp(fine, ENERGY, CD)
    np.testing.assert_allclose(local_scale(fine, cd), np.interp(fine, ENERGY, local_scale(ENERGY, CD)), rtol=0.02)


def test_the_error_is_a_share_of_the_scale_by_width_and_range(table, complex_):
    trust = reliability(spectrum(), complex_, 0, "gfn1")
    inside = ENERGY <= 5.0
    assert trust.error[inside] == pytest.approx(0.375 * local_scale(ENERGY, CD)[inside])  # halfway between widths
    assert np.isnan(trust.error[~inside]).all()
    assert trust.known
    assert trust.shift_ev == 0.12
    assert trust.cosines == pytest.approx((0.3, 0.7))


def test_a_mirror_image_has_the_same_error_and_other_signs(table, complex_):
    one, other = (reliability(spectrum(sign * CD), complex_, 0, "gfn1") for sign in (1.0, -1.0))
    np.testing.assert_allclose(one.error, other.error)
    assert [band.height for band in one.bands] == pytest.approx([-band.height for band in other.bands])
    assert [band.probability for band in one.bands] == pytest.approx([band.probability for band in other.bands])


def test_the_error_scales_with_the_cd_and_vanishes_without(table, complex_):
    once, thrice = (reliability(spectrum(factor * CD), complex_, 0, "gfn1") for factor in (1.0, 3.0))
    np.testing.assert_allclose(thrice.error, 3.0 * once.error)
    assert [b.probability for b in once.bands] == pytest.approx([b.probability for b in thrice.bands])
    silent = reliability(spectrum(0.0 * CD), complex_, 0, "gfn1")
    assert np.nanmax(silent.error) == 0.0
    assert silent.bands == ()
    assert "sign" not in silent.sentence


def test_signs_are_supported_by_their_height(table, complex_):
    trust = reliability(spectrum(), complex_, 0, "gfn1")
    weak, strong = trust.bands
    scale = local_scale(ENERGY, CD)
    at = float(np.interp(strong.energy_ev, ENERGY, scale))
    assert strong.probability == pytest.approx(NormalDist().cdf(1.5 * abs(strong.height) / at), abs=1e-6)
    assert strong.probability > weak.probability
    assert [band.supported for band in trust.bands] == [band.probability >= 0.95 for band in trust.bands]
    doubtful = sum(not band.supported for band in trust.bands)
    assert f"signs supported by DFT (to 95 %): {2 - doubtful} of 2 bands" in trust.sentence
    assert len(trust.doubtful) == doubtful
    assert sign_probability(-1.0, 5.0, 1.0) == 0.5


def test_the_error_of_a_network_comes_on_top(table, complex_):
    alone = reliability(spectrum(), complex_, 0, "gfn1")
    both = reliability(spectrum(), complex_, 0, "gfn1", std=np.full(len(ENERGY), 30.0))
    np.testing.assert_allclose(alone.error, both.error)  # that of the protocol stays its own
    for one, two in zip(alone.bands, both.bands, strict=True):
        assert two.error == pytest.approx(np.hypot(one.error, 30.0))
        same = NormalDist().cdf(abs(one.height) / 30.0)
        assert two.probability == pytest.approx(one.probability * same + (1 - one.probability) * (1 - same), abs=1e-6)
    unknown = reliability(spectrum(), complex_, 0, "gfn1", std=np.full(len(ENERGY), np.nan))
    assert [band.supported for band in unknown.bands] == [None, None]


@pytest.mark.parametrize(
    ("make", "charge", "protocol", "changes", "words"),
    [
        (None, 0, "molden", {}, "measured are gfn1"),
        (None, 0, "dft-pbe0-def2-svp", {}, "it is DFT itself"),
        (lambda: cm.build("ag29", thiolate="SH", phosphine="PH3"), -3, "gfn1", {}, "no superatom was measured"),
        (lambda: cm.build("ag12", thiolate="SH", carboxylate="HCOO"), 0, "gfn1", {}, "has 4 metals, this one 12"),
        (lambda: Atoms("AuCl", [[0, 0, 0], [0, 0, 2.3]]), 0, "gfn1", {}, "clusters of silver only"),
        (lambda: Atoms("OH2", [[0, 0, 0], [0, 0, 1], [0, 1, 0]]), 0, "gfn1", {}, "clusters of silver only"),
        (None, 0, "gfn1", {"fwhm": 0.05}, "from a width of 0.1 eV"),
        (None, 0, "gfn1", {"gauge": "length"}, "velocity gauge"),
    ],
)
def test_what_was_not_measured_is_said_not_to_be_known(table, complex_, make, charge, protocol, changes, words):
    trust = reliability(spectrum(**changes), complex_ if make is None else make(), charge, protocol)
    assert not trust.known
    assert np.isnan(trust.error).all()
    assert "not known" in trust.sentence
    assert "signs" not in trust.sentence
    assert words in trust.sentence
    assert [band.supported for band in trust.bands] == [None, None]
    assert trust.doubtful == []
    assert trust.to_dict()["cd_cosine"] is None


def test_a_protocol_that_is_clearly_nearer_to_dft_is_named(table, complex_):
    """At 0.2 eV the cosine of gfn1 is 0.3."""
    kind = "silver(I) complex"
    numbers = table.protocols["gfn1"][kind]
    table.protocols["gfn1-pbe"] = {kind: numbers.model_copy(update={"cosine": (0.3, 0.4)})}
    assert "agrees better" not in reliability(spectrum(), complex_, 0, "gfn1").sentence
    table.protocols["gfn1-pbe"] = {kind: numbers.model_copy(update={"cosine": (0.5, 0.5)})}
    words = "cosine of 0.30 on 5 clusters"
    better = "(gfn1-pbe agrees better, 0.50: label --orbitals gfn1-pbe)"
    sentence = reliability(spectrum(), complex_, 0, "gfn1").sentence
    assert words in sentence
    assert better in sentence
    assert "agrees better" not in reliability(spectrum(), complex_, 0, "gfn1-pbe").sentence


def test_kinds_go_by_free_electrons():
    assert cluster_kind(cm.build("ag4", thiolate="SH"), 0) == "silver(I) complex"
    assert cluster_kind(cm.build("ag25", thiolate="SH"), -1) == "superatom"


def test_protocols_of_one_source_differ_by_solvent_and_mode():
    names = [protocol_key(cm.Protocol(**how)) for how in ({}, {"solvent": "methanol"}, {"mode": "reference"})]
    assert names == ["gfn1-pbe", "gfn1-pbe-in-methanol", "stda-xtb-reference"]


def test_the_table_that_ships_belongs_to_the_dataset_that_ships():
    made = error_table()
    shipped_now = {record.id: record_hash(record) for record in cm.Dataset(shipped("datasets") / made.dataset)}
    both = shipped_now.keys() & made.records.keys()
    assert len(both) >= 4
    assert {name: made.records[name] for name in both} == {name: shipped_now[name] for name in both}
    assert {cm.Protocol().name, "gfn1", "stda-xtb"} <= set(made.protocols)
    for kinds in made.protocols.values():
        for numbers in kinds.values():
            assert np.array(numbers.error).shape == (len(made.widths_ev), len(made.energies_ev))
            assert np.array(numbers.error).min() > 0.0


def test_labels_carry_it_into_every_file(table, tmp_path):
    atoms = cm.build("ag3", thiolate="SH")
    atoms.rattle(0.05, seed=1)
    label = cm.label(atoms, orbitals="gfn1", emax_ev=5.0)
    assert label.spectrum.label_error is not None
    np.testing.assert_allclose(label.label_error, label.spectrum.label_error)
    write_label(label, tmp_path, "x")
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["reliability"]["sentence"] == label.reliability.sentence
    assert content["reliability"]["known"] is True
    assert content["reliability"]["reference"]["method"] == "PBE"
    assert {"energy_ev", "height", "error", "sign_probability", "supported"} <= set(content["reliability"]["bands"][0])
    assert len(content["spectrum"]["label_error"]) == len(label.spectrum)
    assert "label_error_l_mol_cm" in (tmp_path / "x.csv").read_text().splitlines()[0]
    assert broaden_to(label.spectrum, 0.4).label_error is None  # it was that of the width
    again = cm.Spectrum.from_json(tmp_path / "x.json")
    np.testing.assert_allclose(again.label_error, label.label_error)
    mirror = atoms.copy()
    mirror.positions *= [-1.0, 1.0, 1.0]
    np.testing.assert_allclose(cm.label(mirror, orbitals="gfn1", emax_ev=5.0).label_error, label.label_error, rtol=1e-2)


def test_a_thermal_mean_carries_it_too(table):
    ensemble = ThermalEnsemble(members=2)
    label = cm.label(cm.build("ag3", thiolate="SH"), orbitals="gfn1", emax_ev=4.0, ensemble=ensemble)
    assert np.isfinite(label.label_error[label.spectrum.energy_ev > 1.0]).all()
    np.testing.assert_allclose(label.spectrum.total_error, label.label_error)  # a spread is no error
