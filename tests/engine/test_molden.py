"""Orbitals from Molden files of other programs and of our own: the habit of each is found, and they are the same.

The files are written here as the programs write them: norms, signs and kinds of functions as IOData knows them.
``agsh_cp2k.molden`` is from CP2K 2023.1 (PBE, DZVP-MOLOPT-SR-GTH, no periodicity, NDIGITS 9).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import clusterml as cm
from clusterml.engine.integrals import dipole
from clusterml.engine.orbitals.molden import molden_orbitals
from clusterml.engine.output import write_molden
from clusterml.errors import ChargeError, InputFileError, OptionError
from clusterml.structure.formats.molden import read_molden

DATA = Path(__file__).resolve().parents[1] / "data" / "molden"
CP2K = DATA / "agsh_cp2k.molden"
CARTESIAN = {
    2: "xx yy zz xy xz yz",
    3: "xxx yyy zzz xyy xxy xxz xzz yzz yyz xyz",
    4: "xxxx yyyy zzzz xxxy xxxz xyyy yyyz xzzz yzzz xxyy xxzz yyzz xxyz xyyz xyzz",
}
N_OCCUPIED = 9


def double(name):
    """(2a - 1)!! (2b - 1)!! (2c - 1)!! of x^a y^b z^c."""
    return float(np.prod([np.prod(np.arange(2 * name.count(x) - 1, 0, -2, dtype=float)) for x in "xyz"]))


def raw_norm(l, exponents):
    """Norm of the primitives s, x, xy, xyz, xxyz, which ORCA multiplies into its coefficients."""
    name = ["", "x", "xy", "xyz", "xxyz"][l]
    return (2 * exponents / np.pi) ** 0.75 * np.sqrt((4 * exponents) ** l / double(name))


def cartesian_rows(l):
    """Spherical functions (columns) in Cartesian functions of norm 1, in the format's order."""
    from pyscf.gto.mole import cart2sph

    names = ["x" * a + "y" * b + "z" * (l - a - b) for a in range(l, -1, -1) for b in range(l - a, -1, -1)]
    order = [names.index(name) for name in CARTESIAN[l].split()]
    norms = np.array([double(name) for name in CARTESIAN[l].split()])
    rows = cart2sph(l, normalized="sp")[order] * np.sqrt(norms)[:, None]
    overlap = np.array([[mean(a + b) for b in CARTESIAN[l].split()] for a in CARTESIAN[l].split()])
    overlap /= np.sqrt(np.outer(norms, norms))
    return rows / np.sqrt(np.einsum("ik,ij,jk->k", rows, overlap, rows))


def mean(name):
    """Integral of a monomial under a Gaussian, up to a factor that is the same for all of one degree."""
    powers = [name.count(x) for x in "xyz"]
    return 0.0 if any(p % 2 for p in powers) else float(np.prod([np.prod(np.arange(p - 1, 0, -2)) for p in powers]))


def orbitals_of(text, ax=None):
    return molden_orbitals(read_molden(text, "x.molden"), ax)


