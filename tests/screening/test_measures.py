"""The measures against sums done by hand, their uncertainty against random spectra, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.chirality.part import FrameChirality
from clusterml.dataset.labelling import chirality_measures
from clusterml.errors import OptionError, SpectrumError, StructureError
from clusterml.inference.answer import PredictedChirality
from clusterml.screening.measures.measure import Sample, measures
from clusterml.screening.measures.spectral import deviation
from clusterml.screening.merit import Merit, merit
from clusterml.screening.strain import elastic_strain, gfn1_strain
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.build.build import build
from clusterml.structure.distort.apply import distort
from clusterml.units import FWHM_PER_SIGMA, ev_to_nm

ENERGY = np.arange(25, 266) / 50.0
FWHM = 0.2


class Before:
    def __init__(self, spectrum: Spectrum | None = None, atoms: Atoms | None = None) -> None:
        self._spectrum, self._atoms = spectrum, atoms

    def spectrum(self) -> Spectrum:
        return self._spectrum

    def rest(self) -> Atoms:
        return self._atoms


def bands(scale: float = 1.0, cd_std: float | None = None) -> Spectrum:
    def band(centre: float) -> np.ndarray:
        return np.exp(-(((ENERGY - centre) / 0.3) ** 2))

    std = {} if cd_std is None else {"epsilon_std": 10.0 * np.ones(241), "delta_epsilon_std": cd_std * np.ones(241)}
    return Spectrum(ENERGY, 1e4 * scale * (band(2.5) + 2.0 * band(4.0)), 8.0 * band(2.5) - 5.0 * band(4.0), **std)


def value(key: str, text: str, spectrum: Spectrum, before: Spectrum | None = None):
    sample = Sample(Atoms("Ag"), 0, spectrum, FWHM, Before(before))
    return measures()[key].gauge(text, ENERGY).value(sample)


def test_values_are_those_of_the_curves():
    spectrum = bands()
    assert value("cd_at", "2.5 eV", spectrum).value == pytest.approx(8.0, rel=1e-3)
    assert value("cd_at", f"{ev_to_nm(2.51):.6f} nm", spectrum).value == pytest.approx(7.99, abs=0.02)
    assert value("integrated_cd", "1..3.2 eV", spectrum).value == pytest.approx(8.0 * 0.3 * np.sqrt(np.pi), rel=0.01)
    narrow = value("integrated_cd", "2.495..2.505 eV", spectrum)
    assert narrow.value == pytest.approx(8.0 * 0.01, rel=1e-3)
    assert value("max_g", "2..3 eV", spectrum).value == pytest.approx(8e-4, rel=0.01)
    change = value("absorption_change", "2..4 eV", bands(1.1), spectrum)
    assert (change.value, change.std) == (pytest.approx(10.0), None)


def test_similarity_is_the_cosine_with_a_file(tmp_path):
    bands().mirrored().to_csv(tmp_path / "target.csv")
    spectrum = bands(2.0)
    assert value("similar_to", str(tmp_path / "target.csv"), spectrum).value == pytest.approx(-1.0)
    assert value("similar_absorption_to", str(tmp_path / "target.csv"), spectrum).value == pytest.approx(1.0)
    half = ENERGY > 3.2
    Spectrum(ENERGY[half], bands().epsilon[half], bands().delta_epsilon[half]).to_csv(tmp_path / "part.csv")
    assert value("similar_to", str(tmp_path / "part.csv"), spectrum).value == pytest.approx(1.0)


@pytest.mark.parametrize(("key", "text"), [("integrated_cd", "2..3 eV"), ("cd_at", "2.7 eV"), ("similar_to", "")])
def test_the_deviation_is_that_of_noise_as_broad_as_the_spectrum(key, text, tmp_path):
    """Many noisy spectra: white noise broadened by the spectrum's own Gaussian."""
    rng = np.random.default_rng(5)
    bands().to_csv(tmp_path / "t.csv")
    std = 0.1
    steps = (np.arange(-60, 61) / 50.0)[None]
    kernel = np.exp(-0.5 * (steps * FWHM_PER_SIGMA / FWHM) ** 2)[0]
    noise = rng.standard_normal((4000, 241 + 120))
    broad = np.apply_along_axis(np.convolve, 1, noise, kernel, mode="valid")
    broad *= std / broad.std()
    text = text or str(tmp_path / "t.csv")
    clean = bands(cd_std=std)
    shifted = clean.delta_epsilon.copy()
    shifted[ENERGY > 3.2] *= 0.4  # unlike the target, so that the cosine has a slope
    base = Spectrum(ENERGY, clean.epsilon, shifted, clean.epsilon_std, clean.delta_epsilon_std)
    measure = measures()[key].gauge(text, ENERGY).value
    values_of_draws = [
        measure(Sample(Atoms("Ag"), 0, Spectrum(ENERGY, base.epsilon, shifted + n), FWHM, Before())).value
        for n in broad[:1500]
    ]
    stated = measure(Sample(Atoms("Ag"), 0, base, FWHM, Before())).std
    assert stated == pytest.approx(np.std(values_of_draws), rel=0.08)


