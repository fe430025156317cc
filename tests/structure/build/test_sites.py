"""Where donors go on given metals and where the body of a ligand may point."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.errors import StructureError
from clusterml.structure.build.sites import body_directions, find_bound_metals, metal_donor, site_at, site_on

AG = np.array([47, 47, 47])
TRIANGLE = np.array([[1.8, 0, 0], [-0.9, 1.559, 0], [-0.9, -1.559, 0]])
UP = np.array([0.0, 0.0, 1.0])


def test_usual_lengths_are_those_of_the_crystals():
    assert 2.45 <= metal_donor(47, 16) <= 2.60
    assert 2.29 <= metal_donor(47, 8) <= 2.44
    assert 2.40 <= metal_donor(47, 15) <= 2.45
    assert metal_donor(79, 16) < metal_donor(47, 16)


def test_a_bridge_over_two_metals():
    site = site_on(AG, TRIANGLE, np.array([0, 1]), UP, 8, bite=2.24)
    assert np.linalg.norm(site.donors[0] - site.donors[1]) == pytest.approx(2.24)
    for donor, metal in zip(site.donors, site.metals, strict=True):
        assert np.linalg.norm(donor - TRIANGLE[metal]) == pytest.approx(metal_donor(47, 8), abs=1e-6)
    np.testing.assert_allclose(site.outward, [UP], atol=1e-12)


def test_a_chelate_on_one_metal_turns():
    first = site_on(AG, TRIANGLE, np.array([0]), UP, 8, bite=2.24)
    second = site_on(AG, TRIANGLE, np.array([0]), UP, 8, bite=2.24, turn=np.pi / 2)
    for site in (first, second):
        np.testing.assert_allclose(np.linalg.norm(site.donors - TRIANGLE[0], axis=1), metal_donor(47, 8))
    assert abs((first.donors[1] - first.donors[0]) @ (second.donors[1] - second.donors[0])) < 1e-9


def test_one_donor_over_a_triangle():
    site = site_on(AG, TRIANGLE, np.array([0, 1, 2]), UP, 17)
    np.testing.assert_allclose(np.linalg.norm(site.donors[0] - TRIANGLE, axis=1), metal_donor(47, 17), atol=1e-3)
    np.testing.assert_allclose(site.outward, [UP], atol=1e-4)


def test_two_donors_on_three_metals_are_refused():
    with pytest.raises(StructureError, match="3 metals"):
        site_on(AG, TRIANGLE, np.array([0, 1, 2]), UP, 8, bite=2.24)


def test_bent_and_straight_donors_on_one_metal():
    donor = np.array([0.0, 0.0, 2.5])
    metal = np.zeros((1, 3))
    np.testing.assert_allclose(body_directions(metal, donor, 15, n_bonded=3), [UP])
    cone = body_directions(metal, donor, 16)
    assert len(cone) > 6
    angle = np.degrees(np.arccos(cone @ -UP))  # M-S-C
    np.testing.assert_allclose(angle, 180 - 72, atol=1e-6)


def test_a_thiolate_between_two_metals_has_two_sides():
    metals = np.array([[1.5, 0, 0], [-1.5, 0, 0]])
    directions = body_directions(metals, np.array([0, 0, 2.0]), 16)
    assert len(directions) == 2
    np.testing.assert_allclose(directions[0] * [1, -1, 1], directions[1], atol=1e-12)
    assert (directions @ UP > 0.5).all()
    straight = body_directions(metals, np.zeros(3), 16)
    assert np.isfinite(straight).all()
    np.testing.assert_allclose(np.linalg.norm(straight, axis=1), 1.0)


def test_a_site_knows_its_metals():
    donor = np.array([[0.0, 0.0, 1.7]])
    site = site_at(AG, TRIANGLE, donor, 16)
    assert site.metals.tolist() == [0, 1, 2]
    assert find_bound_metals(AG, TRIANGLE, donor + 5.0, 16).size == 0
    with pytest.raises(StructureError, match="no metal"):
        site_at(AG, TRIANGLE, donor + 5.0, 16)
