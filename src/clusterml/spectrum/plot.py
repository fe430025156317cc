"""The figure of one or several spectra: absorption, CD and g above each other, eV below and nm above."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError
from clusterml.spectrum.files import write_bytes
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray
from clusterml.units import EV_NM, nm_to_ev

if TYPE_CHECKING:
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
    "epsilon": (r"$\varepsilon$", "L mol$^{-1}$ cm$^{-1}$", 1.15),
    "delta_epsilon": (r"$\Delta\varepsilon$", "L mol$^{-1}$ cm$^{-1}$", 1.15),
    "g_abs": (r"$g_\mathrm{abs}$", "", 0.7),
}
"""Quantity -> symbol, unit and relative height of its panel."""
_NM_TICKS = (100, 125, 150, 200, 250, 300, 350, 400, 500, 600, 700, 800, 1000, 1200, 1500, 2000, 2500, 4000, 10000)


def draw(
    spectra: Sequence[Spectrum],
    path: str | Path | None = None,
    title: str | None = None,
    transitions: Transitions | None = None,
    labels: Sequence[str] = (),
    marks: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """A figure of ``spectra``, saved as PNG (200 dpi) if ``path`` is given.

    Standard deviations are drawn as bands.  ``transitions`` adds sticks: f (length) and R (velocity, or the gauges that
    the first spectrum's ``meta`` names) on axes of their own.  ``labels`` name the curves in a legend.
    ``marks``: quantity -> energies in eV where its panel gets a dotted line (measured bands).  Raises
    :class:`OptionError` for no or more than 12 spectra, :class:`clusterml.errors.OutputError` if saving fails.
    """
    if not 1 <= len(spectra) <= MOST_CURVES:
        raise OptionError(f"{len(spectra)} spectra cannot be drawn", f"give 1 to {MOST_CURVES}")
    from matplotlib.figure import Figure

    panels = [key for key in PANELS if any(np.isfinite(getattr(spectrum, key)).any() for spectrum in spectra)]
    heights = [PANELS[key][2] for key in panels]
    figure = Figure(figsize=(6.6, 1.1 + 1.95 * sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, key in zip(grid[:, 0], panels, strict=True):
        _panel(axes, key, spectra, labels)
        for energy in (marks or {}).get(key, ()):
            axes.axvline(energy, color="black", ls=":", lw=1.0, zorder=1)
        if transitions is not None and len(transitions) and key != "g_abs":
            _sticks(axes, key, transitions, spectra[0])
    low = min(float(spectrum.energy_ev[0]) for spectrum in spectra)
    high = max(float(spectrum.energy_ev[-1]) for spectrum in spectra)
    grid[-1, 0].set_xlim(low, high)
    figure.align_ylabels(grid[:, 0])
    grid[-1, 0].set_xlabel("photon energy / eV")
    _nm_axis(grid[0, 0], low, high)
    if labels or any(spectrum.epsilon_std is not None for spectrum in spectra):
        grid[0, 0].legend(frameon=False, loc="best", fontsize="small")
    if title:
        figure.suptitle(_literal(title), fontsize="medium")
    if path is not None:
        save(figure, path)
    return figure


def save(figure: Figure, path: str | Path) -> Path:
    """Write ``figure`` as PNG, atomically; raises :class:`clusterml.errors.OutputError` naming the path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": "clusterml"})
    return write_bytes(path, buffer.getvalue())


def _panel(axes: Axes, key: str, spectra: Sequence[Spectrum], labels: Sequence[str]) -> None:
    for i, spectrum in enumerate(spectra):
        y: FloatArray = getattr(spectrum, key)
        if not np.isfinite(y).any():
            continue
        colour = COLOURS[i % len(COLOURS)]
        dash = ("-", (0, (5, 1.5)))[i % 2]  # where two curves coincide both stay visible
        label = _literal(labels[i]) if i < len(labels) else ("mean" if len(spectra) == 1 else f"{i + 1}")
        axes.plot(spectrum.energy_ev, y, ls=dash, color=colour, lw=1.5, label=label, zorder=3)
        std = getattr(spectrum, f"{key}_std", None)
        if std is not None:
            band = r"$\pm$ standard deviation" if i == 0 else None
            x = spectrum.energy_ev
            axes.fill_between(x, y - std, y + std, color=colour, alpha=0.22, lw=0, label=band, zorder=2)
    axes.tick_params(direction="in", right=True)
    axes.margins(x=0)
    if key == "epsilon":
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0] if min(_lowest(s.epsilon) for s in spectra) < 0 else 0.0))
    else:
        axes.axhline(0.0, color="black", lw=0.6, zorder=1)
        _symmetric(axes)
    axes.set_ylabel(_scaled(axes, *PANELS[key][:2]))


