"""Kohn-Sham orbitals: against pyscf's own ways to them, and everything that a user can ask for in vain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from clusterml.engine.integrals import import_pyscf
from clusterml.engine.label import ground_state_cost, label
from clusterml.engine.orbitals import dft, kohn_sham
from clusterml.engine.orbitals.dft import dft_orbitals
from clusterml.engine.orbitals.dft_method import Method, Size
from clusterml.engine.orbitals.functional import element_basis, read_basis, read_functional
from clusterml.engine.orbitals.kohn_sham import Way
from clusterml.engine.protocol import Compute, Protocol, make_protocol
from clusterml.errors import (
    ChargeError,
    ElectronicStructureError,
    InputFileError,
    MemoryLimitError,
    OptionError,
    UnsupportedElementError,
)
from clusterml.units import HARTREE_EV, ROTATORY_AU_TO_CGS

TWISTED = Atoms("OOH2", [[0.0, 0.7, 0.1], [0.0, -0.7, 0.1], [0.8, 0.9, -0.4], [-0.7, -0.95, -0.5]])
"""A chiral H2O2 without symmetry."""
SILVER = Atoms("AgSH", [[0.0, 0.0, 0.0], [0.0, 0.0, 2.34], [1.33, 0.0, 2.5]])


def method(xc: str = "pbe", basis: str = "def2-svp", density_fit: bool = True, kelvin: float | None = None) -> Method:
    return Method(read_functional(xc), read_basis(basis), density_fit, kelvin)


def assert_same_levels(found: np.ndarray, expected: np.ndarray, atol: float = 3e-4) -> None:
    """Valence and virtual levels in eV."""
    assert found.shape == expected.shape
    valence = expected > -100.0
    np.testing.assert_allclose(found[valence], expected[valence], atol=atol)


def reference(atoms: Atoms, xc: str, basis: str, ecp: str | None):
    """pyscf as its manual has it, without density fitting."""
    words = [(s, tuple(p)) for s, p in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)]
    mol = import_pyscf("gto").M(atom=words, basis=basis, ecp=ecp or {}, verbose=0)
    with dft.pyscf_at_work():
        field = import_pyscf("dft").RKS(mol, xc=xc)
        field.grids.level, field.conv_tol = dft.GRID_LEVEL, 1e-10
        field.kernel()
    return field


@pytest.fixture(scope="module", autouse=True)
def _coarse_grid():
    """Tests compare one way with another on the same grid."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dft, "GRID_LEVEL", 0)
        yield


@pytest.fixture(scope="module")
def peroxide(_coarse_grid):
    return dft_orbitals(TWISTED, 0, method(), Compute())


@pytest.mark.parametrize(
    ("atoms", "xc", "basis", "ecp"),
    [
        (TWISTED, "pbe", "def2-svp", None),
        (SILVER, "pbe0", "lanl2dz", "lanl2dz"),
        (SILVER, "blyp", "def2-svp", "def2-svp"),
    ],
)
def test_orbitals_are_those_of_pyscf(atoms, xc, basis, ecp):
    """Effective core potentials are chosen from the basis, for S of LANL2DZ too."""
    found = dft_orbitals(atoms, 0, method(xc, basis, density_fit=False), Compute())
    expected = reference(atoms, xc, basis, ecp)
    assert_same_levels(found.energies_ev, expected.mo_energy * HARTREE_EV)
    assert found.n_occupied == expected.mol.nelectron // 2
    assert found.charges.sum() == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(found.charges, expected.mulliken_pop(verbose=0)[1], atol=1e-4)


def test_density_fitting_changes_little(peroxide):
    exact = dft_orbitals(TWISTED, 0, method(density_fit=False), Compute())
    difference = np.abs(peroxide.energies_ev - exact.energies_ev)
    assert 1e-6 < difference[:20].max() < 5e-3


def test_integrals_that_are_computed_anew_give_the_same(peroxide, monkeypatch):
    monkeypatch.setattr(dft, "fit_is_stored", lambda *_: False)
    again = dft_orbitals(TWISTED, 0, method(), Compute())
    assert_same_levels(again.energies_ev, peroxide.energies_ev)