class Peroxide:
    """Orthonormal orbitals of H2O2 over functions up to g, and Molden files of them."""

    def __init__(self):
        from pyscf import gto
        from pyscf.scf.hf import eig

        geometry = "O 0 0.73 -0.05; O 0.02 -0.72 -0.05; H 0.8 0.9 0.45; H -0.75 -0.95 0.5"
        shells = {"S": [(90.0, 0.2), (9.0, 0.5), (2.1, 0.8), (0.4, 0.2)], "P": [(6.0, 0.4), (0.9, 0.7)]}
        shells |= {"D": [(2.0, 0.5), (0.8, 0.6)], "F": [(1.3, 1.0)], "G": [(1.9, 1.0)]}
        rows = [f"O {l}\n" + "\n".join(f"{x} {c}" for x, c in pairs) for l, pairs in shells.items()]
        basis = {"O": gto.parse("\n".join(rows)), "H": "6-31g**"}
        self.mol = mol = gto.M(atom=geometry, basis=basis, verbose=0)
        core = mol.intor("int1e_kin") + 0.7 * mol.intor("int1e_nuc")
        self.energies, self.coefficients = eig(core, mol.intor("int1e_ovlp"))
        self.starts = mol.ao_loc_nr()
        self.dipoles = np.einsum("xij,ip,jq->xpq", mol.intor("int1e_r"), self.coefficients, self.coefficients)

    def text(
        self,
        *,
        atoms=(0, 1, 2, 3),
        raw=False,
        scale=lambda l: 1.0,
        flipped=False,
        cartesian=None,
        kinds="[5D]\n[9G]\n",
        unit="AU",
    ):
        """As a program writes them that multiplies primitives by their norm (``raw``), contractions by ``scale`` (l),
        turns functions of m = 3, 4 (``flipped``), or has ``cartesian`` functions times a factor (name, l)."""
        mol, lines = self.mol, ["[Molden Format]", f"[Atoms] {unit}"]
        to_unit = 0.529177210903 if unit == "Angs" else 1.0
        for k, xyz in enumerate(mol.atom_coords() * to_unit):
            place = " ".join(f"{x:.10f}" for x in xyz)
            lines.append(f"{mol.atom_pure_symbol(k)} {k + 1} {mol.atom_charge(k)} {place}")
        lines.append("[GTO]")
        rows = []
        for atom in atoms:
            lines.append(f"{atom + 1} 0")
            for shell in (s for s in range(mol.nbas) if mol.bas_atom(s) == atom):
                l, exponents = mol.bas_angular(shell), mol.bas_exp(shell)
                for number, column in enumerate(mol.bas_ctr_coeff(shell).T):
                    written = column * scale(l) * (raw_norm(l, exponents) if raw else 1.0)
                    lines.append(f" {'spdfg'[l]} {len(exponents)} 1.00")
                    lines += [f" {x:.12e} {c:.12e}" for x, c in zip(exponents, written, strict=True)]
                    start = self.starts[shell] + (2 * l + 1) * number
                    rows.append(self._rows(self.coefficients[start : start + 2 * l + 1], l, flipped, cartesian))
            lines.append("")
        lines += [kinds.strip() if cartesian is None else "", "[MO]"]
        for k, (energy, column) in enumerate(zip(self.energies, np.concatenate(rows).T, strict=True)):
            lines += [
                f" Sym= {k + 1}a",
                f" Ene= {energy:.12f}",
                " Spin= Alpha",
                f" Occup= {2.0 * (k < N_OCCUPIED):.5f}",
            ]
            lines += [f"{n} {c:.12e}" for n, c in enumerate(column, start=1)]
        return "\n".join(lines) + "\n"

    def _rows(self, part, l, flipped, cartesian):
        if l < 2:
            return part
        if cartesian is not None:
            factors = np.array([cartesian(name, l) for name in CARTESIAN[l].split()])
            return factors[:, None] * (cartesian_rows(l) @ part)
        order = [l, *(l + sign * m for m in range(1, l + 1) for sign in (1, -1))]
        signs = np.array([-1.0 if flipped and abs(k - l) in (3, 4) else 1.0 for k in order])
        return part[order] * signs[:, None]


@pytest.fixture(scope="module")
def peroxide():
    return Peroxide()


def odd(l):
    """(2 l - 1)!!."""
    return double("x" * l)


