"""Outputs of other programs: energies in eV and rotatory strengths in 1e-40 cgs, whatever units they print."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import clusterml as cm
from clusterml.errors import InputFileError, OptionError
from clusterml.spectrum.calculation import program_of, read_calculation

PROGRAMS = ("gaussian", "turbomole", "orca")


@pytest.fixture(params=PROGRAMS)
def output(request, outputs):
    return getattr(outputs, request.param)


def test_units_and_order_are_those_of_every_program(output, outputs):
    """Turbomole prints R in atomic units first, ORCA energies in cm-1 and in their order."""
    lines = cm.read_transitions(output().encode())
    energy, f, r_velocity, r_length = np.array(sorted(outputs.EXCITATIONS)).T
    order = np.argsort(lines.energy_ev)
    np.testing.assert_allclose(lines.energy_ev[order], energy, atol=2e-5)
    np.testing.assert_allclose(lines.f_length[order], f, atol=1e-6)
    np.testing.assert_allclose(lines.r_velocity_cgs[order], r_velocity, rtol=1e-6)
    np.testing.assert_allclose(lines.r_length_cgs[order], r_length, rtol=1e-6)
    assert lines.meta["warnings"] == []


def test_geometry_and_charge_are_there_where_the_program_prints_them(output, outputs):
    excitations = read_calculation(output(), "x.out")
    assert len(excitations.symbols) == 4
    expected = [xyz for _, *xyz in outputs.ATOMS]
    np.testing.assert_allclose(excitations.positions, expected, atol=1e-6)
    assert excitations.charge == (None if output is outputs.turbomole else -2)


@pytest.mark.parametrize("version", [4, 5, 6])
def test_every_orca_is_read_without_cclib(outputs, version, monkeypatch):
    monkeypatch.setitem(sys.modules, "cclib", None)
    monkeypatch.setitem(sys.modules, "cclib.io", None)
    lines = cm.read_transitions(outputs.orca(version=version).encode())
    assert len(lines) == 3  # the triplet is dark
    assert lines.r_velocity_cgs.tolist() == [3.0, 11.5, -42.25]


def test_coupled_cluster_outputs_of_orca_are_read(outputs):
    """Version 5 has energy and wavelength of the CD interchanged, version 6 a footnote below the table."""
    text = outputs.orca(version=5)
    head, title, tail = text.partition("    CD SPECTRUM    ")
    energies = [f"{outputs.wavenumber(e):9.1f}{1239.841984 / e:9.1f}" for e, *_ in outputs.EXCITATIONS]
    for words in energies:
        tail = tail.replace(words, f"{words[9:]:>9s}{words[:9]}", 1)
    assert head + title + tail != text
    assert cm.read_transitions((head + title + tail).encode()).r_length_cgs.tolist() == [2.5, 10.0, -40.0]
    last = outputs.orca().partition("\n\n\n-----")
    noted = f"{last[0]}\n*The positivity of oscillator strengths is not guaranteed{last[1]}{last[2]}"
    assert len(cm.read_transitions(noted.encode())) == 3


def test_without_cclib_the_extra_is_named(outputs, monkeypatch):
    monkeypatch.setitem(sys.modules, "cclib", None)
    monkeypatch.setitem(sys.modules, "cclib.io", None)
    with pytest.raises(OptionError, match=r"need cclib \(pip install \"clusterml\[qc\]\"\)"):
        cm.read_transitions(outputs.gaussian().encode())


def test_spectra_of_any_width(output, outputs):
    """At 0.3 eV the band at 6.2 eV has the height 28706 f G(0), and the CD the sign of R."""
    lines = cm.read_transitions(output().encode())
    wide = lines.broaden(np.linspace(4.0, 7.0, 301), 0.3)
    peak = int(np.argmax(wide.epsilon))
    assert wide.energy_ev[peak] == pytest.approx(6.2)
    height = 2.0 * np.sqrt(np.log(2.0) / np.pi) / 0.3
    assert wide.epsilon[peak] == pytest.approx(28706.0 * 0.25 * height, rel=1e-3)
    assert wide.delta_epsilon[peak] == pytest.approx(-42.25 * 6.2 / 22.97 * height, rel=1e-3)


def test_outputs_are_spectra_too(output):
    spectrum = cm.read_spectrum(output().encode())
    assert spectrum.energy_ev[0] == pytest.approx(3.5)
    assert spectrum.energy_ev[-1] == pytest.approx(6.2, abs=0.021)
    assert spectrum.meta["fwhm_ev"] == 0.1
    assert "3 excitations up to 6.20 eV" in spectrum.meta["warnings"][0]
    with pytest.raises(OptionError, match="would change nothing"):
        cm.read_spectrum(output().encode(), concentration=1e-5)


def test_a_missing_gauge_is_told(outputs):
    lines = cm.read_transitions(outputs.gaussian(velocity=False).encode())
    assert "length gauge, which depends on the origin" in lines.meta["warnings"][0]
    assert lines.r_velocity_cgs.tolist() == [10.0, -40.0, 2.5]


def test_without_rotatory_strengths_there_is_absorption_alone(outputs):
    for text in (outputs.orca(cd=False), outputs.gaussian(velocity=False, length=False)):
        lines = cm.read_transitions(text.encode())
        assert "no rotatory strengths: absorption alone; " in lines.meta["warnings"][0]
        assert lines.meta["warnings"][0].endswith("is the output whole")
        spectrum = cm.read_spectrum(text.encode())
        assert spectrum.has_absorption
        assert not spectrum.has_cd


def nwchem(outputs, *, length=True, velocity=True, triplets=False):
    """Roots as NWChem prints them with CDSPECTRUM, and after them a triplet's."""
    places = enumerate(outputs.ATOMS, start=1)
    lines = ["          Northwest Computational Chemistry Package (NWChem) 7.0.2", "", ' Geometry "geometry" -> ""']
    lines += [" ---", "", " Output coordinates in angstroms", "", "  No. Tag Charge X Y Z", " ---"]
    lines += [f"{n} {symbol} {8.0 if symbol == 'O' else 1.0} {x} {y} {z}" for n, (symbol, x, y, z) in places]
    lines += ["", ' Summary of "ao basis" -> "ao basis" (spherical)', " ---", " Tag Description Shells Functions"]
    lines += [" ---", " O 6-31g 5 9 3s2p", " H 6-31g 2 2 2s", ""]
    for root, (energy, f, r_velocity, r_length) in enumerate(sorted(outputs.EXCITATIONS), start=1):
        lines += [f"  Root{root:4d} singlet a {energy / 27.211386:24.9f} a.u.{energy:20.4f} eV ", "  " + 76 * "-"]
        lines += ["     Transition Moments    X  0.1   Y  0.2   Z  0.3", f"     Dipole Oscillator Strength {f:31.10f}"]
        if length:
            lines += [f"     Rotatory Strength (1E-40 esu**2cm**2):{r_length:21.7f}"]
        if velocity:
            lines += [f"     Rotatory Strength   (velocity repr.) :{r_velocity:21.7f}"]
        lines += ["", "     Occ.    9  a   ---  Virt.   10  a    0.99000 X", "  " + 76 * "-"]
    if triplets:
        lines += ["  Root   1 triplet a              0.110000000 a.u.                2.9933 eV ", "  " + 76 * "-"]
        lines += [
            "     Transition Moments                    Spin forbidden",
            "     Oscillator Strength    Spin forbidden",
        ]
        lines += ["", "     Occ.    9  a   ---  Virt.   10  a    0.99000 X", "  " + 76 * "-"]
    return "\n".join([*lines, "", " Total times  cpu:        1.0s     wall:        1.0s", ""])


