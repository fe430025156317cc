"""Contributions of atoms to a computed CD: they add up to it, follow the hand, and are those of the eigenstates."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms

from clusterml.engine import integrals
from clusterml.engine.contributions import LabelContributions, exclusive_parts, label_contributions
from clusterml.engine.label import label
from clusterml.engine.linalg import overlap_powers
from clusterml.engine.protocol import DEFAULT_COMPUTE, Protocol, ThermalEnsemble
from clusterml.engine.response.contour import rotation_factor
from clusterml.engine.response.linear import response_problem
from clusterml.errors import OptionError
from clusterml.spectrum.curves import band_weights
from clusterml.structure.build.build import build
from clusterml.structure.distort.apply import distort
from clusterml.units import FWHM_PER_SIGMA, REFERENCE_OUTPUT_HARTREE_EV

BAND = (3.0, 5.03)


@pytest.fixture(scope="module")
def cluster() -> Atoms:
    """A ring of silver and sulfur with a kernel of none, sheared."""
    return distort(build("ag3", thiolate="SH"), "shear", 6.0)


@pytest.fixture(scope="module")
def shares(cluster) -> LabelContributions:
    return label_contributions(label(cluster), *BAND)


def test_atoms_and_parts_add_up_to_the_integral(shares, cluster):
    spectrum = shares.spectrum
    integral = float(band_weights(spectrum.energy_ev, *BAND) @ spectrum.delta_epsilon)
    size = np.abs(shares.per_atom).sum()
    assert size > 0.1
    assert shares.per_atom.shape == (len(cluster),)
    assert shares.total.value == pytest.approx(integral, abs=1e-5 * size)
    assert sum(part.value for part in shares.parts.values()) == pytest.approx(shares.total.value, abs=1e-9 * size)
    assert sorted(np.concatenate([part.atoms for part in shares.parts.values()]).tolist()) == list(range(len(cluster)))
    assert shares.parts.keys() == exclusive_parts(cluster).keys()
    assert np.abs(shares.per_atom[cluster.numbers == 1]).max() > 1e-3 * size  # hydrogens too


def test_the_mirror_image_has_the_opposite_contributions(shares, cluster):
    other = cluster.copy()
    other.positions[:, 2] *= -1.0
    mirrored = label_contributions(label(other), *BAND)
    np.testing.assert_allclose(mirrored.per_atom, -shares.per_atom, atol=1e-4 * np.abs(shares.per_atom).max())


def test_a_rotation_a_shift_and_another_order_change_nothing(shares, cluster, rng):
    order = rng.permutation(len(cluster))
    turned = cluster[order]
    turned.rotate(70.0, (1.0, 2.0, -1.0))
    turned.positions += 30.0
    again = label_contributions(label(turned), *BAND)
    np.testing.assert_allclose(again.per_atom, shares.per_atom[order], atol=1e-4 * np.abs(shares.per_atom).max())


def test_each_of_two_distant_molecules_has_its_own(shares, cluster):
    """With another origin, too: that of the pair is far from either."""
    other = distort(build("ag4", thiolate="SH"), "shear", -8.0)
    alone = label_contributions(label(other), *BAND).per_atom
    other.positions += np.array([0.0, 0.0, 150.0])
    pair = label_contributions(label(cluster + other, 0, allow_several=True), *BAND).per_atom
    for part, own in ((pair[: len(cluster)], shares.per_atom), (pair[len(cluster) :], alone)):
        np.testing.assert_allclose(part, own, atol=2e-3 * np.abs(own).max())


def test_they_are_those_of_all_eigenstates(shares, cluster):
    """1/2 sum_n W(w_n) ((p_A Z_n)(m Z_n) + (m_A Z_n)(p Z_n)) over dense eigenpairs, the halves of atoms done anew."""
    result = shares.label
    protocol, orbitals = result.protocol.but(solver="states"), result.orbitals
    problem = response_problem(orbitals, protocol, DEFAULT_COMPUTE)
    assert len(problem.gaps) == problem.space.n_csf
    values, vectors = np.linalg.eigh(problem.matrix().numpy())
    energies = np.sqrt(values)
    axis = result.spectrum.energy_ev / REFERENCE_OUTPUT_HARTREE_EV
    sigma = protocol.fwhm_ev / FWHM_PER_SIGMA / REFERENCE_OUTPUT_HARTREE_EV
    bands = np.exp(-0.5 * ((axis[:, None] - energies) / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi))
    of_state = band_weights(result.spectrum.energy_ev, *BAND) @ bands * energies
    basis = orbitals.basis
    centred = basis.translated(-basis.coords_bohr.mean(axis=0))
    root, inverse = (m.numpy() for m in overlap_powers(problem.space.l_o.new_tensor(integrals.overlap(basis))))
    occupied, virtual = np.split(root @ orbitals.coefficients, [orbitals.n_occupied], axis=1)
    vectors = vectors / np.sqrt(problem.gaps.numpy())[:, None]  # nabla / sqrt(D)
    half = 0.5 * (basis.atom_of_ao[:, None] == np.arange(len(cluster)))
    whole, parts = [], []
    for operators in (integrals.gradient(centred), integrals.angular(centred)):
        in_loewdin = inverse @ operators @ inverse
        of_atoms = np.einsum("ma,kmn->akmn", half, in_loewdin) + np.einsum("na,kmn->akmn", half, in_loewdin)
        moments = np.einsum("mi,akmn,nv->akiv", occupied, of_atoms, virtual).reshape(len(cluster), 3, -1) @ vectors
        parts.append(moments)
        whole.append(moments.sum(axis=0))
    products = parts[0] * whole[1] + parts[1] * whole[0]
    expected = 0.5 * rotation_factor() * np.einsum("akn,n->a", products, of_state)
    np.testing.assert_allclose(shares.per_atom, expected, atol=1e-4 * np.abs(expected).max())


def test_bands_add_up(shares, cluster):
    low, high = (label_contributions(shares.label, *band).per_atom for band in ((BAND[0], 4.0), (4.0, BAND[1])))
    np.testing.assert_allclose(low + high, shares.per_atom, atol=1e-6 * np.abs(shares.per_atom).max())


def test_plain_values_keep_the_label_beside_the_contributions(shares):
    plain = json.loads(json.dumps(shares.to_dict(), allow_nan=False))
    assert plain["contributions"]["band_ev"] == list(BAND)
    assert sum(plain["contributions"]["per_atom"]) == pytest.approx(plain["contributions"]["total"]["value"], abs=1e-6)
    assert plain["method"] == "GFN1-PBE linear response"
    assert plain["contributions"]["significance"]["verdict"] == "computed"
    assert plain["reliability"]["known"]


def test_a_cluster_without_cd_says_so():
    achiral = label_contributions(label(build("ag3", thiolate="SH")), *BAND)
    assert achiral.verdict == "no CD"
    assert abs(achiral.total.value) < 1e-6


def test_nothing_absorbs_below_the_gap():
    hydrogen = label_contributions(label(Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), 0, emax_ev=4.0), 1.0, 3.0)
    assert hydrogen.per_atom.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (Protocol(orbitals="stda-xtb"), "Fock exchange"),
        (Protocol(solver="states"), "leave --states out"),
        (Protocol(gauge="length"), "depend on the origin"),
        (Protocol(ensemble=ThermalEnsemble(2)), "leave --ensemble out"),
    ],
    ids=["exchange", "states", "gauge", "ensemble"],
)
def test_what_cannot_be_shared_out_is_said(cluster, protocol, words):
    result = label(cluster, protocol=protocol.but(emax_ev=4.5))
    with pytest.raises(OptionError, match=words):
        label_contributions(result, 3.0, 4.0)


@pytest.mark.parametrize("band", [(3.0, 2.0), (2.0, 2.0), (0.1, 2.0), (2.0, 9.0)])
def test_a_band_that_is_none_is_refused(shares, band):
    with pytest.raises(OptionError, match="the band is"):
        label_contributions(shares.label, *band)
