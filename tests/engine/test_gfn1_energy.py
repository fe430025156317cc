"""Energy and forces of our GFN1-xTB: those of tblite, and of each other."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import CalculationFailed

from clusterml.engine.gfn1_calculator import Gfn1Calculator
from clusterml.engine.orbitals.gfn1 import gfn1_hamiltonian
from clusterml.engine.orbitals.gfn1_energy import _halogen_bonds, gfn1_energy
from clusterml.engine.orbitals.newton import self_consistent
from clusterml.errors import ChargeError, OptionError
from clusterml.structure.build.build import build
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV

KT = 300.0 * BOLTZMANN_HARTREE


def _shaken(atoms: Atoms, by: float = 0.05) -> Atoms:
    atoms = atoms.copy()
    atoms.rattle(by, seed=1)
    return atoms


def _energy(atoms: Atoms, charge: int = 0, kt: float = KT) -> tuple[float, np.ndarray]:
    symbols, coords = atoms.get_chemical_symbols(), atoms.positions / BOHR_ANGSTROM
    parts = gfn1_hamiltonian(symbols, coords)
    return gfn1_energy(symbols, coords, parts, self_consistent(parts, charge, kt, 1e-8, 100), kt)


CASES = {
    "ag3": (lambda: build("ag3", thiolate="SCH3"), 0, 300.0),
    "ag2": (lambda: build("ag2", carboxylate="CF3COO"), 0, 300.0),
    "chlorides and phosphines": (lambda: build("ag4x4"), 0, 300.0),
    "ag8x": (lambda: build("ag8x"), 1, 300.0),
    "bromides and phosphines": (lambda: build("ag4x4", halide="Br"), 0, 300.0),
    "four halogens": (
        lambda: Atoms("BrCHFCl", [[0, 0, 0], [0, 0, 1.94], [1.0, 0.2, 2.3], [-0.7, 1.1, 2.4], [-0.8, -1.5, 2.5]]),
        0,
        300.0,
    ),
    "a halogen bond I-I..N of 0.1 eV": (
        lambda: Atoms(
            "I2NH3", [[0, 0, 0], [0, 0, 2.7], [0, 0, -2.8], [0, 0.95, -3.2], [0.8, -0.5, -3.2], [-0.8, -0.5, -3.2]]
        ),
        0,
        300.0,
    ),
    "hot": (lambda: Atoms("Ag4Cu", [[0, 0, 0], [2.8, 0, 0], [0, 2.8, 0], [0, 0, 2.8], [2, 2, 2]]), 1, 5000.0),
}


@pytest.mark.parametrize("name", CASES)
def test_energy_and_forces_are_those_of_tblite(name):
    from tblite.ase import TBLite

    make, charge, kelvin = CASES[name]
    atoms = _shaken(make())
    atoms.calc = Gfn1Calculator(charge, kelvin)
    other = atoms.copy()
    other.calc = TBLite(
        method="GFN1-xTB", charge=charge, multiplicity=1, electronic_temperature=kelvin, accuracy=0.1, verbosity=0
    )
    assert atoms.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=2e-4)
    assert np.abs(atoms.get_forces() - other.get_forces()).max() < 1e-3
    assert np.abs(other.get_forces()).max() > 0.5


def test_the_gradient_is_that_of_the_energy():
    atoms = _shaken(build("ag3", thiolate="SH"))
    gradient = _energy(atoms)[1]
    step = 1e-3
    for atom, axis in ((0, 0), (3, 1), (7, 2)):
        moved = []
        for sign in (1.0, -1.0):
            other = atoms.copy()
            other.positions[atom, axis] += sign * step
            moved.append(_energy(other)[0])
        slope = (moved[0] - moved[1]) / (2.0 * step / BOHR_ANGSTROM)
        assert gradient[atom, axis] == pytest.approx(slope, abs=1e-6)


def test_nothing_pulls_or_turns_a_molecule_as_a_whole():
    atoms = _shaken(build("ag3", thiolate="SH"))
    gradient = _energy(atoms)[1]
    assert np.abs(gradient).max() > 1e-3
    assert np.abs(gradient.sum(axis=0)).max() < 1e-10
    assert np.abs(np.cross(atoms.positions, gradient).sum(axis=0)).max() < 1e-8


def test_a_halogen_bond_is_along_the_line_of_the_bond():
    """The contact of the iodine with nitrogen is repulsive at 2.8 A, and nothing at right angles to the bond."""

    def bonding(places):
        return _halogen_bonds(["I", "I", "N"], np.array(places) / BOHR_ANGSTROM)[0] * HARTREE_EV

    along, across = bonding([[0, 0, 0], [0, 0, 2.7], [0, 0, -2.8]]), bonding([[0, 0, 0], [0, 0, 2.7], [0, 2.8, 0]])
    assert along > 0.05
    assert 0.0 < across < along / 50.0
    assert bonding([[0, 0, 0], [0, 0, 2.7], [0, 0, -11.0]]) == 0.0


def test_a_ground_state_that_fails_is_an_error_of_ase(monkeypatch):
    from clusterml.engine import gfn1_calculator

    monkeypatch.setattr(gfn1_calculator, "_MOST_CYCLES", 1)
    atoms = build("ag3", thiolate="SH")
    atoms.calc = Gfn1Calculator(0)
    with pytest.raises(CalculationFailed, match="charges still change"):
        atoms.get_potential_energy()


def test_the_charge_is_that_of_the_structure_unless_it_is_given():
    atoms = _shaken(build("ag3", thiolate="SH"))
    atoms.calc = Gfn1Calculator()
    neutral = atoms.get_potential_energy()
    atoms.info["charge"] = 2
    cation = atoms.get_potential_energy()
    assert cation > neutral + 5.0
    atoms.calc = Gfn1Calculator(0)
    assert atoms.get_potential_energy() == pytest.approx(neutral, abs=1e-4)
    del atoms.info["charge"]
    atoms.calc = Gfn1Calculator()
    assert atoms.get_potential_energy() == pytest.approx(neutral, abs=1e-4)


def test_what_the_calculator_is_not_right_for_is_refused():
    periodic = build("ag3", thiolate="SH")
    periodic.set_cell([20, 20, 20])
    periodic.pbc = True
    periodic.calc = Gfn1Calculator(0)
    with pytest.raises(OptionError, match="periodic") as caught:
        periodic.get_forces()
    assert "TBLite" in caught.value.remedy


def test_a_refused_charge_stays_refused():
    atoms = build("ag3", thiolate="SH")
    atoms.calc = Gfn1Calculator(0)
    neutral = atoms.get_potential_energy()
    atoms.calc = Gfn1Calculator(1)
    for _ in range(2):
        with pytest.raises(ChargeError):
            atoms.get_potential_energy()
    atoms.calc.charge = 2
    assert atoms.get_potential_energy() > neutral + 5.0


@pytest.mark.parametrize("kelvin", [0.0, -1.0, 1e5, float("nan")])
def test_temperatures_that_cannot_be(kelvin):
    with pytest.raises(OptionError, match=r"kelvin is .*above 0 and up to 20000 K"):
        Gfn1Calculator(0, kelvin)