def test_a_mirror_image_has_the_opposite_cd():
    image = TWISTED.copy()
    image.positions[:, 0] *= -1.0
    ours, theirs = (label(atoms, 0, orbitals="dft", emax_ev=10.0).spectrum for atoms in (TWISTED, image))
    assert np.abs(ours.delta_epsilon).max() > 1.0
    np.testing.assert_allclose(theirs.delta_epsilon, -ours.delta_epsilon, atol=1e-3 * np.abs(ours.delta_epsilon).max())


def test_exchange_makes_the_response():
    """A pure functional goes to the contour, a hybrid to the singles with the kernels of its share of exchange."""
    pure, hybrid = (label(TWISTED, 0, orbitals="dft", xc=xc, emax_ev=9.0) for xc in ("pbe", "pbe0"))
    assert (pure.provenance["solver"], hybrid.provenance["solver"]) == ("contour", "krylov")
    assert (pure.orbitals.method, hybrid.orbitals.method) == ("PBE/def2-svp", "PBE0/def2-svp")
    assert (pure.orbitals.kernels.ax, hybrid.orbitals.kernels.ax) == (0.0, 0.25)
    assert not hybrid.orbitals.kernels.k_shift


@pytest.mark.parametrize(
    ("name", "spelling", "values"),
    [
        ("PBE", "pbe", (0.0, 1.42, 0.20)),
        ("pbe0", "pbe0", (0.25, 1.54, 0.6575)),
        ("B3LYP", "b3lyp", (0.2, 1.516, 0.566)),
        ("M06-2X", "m062x", (0.54, 1.6792, 1.1882)),
        ("CAM-B3LYP", "camb3lyp", (0.38, 0.90, 1.86)),
        ("wB97X-D", "wb97xd", (0.51, 4.51, 8.0)),
        ("LC-BLYP", "lcblyp", (0.53, 4.50, 8.0)),
        ("0.25*HF + 0.75*PBE, PBE", "0.25*hf+0.75*pbe,pbe", (0.25, 1.54, 0.6575)),
        ("HF", "hf", (1.0, 1.90, 2.03)),
    ],
)
def test_functionals_and_their_exchange(name, spelling, values):
    functional = read_functional(name)
    assert functional.name == spelling
    assert (functional.ax, functional.alpha, functional.beta) == pytest.approx(values)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("b3lpy", "there is no density functional 'b3lpy' (did you mean 'b3lyp'?)"),
        ("hse06", "range-separated hybrid have no published sTDA parameters"),
        ("lda", "exchange without correlation"),
        ("b88", "exchange without correlation"),
        ("pbe-d3", "a dispersion correction changes no orbitals (give pbe)"),
        ("b2plyp", "there is no density functional 'b2plyp'"),
        ("", "xc is ''"),
        ("402", "there is no density functional '402'"),
        ("../../etc", "xc is '../../etc'"),
    ],
)
def test_functionals_that_are_refused(name, words):
    with pytest.raises(OptionError) as caught:
        make_protocol(orbitals="dft", xc=name) if name else read_functional(name)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("DEF2SVP", "def2-svp"),
        ("6-31G(d,p)", "6-31g(d,p)"),
        ("augccpvdz", "aug-cc-pvdz"),
        ("def2-svp, ag=LANL2DZ", "def2-svp,Ag=lanl2dz"),
        ("6-31g(d,p),Ag=def2-svp,S=def2-tzvp", "6-31g(d,p),Ag=def2-svp,S=def2-tzvp"),
        ("def2-svp,Ag=def2svp", "def2-svp"),
    ],
)
def test_basis_sets_have_one_spelling(name, written):
    assert read_basis(name).name == written


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("def2-svpp", "did you mean 'def2-svp'?"),
        ("/etc/passwd", "the basis '/etc/passwd' is not known"),
        ("def2-universal-jfit", "not made for Kohn-Sham orbitals"),
        ("dyall-v2z", "not made for Kohn-Sham orbitals"),
        ("gth-dzvp", "not made for Kohn-Sham orbitals"),
        ("Ag=def2-svp", "none is for all elements"),
        ("def2-svp,Ag=lanl2dz,ag=def2-tzvp", "Ag has two"),
        ("def2-svp,Xx=sto-3g", "'Xx' is no element"),
        ("def2-svp,sto-3g", "def2-svp and sto-3g are both for all elements"),
    ],
)
def test_basis_sets_that_are_refused(name, words):
    with pytest.raises(OptionError) as caught:
        make_protocol(orbitals="dft", basis=name)
    assert words in str(caught.value)