def test_deviation_of_one_point_and_none():
    slopes = np.zeros(241)
    slopes[7] = 2.0
    assert deviation(slopes, 0.3 * np.ones(241), ENERGY, FWHM) == pytest.approx(0.6)
    assert deviation(slopes, None, ENERGY, FWHM) is None


def test_energies_without_a_deviation_add_nothing_and_may_make_it_unknown():
    slopes, std = np.zeros(241), 0.3 * np.ones(241)
    slopes[[100, 200]] = 2.0, 1.0  # far apart: their errors are independent
    std[200] = np.nan
    assert deviation(slopes, std, ENERGY, FWHM) == pytest.approx(0.6)
    std[:150] = np.nan
    assert deviation(slopes, std, ENERGY, FWHM) is None


def test_max_g_knows_both_errors():
    spectrum = bands(cd_std=0.1)
    largest = value("max_g", "2.49..2.51 eV", spectrum)
    at = int(np.argmin(np.abs(ENERGY - 2.5)))
    both = np.hypot(0.1 / spectrum.epsilon[at], largest.value * 10.0 / spectrum.epsilon[at])
    assert largest.std == pytest.approx(both, rel=0.05)


def test_energies_and_targets_outside_are_refused(tmp_path):
    with pytest.raises(OptionError, match=r"max_g is 6\.\.7 eV"):
        measures()["max_g"].gauge("6..7 eV", ENERGY)
    with pytest.raises(OptionError, match="cd_at is 120 nm"):
        measures()["cd_at"].gauge("120 nm", ENERGY)
    far = np.linspace(6.0, 8.0, 50)
    Spectrum(far, np.ones(50), np.ones(50)).to_csv(tmp_path / "far.csv")
    with pytest.raises(SpectrumError, match=r"far\.csv: covers 6\.00 to 8\.00 eV"):
        measures()["similar_to"].gauge(str(tmp_path / "far.csv"), ENERGY)
    Spectrum(ENERGY, np.ones(241), np.full(241, np.nan)).to_csv(tmp_path / "dark.csv")
    with pytest.raises(SpectrumError, match="has no CD"):
        measures()["similar_to"].gauge(str(tmp_path / "dark.csv"), ENERGY)
    for low, width, reason in ((2.505, 0.01, "10 meV wide"), (2.5, 0.045, "is zero")):
        narrow = np.linspace(low, low + width, 10)
        curve = np.sin(np.pi * (narrow - 2.5) / 0.02) * (reason == "10 meV wide") + 0.0
        curve[1] = 1e-3 if reason == "is zero" else curve[1]
        Spectrum(narrow, np.ones(10), curve).to_csv(tmp_path / "narrow.csv")
        with pytest.raises(SpectrumError, match=rf"narrow\.csv: .*{reason}"):
            measures()["similar_to"].gauge(str(tmp_path / "narrow.csv"), ENERGY)
    with pytest.raises(SpectrumError, match="there is no absorption from"):
        value("max_g", "0.5..0.6 eV", bands())