PROGRAMS = {
    "standard": {},
    "standard, Angstrom": {"unit": "Angs"},
    "standard, contractions not normalised": {"scale": lambda l: 0.7 + 0.2 * l},
    "ORCA": {"raw": True, "flipped": True},
    "Psi4 before 1.0": {"raw": True, "scale": lambda l: odd(l) ** -0.5},
    "standard, Cartesian": {"cartesian": lambda name, l: 1.0},
    "Turbomole": {"cartesian": lambda name, l: odd(l) ** -0.5},
    "CFOUR": {"cartesian": lambda name, l: double(name) ** -0.5},
    "Psi4 up to 1.3": {"cartesian": lambda name, l: (odd(l) / double(name)) ** 0.5, "scale": lambda l: 1.7},
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_habit_of_each_program_is_found(peroxide, program):
    """Dipoles between orbitals are those of pyscf: norms, order and signs of every function up to g are right."""
    orbitals = orbitals_of(peroxide.text(**PROGRAMS[program]), ax=0.0)
    c = orbitals.coefficients
    np.testing.assert_allclose(np.einsum("xij,ip,jq->xpq", dipole(orbitals.basis), c, c), peroxide.dipoles, atol=1e-8)
    name = program.split(",")[0]
    assert orbitals.method == ("Molden" if name == "standard" else f"Molden ({name})")
    assert orbitals.n_occupied == N_OCCUPIED
    assert orbitals.warnings == ()


def as_cfour(text):
    """With the heading twice, and the alpha orbitals alone, one electron in each."""
    text = (
        text.replace("Occup= 2.00000", "Occup= 1.0")
        .replace("Occup= 0.00000", "Occup= 0.0")
        .replace("[GTO]", "[Molden Format]\n[GTO]")
    )
    assert text.count("Occup= 1.0") == N_OCCUPIED
    return text


def test_a_closed_shell_of_cfour_has_one_electron_an_orbital(peroxide):
    text = peroxide.text(**PROGRAMS["CFOUR"])
    usual, ours = (read_molden(x, "x.molden") for x in (text, as_cfour(text)))
    assert ours.electrons() == usual.electrons() == 2 * N_OCCUPIED
    orbitals = molden_orbitals(ours, 0.0)
    assert (orbitals.n_occupied, orbitals.method) == (N_OCCUPIED, "Molden (CFOUR)")
    np.testing.assert_array_equal(orbitals.energies_ev, molden_orbitals(usual, 0.0).energies_ev)


def test_open_shells_say_which_orbitals_speak_for_them(peroxide):
    text = as_cfour(peroxide.text())
    with pytest.raises(InputFileError, match=r"open shell: there are some of beta spin from line \d+ on"):
        orbitals_of(text.replace("Spin= Alpha", "Spin= Beta", 1))
    with pytest.raises(InputFileError, match=r"open shell: there are some with one electron, as in line \d+"):
        orbitals_of(text.replace("[Molden Format]\n[GTO]", "[GTO]"))


def test_shells_in_another_order_of_atoms(peroxide, tmp_path):
    """Atoms need not have their shells in their order; transition charges are summed over those of an atom."""
    (tmp_path / "a.molden").write_text(peroxide.text())
    (tmp_path / "b.molden").write_text(peroxide.text(atoms=(2, 0, 3, 1)))
    first, second = (cm.label(cm.read(tmp_path / f"{n}.molden"), orbitals="molden", ax=0.0, emax_ev=15.0) for n in "ab")
    assert second.orbitals.basis.atom_of_ao.tolist() == first.orbitals.basis.atom_of_ao.tolist()
    np.testing.assert_allclose(second.spectrum.epsilon, first.spectrum.epsilon, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(second.spectrum.delta_epsilon, first.spectrum.delta_epsilon, rtol=1e-6, atol=1e-6)
    assert first.spectrum.epsilon.max() > 1.0


def test_declared_kinds_of_functions_give_way_to_the_number_of_coefficients(peroxide):
    orbitals = orbitals_of(peroxide.text(kinds=""), ax=0.0)
    assert orbitals.basis.n_ao == len(peroxide.energies)


def test_the_core_electrons_that_pyscf_writes(tmp_path):
    """LANL2DZ leaves out 28 electrons of silver and 10 of sulfur."""
    from pyscf import gto
    from pyscf.scf.hf import eig
    from pyscf.tools import molden

    geometry = "Ag 0 0 0; S 0.3 2.28 0; H 1.55 2.05 0.47"
    mol = gto.M(atom=geometry, basis={"Ag": "lanl2dz", "S": "lanl2dz", "H": "6-31g"}, ecp="lanl2dz", verbose=0)
    energies, coefficients = eig(mol.intor("int1e_kin") + mol.intor("int1e_nuc"), mol.intor("int1e_ovlp"))
    occupations = np.where(np.arange(len(energies)) < 13, 2.0, 0.0)
    molden.from_mo(mol, str(tmp_path / "x.molden"), coefficients, ene=energies, occ=occupations)
    atoms = cm.read(tmp_path / "x.molden")
    assert (atoms.info["charge"], atoms.info["provenance"]["warnings"]) == (0, [])
    orbitals = orbitals_of((tmp_path / "x.molden").read_text())
    assert orbitals.core_electrons.tolist() == [28, 10, 0]
    assert orbitals.method == "Molden"


def test_orbitals_of_an_unknown_norm_are_refused(peroxide):
    text = peroxide.text(cartesian=lambda name, l: 1.3 if l == 3 else 1.0)
    with pytest.raises(InputFileError, match=r"x.molden: the orbitals are not orthonormal, by 0\.\d, what"):
        orbitals_of(text)


def test_cartesian_functions_that_are_no_spherical_ones_are_refused(tmp_path):
    from pyscf import gto
    from pyscf.scf.hf import eig
    from pyscf.tools import molden

    mol = gto.M(atom="O 0 0.73 0; H 0.8 0.9 0.45; H -0.75 1.1 0.5", basis="6-31g*", cart=True, verbose=0)
    energies, coefficients = eig(mol.intor("int1e_kin") + mol.intor("int1e_nuc"), mol.intor("int1e_ovlp"))
    occupations = np.where(np.arange(len(energies)) < 5, 2.0, 0.0)
    molden.from_mo(mol, str(tmp_path / "six.molden"), coefficients, ene=energies, occ=occupations)
    with pytest.raises(InputFileError, match=r"Cartesian functions \(6D\) and no sum .* Gaussian 5D 7F"):
        orbitals_of((tmp_path / "six.molden").read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: np.round(c, 3), "too few digits are written"),
        (
            lambda c: np.where(np.arange(c.size).reshape(c.shape) == 205, c + 0.3, c),
            "the orbital of line .* is damaged",
        ),
    ],
)
def test_what_is_wrong_with_orbitals_is_said(peroxide, change, message):
    other = Peroxide()
    other.coefficients = change(other.coefficients)
    with pytest.raises(InputFileError, match=message):
        orbitals_of(other.text())


