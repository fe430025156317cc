"""What a protocol is worth, on spectra made so that the answers are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from clusterml.dataset.protocols import (
    ENERGIES_EV,
    SIGMAS,
    WIDTHS_EV,
    Held,
    Pair,
    cluster_mean,
    clusters_of,
    common_shift,
    coverage,
    error_factor,
    held_out,
    held_out_shifts,
    measure,
    record_hash,
    relative_errors,
    sign_slope,
    slope_factor,
    useful_shift,
)
from clusterml.spectrum.spectrum import Spectrum

ENERGY = np.arange(25, 276) / 50.0


def curve(*bands):
    """Gaussian bands (energy, height) of 0.3 eV."""
    return sum(height * np.exp(-(((ENERGY - at) / 0.18) ** 2)) for at, height in bands)


def pair(cluster, theirs, mine, *, family=None, shift=0.0, gaps=(1.0, 1.0)):
    """The reference has the CD ``theirs``, the protocol ``mine``; the absorption is shifted by ``shift``."""
    absorption = 1e5 * curve((2.4, 0.5), (3.6, 1.0))
    moved = 1e5 * curve((2.4 - shift, 0.5), (3.6 - shift, 1.0))
    record = SimpleNamespace(
        id=f"{cluster}-0", parent=cluster, family=family or cluster, epsilon=absorption, delta_epsilon=theirs
    )
    meta = {"fwhm_ev": 0.3}
    reference, spectrum = Spectrum(ENERGY, absorption, theirs, meta=meta), Spectrum(ENERGY, moved, mine, meta=meta)
    return Pair(record, "superatom", reference, spectrum, gaps)


def shifted(cluster, by, sign=1.0):
    """A protocol whose bands come ``by`` eV too low."""
    bands = ((1.8, 40.0), (2.6, -70.0), (3.4, 100.0 * sign))
    return pair(cluster, curve(*bands), curve(*((at - by, height) for at, height in bands)), shift=by)


def test_a_common_shift_is_recovered_and_holds_for_clusters_that_did_not_see_it():
    pairs = [shifted("a", 0.2), shifted("b", 0.2, -1.0), shifted("c", 0.2)]
    assert common_shift(pairs) == pytest.approx(0.2)
    assert held_out_shifts(pairs) == pytest.approx({"a": 0.2, "b": 0.2, "c": 0.2})
    assert useful_shift(pairs) == pytest.approx(0.2)
    assert pairs[0].own_shift == pytest.approx(0.2)
    absorption, cd = pairs[0].cosines(0.2)
    assert absorption == pytest.approx(1.0, abs=1e-3)
    assert cd == pytest.approx(1.0, abs=1e-3)
    assert pairs[0].mirrored.cosines(0.2)[1] == pytest.approx(-1.0, abs=1e-3)
    assert pairs[0].first_band() == pytest.approx(-0.2, abs=0.01)


def test_a_shift_that_does_not_transfer_is_none():
    pairs = [shifted("a", 0.3), shifted("b", -0.3)]
    assert useful_shift(pairs) == 0.0
    assert held_out_shifts(pairs[:1]) == {}


def test_clusters_count_equally_whatever_their_geometries():
    flat = np.full(len(ENERGY), 10.0)
    pairs = [pair("a", flat, flat, gaps=(1.0, 2.0))] * 3 + [pair("b", flat, flat, gaps=(1.0, 4.0))]
    assert clusters_of(pairs) == 2
    assert cluster_mean(pairs, lambda p: p.gaps[1] - p.gaps[0]) == pytest.approx(2.0)


def test_the_error_is_the_quantile_of_deviations_in_local_scales():
    flat = np.full(len(ENERGY), 10.0)
    pairs = [pair("a", 1.5 * flat, flat), pair("b", 0.5 * flat, flat)]  # off by half of its scale everywhere
    assert relative_errors(pairs) == pytest.approx([0.5 / SIGMAS] * len(ENERGIES_EV))
    three = [pair("a", 4.0 * flat, flat), pair("b", 1.0 * flat, flat)]  # 90 % of the weight needs the larger one
    assert relative_errors(three) == pytest.approx([3.0 / SIGMAS] * len(ENERGIES_EV))
    mirrored = [pair(p.record.parent, -p.record.delta_epsilon, -flat) for p in pairs]
    assert relative_errors(mirrored) == pytest.approx(relative_errors(pairs))


def test_signs_that_are_right_support_a_slope_and_others_do_not():
    right = [shifted(name, 0.0) for name in "abcd"]
    assert all(agreed for p in right for _, agreed in p.bands)
    wrong = [pair(name, -p.record.delta_epsilon, p.record.delta_epsilon) for name, p in zip("abcd", right, strict=True)]
    assert sign_slope(right) > 0.5
    assert sign_slope(right) > sign_slope(right[:1])  # more clusters, more sure
    assert sign_slope(wrong) == pytest.approx(0.0, abs=1e-3)
    assert right[0].right_signs(0.0) == 1.0
    assert wrong[0].right_signs(0.0) == 0.0
    assert np.isnan(right[0].right_signs(float("nan")))


def test_factors_make_statements_about_held_out_clusters_true():
    rng = np.random.default_rng(0)
    deviations = np.abs(rng.normal(size=20_000)) * 2.0  # twice the errors that were stated
    z = np.abs(rng.normal(size=20_000)) * 2.0
    sure = [(value, bool(rng.random() < 0.5 + 0.5 * np.tanh(0.5 * value))) for value in z]
    held = [Held(deviations[:10_000], sure[:10_000]), Held(deviations[10_000:], sure[10_000:])]
    factor = error_factor(held)
    assert factor == pytest.approx(2.0, rel=0.03)
    assert coverage(held, factor, SIGMAS) == pytest.approx(0.9, abs=0.005)
    assert 0.3 < slope_factor(held) < 0.9
    assert slope_factor([Held(deviations, [(1.0, False)])]) == pytest.approx(0.0, abs=1e-6)
    assert (error_factor([]), slope_factor([])) == (1.0, 0.0)


def test_families_are_judged_by_others_and_one_alone_by_none():
    pairs = [pair(name, 1.5 * values, values) for name, values in (("a", curve((2, 9))), ("b", curve((3, 5), (4, -2))))]
    judged = held_out(pairs)
    assert len(judged) == 2
    assert all(right for held in judged for _, right in held.signs)
    assert held_out([p for p in pairs if p.record.parent == "a"]) == []
    same = [pair(p.record.parent, p.record.delta_epsilon, p.spectrum.delta_epsilon, family="f") for p in pairs]
    assert held_out(same) == []


def test_geometries_without_a_cd_have_no_part_in_what_is_said_of_it():
    silent = pair("c", 0.1 * np.ones(len(ENERGY)), curve((2.0, 50.0)))
    assert not silent.chiral
    assert not pair("d", curve((2.0, 50.0)), 1e-9 * curve((6.0, 50.0))).chiral  # all bands beyond the range
    assert measure({width: [silent] for width in WIDTHS_EV}, 1.0, 1.0) is None
    numbers = measure({width: [shifted("a", 0.1), shifted("b", 0.1), silent] for width in WIDTHS_EV}, 2.0, 0.5)
    assert (numbers.clusters, numbers.geometries) == (2, 2)
    assert numbers.shift_ev == pytest.approx(0.1)
    assert numbers.shifted[0] > numbers.cosine[0]
    assert len(numbers.error) == len(WIDTHS_EV)
    assert len(numbers.error[0]) == len(ENERGIES_EV)


def test_the_hash_knows_geometry_and_spectrum():
    def record(x, cd):
        return SimpleNamespace(numbers=[47], positions=[[x, 0.0, 0.0]], delta_epsilon=[cd])

    assert record_hash(record(0.0, 1.0)) == record_hash(record(0.0, 1.0))
    assert record_hash(record(0.0, 1.0)) != record_hash(record(0.0, 1.1))
    assert record_hash(record(0.0, 1.0)) != record_hash(record(0.1, 1.0))
