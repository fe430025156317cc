"""The figure of one or several spectra: absorption, CD and g above each other, eV or nm below and the other above."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError
from clusterml.io.display import new_figure, png_of
from clusterml.io.files import write_bytes
from clusterml.spectrum.significance import SURE
from clusterml.spectrum.spectrum import G_FLOOR, Spectrum
from clusterml.spectrum.view import SMALLEST_G, Axis, View
from clusterml.typing import FloatArray
from clusterml.units import EV_NM

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from clusterml.spectrum.transitions import Transitions

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STICK_COLOUR = "#8C8C8C"
MOST_STICKS = 1500
"""Only the strongest sticks are drawn: more cannot be told apart."""
MOST_CURVES = 12
PANELS = {
    "epsilon": ("ε", "L mol⁻¹ cm⁻¹", 1.15),
    "delta_epsilon": ("Δε", "L mol⁻¹ cm⁻¹", 1.15),
    "g_abs": ("g factor", "", 0.7),
}
"""Quantity -> symbol, unit and relative height of its panel.  Formulas in dollar signs would take twice the time."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NM_TICKS = (100, 125, 150, 200, 250, 300, 350, 400, 500, 600, 700, 800, 1000, 1200, 1500, 2000, 2500, 4000, 10000)
_EV_TICKS = (0.2, 0.3, 0.5, 0.7, 1.0, 1.2, 1.4, 1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 10.0)
_AXIS_LABELS: dict[Axis, str] = {"ev": "photon energy / eV", "nm": "wavelength / nm"}
_CIRCLE: dict[str, Any] = {"marker": "o", "ms": 4.5, "mfc": "white", "mec": "black", "mew": 0.8, "zorder": 4}
FILE_DPI = 200.0
"""Resolution of the files."""
MARGIN = 1.08
"""Room above the highest point, as a factor."""
MOST_BAND = 1.5
"""A band of standard deviations may stretch the axis to this many times the curve's height; beyond, it is cut."""
MOST_FAINT = 2.0
"""A faint curve may stretch the axis to this many times the height of the others; beyond, it is cut."""
LEAST_BAND = 0.01
"""The curve hides a band that is narrower than this share of the axis: the legend leaves it out."""
_FAINT: dict[str, Any] = {"color": "black", "lw": 0.9, "ls": (0, (4, 3)), "label": "network", "zorder": 3.5}


