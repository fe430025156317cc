"""Implicit solvents of GFN1-xTB beside tblite's, their invariances, and the names of solvents."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.data import chemical_symbols
from tblite.interface import Calculator

from clusterml.engine.atomic import distances
from clusterml.engine.label import label
from clusterml.engine.orbitals import solvation
from clusterml.engine.orbitals.gfn import gfn_orbitals
from clusterml.engine.orbitals.gfn1 import gfn1_hamiltonian
from clusterml.engine.orbitals.newton import SelfConsistent, self_consistent
from clusterml.engine.orbitals.solvation import (
    born_radii,
    buried_atoms_warnings,
    electrostatic_size,
    in_solvent,
    solvated_atoms,
)
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.structure.build.build import build
from clusterml.structure.solvents import find_solvent, known_solvents
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV
from helpers import icosahedron

_KT = 300.0 * BOLTZMANN_HARTREE
EVERY = [(model, solvent) for model in ("gbsa", "alpb") for solvent in known_solvents(model, "gfn1")]
SOME = [("gbsa", "methanol"), ("gbsa", "toluene"), ("alpb", "water"), ("alpb", "dmf")]


def _theirs(atoms: Atoms, model: str, solvent: str, kt: float = _KT, method: str = "GFN1-xTB"):
    calculator = Calculator(
        method, atoms.numbers, atoms.positions / BOHR_ANGSTROM,
        charge=float(atoms.info.get("charge", 0)), uhf=0, logger=lambda _: None,
    )  # fmt: skip
    for key, value in (("verbosity", 0), ("temperature", kt), ("accuracy", 1e-3), ("max-iter", 500)):
        calculator.set(key, value)
    calculator.add(f"{model}-solvation", solvent)
    return calculator.singlepoint()


def _ours(atoms: Atoms, model: str, solvent: str, kt: float = _KT) -> tuple[SelfConsistent, np.ndarray]:
    symbols, coords = atoms.get_chemical_symbols(), atoms.positions / BOHR_ANGSTROM
    parts = in_solvent(gfn1_hamiltonian(symbols, coords), symbols, coords, solvent, model)
    state = self_consistent(parts, atoms.info.get("charge", 0), kt, 1e-8, 400)
    return state, np.bincount(parts.atom_of_shell, weights=state.shell_charges)


def _check_same(atoms: Atoms, model: str, solvent: str, kt: float = _KT) -> None:
    """Levels to 1e-7 hartree, charges to 1e-6."""
    theirs, (ours, charges) = _theirs(atoms, model, solvent, kt), _ours(atoms, model, solvent, kt)
    assert np.abs(ours.energies - theirs.get("orbital-energies")).max() < 1e-7
    assert np.abs(charges - theirs.get("charges")).max() < 1e-6


def _even(symbols: list[str]) -> Atoms:
    """Atoms of these elements about a point, with the charge 0 or 1 that gives them an even number of electrons."""
    positions = [
        [0.0, 0.0, 0.0], [2.9, 0.0, 0.3], [-0.8, 2.7, 0.4], [-0.9, -1.6, 2.6], [0.1, -1.9, -2.4], [-2.9, -0.5, -0.6],
        [1.6, 1.7, -2.2], [2.0, 2.2, 2.6],
    ]  # fmt: skip
    atoms = Atoms(symbols, positions[: len(symbols)])
    electrons = gfn1_hamiltonian(symbols, atoms.positions / BOHR_ANGSTROM).reference.sum()
    atoms.info["charge"] = round(electrons) % 2
    return atoms


@pytest.fixture(scope="module")
def thiolate() -> Atoms:
    """Methanethiolate, distorted."""
    positions = [[0.0, 0.0, 0.1], [1.83, 0.05, 0.0], [-0.4, 1.02, -0.2], [-0.35, -0.61, -0.85], [-0.42, -0.4, 0.98]]
    return Atoms("CSH3", positions, info={"charge": -1})


@pytest.fixture(scope="module")
def chiral() -> Atoms:
    """A bent silver chain with every kind of donor, without symmetry."""
    symbols = ["Ag", "Ag", "Ag", "S", "H", "P", "H", "H", "H", "Cl", "O", "H"]
    positions = [
        [0.0, 0.0, 0.0], [2.9, 0.1, 0.0], [1.3, 2.6, 0.4], [-1.2, -2.1, 0.3], [-2.5, -1.7, 0.1], [5.2, 0.2, -0.5],
        [5.9, 1.2, 0.2], [5.9, -1.0, -0.1], [5.4, 0.4, -1.9], [1.4, 4.9, 0.9], [2.0, -2.0, -1.0], [2.3, -2.4, -1.8],
    ]  # fmt: skip
    return Atoms(symbols, positions, info={"charge": 0})


@pytest.fixture(scope="module")
def buried() -> Atoms:
    """A filled shell of silver within one of hydrides: an atom that no solvent reaches."""
    places = np.concatenate([np.zeros((1, 3)), icosahedron(2.8), icosahedron(4.5)])
    return Atoms("Ag13H12", places, info={"charge": -3})


class TestBesideTblite:
    @pytest.mark.parametrize(("model", "solvent"), EVERY)
    def test_every_solvent(self, thiolate, model, solvent):
        _check_same(thiolate, model, solvent)

    @pytest.mark.parametrize(("model", "solvent"), SOME)
    def test_molecules_and_complexes(self, molecule, model, solvent):
        water = Atoms("OH2", [[0.0, 0.0, 0.117], [0.0, 0.757, -0.47], [0.0, -0.757, -0.47]])
        for atoms in (water, molecule("agsch3"), molecule("ag_ph3_2_plus"), build("ag3", thiolate="SCH3")):
            _check_same(atoms, model, solvent)

    @pytest.mark.parametrize(
        "row", [*(range(z, z + 7) for z in range(1, 57, 7)), range(72, 79), range(80, 87)], ids=str
    )
    def test_most_elements_seven_at_a_time(self, row):
        _check_same(_even([*(chemical_symbols[z] for z in row), "C"]), "gbsa", "methanol", 0.03)

    @pytest.mark.parametrize("number", [57, 58, 64, 71, 79])
    def test_other_elements_each(self, number):
        """Seven lanthanoids at once agree on no charges."""
        _check_same(_even([chemical_symbols[number], "H", "C", "Ag", "P", "N"]), "alpb", "methanol", 0.03)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["ag12", "ag25", "ag29"])
    @pytest.mark.parametrize(("model", "solvent"), SOME[:3:2])
    def test_clusters(self, name, model, solvent):
        options = {"thiolate": "SH", "phosphine": "PH3"} if name == "ag29" else {"thiolate": "SCH3"}
        _check_same(build(name, **options), model, solvent)


class TestInvariance:
    def test_the_cd_of_the_image_by_inversion_is_the_negative(self, chiral):
        image = chiral.copy()
        image.positions *= -1.0
        a, b = (label(x, solvent="methanol", emax_ev=4.5).spectrum for x in (chiral, image))
        assert np.abs(a.delta_epsilon).max() > 1.0
        assert np.abs(a.delta_epsilon + b.delta_epsilon).max() < 1e-6 * np.abs(a.delta_epsilon).max()
        assert np.abs(a.epsilon - b.epsilon).max() < 1e-6 * a.epsilon.max()

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_a_mirror_image_in_a_plane_of_the_axes_has_the_same_levels(self, chiral, axis):
        image = chiral.copy()
        image.positions[:, axis] *= -1.0
        difference = gfn_orbitals(image, 0, solvent="water").energies_ev
        difference -= gfn_orbitals(chiral, 0, solvent="water").energies_ev
        assert np.abs(difference).max() < 1e-9

    def test_translation_and_order_change_nothing(self, chiral):
        moved = chiral.copy()
        moved.translate((3.0, -2.0, 1.0))
        order = np.random.default_rng(3).permutation(len(moved))
        reference, ours = (gfn_orbitals(x, 0, solvent="water", solvation="alpb") for x in (chiral, moved[order]))
        assert np.abs(ours.energies_ev - reference.energies_ev).max() < 1e-9
        assert np.abs(ours.charges - reference.charges[order]).max() < 1e-8

    @pytest.mark.parametrize(("model", "solvent"), [*SOME, ("alpb", "hexane")])
    def test_turning_matters_only_through_the_areas_of_hydrogen_bonds(self, chiral, monkeypatch, model, solvent):
        def change() -> float:
            a, b = (gfn_orbitals(x, 0, solvent=solvent, solvation=model).energies_ev for x in (chiral, turned))
            return float(np.abs(a - b).max())

        turned = chiral.copy()
        turned.rotate(37.0, (1.0, 2.0, -0.5))
        bonds = solvated_atoms(chiral.get_chemical_symbols(), solvent, model).hydrogen_bond.any()
        assert bonds == (solvent not in ("toluene", "hexane"))
        assert 1e-5 < change() < 0.02 if bonds else change() < 1e-9
        monkeypatch.setattr(solvation, "_hydrogen_bonds", lambda atoms, *_: np.zeros(len(atoms.radius)))
        assert change() < 1e-9


class TestBuriedAtoms:
    @pytest.mark.parametrize(("model", "solvent", "fails"), [
        ("alpb", "methanol", False), ("alpb", "water", False), ("gbsa", "acetone", False), ("gbsa", "dmso", True),
        ("gbsa", "water", True),
    ])  # fmt: skip
    def test_charges_that_attract_themselves_are_told(self, buried, model, solvent, fails):
        orbitals = gfn_orbitals(buried, -3, solvent=solvent, solvation=model, electronic_temperature_k=3000.0)
        told = [warning for warning in orbitals.warnings if "attract themselves" in warning]
        assert len(told) == fails

    @pytest.mark.parametrize(("model", "fails"), [("alpb", True), ("gbsa", False)])
    def test_with_gfn2_it_is_the_other_model_that_fails(self, buried, model, fails):
        """Of a sphere of charge -3 and radius 5 angstrom the levels move by 8.4 eV."""
        vacuum, inside = (
            gfn_orbitals(buried, -3, method="gfn2", solvent=x, solvation=model, electronic_temperature_k=5000.0)
            for x in (None, "methanol")
        )
        moved = (vacuum.energies_ev - inside.energies_ev)[: vacuum.n_occupied].mean()
        assert ["do not feel the solvent" in warning for warning in inside.warnings].count(True) == fails
        assert moved < 3.0 if fails else 7.0 < moved < 9.0

    @pytest.mark.parametrize(("method", "model", "solvent", "fails"), [
        ("gfn1", "alpb", "methanol", False), ("gfn1", "gbsa", "water", True), ("gfn1", "gbsa", "acetone", False),
        ("gfn2", "gbsa", "methanol", False), ("gfn2", "alpb", "methanol", True), ("gfn2", "alpb", "water", False),
    ])  # fmt: skip
    def test_the_same_is_told_of_what_tblite_computes(self, buried, method, model, solvent, fails):
        assert len(buried_atoms_warnings(buried, solvent, model, method)) == fails

    def test_parameters_of_gfn2_are_those_of_its_table(self):
        assert solvated_atoms(["Ag"], "methanol", "gbsa", "gfn2").descreening == pytest.approx(0.84005151)

    def test_the_same_is_told_where_nothing_converges(self, buried):
        with pytest.raises(ElectronicStructureError, match=r"failed at 300 K.*attract themselves.*--solvation alpb"):
            gfn_orbitals(buried, -3, solvent="water", solvation="gbsa", max_iterations=2)

    def test_a_charged_sphere_in_alpb_has_the_energies_of_borns(self, buried):
        """The potential within a sphere of charge -3 and of radius R rises by 3 (1 - 1/epsilon) / R."""
        vacuum, water = (gfn_orbitals(buried, -3, solvent=x, electronic_temperature_k=3000.0) for x in (None, "water"))
        n = vacuum.n_occupied
        shift = (vacuum.energies_ev[:n] - water.energies_ev[:n]).mean() / HARTREE_EV
        radius = 3.0 * (1.0 - 1.0 / 80.2) / shift * BOHR_ANGSTROM
        assert 4.5 < radius < 5.6  # hydrides at 4.5 A, with a radius of 1.1


class TestGeometry:
    def test_a_lone_atom_has_its_own_radius_and_the_whole_of_its_surface(self):
        atom = solvated_atoms(["F"], "methanol", "gbsa")
        expected = 1.65093397 * (1.1498 - 0.041277592) / BOHR_ANGSTROM
        assert born_radii(atom, np.zeros((1, 1)))[0] == pytest.approx(expected, rel=1e-12)
        share = solvation._hydrogen_bonds(atom, np.zeros((1, 3)), np.zeros((1, 1))) / atom.hydrogen_bond
        assert share[0] == pytest.approx(1.0 + 0.2 * (0.3 / (1.1498 + 0.82529809)) ** 2, rel=1e-9)

    def test_an_atom_among_others_has_a_larger_radius_and_no_surface(self):
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
        coords = np.concatenate([[[0.0, 0.0, 0.0]], 1.8 * corners, [[60.0, 0.0, 0.0]]])
        atoms = solvated_atoms(["F"] * 10, "methanol", "gbsa")
        r = distances(coords)
        born = born_radii(atoms, r)
        assert born[0] > born[1] > born[9]
        bonds = solvation._hydrogen_bonds(atoms, coords, r)
        assert bonds[0] == 0.0
        assert bonds[9] < bonds[1] < 0.0

    def test_two_spheres_half_cover_each_other_as_geometry_says(self):
        atoms = solvated_atoms(["F", "F"], "methanol", "gbsa")
        sphere = atoms.radius + atoms.probe_radius
        coords = np.array([[0.0, 0.0, 0.0], [sphere[0], 0.0, 0.0]])
        share = solvation._hydrogen_bonds(atoms, coords, distances(coords)) / atoms.hydrogen_bond
        assert share == pytest.approx([0.75, 0.75], abs=0.02)  # the cap within 60 degrees is a quarter

    def test_the_size_of_an_ellipsoid_is_that_of_its_sphere(self):
        assert electrostatic_size(np.array([3.0]), np.zeros((1, 3))) == pytest.approx(3.0)


class TestNames:
    @pytest.mark.parametrize(
        ("given", "name"),
        [("MeCN", "acetonitrile"), ("Dichloromethane", "ch2cl2"), ("THF", "thf"), ("H2O", "water"), ("CS2", "cs2"),
         ("diethyl ether", "ether"), ("n-hexane", "hexane"), ("N-Hexan", "hexane"), ("furan", "furane")],
    )  # fmt: skip
    def test_synonyms(self, given, name, thiolate):
        assert find_solvent(given, "alpb", "gfn1") == name
        energies = [_theirs(thiolate, "alpb", x).get("orbital-energies") for x in (given, name)]
        np.testing.assert_array_equal(*energies)

    @pytest.mark.parametrize("model", ["gbsa", "alpb"])
    def test_gfn2_has_those_of_tblite(self, thiolate, model):
        for solvent in known_solvents("alpb", "gfn2"):
            try:
                _theirs(thiolate, model, solvent, method="GFN2-xTB")
                known = True
            except RuntimeError:
                known = False
            assert known == (solvent in known_solvents(model, "gfn2")), solvent

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"solvent": "watr"}, r"'watr', which is not known \(did you mean 'water'\? choose one of"),
            ({"solvent": "Metanol", "orbitals": "gfn2"}, "did you mean 'methanol'"),
            ({"solvent": "ethanl"}, "did you mean 'ethanol'"),
            ({"solvent": "ethanl", "solvation": "gbsa"}, "did you mean 'methanol'"),
            ({"solvent": "soup"}, "choose one of acetone, .*water"),
            ({"solvent": "DMF", "solvation": "gbsa"}, "'DMF', which GBSA has no parameters of for gfn1.*use ALPB"),
            ({"solvent": ""}, "solvent is ''"),
            ({"solvation": "gbsa"}, "solvation is 'gbsa' without a solvent"),
            ({"solvent": "water", "solvation": "pcm"}, "choose one of alpb, gbsa"),
            ({"solvent": "water", "orbitals": "stda-xtb"}, "has no effect on stda-xtb"),
        ],
    )  # fmt: skip
    def test_what_is_not_known_is_refused(self, thiolate, options, words):
        with pytest.raises(OptionError, match=words):
            label(thiolate, **options)