def test_a_file_of_cp2k(tmp_path):
    """Energies are those in CP2K's log (hartree), which pseudopotentials of 11, 6 and 1 electrons gave."""
    atoms = cm.read(CP2K)
    assert atoms.info["charge"] == 0
    assert "10 of S, 36 of Ag" in atoms.info["provenance"]["warnings"][0]
    label = cm.label(atoms, orbitals="molden", emax_ev=5.0, ax=0.0)
    assert label.orbitals.n_occupied == 9
    assert label.orbitals.gap_ev == pytest.approx((0.18823988 - 0.11687847) * 27.2113845, abs=1e-5)
    assert label.spectrum.epsilon.max() > 1e3
    assert label.provenance["orbitals"] == "Molden"


def test_a_path_is_labelled_with_the_orbitals_in_the_file():
    assert cm.label(CP2K, emax_ev=3.0).provenance["orbitals"] == "Molden"
    assert cm.label(str(CP2K), protocol=cm.Protocol(emax_ev=3.0), xc="pbe0").orbitals.kernels.ax == 0.25
    assert cm.label(CP2K, protocol=cm.Protocol(orbitals="gfn1", emax_ev=3.0)).orbitals.method == "GFN1-xTB"
    assert cm.label(CP2K, orbitals="gfn2", emax_ev=3.0).orbitals.method == "GFN2-xTB"
    assert cm.label("shipped:datasets/examples/ag29_model.xyz", emax_ev=1.0).charge == -3