def draw(
    spectra: Sequence[Spectrum],
    path: str | Path | None = None,
    title: str | None = None,
    transitions: Transitions | None = None,
    labels: Sequence[str] = (),
    marks: Mapping[str, Sequence[float]] | None = None,
    view: View | None = None,
    faint: Spectrum | None = None,
    doubtful: Sequence[tuple[float, float]] = (),
) -> Figure:
    """A figure of ``spectra``, saved as PNG (200 dpi) if ``path`` is given.

    Standard deviations are drawn as bands where they are known, and about the CD the total error as a lighter one.  The
    visible curves set the scale, not their bands; CD and g that no spectrometer could measure are flat lines.
    ``transitions`` adds sticks: f (length) and R (velocity, or the gauges that the first spectrum's ``meta`` names) on
    axes of their own.  ``labels`` name the curves in a legend below.  ``marks``: quantity -> energies in eV where its
    panel gets a dotted line (measured bands).  ``view``: axis in eV or nm, and its range.  ``faint``: the network's
    spectrum as a thin dashed line on top, whole unless it is more than twice as high as the others.  ``doubtful``:
    energies and heights of CD bands whose sign is not supported, which get a circle.  The legend names what is seen.
    Raises :class:`OptionError` for no or more than 12 spectra or a range without any,
    :class:`clusterml.errors.OutputError` if saving fails.
    """
    if not 1 <= len(spectra) <= MOST_CURVES:
        raise OptionError(f"{len(spectra)} spectra cannot be drawn", f"give 1 to {MOST_CURVES}")
    view = view or View()
    limits = view.shown(spectra)
    panels = [key for key in PANELS if any(np.isfinite(getattr(spectrum, key)).any() for spectrum in spectra)]
    heights = [PANELS[key][2] for key in panels]
    figure = new_figure(6.6, 1.1 + 1.95 * sum(heights), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    grid[-1, 0].set_xlim(*limits)
    for axes, key in zip(grid[:, 0], panels, strict=True):
        bands = _curves(axes, key, spectra, labels, view)
        _scale(axes, key, spectra, view, faint)
        for band, widest in bands:
            if widest < LEAST_BAND * float(np.ptp(axes.get_ylim())):
                band.set_label("_hidden")  # a name that legends leave out
        if faint is not None:
            axes.plot(view.x(faint.energy_ev), getattr(faint, key), **_FAINT)
        if key == "delta_epsilon" and doubtful:
            x, y = np.array(doubtful, dtype=np.float64).T
            axes.plot(view.x(x), y, ls="", label=f"sign not supported (< {100.0 * SURE:.0f} %)", **_CIRCLE)
        for mark in view.x(np.array((marks or {}).get(key, ()), dtype=np.float64)):
            axes.axvline(mark, color="black", ls=":", lw=1.0, zorder=1)
        if transitions is not None and len(transitions) and key != "g_abs":
            _sticks(axes, key, transitions, spectra[0], view)
    figure.align_ylabels(grid[:, 0])
    grid[-1, 0].set_xlabel(_AXIS_LABELS[view.axis])
    _second_axis(grid[0, 0], view, limits)
    banded = any(spectrum.epsilon_std is not None or spectrum.label_error is not None for spectrum in spectra)
    if labels or faint is not None or banded:
        _legend(figure, list(grid[:, 0]))
    if title:
        figure.suptitle("\n".join(map(_literal, title.splitlines())), fontsize="medium")
    if path is not None:
        write_bytes(path, png_of(figure, FILE_DPI))
    return figure


def _curves(
    axes: Axes, key: str, spectra: Sequence[Spectrum], labels: Sequence[str], view: View
) -> list[tuple[Artist, float]]:
    """Curves with their bands; returns these, each with the largest standard deviation in the picture."""
    bands: list[tuple[Artist, float]] = []
    for i, spectrum in enumerate(spectra):
        y: FloatArray = getattr(spectrum, key)
        if not np.isfinite(y).any():
            continue
        x, colour = view.x(spectrum.energy_ev), COLOURS[i % len(COLOURS)]
        dash = ("-", (0, (5, 1.5)))[i % 2]  # where two curves coincide both stay visible
        label = _literal(labels[i]) if i < len(labels) else _plain_label(spectrum, i, len(spectra))
        axes.plot(x, y, ls=dash, color=colour, lw=1.5, label=label, zorder=3)
        inside = view.inside(spectrum, axes.get_xlim())
        own, outer = getattr(spectrum, f"{key}_std", None), spectrum.total_error if key == "delta_epsilon" else None
        of_own = "± 1σ of the snapshots" if spectrum.meta.get("ensemble") else "± 1σ"
        for std, name, alpha, layer in ((own, of_own, 0.22, 2), (outer, "± 1σ from DFT", 0.10, 1)):
            if std is not None and np.isfinite(std[inside]).any():
                how: dict[str, Any] = {"color": colour, "alpha": alpha, "lw": 0, "label": name, "zorder": layer}
                bands.append((axes.fill_between(x, y - std, y + std, **how), float(np.nanmax(std[inside]))))
    return bands


def _plain_label(spectrum: Spectrum, i: int, count: int) -> str:
    """What the legend says of curve ``i`` of ``count`` without a name."""
    alone = "mean" if spectrum.meta.get("ensemble") else "spectrum"
    return alone if count == 1 else f"{i + 1}"


def _scale(axes: Axes, key: str, spectra: Sequence[Spectrum], view: View, faint: Spectrum | None = None) -> None:
    """Limits and label of the y axis.

    Zero is in the middle of CD and g, so that a curve and its sticks, or two hands, can be compared by eye.
    """
    axes.tick_params(direction="in", right=True)
    limits = axes.get_xlim()
    low, high = 0.0, 0.0
    for spectrum in spectra:
        inside = view.inside(spectrum, limits)
        y = getattr(spectrum, key)[inside]
        bright = spectrum.g_factor(G_FLOOR)[inside]
        if key == "g_abs" and np.isfinite(bright).any():
            y = bright
        if not np.isfinite(y).any():
            continue
        bottom, top = min(0.0, float(np.nanmin(y))), max(0.0, float(np.nanmax(y)))
        std = _widest(spectrum, key)
        if std is not None and np.isfinite(y + std[inside]).any():  # a modest band is shown whole, a wide one is cut
            reach = MOST_BAND * max(top, -bottom)
            top = min(float(np.nanmax([top, *(y + std[inside])])), max(top, reach))
            bottom = max(float(np.nanmin([bottom, *(y - std[inside])])), min(bottom, -reach))
        low, high = min(low, bottom), max(high, top)
    if faint is not None and np.isfinite(y := getattr(faint, key)[view.inside(faint, limits)]).any():
        reach = MOST_FAINT * max(high, -low)
        low, high = min(low, max(float(np.nanmin(y)), -reach)), max(high, min(float(np.nanmax(y)), reach))
    if key == "epsilon":
        axes.set_ylim(
            MARGIN * min(low, 0.0) if min(_lowest(s.epsilon) for s in spectra) < 0 else 0.0, MARGIN * high or 1.0
        )
    else:
        axes.axhline(0.0, color="black", lw=0.6, zorder=1)
        brightest = max((float(s.epsilon.max()) for s in spectra if s.has_absorption), default=0.0)
        floor = SMALLEST_G * (1.0 if key == "g_abs" else brightest)
        reach = max(MARGIN * high, -MARGIN * low, floor) or 1.0
        axes.set_ylim(-reach, reach)
    axes.set_ylabel(_axis_label(axes, *PANELS[key][:2]))


def _widest(spectrum: Spectrum, key: str) -> FloatArray | None:
    """The widest band (m,) that is drawn about a curve."""
    std: FloatArray | None = getattr(spectrum, f"{key}_std", None)
    outer = spectrum.total_error if key == "delta_epsilon" else None
    if std is None or outer is None:
        return std if outer is None else outer
    return np.fmax(std, outer)


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Below the panels, where it covers no curve; names beside each other where they fit, each once."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    names, handles = list(entries), list(entries.values())
    longest = max((len(name) for name in names), default=0)
    columns = max(1, min(len(names), 84 // (longest + 8)))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")


def _axis_label(axes: Axes, symbol: str, unit: str) -> str:
    """Label of the y axis; a power of ten common to large or small ticks goes into it, clear of the axis above."""
    reach = max(abs(limit) for limit in axes.get_ylim())
    power = math.floor(math.log10(reach)) if reach > 0 else 0
    if -2 <= power <= 3:
        return f"{symbol} / {unit}" if unit else symbol
    axes.yaxis.set_major_formatter(lambda value, _: f"{value / 10.0**power:g}".replace("-", "\u2212"))
    return f"{symbol} / 10{str(power).translate(_RAISED)} {unit}".rstrip()


def _lowest(values: FloatArray) -> float:
    return float(values.min()) if np.isfinite(values[0]) else 0.0


def _sticks(axes: Axes, key: str, transitions: Transitions, spectrum: Spectrum, view: View) -> None:
    from matplotlib.collections import LineCollection

    if key == "epsilon":
        gauge = str(spectrum.meta.get("absorption_gauge", "length"))
        heights, label = transitions.f(gauge), (f"f ({gauge})", "")
    else:
        gauge = str(spectrum.meta.get("gauge", "velocity"))
        heights, label = transitions.r_cgs(gauge), (f"R ({gauge})", "10⁻⁴⁰ cgs")
    x, (left, right) = view.x(transitions.energy_ev), axes.get_xlim()
    covered = (transitions.energy_ev >= spectrum.energy_ev[0]) & (transitions.energy_ev <= spectrum.energy_ev[-1])
    inside = covered & (x >= left) & (x <= right)
    strongest = [int(i) for i in np.argsort(-np.abs(heights)) if inside[i] and heights[i] != 0.0][:MOST_STICKS]
    if not strongest:
        return
    twin = axes.twinx()
    lines = [[(x[i], 0.0), (x[i], heights[i])] for i in strongest]
    twin.add_collection(LineCollection(lines, colors=STICK_COLOUR, linewidths=0.7))
    top = 1.08 * float(np.abs(heights[strongest]).max())
    low, high = axes.get_ylim()
    twin.set_ylim(top * low / high if high > 0 else -top, top)
    twin.set_ylabel(_axis_label(twin, *label), color="#5A5A5A", fontsize="small")
    twin.tick_params(direction="in", colors="#5A5A5A", labelsize="small")
    axes.tick_params(right=False)
    # The curve belongs in front of the sticks, and its axes must not hide them.
    axes.set_zorder(twin.get_zorder() + 1)
    axes.patch.set_visible(False)


def _second_axis(axes: Axes, view: View, limits: tuple[float, float]) -> None:
    """The other unit along the top, at round numbers far enough apart to be read."""
    low, high = limits
    other_unit: Axis = "nm" if view.axis == "ev" else "ev"
    ticks = _NM_TICKS if other_unit == "nm" else _EV_TICKS
    top: Any = axes.twiny()
    top.set_xlim(low, high)
    kept_ticks: list[float] = []
    for tick in sorted((tick for tick in ticks if low <= EV_NM / tick <= high), key=_roundness):
        if all(abs(EV_NM / tick - EV_NM / near) > 0.08 * (high - low) for near in kept_ticks):
            kept_ticks.append(tick)
    if not kept_ticks:
        kept_ticks = [round(EV_NM / (0.5 * (low + high)), 1 if other_unit == "nm" else 3)]
    top.set_xticks([EV_NM / tick for tick in kept_ticks], [f"{tick:g}" for tick in kept_ticks])
    top.tick_params(direction="in")
    top.set_xlabel(_AXIS_LABELS[other_unit])


def _roundness(tick: float) -> tuple[int, float]:
    """Powers of ten and whole hundreds or units first, so that crowded ends keep the rounder numbers."""
    return (0 if math.log10(tick) % 1 == 0 or tick in (200, 300, 400, 500, 2, 3, 4, 5) else 1, tick)


def _literal(text: str) -> str:
    """``text`` with dollar signs shown as such rather than read as formulas."""
    text = text.encode("utf-8", errors="replace").decode("utf-8")  # file names may hold bytes that are not text
    short = text if len(text) <= 80 else text[:79] + "…"
    return short.replace("\\", "/").replace("$", r"\$")
