"""The GFN1-xTB ground state: Hamiltonian, orbitals and charges beside tblite's, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import chemical_symbols
from tblite.interface import Calculator

from clusterml.engine.basis import tblite_positions
from clusterml.engine.orbitals import gfn as gfn_module
from clusterml.engine.orbitals import newton as scc
from clusterml.engine.orbitals.gfn import gfn_orbitals
from clusterml.engine.orbitals.gfn1 import gfn1_hamiltonian
from clusterml.engine.orbitals.newton import self_consistent, smeared
from clusterml.errors import ElectronicStructureError
from clusterml.structure.build.build import build
from clusterml.units import BOHR_ANGSTROM, HARTREE_EV

_KT = 300.0 * 3.166808578545117e-6


def _tblite(atoms: Atoms, charge: int = 0, kt: float = _KT, accuracy: float = 1e-4):
    calculator = Calculator(
        "GFN1-xTB", atoms.numbers, atoms.positions / BOHR_ANGSTROM, charge=float(charge), logger=lambda _: None
    )
    for key, value in (("verbosity", 0), ("temperature", kt), ("accuracy", accuracy), ("save-integrals", 1)):
        calculator.set(key, value)
    return calculator.singlepoint()


def _hamiltonian(atoms: Atoms):
    return gfn1_hamiltonian(atoms.get_chemical_symbols(), atoms.positions / BOHR_ANGSTROM)


@pytest.fixture(scope="module")
def ag3() -> Atoms:
    return build("ag3", thiolate="SCH3")


@pytest.fixture(scope="module")
def dication() -> Atoms:
    """A bent silver chain with every kind of donor, without symmetry."""
    symbols = ["Ag", "Ag", "Ag", "S", "H", "P", "H", "H", "H", "Cl", "O", "H"]
    positions = [
        [0.0, 0.0, 0.0], [2.9, 0.1, 0.0], [1.3, 2.6, 0.4], [-1.2, -2.1, 0.3], [-2.5, -1.7, 0.1], [5.2, 0.2, -0.5],
        [5.9, 1.2, 0.2], [5.9, -1.0, -0.1], [5.4, 0.4, -1.9], [1.4, 4.9, 0.9], [2.0, -2.0, -1.0], [2.3, -2.4, -1.8],
    ]  # fmt: skip
    return Atoms(symbols, positions)


class TestBesideTblite:
    @pytest.mark.parametrize("row", [range(1, 19), range(19, 37), range(37, 55), range(55, 87)], ids=str)
    def test_the_hamiltonian_is_the_same_for_every_element(self, row):
        positions = [[0, 0, 0], [2.6, 0, 0.3], [-0.6, 1.9, 0.4], [-0.7, -1.2, 2.0], [0.1, -0.6, -2.4], [-2.5, -0.5, 0]]
        for number in row:
            atoms = Atoms([chemical_symbols[number], "Ag", "H", "C", "P", "N"], positions)
            parts = _hamiltonian(atoms)
            at = tblite_positions(parts.basis)
            result = _tblite(atoms, kt=0.05, accuracy=1.0)
            for name, ours in (("hamiltonian-matrix", parts.h0), ("overlap-matrix", parts.overlap)):
                assert np.abs(ours[np.ix_(at, at)] - result.get(name)).max() < 3e-8, (chemical_symbols[number], name)

    @pytest.mark.parametrize(("name", "charge"), [("ag3", 0), ("dication", 2)])
    def test_levels_charges_and_occupations_are_the_same(self, name, charge, request):
        atoms = request.getfixturevalue(name)
        result = _tblite(atoms, charge)
        orbitals = gfn_orbitals(atoms, charge, charge_tolerance=1e-9)
        assert np.abs(orbitals.energies_ev - result.get("orbital-energies") * HARTREE_EV).max() < 2e-6
        assert np.abs(orbitals.charges - result.get("charges")).max() < 1e-7
        assert orbitals.charges.sum() == pytest.approx(charge, abs=1e-8)

    def test_orbitals_span_the_same_density(self, ag3):
        result = _tblite(ag3)
        orbitals = gfn_orbitals(ag3, 0, charge_tolerance=1e-9)
        at = tblite_positions(orbitals.basis)
        occupied = orbitals.coefficients[:, : orbitals.n_occupied]
        density = 2.0 * (occupied @ occupied.T)[np.ix_(at, at)]
        theirs = result.get("orbital-coefficients")[:, : orbitals.n_occupied]
        assert np.abs(density - 2.0 * theirs @ theirs.T).max() < 1e-6

    def test_smeared_occupations_too(self, dication):
        kt = 0.03
        result = _tblite(dication, 2, kt)
        found = self_consistent(_hamiltonian(dication), 2, kt, 1e-9, 200)
        assert np.abs(found.energies - result.get("orbital-energies")).max() < 1e-7
        fractional = (found.occupations > 0.05) & (found.occupations < 1.95)
        assert fractional.sum() > 2
        assert np.abs(found.occupations - result.get("orbital-occupations")).max() < 1e-6

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["ag29", "ag70-t"])
    def test_a_cluster_is_the_same(self, name):
        options = {"thiolate": "SH"}
        options |= {"phosphine": "PH3"} if name == "ag29" else {"carboxylate": "HCOO", "cap": "Cl"}
        atoms = build(name, **options)
        charge = int(atoms.info["charge"])
        result = _tblite(atoms, charge, accuracy=0.01)
        orbitals = gfn_orbitals(atoms, charge, charge_tolerance=1e-7)
        assert np.abs(orbitals.energies_ev - result.get("orbital-energies") * HARTREE_EV).max() < 2e-5
        assert np.abs(orbitals.charges - result.get("charges")).max() < 2e-6


class TestInvariance:
    def test_rotation_translation_and_permutation_change_nothing(self, dication):
        reference = gfn_orbitals(dication, 2)
        moved = dication.copy()
        moved.rotate(37.0, (1.0, 2.0, -0.5))
        moved.translate((3.0, -2.0, 1.0))
        order = np.random.default_rng(3).permutation(len(moved))
        found = gfn_orbitals(moved[order], 2)
        assert np.abs(found.energies_ev - reference.energies_ev).max() < 1e-9
        assert np.abs(found.charges - reference.charges[order]).max() < 1e-10

    def test_a_mirror_image_has_the_same_levels(self, dication):
        mirrored = dication.copy()
        mirrored.positions[:, 2] *= -1.0
        difference = gfn_orbitals(mirrored, 2).energies_ev - gfn_orbitals(dication, 2).energies_ev
        assert np.abs(difference).max() < 1e-9


class TestCycles:
    def test_where_they_begin_and_how_tight_they_are_does_not_matter(self, dication):
        parts = _hamiltonian(dication)
        tight = self_consistent(parts, 2, _KT, 1e-11, 300)
        start = np.random.default_rng(0).normal(scale=0.2, size=len(parts.reference))
        other = self_consistent(parts, 2, _KT, 1e-11, 300, start)
        assert np.abs(other.energies - tight.energies).max() < 1e-9
        loose = self_consistent(parts, 2, _KT, 1e-4, 300)
        assert loose.n_cycles < tight.n_cycles
        assert 1e-12 < np.abs(loose.energies - tight.energies).max() < 1e-4

    def test_the_charges_are_those_of_their_own_orbitals(self, dication):
        parts = _hamiltonian(dication)
        found = self_consistent(parts, 2, _KT, 1e-10, 300)
        density = (found.coefficients * found.occupations) @ found.coefficients.T
        populations = np.bincount(parts.shell_of_ao, (density * parts.overlap).sum(1))
        assert np.abs(parts.reference - populations - found.shell_charges).max() < 1e-9
        unit = found.coefficients.T @ parts.overlap @ found.coefficients
        assert np.abs(unit - np.eye(len(unit))).max() < 1e-9

    def test_a_guess_nearby_saves_cycles(self, monkeypatch):
        """The first guess is computed once and used for every geometry near it."""
        atoms = build("ag12", thiolate="SH", carboxylate="HCOO")
        counts = []

        def counting(*args, **kwargs):
            found = self_consistent(*args, **kwargs)
            counts.append(found.n_cycles)
            return found

        monkeypatch.setattr(scc, "self_consistent", counting)
        for seed in (1, 2):
            moved = atoms.copy()
            moved.rattle(0.001, seed=seed)
            gfn_orbitals(moved, 0, start_from=atoms)
        first, one, two = counts
        assert max(one, two) < first
        moved = atoms.copy()
        moved.rattle(0.001, seed=1)
        difference = gfn_orbitals(moved, 0).energies_ev - gfn_orbitals(moved, 0, start_from=atoms).energies_ev
        assert np.abs(difference).max() < 1e-4

    def test_the_ground_state_of_a_parent_is_computed_once(self, monkeypatch, dication):
        """Its own label gives the charges that others begin with, if it ended where a first guess does."""
        counts = []
        monkeypatch.setattr(
            scc, "self_consistent", lambda *args, **kwargs: (counts.append(1), self_consistent(*args, **kwargs))[1]
        )
        near = dication.copy()
        near.rattle(0.01, seed=1)
        gfn_orbitals(dication, 2)
        reused = gfn_orbitals(near, 2, start_from=dication)
        assert len(counts) == 2
        gfn_module._FIRST_CHARGES.__init__()
        assert np.array_equal(gfn_orbitals(near, 2, start_from=dication).energies_ev, reused.energies_ev)
        assert len(counts) == 4
        gfn_module._FIRST_CHARGES.__init__()
        gfn_orbitals(dication, 2, charge_tolerance=1e-3)
        assert np.array_equal(gfn_orbitals(near, 2, start_from=dication).energies_ev, reused.energies_ev)
        assert len(counts) == 7

    def test_few_geometries_are_remembered(self, dication):
        memory = gfn_module._FirstCharges(most=2)
        cycles = gfn_module._Cycles(300.0)
        for charge in range(4):
            memory.keep(dication, charge, None, cycles, np.full(3, charge))
        assert len(memory._known) == 2
        assert memory.of(dication, 3, None, cycles)[0] == 3

    def test_they_begin_near_the_end(self):
        """Shell charges by element and neighbours: the same for equivalent atoms, nothing for unknown elements."""
        atoms = build("ag25", thiolate="SH")
        parts = _hamiltonian(atoms)
        state = self_consistent(parts, -1, _KT, 2e-5, 20)
        assert np.abs(parts.expected - state.shell_charges).max() < 0.4 < np.abs(state.shell_charges).max()
        equal = self_consistent(parts, -1, _KT, 2e-5, 20, np.zeros(len(parts.expected)))
        assert state.n_cycles <= 4 < equal.n_cycles
        turned = atoms.copy()
        turned.rotate(77.0, (1.0, -2.0, 0.4))
        assert np.abs(_hamiltonian(turned).expected - parts.expected).max() < 1e-10
        assert not _hamiltonian(Atoms("XeKr", [[0, 0, 0], [0, 0, 4.0]])).expected.any()

    def test_few_cycles_reach_far_below_any_tolerance(self):
        parts = _hamiltonian(build("ag25", thiolate="SH"))
        state = self_consistent(parts, -1, _KT, 1e-8, 7)
        assert state.n_cycles <= 6
        again = self_consistent(parts, -1, _KT, 1e-6, 2, state.shell_charges)  # the first is in single precision
        assert np.abs(again.shell_charges - state.shell_charges).max() < 8e-8  # 1 - J is up to 8

    def test_early_cycles_in_single_precision_leave_no_trace(self, monkeypatch):
        parts = _hamiltonian(build("ag25", thiolate="SH"))
        mixed = self_consistent(parts, -1, _KT, 1e-8, 20)
        monkeypatch.setattr(scc, "_SINGLE_FROM", 10_000)
        double = self_consistent(parts, -1, _KT, 1e-8, 20)
        assert mixed.energies.dtype == np.float64
        assert np.abs(mixed.energies - double.energies).max() < 2e-9
        assert np.abs(mixed.shell_charges - double.shell_charges).max() < 1e-8

    @pytest.mark.parametrize("warm", [False, True])
    def test_no_cycle_before_the_last_is_in_double_precision(self, monkeypatch, warm):
        """Wherever they begin: a first cycle in double precision made warm starts slower than cold ones."""
        atoms = build("ag25", thiolate="SH")
        start = self_consistent(_hamiltonian(atoms), -1, _KT, 2e-5, 20).shell_charges if warm else None
        atoms.rattle(0.03, seed=1)
        precision = []
        orbitals = scc._Molecule.orbitals
        monkeypatch.setattr(
            scc._Molecule, "orbitals", lambda self, q, dtype: (precision.append(dtype), orbitals(self, q, dtype))[1]
        )
        self_consistent(_hamiltonian(atoms), -1, _KT, 2e-5, 20, start)
        assert precision[-1] == torch.float64
        assert set(precision[:-1]) == {torch.float32}

    @pytest.mark.parametrize(
        ("change", "tolerance", "rounding", "rough"),
        [
            (float("inf"), 2e-5, 1e-6, True),
            (0.05, 2e-5, 1e-6, True),
            (0.005, 2e-5, 1e-6, False),  # may be the last
            (0.05, 2e-5, 3e-5, False),  # may be the last but one, and its rounding would be too much for the last
            (0.3, 2e-5, 3e-5, True),
            (1e-5, 1e-10, 1e-6, False),  # there would be nothing but rounding
        ],
    )
    def test_single_precision_serves_until_the_end_is_near(self, change, tolerance, rounding, rough):
        assert scc._may_be_rough(change, tolerance, rounding) is rough

    def test_a_step_is_solved_no_further_than_the_next_ones_need(self):
        assert scc._exactness(0.3, 2e-5) == pytest.approx(0.03)  # the residual falls by its square
        assert 0.01 < scc._exactness(0.05, 2e-5) < 0.1  # to where one more step ends
        assert scc._exactness(0.001, 2e-5) == pytest.approx(2e-3)  # the last step, to a tenth of the tolerance
        assert scc._exactness(0.007, 2e-5) == 1e-3
        assert scc._exactness(0.05, 1e-9) == pytest.approx(0.005)

    def test_fluctuations_of_populations_save_a_third_of_the_responses(self):
        parts = _hamiltonian(build("ag25", thiolate="SH"))
        molecule = scc._Molecule(parts, -1, _KT, "cpu")
        charges = torch.as_tensor(parts.expected)
        orbitals = molecule.orbitals(charges, torch.float32)
        residual = molecule.charges(orbitals) - charges
        response, steps, counts = molecule.response(orbitals, charges), [], []
        for precondition in (None, molecule.preconditioner(orbitals)):
            calls = []
            step = scc._solved(lambda q, calls=calls: (calls.append(1), response(q))[1], precondition, residual, 1e-4)
            assert float((step - response(step) - residual).norm()) < 2e-4 * float(residual.norm())
            steps.append(step)
            counts.append(len(calls))
        assert counts[1] <= 0.7 * counts[0]
        assert float((steps[1] - steps[0]).abs().max()) < 1e-3 * float(steps[0].abs().max())

    @pytest.mark.parametrize("kt", [_KT, 0.03])
    def test_the_response_is_the_derivative_of_the_charges(self, dication, kt):
        """Also where occupations are fractional, and degenerate orbitals share them."""
        ring = Atoms("Ag3H3", [[1.6, 0, 0], [-0.8, 1.385640646, 0], [-0.8, -1.385640646, 0],
                               [3.2, 0, 0], [-1.6, 2.771281292, 0], [-1.6, -2.771281292, 0]])  # fmt: skip
        for atoms, charge in ((dication, 2), (ring, 0)):
            molecule = scc._Molecule(_hamiltonian(atoms), charge, kt, "cpu")
            rng = np.random.default_rng(1)
            n = len(molecule._reference)
            charges, change = (torch.as_tensor(rng.normal(scale=s, size=n)) for s in (0.05, 1.0))
            response = molecule.response(molecule.orbitals(charges, torch.float64), charges)(change)

            def made(step, molecule=molecule, charges=charges, change=change):
                return molecule.charges(molecule.orbitals(charges + step * change, torch.float64))

            numerical = (made(1e-5) - made(-1e-5)) / 2e-5
            assert float((response - numerical).norm() / numerical.norm()) < 1e-4
            assert abs(float(response.sum())) < 1e-4 * float(response.abs().sum())

    def test_a_step_that_fails_is_shortened(self, monkeypatch):
        retreats = []
        retreat = scc._Steps.retreat
        monkeypatch.setattr(scc._Steps, "retreat", lambda self: (retreats.append(1), retreat(self))[1])
        oxide = Atoms("FeOFeOCl", [[0, 0, 0], [1.9, 0, 0], [3, 1.5, 0], [-1, 1.5, 0], [0, 0, -2.2]])
        state = self_consistent(_hamiltonian(oxide), 1, _KT, 1e-8, 15)
        assert retreats
        again = self_consistent(_hamiltonian(oxide), 1, _KT, 1e-8, 4, state.shell_charges)
        assert np.abs(again.energies - state.energies).max() < 1e-7

    def test_charges_that_run_away_are_said_at_once_with_the_atom(self):
        """Platinum in silver: its third-order term takes more than its hardness back."""
        cluster = build("ag25", thiolate="SH")
        silver = np.flatnonzero(cluster.numbers == 47)
        distances = np.linalg.norm(cluster.positions[silver] - cluster.positions.mean(0), axis=1)
        centre = int(silver[distances.argmin()])
        cluster.numbers[centre] = 78
        with pytest.raises(ElectronicStructureError, match=rf"no step makes .* Pt{centre + 1} .*--orbitals stda-xtb"):
            gfn_orbitals(cluster, -2, max_iterations=100)

    def test_too_few_cycles_are_said(self, dication):
        with pytest.raises(
            ElectronicStructureError,
            match=r"failed at 300 K .3 cycles.: the charges still change by [0-9.e+-]+ .check charge",
        ):
            gfn_orbitals(dication, 2, max_iterations=3)

    def test_atoms_on_top_of_each_other_are_said(self):
        with pytest.raises(ElectronicStructureError, match="check charge and geometry"):
            gfn_orbitals(Atoms("AgAg", [[0, 0, 0], [0, 0, 1e-7]]), 0, max_iterations=20)


def test_occupations_add_up_and_follow_the_temperature():
    energies = torch.tensor([-1.0, -0.5, -0.499, 0.2], dtype=torch.float64)
    cold, warm = smeared(energies, 4.0, 1e-5), smeared(energies, 4.0, 0.1)
    assert torch.allclose(cold, torch.tensor([2.0, 2.0, 0.0, 0.0], dtype=torch.float64), atol=1e-12)
    assert float(warm.sum()) == pytest.approx(4.0, abs=1e-12)
    ratio = torch.log(warm / (2.0 - warm))
    assert torch.allclose(ratio.diff(), -energies.diff() / 0.1, atol=1e-9)