@pytest.mark.parametrize(("name", "source"), [("agsch3", "stda-xtb"), ("propylene_oxide", "gfn1"), ("h2o2", "gfn2")])
def test_our_own_files_give_the_same_spectrum(molecule, tmp_path, deviation, name, source):
    keys = {"emax_ev": 12.0, "solver": "states"}
    first = cm.label(molecule(name), orbitals=source, **keys)
    path = write_molden(first.orbitals, tmp_path / "a.molden")
    atoms = cm.read(path)
    assert atoms.info["charge"] == first.charge
    assert atoms.info["provenance"]["warnings"] == []
    again = cm.label(atoms, orbitals="molden", **keys)
    assert max(deviation(again.spectrum, first.spectrum)) < 1e-4
    assert again.orbitals.method == first.orbitals.method
    assert not set(again.warnings) - set(first.warnings)


def test_our_own_kohn_sham_orbitals_know_their_functional(molecule, tmp_path, deviation):
    """CAM-B3LYP: exponents of the kernels that do not follow from the share of exchange."""
    first = cm.label(molecule("h2o2"), orbitals="dft", xc="cam-b3lyp", basis="sto-3g", emax_ev=15.0)
    label = cm.label(cm.read(write_molden(first.orbitals, tmp_path / "a.molden")), orbitals="molden", emax_ev=15.0)
    assert label.orbitals.kernels.ax == 0.38
    assert max(deviation(label.spectrum, first.spectrum)) < 1e-4
    assert label.orbitals.method == "CAMB3LYP/sto-3g"
    again = cm.label(label.atoms, orbitals="molden", xc="pbe0", emax_ev=15.0)
    assert again.orbitals.kernels.ax == 0.25
    with pytest.raises(OptionError, match=r"ax is 0\.25 and xc 'pbe0': both say"):
        cm.label(label.atoms, orbitals="molden", xc="pbe0", ax=0.25)
    with pytest.raises(OptionError, match="basis 'sto-3g' has no effect on molden orbitals"):
        cm.label(label.atoms, orbitals="molden", basis="sto-3g")


def test_another_charge_is_never_advised(peroxide, tmp_path):
    """It would be advised for a ground state that fails, or a small gap; the file's orbitals have theirs."""
    other = Peroxide()
    other.energies[N_OCCUPIED] = other.energies[N_OCCUPIED - 1] + 0.002
    (tmp_path / "x.molden").write_text(other.text())
    label = cm.label(cm.read(tmp_path / "x.molden"), orbitals="molden", ax=0.0, emax_ev=3.0, advise=True)
    assert any("HOMO-LUMO gap of Molden is only 0.054 eV" in warning for warning in label.warnings)
    assert not any("another charge" in warning for warning in label.warnings)


def test_fock_exchange_of_the_functional_is_given(peroxide):
    text = peroxide.text()
    pure = orbitals_of(text)
    assert pure.kernels.ax == 0.0
    assert "without Fock exchange" in pure.warnings[0]
    hybrid = orbitals_of(text, ax=0.25)
    assert hybrid.kernels.ax == 0.25
    assert hybrid.warnings == ()


def changed(old, new, count=-1):
    return lambda text: text.replace(old, new, count)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("Spin= Alpha", "Spin= Beta"), "open shell"),
        (changed("Occup= 2.00000", "Occup= 1.00000", 1), "open shell"),
        (changed("Occup= 2.00000", "Occup= 1.97310", 1), r"1 orbital with fractional occupation, 1.973 in line \d+"),
        (changed("Occup= 2.00000", "Occup= 0.00000"), "no orbital is occupied"),
        (changed("Occup= 0.00000", "Occup= 2.00000"), "no empty orbitals .* ADDED_MOS -1"),
    ],
)
def test_anything_but_a_closed_ground_state_is_refused(peroxide, change, message):
    with pytest.raises(InputFileError, match=message):
        orbitals_of(change(peroxide.text()))