def _scaled(axes: Axes, symbol: str, unit: str) -> str:
    """Label of the y axis; a power of ten common to large or small ticks goes into it, clear of the axis above."""
    reach = max(abs(limit) for limit in axes.get_ylim())
    power = math.floor(math.log10(reach)) if reach > 0 else 0
    if -2 <= power <= 3:
        return f"{symbol} / {unit}" if unit else symbol
    axes.yaxis.set_major_formatter(lambda value, _: f"{value / 10.0**power:g}".replace("-", "\u2212"))
    return f"{symbol} / 10$^{{{power}}}$ {unit}".rstrip()


def _lowest(values: FloatArray) -> float:
    return float(values.min()) if np.isfinite(values[0]) else 0.0


def _symmetric(axes: Axes) -> None:
    """Zero in the middle, so that a curve and its sticks, or two hands, can be compared by eye."""
    reach = max(abs(limit) for limit in axes.get_ylim())
    axes.set_ylim(-reach, reach)


def _sticks(axes: Axes, key: str, transitions: Transitions, spectrum: Spectrum) -> None:
    from matplotlib.collections import LineCollection

    if key == "epsilon":
        gauge = str(spectrum.meta.get("absorption_gauge", "length"))
        heights, label = transitions.f(gauge), (f"$f$ ({gauge})", "")
    else:
        gauge = str(spectrum.meta.get("gauge", "velocity"))
        heights, label = transitions.r_cgs(gauge), (f"$R$ ({gauge})", "10$^{-40}$ cgs")
    inside = (transitions.energy_ev >= spectrum.energy_ev[0]) & (transitions.energy_ev <= spectrum.energy_ev[-1])
    strongest = [int(i) for i in np.argsort(-np.abs(heights)) if inside[i] and heights[i] != 0.0][:MOST_STICKS]
    if not strongest:
        return
    twin = axes.twinx()
    lines = [[(transitions.energy_ev[i], 0.0), (transitions.energy_ev[i], heights[i])] for i in strongest]
    twin.add_collection(LineCollection(lines, colors=STICK_COLOUR, linewidths=0.7))
    top = 1.08 * float(np.abs(heights[strongest]).max())
    low, high = axes.get_ylim()
    twin.set_ylim(top * low / high if high > 0 else -top, top)
    twin.set_ylabel(_scaled(twin, *label), color="#5A5A5A", fontsize="small")
    twin.tick_params(direction="in", colors="#5A5A5A", labelsize="small")
    axes.tick_params(right=False)
    # The curve belongs in front of the sticks, and its axes must not hide them.
    axes.set_zorder(twin.get_zorder() + 1)
    axes.patch.set_visible(False)


def _nm_axis(axes: Axes, low: float, high: float) -> None:
    """Wavelengths along the top, at round numbers far enough apart to be read."""
    top: Any = axes.twiny()
    top.set_xlim(low, high)
    shown: list[float] = []
    for nm in sorted((nm for nm in _NM_TICKS if low <= EV_NM / nm <= high), key=_roundness):
        if all(abs(EV_NM / nm - EV_NM / other) > 0.08 * (high - low) for other in shown):
            shown.append(nm)
    if not shown:
        shown = [round(EV_NM / (0.5 * (low + high)), 1)]
    top.set_xticks([nm_to_ev(float(nm)) for nm in shown], [f"{nm:g}" for nm in shown])
    top.tick_params(direction="in")
    top.set_xlabel("wavelength / nm")


def _roundness(nm: float) -> tuple[int, float]:
    """Whole hundreds first, so that crowded ends keep the rounder numbers."""
    return (0 if math.log10(nm / 100) % 1 == 0 or nm in (200, 300, 400, 500) else 1, nm)


def _literal(text: str) -> str:
    """``text`` with dollar signs shown as such rather than read as formulas."""
    text = text.encode("utf-8", errors="replace").decode("utf-8")  # file names may hold bytes that are not text
    short = text if len(text) <= 80 else text[:79] + "…"
    return short.replace("\\", "/").replace("$", r"\$")