def test_strain_grows_with_the_square_and_does_not_see_rotation():
    rest = build("ag3", thiolate="SCH3")
    small, large = (distort(rest, "breathing", amount) for amount in (0.5, 1.0))
    assert elastic_strain(rest, rest) == pytest.approx(0.0, abs=1e-12)
    assert elastic_strain(large, rest) == pytest.approx(4.0 * elastic_strain(small, rest), rel=0.02)
    turned = large.copy()
    turned.rotate(50.0, (1.0, 2.0, 3.0))
    turned.positions += 4.0
    assert elastic_strain(turned, rest) == pytest.approx(elastic_strain(large, rest), rel=1e-8)
    assert gfn1_strain(rest, rest, 0) == pytest.approx(0.0, abs=1e-6)
    assert gfn1_strain(distort(rest, "breathing", 12.0), rest, 0) > 0.1
    with pytest.raises(StructureError, match="same atoms"):
        elastic_strain(build("ag2"), rest)


def test_chirality_of_the_geometry_is_that_of_the_training_labels():
    atoms = distort(build("ag3", thiolate="SH"), "shear", 5.0)
    wanted = chirality_measures(atoms)
    frame = FrameChirality(atoms)
    assert frame.opd_local == pytest.approx(wanted["opd_local_frame"], rel=1e-9, abs=1e-12)
    assert frame.ccm == pytest.approx(wanted["ccm_frame"], rel=1e-6, abs=1e-9)


def test_chirality_is_the_networks_where_it_is_asked_for_and_there_is_one():
    atoms = distort(build("ag3", thiolate="SH"), "shear", 5.0)
    spectrum = Spectrum(ENERGY, np.ones(len(ENERGY)), np.zeros(len(ENERGY)))
    known = measures()
    predicted = Sample(atoms, 0, spectrum, FWHM, Before(), PredictedChirality(-0.25, 7.5))
    labelled = Sample(atoms, 0, spectrum, FWHM, Before())
    frame = FrameChirality(atoms)
    for key, said, measured in (("opd", -0.25, frame.opd_local), ("ccm", 7.5, frame.ccm)):
        by_network, by_geometry = (known[key].gauge(word, ENERGY) for word in ("predicted", "measured"))
        assert by_network.value(predicted).value == said
        assert by_network.value(labelled).value == pytest.approx(measured)
        assert by_geometry.value(predicted).value == pytest.approx(measured)


def values(*pairs):
    from clusterml.screening.measures.measure import Value

    return [Value(*pair) for pair in pairs]


@pytest.mark.parametrize(
    ("aim", "expected", "optimistic", "pessimistic"),
    [
        ("maximise", -3.0, -2.5, -3.5),
        ("minimise", 3.0, 3.5, 2.5),
        ("magnitude", 3.0, 3.5, 2.5),
        (-5.0, -2.0, -1.5, -2.5),
        (-3.2, -0.2, 0.0, -0.7),
    ],
)
def test_every_aim_with_every_attitude(aim, expected, optimistic, pessimistic):
    (one,) = values((-3.0, 0.5))
    assert [merit(aim, one, shift) for shift in (0.0, 1.0, -1.0)] == pytest.approx([expected, optimistic, pessimistic])


def test_scores_weights_and_constraints(make_screen):
    lines = [{"max_g": "2..3 eV", "weight": 2.0}, {"strain": "elastic"}]
    limits = [{"absorption_within": "5 %"}, {"opd": "predicted", "at_least": 0.1}]
    scoring = Merit(make_screen(objectives=lines, constraints=limits, value="pessimistic", sigmas=2.0))
    assert scoring.names == ("max_g", "strain", "absorption_change", "opd")
    standing = scoring.standing(values((0.004, 0.0005), (0.5,), (6.0,), (0.2,)))
    assert standing.score == pytest.approx(2.0 * (0.004 - 2 * 0.0005) / 1e-3 - 0.5)
    assert standing.violated == ("absorption_change",)
    assert scoring.standing(values((0.004, 0.0005), (0.5,), (4.0, 0.6), (0.2,))).violated == ("absorption_change",)
    kept = scoring.standing(values((0.004, 0.0005), (0.5,), (4.0, 0.4), (0.2,)))
    assert kept.violated == ()
    assert kept.order > standing.order
    assert scoring.standing(values((0.004, 0.0005), (0.5,), (4.0, 0.6), (0.2,)), certain=True).violated == ()
