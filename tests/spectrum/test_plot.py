"""Figures: what is in them, that they are written whole, and that no warning escapes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from clusterml.errors import OptionError, OutputError
from clusterml.spectrum.plot import COLOURS, draw
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.spectrum.view import Axis, View, parse_view


def test_panels_axes_and_sticks(spectrum: Spectrum, transitions: Transitions, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    figure = spectrum.plot(path, title="Ag29 $x_1", transitions=transitions)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert [("ε" in label, "Δ" in label, "g factor" in label) for label in labels[:3]] == [
        (True, False, False),
        (True, True, False),
        (False, False, True),
    ]
    assert {axes.get_xlabel() for axes in figure.axes} == {"photon energy / eV", "wavelength / nm", ""}
    twins = [axes for axes in figure.axes if axes.collections]
    assert [len(axes.collections[0].get_segments()) for axes in twins] == [6, 6]
    assert twins[1].get_ylabel() == "R (velocity) / 10⁻⁴⁰ cgs"


def test_wavelengths_stand_where_they_belong(spectrum: Spectrum) -> None:
    figure = spectrum.plot()
    top = next(axes for axes in figure.axes if axes.get_xlabel() == "wavelength / nm")
    shown = [
        (tick, float(label.get_text())) for tick, label in zip(top.get_xticks(), top.get_xticklabels(), strict=True)
    ]
    assert len(shown) >= 5
    assert all(tick * nm == pytest.approx(1239.841984) for tick, nm in shown)
    assert top.get_xlim() == figure.axes[0].get_xlim()
    assert top.get_xlim()[1] == 6.0


def test_std_bands_labels_and_marks(spectrum: Spectrum) -> None:
    std = replace(spectrum, epsilon_std=0.1 * spectrum.epsilon, delta_epsilon_std=0 * spectrum.epsilon)
    figure = draw([std], marks={"epsilon": [2.0, 3.0]})
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["spectrum", "± 1σ"]
    mean = draw([replace(std, meta={"ensemble": 4})])
    assert [text.get_text() for text in mean.legends[0].get_texts()] == ["mean", "± 1σ of the snapshots"]
    narrow = draw([replace(std, epsilon_std=0.01 * spectrum.epsilon)])
    assert [text.get_text() for text in narrow.legends[0].get_texts()] == ["spectrum"]
    assert len(figure.axes[0].lines) == 3
    both = spectrum.plot(others=[spectrum.mirrored()], labels=["R", "S"])
    assert [text.get_text() for text in both.legends[0].get_texts()] == ["R", "S"]
    assert [to_hex(line.get_color()) for line in both.axes[0].lines] == [c.lower() for c in COLOURS[:2]]


def test_the_total_error_is_an_outer_band_and_doubtful_bands_get_circles(spectrum: Spectrum) -> None:
    n = len(spectrum)
    known = replace(spectrum, delta_epsilon_std=np.full(n, 3.0), label_error=np.full(n, 4.0))
    assert known.total_error == pytest.approx(np.full(n, 5.0))
    assert known.mirrored().total_error == pytest.approx(np.full(n, 5.0))
    figure = draw([known], doubtful=[(2.0, -5.0), (3.0, 7.0)])
    cd = figure.axes[1]
    reach = [np.ptp(band.get_paths()[0].vertices[:, 1]) for band in cd.collections]
    assert reach[1] - reach[0] == pytest.approx(4.0, rel=0.05)  # 5 instead of 3 on both sides
    circles = next(line for line in cd.lines if line.get_label() == "sign not supported (< 95 %)")
    assert circles.get_xydata().tolist() == [[2.0, -5.0], [3.0, 7.0]]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"± 1σ", "± 1σ from DFT", "sign not supported (< 95 %)"} <= set(names)
    assert len(names) == len(set(names))
    mean = replace(known, meta={**known.meta, "ensemble": 24})
    assert mean.total_error == pytest.approx(np.full(n, 4.0))
    assert spectrum.total_error is None


def test_the_curve_sets_the_scale_and_not_its_band(spectrum: Spectrum) -> None:
    alone = draw([spectrum]).axes
    unknown = np.where(spectrum.energy_ev < 1.0, np.nan, 0.1)
    for factor, stretch in ((1.0, 1.1), (1e7, 1.5)):
        std = {f"{key}_std": factor * unknown * getattr(spectrum, key).max() for key in ("epsilon", "delta_epsilon")}
        axes = draw([replace(spectrum, **std)]).axes
        assert axes[0].get_ylim()[1] <= stretch * alone[0].get_ylim()[1] * 1.001
        assert axes[1].get_ylim()[1] <= stretch * alone[1].get_ylim()[1] * 1.001
        drawn = axes[0].collections[0].get_paths()[0].vertices[:, 0]
        assert drawn.min() >= 1.0


def test_g_where_nothing_absorbs_does_not_set_the_scale(spectrum: Spectrum) -> None:
    x = spectrum.energy_ev
    epsilon = 1e5 * np.exp(-(((x - 4.0) / 1.0) ** 2)) + 150.0
    weak = replace(spectrum, epsilon=epsilon, delta_epsilon=1e-3 * epsilon + 3.0 * np.exp(-(((x - 1.5) / 0.3) ** 2)))
    bright = float(weak.g_factor(0.02)[np.isfinite(weak.g_factor(0.02))].max())
    assert np.nanmax(weak.g_abs) > 10.0 * bright
    assert draw([weak]).axes[2].get_ylim()[1] == pytest.approx(1.08 * bright)


def test_noise_of_an_achiral_cluster_is_a_flat_line(spectrum: Spectrum) -> None:
    noise = replace(spectrum, delta_epsilon=1e-8 * spectrum.epsilon * np.sin(9 * spectrum.energy_ev))
    _, cd, g = draw([noise]).axes[:3]
    assert cd.get_ylim()[1] == pytest.approx(1e-5 * spectrum.epsilon.max())
    assert g.get_ylim()[1] == pytest.approx(1e-5)
    weak = replace(spectrum, delta_epsilon=1e-4 * spectrum.epsilon)
    assert draw([weak]).axes[2].get_ylim()[1] == pytest.approx(1.08e-4)


def test_the_axis_starts_where_something_is_known(spectrum: Spectrum) -> None:
    low, high = spectrum.plot().axes[0].get_xlim()
    first = spectrum.energy_ev[spectrum.epsilon > 0.01 * spectrum.epsilon.max()][0]
    first = min(
        first, spectrum.energy_ev[np.abs(spectrum.delta_epsilon) > 0.01 * np.abs(spectrum.delta_epsilon).max()][0]
    )
    assert first - 0.1 < low <= first
    assert high == 6.0
    later = Spectrum(spectrum.energy_ev + 1.0, spectrum.epsilon, spectrum.delta_epsilon)
    assert spectrum.plot(others=[later]).axes[0].get_xlim() == (low, 7.0)
    noise = 1e-7 * spectrum.epsilon.max() * np.cos(spectrum.energy_ev)  # which no spectrometer sees
    assert low <= replace(spectrum, delta_epsilon=noise).plot().axes[0].get_xlim()[0] <= low + 0.3
    dark = replace(spectrum, epsilon=0 * spectrum.epsilon, delta_epsilon=0 * spectrum.delta_epsilon)
    assert dark.plot().axes[0].get_xlim() == (0.5, 6.0)
    assert spectrum.plot(view=parse_view("ev", "0.6:5")).axes[0].get_xlim() == (0.6, 5.0)


def test_the_networks_curve_is_shown_whole(spectrum: Spectrum) -> None:
    for factor, stretch in ((0.5, 1.0), (1.6, 1.6), (50.0, 2.0)):
        network = replace(spectrum, epsilon=factor * spectrum.epsilon, delta_epsilon=factor * spectrum.delta_epsilon)
        axes, alone = draw([spectrum], labels=["engine"], faint=network).axes, draw([spectrum]).axes
        engine, thin = (line for line in axes[0].lines if line.get_label() in ("engine", "network"))
        assert thin.get_zorder() > engine.get_zorder()
        assert thin.is_dashed()
        for panel in (0, 1):
            assert axes[panel].get_ylim()[1] == pytest.approx(stretch * alone[panel].get_ylim()[1])


def test_titles_and_names_come_from_what_is_known(spectrum: Spectrum) -> None:
    known = replace(spectrum, meta={"fwhm_ev": 0.2, "title": "ag29: Ag29, 3-, GFN1-xTB linear response"})
    assert known.plot().get_suptitle() == "ag29: Ag29, 3-, GFN1-xTB linear response, fwhm 0.2 eV"
    assert known.plot(title="mine").get_suptitle() == "mine"
    both = known.plot(others=[replace(spectrum, meta={"source": "a.csv"})])
    assert [text.get_text() for text in both.legends[0].get_texts()] == [known.title, "a.csv"]
    bare = replace(spectrum, meta={})
    assert bare.plot().get_suptitle() == ""
    names = [text.get_text() for text in bare.plot(others=[bare]).legends[0].get_texts()]
    assert names == ["spectrum 1", "spectrum 2"]


def test_wavelength_axis_with_a_range(spectrum: Spectrum, transitions: Transitions) -> None:
    figure = spectrum.plot(transitions=transitions, view=parse_view("nm", "900:250"))
    main = figure.axes[0]
    assert main.get_xlim() == (250.0, 900.0)
    np.testing.assert_allclose(main.lines[0].get_xdata(), spectrum.wavelength_nm)
    top = next(axes for axes in figure.axes if axes.get_xlabel() == "photon energy / eV")
    for tick, label in zip(top.get_xticks(), top.get_xticklabels(), strict=True):
        assert tick * float(label.get_text()) == pytest.approx(1239.841984)
    sticks = next(axes for axes in figure.axes if axes.collections).collections[0].get_segments()
    assert sorted(segment[0][0] for segment in sticks) == pytest.approx(sorted(1239.841984 / transitions.energy_ev))
    weak = spectrum.plot(view=parse_view("ev", "0.5:1.5")).axes[0].get_ylim()[1]
    assert weak == pytest.approx(1.08 * spectrum.epsilon[spectrum.energy_ev <= 1.5].max())
    low, high = spectrum.plot(view=View("nm")).axes[0].get_xlim()
    assert low == pytest.approx(1239.841984 / 6.0)
    assert 1239.841984 / 2.2 < high < 800.0


@pytest.mark.parametrize("text", ["250", "a:b", "1:2:3", "0:3", "-1:3", "5:5", "nan:3", "1:inf"])
def test_bad_ranges_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--range is"):
        parse_view("ev", text)


def test_a_range_outside_is_refused(spectrum: Spectrum) -> None:
    with pytest.raises(OptionError, match=r"6\.5:9 eV holds no part of a spectrum from 0\.5 to 6 eV .*--axis"):
        spectrum.plot(view=parse_view("ev", "6.5:9"))


@pytest.mark.parametrize(
    ("axis", "text", "says"),
    [
        ("ev", "250:800", r"250:800 is in eV, and looks like nm \(add --axis nm\)"),
        ("nm", "1.5:5", r"1.5:5 is in nm, and looks like eV \(leave --axis nm out\)"),
    ],
)
def test_a_range_in_the_other_unit_is_refused_before_a_spectrum_is_there(axis: Axis, text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        parse_view(axis, text)


def test_panels_without_data_are_left_out(spectrum: Spectrum, tmp_path: Path) -> None:
    absent = np.full(len(spectrum), np.nan)
    assert len(replace(spectrum, delta_epsilon=absent).plot(tmp_path / "a.png").axes) == 2
    assert len(replace(spectrum, epsilon=absent).plot(tmp_path / "b.png").axes) == 2
    zero = replace(spectrum, epsilon=0 * spectrum.epsilon, delta_epsilon=0 * spectrum.epsilon)
    zero.plot(tmp_path / "c.png", title="銀 \\x{")
    narrow = Spectrum([2.50, 2.51], [1e-9, 2e-9], [-1e9, 1e9])
    narrow.plot(tmp_path / "d.png", title="n" * 300)
    assert len(list(tmp_path.iterdir())) == 4


def test_refusals(spectrum: Spectrum, tmp_path: Path) -> None:
    for count in (0, 13):
        with pytest.raises(OptionError, match=f"{count} spectra"):
            draw([spectrum] * count)
    with pytest.raises(OutputError, match="missing"):
        spectrum.plot(tmp_path / "missing" / "x.png")


def test_importing_spectra_stays_light() -> None:
    code = (
        "import sys, clusterml.spectrum.transitions, clusterml.spectrum.compare, clusterml.spectrum.bands,"
        "clusterml.spectrum.measured, clusterml.spectrum.plot, clusterml.cli.compare\n"
        "print([m for m in ('scipy', 'matplotlib', 'torch', 'ase', 'rich.table') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