@pytest.mark.parametrize("triplets", [False, True])
def test_rotatory_strengths_of_nwchem_are_read_in_both_gauges(outputs, triplets):
    lines = cm.read_transitions(nwchem(outputs, triplets=triplets).encode())
    energy, f, r_velocity, r_length = np.array(sorted(outputs.EXCITATIONS)).T
    np.testing.assert_allclose(lines.energy_ev, energy, atol=1e-4)
    np.testing.assert_allclose(lines.f_length, f, atol=1e-6)
    np.testing.assert_allclose(lines.r_velocity_cgs, r_velocity, rtol=1e-6)
    np.testing.assert_allclose(lines.r_length_cgs, r_length, rtol=1e-6)


def test_how_a_program_prints_rotatory_strengths_is_said(outputs):
    lines = cm.read_transitions(nwchem(outputs, length=False, velocity=False).encode())
    assert lines.meta["warnings"][0].endswith("NWChem prints them with CDSPECTRUM in the block of tddft")


def test_runs_that_did_not_end_or_have_no_excitations_are_refused(output):
    with pytest.raises(InputFileError, match="did not end normally"):
        cm.read_transitions(output(end=False).encode())
    with pytest.raises(InputFileError, match=r"no excitations \(compute some"):
        cm.read_transitions(output(()).encode())


def test_damaged_outputs_are_named(outputs):
    with pytest.raises(InputFileError, match=r"x\.out: line \d+ is no excitation"):
        read_calculation(outputs.orca().replace("50009.6", "5000*.6").replace("40327.7", "*******"), "x.out")
    shorter = outputs.gaussian().replace("         3      3.0000", "         x      3.0000")
    with pytest.raises(InputFileError, match=r"2 R \(velocity\) of 3 excitations"):
        read_calculation(shorter, "x.out")
    with pytest.raises(InputFileError, match="a rotatory strength is no number"):
        read_calculation(outputs.turbomole().replace("3.0000000000000000E+00", "3.0000000000000000x+00"), "x.out")
    broken = outputs.gaussian().replace("0.0120", "0.01w0")
    with pytest.raises(InputFileError, match=r"x\.out: cclib cannot read this output of Gaussian .*update cclib"):
        read_calculation(broken, "x.out")
    with pytest.raises(InputFileError, match="energies that are not positive"):
        cm.read_transitions(outputs.orca(((-0.3, 0.1, 1.0, 1.0), *outputs.EXCITATIONS)).encode())


def test_other_text_is_no_output():
    assert program_of("wavelength,absorbance\n# fitted with TURBOMOLE numbers\n300,0.1\n") is None
    with pytest.raises(InputFileError, match="not the output of a program that is known"):
        cm.read_transitions(b"nothing of the kind")