def test_potentials_come_with_the_basis():
    cores = {name: [element_basis(s, name).core for s in ("Ag", "S", "P", "C")] for name in ("def2-svp", "lanl2dz")}
    assert cores == {"def2-svp": [28, 0, 0, 0], "lanl2dz": [28, 10, 10, 0]}
    assert element_basis("Ag", "def2-svp").functions == 31
    assert element_basis("C", "6-31g(d,p)").functions == 14


def test_an_element_without_the_basis_is_named():
    with pytest.raises(UnsupportedElementError, match=r"6-31g has no functions for Ag .*6-31g,Ag=def2-svp"):
        label(SILVER, 0, orbitals="dft", basis="6-31g")
    label(Atoms("AgCl", [[0, 0, 0], [0, 0, 2.3]]), 0, orbitals="dft", basis="6-31g,Ag=lanl2dz")


def test_a_heavy_element_without_a_potential_is_a_warning():
    atoms = Atoms("IH", [[0, 0, 0], [0, 0, 1.6]])
    orbitals, exact = (dft_orbitals(atoms, 0, method(basis="sto-3g", density_fit=f), Compute()) for f in (True, False))
    assert_same_levels(orbitals.energies_ev, exact.energies_ev, atol=0.02)  # the core, too, is fitted
    assert [words[:60] for words in orbitals.warnings] == [
        "the basis has no effective core potential for I: relativity is "[:60]
    ]


def test_an_odd_number_of_electrons_is_refused():
    with pytest.raises(ChargeError, match="19 explicit electrons are an odd number"):
        dft_orbitals(Atoms("AgH", [[0, 0, 0], [0, 0, 1.6]]), 1, method(), Compute())


def test_ways_to_convergence(peroxide, monkeypatch):
    """Each way goes on from the last; what was needed is said, and the orbitals are the same."""
    ways = (Way("plain cycles", cycles=2), Way("smearing", sigma=0.02, cycles=30, lasts=False), *kohn_sham.WAYS[-2:])
    monkeypatch.setattr(kohn_sham, "WAYS", ways)
    words: list[str] = []
    found = dft_orbitals(TWISTED, 0, method(), Compute(working=words.append))
    assert_same_levels(found.energies_ev, peroxide.energies_ev)
    assert found.warnings[0].startswith("the PBE/def2-svp ground state needed more than plain cycles: a level shift of")
    assert "not converged after 2 cycles: smearing" in words
    monkeypatch.setattr(kohn_sham, "WAYS", (ways[0], ways[-1]))
    second = dft_orbitals(TWISTED, 0, method(), Compute())
    assert_same_levels(second.energies_ev, peroxide.energies_ev)
    assert "second-order" in second.warnings[0]


def test_no_convergence_is_an_error_that_says_what_to_try(monkeypatch):
    monkeypatch.setattr(kohn_sham, "WAYS", (Way("plain cycles", cycles=2), Way("a shift", cycles=2, level_shift=0.2)))
    with pytest.raises(
        ElectronicStructureError, match=r"did not converge in 4 cycles.*a shift.*--electronic-temp.*pbe"
    ):
        dft_orbitals(TWISTED, 0, method(), Compute())


def test_what_is_no_closed_shell_is_said_to_be_none(monkeypatch):
    """Oxygen fills one of two degenerate levels: orbitals of another hole are no ground state."""
    monkeypatch.setattr(kohn_sham, "WAYS", kohn_sham.WAYS[-1:])
    oxygen = Atoms("O2", [[0, 0, 0], [0, 0, 1.2]])
    with pytest.raises(ElectronicStructureError, match=r"no closed shell: .* a hole below .*--electronic-temp"):
        dft_orbitals(oxygen, 0, method(basis="sto-3g"), Compute())
    hot = dft_orbitals(oxygen, 0, method(basis="sto-3g", kelvin=1000.0), Compute())
    assert "2 orbitals are fractionally occupied at 1000 K" in hot.warnings[0]