def test_energies_must_be_those_of_a_ground_state(peroxide):
    other = Peroxide()
    other.energies = np.zeros_like(other.energies)
    with pytest.raises(InputFileError, match=r"all orbitals have the energy 0 .*not natural"):
        orbitals_of(other.text())
    other.energies = -peroxide.energies
    with pytest.raises(InputFileError, match="lies above an empty one"):
        orbitals_of(other.text())


def without_orbitals(text, n):
    """The text without its last ``n`` orbitals."""
    return text[: [k for k in range(len(text)) if text.startswith(" Sym=", k)][-n]]


def test_too_few_empty_orbitals_say_how_far_they_reach(peroxide, tmp_path):
    (tmp_path / "x.molden").write_text(without_orbitals(peroxide.text(), len(peroxide.energies) - N_OCCUPIED - 2))
    atoms = cm.read(tmp_path / "x.molden")
    reach = 27.2113845 * (peroxide.energies[N_OCCUPIED + 1] - peroxide.energies[N_OCCUPIED - 1])
    with pytest.raises(InputFileError, match=rf"complete to {reach:.2f} eV, not to 15 eV"):
        cm.label(atoms, orbitals="molden", emax_ev=15.0)
    label = cm.label(atoms, orbitals="molden", emax_ev=np.floor(reach))
    assert any("2 empty orbitals, which end" in warning for warning in label.warnings)


def test_orbitals_belong_to_the_geometry_and_charge_of_their_file(peroxide, tmp_path):
    (tmp_path / "x.molden").write_text(peroxide.text())
    atoms = cm.read(tmp_path / "x.molden")
    assert atoms.info["charge"] == 0
    with pytest.raises(ChargeError, match=r"the charge \+2 does not fit 18 electrons"):
        cm.label(atoms, 2, orbitals="molden")
    atoms.positions[0] += 0.01
    with pytest.raises(OptionError, match="not of this one"):
        cm.label(atoms, orbitals="molden")
    with pytest.raises(OptionError, match="no Molden file"):
        cm.label(cm.build("ag3", thiolate="SH"), orbitals="molden")
    with pytest.raises(OptionError, match="not from a stream"):
        cm.label(cm.read(peroxide.text().encode()), orbitals="molden")


def test_a_file_without_a_basis_or_with_slater_functions_is_refused(peroxide):
    text = peroxide.text()
    with pytest.raises(InputFileError, match="no basis functions"):
        orbitals_of(text[: text.index("[GTO]")] + text[text.index("[MO]") :])
    with pytest.raises(InputFileError, match="Slater functions"):
        orbitals_of(text[: text.index("[GTO]")] + "[STO]\n1 0 0 0 0 1.0 1.0\n")
    with pytest.raises(InputFileError, match=r"no orbitals: no section \[MO\].*empty ones too"):
        orbitals_of(text[: text.index("[MO]")])


def test_ax_has_no_effect_on_other_orbitals(molecule):
    with pytest.raises(OptionError, match=r"ax 0\.3 has no effect on gfn1"):
        cm.label(molecule("agh"), ax=0.3)


def test_orbitals_that_are_written_again_do_not_pretend_to_be_ours(molecule, tmp_path):
    """What functional they are of is known to none who reads them."""
    ours = cm.label(molecule("agh"), 0, orbitals="gfn1", emax_ev=4.0)
    plain = write_molden(replace(ours.orbitals, method="Molden"), tmp_path / "again.molden")
    label = cm.label(cm.read(plain), orbitals="molden", emax_ev=4.0)
    assert label.orbitals.method.startswith("Molden")
    assert any("without Fock exchange" in words for words in label.warnings)
