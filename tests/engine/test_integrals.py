"""Basis and one-electron integrals: norms, symmetry, and how they change when the molecule is moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from clusterml.engine import integrals
from clusterml.engine.atomic import coordination_numbers
from clusterml.engine.basis import (
    Basis,
    Shell,
    contracted_shells,
    orthogonalised,
    primitive_overlap,
    stage_basis,
)
from clusterml.engine.parameters import tables
from clusterml.errors import ElectronicStructureError, UnsupportedElementError
from clusterml.units import REFERENCE_BOHR_ANGSTROM


@pytest.fixture(scope="module", params=[1, 2, "spdfgh"])
def basis(request, molecule):
    """AgSCH3: s, p, d; valence, polarisation (stage 1) and Rydberg (stage 2) functions; and a pair with s to h."""
    if request.param == "spdfgh":
        return pair_up_to(5)
    atoms = molecule("agsch3")
    symbols, coords = atoms.get_chemical_symbols(), atoms.positions / REFERENCE_BOHR_ANGSTROM
    return stage_basis(symbols, coords, coordination_numbers(symbols, coords), request.param)


def pair_up_to(l_max: int) -> Basis:
    """Two atoms, each with a general contraction of two shells for every l up to ``l_max``."""
    exponents, columns = np.array([1.7, 0.6, 0.2]), np.array([[0.3, 0.0], [0.8, -0.4], [0.1, 0.9]])
    shells = [s for atom in (0, 1) for l in range(l_max + 1) for s in contracted_shells(atom, l, exponents, columns)]
    return Basis(np.array([[0.2, -0.4, 0.1], [1.5, 2.1, -2.9]]), tuple(shells))


def test_functions_are_normalised(basis):
    s = integrals.overlap(basis)
    np.testing.assert_allclose(np.diag(s), 1.0, atol=1e-8)
    np.testing.assert_allclose(s, s.T, atol=1e-15)
    assert np.linalg.eigvalsh(s)[0] > 1e-3


def test_rydberg_functions_are_orthogonal_to_the_valence_of_their_atom(basis):
    s = integrals.overlap(basis)
    kind = basis.expand([shell.kind for shell in basis.shells])
    same_atom = basis.atom_of_ao[:, None] == basis.atom_of_ao[None, :]
    mixed = (kind == "rydberg")[:, None] & (kind == "valence")[None, :] & same_atom
    assert mixed.any() == ("rydberg" in kind)
    np.testing.assert_allclose(s[mixed], 0.0, atol=1e-8)


@pytest.mark.parametrize("l", [0, 1, 2])
def test_overlap_of_concentric_primitives(l):
    """Against radial quadrature of r^(2l+2) exp(-(a+b) r^2)."""
    a, b = np.array([0.3, 2.0]), np.array([0.7])
    found = primitive_overlap(l, a, b)

    def radial(x, y):
        return quad(lambda r: r ** (2 * l + 2) * np.exp(-(x + y) * r * r), 0, 30)[0]

    expected = [[radial(x, b[0]) / np.sqrt(radial(x, x) * radial(b[0], b[0]))] for x in a]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_schmidt_orthogonalisation():
    alpha, c = np.array([1.2, 0.4]), np.array([0.6, 0.5])
    valence = Shell(0, 1, alpha, c / np.sqrt(c @ primitive_overlap(1, alpha, alpha) @ c))
    exponents, coefficients = orthogonalised(1, (np.array([0.1]), np.array([1.0])), valence)
    np.testing.assert_array_equal(exponents, [0.1, 1.2, 0.4])
    assert coefficients @ primitive_overlap(1, exponents, exponents) @ coefficients == pytest.approx(1.0)
    projection = coefficients @ primitive_overlap(1, exponents, alpha) @ valence.coefficients
    assert projection == pytest.approx(0.0, abs=1e-12)


def test_symmetry_of_the_operators(basis):
    for matrices, sign in ((integrals.dipole, 1), (integrals.gradient, -1), (integrals.angular, -1)):
        m = matrices(basis)
        assert m.shape == (3, basis.n_ao, basis.n_ao)
        np.testing.assert_allclose(m.transpose(0, 2, 1), sign * m, atol=1e-10)
    t = integrals.kinetic(basis)
    np.testing.assert_allclose(t, t.T, atol=1e-12)


def test_moved_molecule(basis):
    """<r> gains t S, <r x nabla> gains t x <nabla>; overlap, kinetic energy and <nabla> do not change."""
    t = np.array([1.0, -2.0, 3.5])
    moved = basis.translated(t)
    s, nabla = integrals.overlap(basis), integrals.gradient(basis)
    np.testing.assert_allclose(integrals.overlap(moved), s, atol=1e-12)
    np.testing.assert_allclose(integrals.kinetic(moved), integrals.kinetic(basis), atol=1e-11)
    np.testing.assert_allclose(integrals.gradient(moved), nabla, atol=1e-11)
    np.testing.assert_allclose(integrals.dipole(moved), integrals.dipole(basis) + t[:, None, None] * s, atol=1e-11)
    expected = integrals.angular(basis) + np.cross(t, nabla, axisb=0, axisc=0)
    np.testing.assert_allclose(integrals.angular(moved), expected, atol=1e-10)


def test_gradient_is_the_derivative_of_the_overlap():
    """<mu|nabla nu> = -d<mu|nu>/dB for nu on atom B, here s and d functions at 1.3 bohr."""

    def pair(z):
        coords = np.array([[0.0, 0.0, 0.0], [0.4, -0.3, z]])
        shells = tuple(Shell(k, l, np.array([0.8]), np.array([1.0])) for k, l in ((0, 0), (1, 2)))
        return Basis(coords, shells)

    h = 1e-4
    numeric = -(integrals.overlap(pair(1.3 + h)) - integrals.overlap(pair(1.3 - h)))[0, 1:] / (2 * h)
    np.testing.assert_allclose(integrals.gradient(pair(1.3))[2][0, 1:], numeric, atol=1e-7)


def test_cartesian_functions_span_the_spherical_ones(basis):
    s_cart, to_cart = integrals.cartesian_overlap(basis)
    more = sum(shell.l * (shell.l - 1) // 2 for shell in basis.shells)
    assert len(s_cart) == basis.n_ao + more == len(integrals.cartesian_atoms(basis))
    np.testing.assert_allclose(np.diag(s_cart), 1.0, atol=1e-12)
    np.testing.assert_allclose(to_cart.T @ s_cart @ to_cart, integrals.overlap(basis), atol=1e-10)


@pytest.mark.parametrize(("name", "highest"), [("def2-tzvp", 3), ("cc-pvqz", 4), ("lanl2dz", 1)])
def test_general_contractions_are_those_of_pyscf(name, highest):
    """Same functions in the same order: every integral over them is pyscf's own, f and g shells too."""
    from pyscf import gto

    mol = gto.M(atom="S 0.1 0.2 -0.3; C 1.1 -0.7 0.9; H 1.0 -1.7 0.5", basis=name, ecp={"S": "lanl2dz"}, spin=None)
    basis = integrals.basis_of(mol)
    assert max(shell.l for shell in basis.shells) == highest
    assert len(basis.shells) == sum(mol.bas_nctr(k) for k in range(mol.nbas))
    np.testing.assert_allclose(integrals.overlap(basis), mol.intor("int1e_ovlp"), atol=1e-12)
    np.testing.assert_allclose(integrals.dipole(basis), mol.intor("int1e_r"), atol=1e-11)
    np.testing.assert_allclose(integrals.gradient(basis), -mol.intor("int1e_ipovlp"), atol=1e-11)
    np.testing.assert_allclose(integrals.angular(basis), mol.intor("int1e_cg_irxp"), atol=1e-10)
    assert basis.atom_of_ao.tolist() == [int(label[0]) for label in mol.ao_labels(fmt=None)]