def test_an_electronic_temperature_smears_the_occupation():
    stretched = Atoms("H2", [[0, 0, 0], [0, 0, 2.5]])
    hot = dft_orbitals(stretched, 0, method(kelvin=8000.0), Compute())
    assert "2 orbitals are fractionally occupied at 8000 K" in hot.warnings[0]
    assert hot.n_occupied == 1


class KilledError(Exception):
    pass


def test_a_calculation_that_is_killed_goes_on(peroxide, tmp_path):
    def die(words: str) -> None:
        if words.startswith("cycle 4"):
            raise KilledError

    with pytest.raises(KilledError):
        dft_orbitals(TWISTED, 0, method(), Compute(checkpoint=str(tmp_path / "c"), working=die))
    told: list[str] = []
    found = dft_orbitals(TWISTED, 0, method(), Compute(checkpoint=str(tmp_path / "c"), working=told.append))
    assert told[0] == "continued after cycle 3"
    assert_same_levels(found.energies_ev, peroxide.energies_ev)
    again: list[str] = []
    dft_orbitals(TWISTED, 0, method(), Compute(checkpoint=str(tmp_path / "c"), working=again.append))
    assert len(again) <= 4, "what is converged needs a cycle or two"


def test_a_checkpoint_belongs_to_its_calculation(tmp_path):
    compute = Compute(checkpoint=str(tmp_path))
    dft_orbitals(TWISTED, 0, method(), compute)
    moved = TWISTED.copy()
    moved.positions[2, 0] += 0.01
    told: list[str] = []
    for atoms, way in ((moved, method()), (TWISTED, method("blyp")), (TWISTED, method(basis="sto-3g"))):
        dft_orbitals(atoms, 0, way, replace(compute, working=told.append))
    assert not any("continued" in words for words in told)
    files = sorted(tmp_path.glob("H2O2-*.npz"))
    assert len(files) == 4
    ours = dft._checkpoint(TWISTED, 0, method(), compute)
    other = next(file for file in files if file != ours.path)
    ours.path.write_bytes(other.read_bytes())
    with pytest.raises(OptionError, match=r"of another calculation: .* differ"):
        dft_orbitals(TWISTED, 0, method(), compute)
    ours.path.write_bytes(b"PK\x03\x04 rubbish")
    with pytest.raises(InputFileError, match=r"no checkpoint of a ground state, or damaged \(remove it\)"):
        dft_orbitals(TWISTED, 0, method(), compute)


def test_a_near_geometry_saves_cycles():
    near = TWISTED.copy()
    near.positions[2] += 0.02
    cold: list[str] = []
    warm: list[str] = []
    first = dft_orbitals(near, 0, method(), Compute(working=cold.append))
    dft_orbitals(near, 0, method(), Compute(), start_from=TWISTED)  # the orbitals to start from are kept
    second = dft_orbitals(near, 0, method(), Compute(working=warm.append), start_from=TWISTED)
    assert_same_levels(second.energies_ev, first.energies_ev)
    assert 0 < len(warm) < len(cold)


def test_too_little_memory_is_said_before(monkeypatch):
    monkeypatch.setattr(dft, "dft_orbitals", lambda *_: pytest.fail("begun"))
    large = Atoms("Ag60", np.indices((4, 5, 3)).reshape(3, -1).T * 2.9)
    with pytest.raises(
        MemoryLimitError,
        match=r"60 atoms \(1860 atomic functions\) needs about .* 0.8 GB are allowed .*smaller --basis",
    ):
        label(large, 0, orbitals="dft", memory_gb=0.8)


def test_the_cost_grows_with_the_molecule():
    protocol, compute = Protocol(orbitals="dft"), Compute()
    small, large = (ground_state_cost(atoms, protocol, compute) for atoms in (TWISTED, SILVER + SILVER + SILVER))
    assert (small.functions, large.functions) == (38, 3 * (31 + 18 + 5))
    assert large.seconds > 2.0 * small.seconds
    assert ground_state_cost(TWISTED, Protocol(), compute) is None
    assert Size.of(TWISTED, 0, method()).electrons == 18