def turned(basis: Basis, rotation: np.ndarray) -> Basis:
    return Basis(basis.coords_bohr @ rotation.T, basis.shells)


@pytest.mark.parametrize("l", [3, 4])
def test_f_and_g_functions_turn_with_the_molecule(l):
    """Sums over the functions of a shell of |<s|v|l m>|^2 do not depend on the orientation; single ones do."""
    from scipy.spatial.transform import Rotation

    shells = tuple(Shell(k, degree, np.array([0.7]), np.array([1.0])) for k, degree in ((0, 1), (1, l)))
    basis = Basis(np.array([[0.0, 0.1, 0.0], [0.9, -0.4, 1.1]]), shells)
    other = turned(basis, Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix())
    for operator in (integrals.gradient, integrals.angular, integrals.dipole):
        here, there = (operator(b)[:, :3, 3:] for b in (basis, other))
        assert (here**2).sum() == pytest.approx((there**2).sum(), rel=1e-10)
        assert np.abs(here - there).max() > 1e-3


def test_a_shell_without_norm_is_refused():
    with pytest.raises(ElectronicStructureError, match=r"the f shell of atom 3 has no norm: 0 primitives"):
        contracted_shells(2, 3, np.array([1.0, 0.5]), np.zeros((2, 1)))


def test_every_supported_element_has_both_bases():
    elements = {name: entry for name, entry in tables()["elements"].items() if entry["supported"]}
    assert len(elements) == 63
    for symbol, entry in elements.items():
        for stage in (1, 2):
            basis = stage_basis([symbol], np.zeros((1, 3)), np.array([1.0]), stage)
            np.testing.assert_allclose(np.diag(integrals.overlap(basis)), 1.0, atol=1e-7, err_msg=symbol)
            assert 2 * basis.n_ao >= entry["n_valence_electrons"]


@pytest.mark.parametrize("symbol", ["He", "Ar", "Kr", "Xe", "Ce", "Rn", "U", "Xx"])
def test_unsupported_elements_are_named(symbol):
    with pytest.raises(UnsupportedElementError, match=f"'{symbol}'.*the method covers"):
        stage_basis(["H", symbol], np.zeros((2, 3)), np.zeros(2), 1)