def test_a_gpu_needs_its_package():
    with dft.pyscf_at_work():
        field = import_pyscf("dft").RKS(dft.molecule(TWISTED, 0, method()))
    with pytest.raises(OptionError, match=r"gpu4pyscf.* is not installed \(pip install 'clusterml\[gpu\]'"):
        dft._on_gpu(field, "cuda")


def test_the_protocol_is_its_functional_and_basis():
    plain = Protocol(orbitals="dft")
    assert plain.name == "dft-pbe-def2-svp"
    assert plain == Protocol(orbitals="dft", xc="PBE", basis="def2svp", density_fit=True)
    assert plain.model_dump() == {
        **{"orbitals": "dft", "emax_ev": 6.0, "dtype": "float64", "tolerance": 1e-3},
        **{"xc": "pbe", "basis": "def2-svp", "density_fit": True},
    }
    assert Protocol.model_validate(plain.model_dump()) == plain
    other = Protocol(orbitals="dft", xc="cam-b3lyp", basis="6-31G**,Ag=lanl2dz", density_fit=False)
    assert other.name == "dft-camb3lyp-6-31gss-Ag-lanl2dz-unfitted"
    assert Protocol().model_dump() == {"orbitals": "gfn1-pbe", "emax_ev": 6.0, "dtype": "float64", "tolerance": 1e-3}


@pytest.mark.parametrize("key", [{"xc": "pbe"}, {"basis": "def2-svp"}, {"density_fit": False}])
def test_what_other_orbitals_do_not_take_is_refused(key):
    with pytest.raises(OptionError, match=r"has no effect on gfn1-pbe orbitals \(use --orbitals dft"):
        label(TWISTED, 0, **key)


def test_a_checkpoint_has_no_effect_on_other_orbitals():
    with pytest.raises(OptionError, match="gfn1-pbe orbitals have no checkpoint"):
        label(TWISTED, 0, checkpoint="somewhere")
    label(TWISTED, 0, compute=Compute(checkpoint="somewhere"))  # a place for whatever needs one, as in campaigns


@pytest.mark.parametrize("kelvin", [0.0, -5.0, 1e5])
def test_temperatures_that_cannot_be(kelvin):
    with pytest.raises(OptionError, match=r"electronic_temperature_k is .* up to 20000 K"):
        label(TWISTED, 0, orbitals="dft", electronic_temperature_k=kelvin)


def test_the_response_is_near_full_tddft():
    """The two lowest states of H2O2, 6.5 and 6.7 eV with R of 27 and 13: the approximation keeps signs and order."""
    mol = dft.molecule(TWISTED, 0, method())
    with dft.pyscf_at_work():
        field = dft.mean_field(mol, method(), Size.of(TWISTED, 0, method()), Compute())
        field.kernel()
        tddft = import_pyscf("tdscf").TDDFT(field)
        tddft.nstates = 2
        tddft.kernel()
        v, m = tddft.transition_velocity_dipole(), tddft.transition_magnetic_dipole()
        rotatory = -0.5 * ROTATORY_AU_TO_CGS * (v * m).sum(1) / tddft.e
    ours = label(TWISTED, 0, orbitals="dft", emax_ev=9.0, solver="states").transitions
    np.testing.assert_allclose(ours.energy_ev[:2], tddft.e * HARTREE_EV, atol=0.6)
    np.testing.assert_allclose(ours.f_length[:2], tddft.oscillator_strength(gauge="length"), atol=0.01)
    assert (rotatory > 10.0).all()
    np.testing.assert_allclose(ours.r_velocity_cgs[:2], rotatory, atol=12.0)


def test_what_kohn_sham_orbitals_do_not_take_is_refused():
    with pytest.raises(OptionError, match="solvent 'water' has no effect on dft orbitals"):
        label(TWISTED, 0, orbitals="dft", solvent="water")
    with pytest.raises(OptionError, match="mode reference has no meaning for dft orbitals"):
        label(TWISTED, 0, orbitals="dft", mode="reference")
