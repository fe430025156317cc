"""Spectra as a small SVG, for notebooks: absorption above CD, drawn without a plotting library.

:mod:`clusterml.spectrum.plot` draws the figures for people to keep.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clusterml.io.display import Markup, tag
from clusterml.spectrum.plot import COLOURS
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.view import SMALLEST_G, WHOLE
from clusterml.typing import FloatArray
from clusterml.units import EV_NM

_PANELS = (("epsilon", "ε", "L mol⁻¹ cm⁻¹"), ("delta_epsilon", "Δε", "L mol⁻¹ cm⁻¹"))
_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT, _GAP, _BOTTOM = 460.0, 62.0, 12.0, 34.0, 120.0, 12.0, 34.0
_MOST_POINTS = 400  # of a curve: more are not seen at this size
_MOST_CURVES = 4
_GREY = "#777"


def spectra_picture(spectra: Sequence[Spectrum], labels: Sequence[str] = ()) -> Markup:
    """An SVG of ``spectra``: curves over photon energy, wavelengths along the top, deviations as bands.

    ``labels`` name the curves.  Of more than four spectra the first four are drawn.  CD that no spectrometer sees is a
    flat line.
    """
    spectra = spectra[:_MOST_CURVES]
    low, high = WHOLE.shown(spectra)
    across = _Scale(low, high, _LEFT, _WIDTH - _RIGHT)
    panels = [panel for panel in _PANELS if any(np.isfinite(getattr(s, panel[0])).any() for s in spectra)]
    tops = [_TOP + (_HEIGHT + _GAP) * k for k in range(len(panels))]
    end = tops[-1] + _HEIGHT
    parts = [part for panel, top in zip(panels, tops, strict=True) for part in _panel(panel, top, spectra, across)]
    parts += _energies(across, end) + _wavelengths(across)
    parts += [
        tag("text", label, x=_LEFT + 8 + 130 * k, y=end + 46, fill=colour)
        for k, (label, colour) in enumerate(zip(labels, COLOURS, strict=False))
    ]
    height = end + _BOTTOM + (20 if labels else 0)
    return tag(
        "svg", tag("title", "absorption and CD"), *parts, xmlns="http://www.w3.org/2000/svg", width=f"{_WIDTH:g}",
        height=f"{height:g}", viewBox=f"0 0 {_WIDTH:g} {height:g}", font_family="sans-serif", font_size=11,
        style="background:#fff",
    )  # fmt: skip


class _Scale:
    """From values between ``low`` and ``high`` to points between ``start`` and ``end``."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start = low, high, start
        self.factor = (end - start) / (high - low)

    def at(self, values: FloatArray) -> FloatArray:
        return np.asarray(self.start + self.factor * (values - self.low))

    def ticks(self, count: int) -> list[float]:
        """Round numbers, about ``count`` of them."""
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in (1.0, 2.0, 5.0, 10.0) if s * power >= rough * 0.999)
        return [step * k for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def _panel(panel: tuple[str, str, str], top: float, spectra: Sequence[Spectrum], across: _Scale) -> list[Markup]:
    key, name, unit = panel
    curves = [(s, COLOURS[k]) for k, s in enumerate(spectra) if np.isfinite(getattr(s, key)).any()]
    least = min(0.0, *(float(np.nanmin(getattr(s, key))) for s, _ in curves))
    most = max(0.0, *(float(np.nanmax(getattr(s, key))) for s, _ in curves))
    if key == "delta_epsilon":
        floor = SMALLEST_G * max((float(s.epsilon.max()) for s in spectra if s.has_absorption), default=0.0)
        least, most = min(least, -floor), max(most, floor)
    pad = 0.06 * (most - least) or 1.0
    up = _Scale(least - pad, most + pad, top + _HEIGHT, top)
    box = {"x": _LEFT, "y": top, "width": _WIDTH - _LEFT - _RIGHT, "height": _HEIGHT}
    parts = [tag("rect", **box, fill="none", stroke=_GREY), tag("text", f"{name} / {unit}", x=_LEFT + 6, y=top + 14)]
    for tick in up.ticks(4):
        y = float(up.at(np.array(tick)))
        parts.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", stroke="#e4e4e4"))
        parts.append(tag("text", f"{tick:g}", x=_LEFT - 5, y=f"{y + 4:.1f}", text_anchor="end"))
    for spectrum, colour in curves:
        parts += _curve(spectrum, key, colour, across, up)
    return parts


def _curve(spectrum: Spectrum, key: str, colour: str, across: _Scale, up: _Scale) -> list[Markup]:
    shown = np.flatnonzero((spectrum.energy_ev >= across.low) & (spectrum.energy_ev <= across.high))
    shown = shown[:: math.ceil(len(shown) / _MOST_POINTS)]
    values, std = getattr(spectrum, key)[shown], getattr(spectrum, f"{key}_std")
    x = across.at(spectrum.energy_ev[shown])
    parts = []
    if std is not None:
        width = np.nan_to_num(std[shown])
        ends = (min(up.low, up.high), max(up.low, up.high))
        upper, lower = (up.at(np.clip(values + sign * width, *ends)) for sign in (1.0, -1.0))
        outline = f"{_points(x, upper)} {_points(x[::-1], lower[::-1])}"
        parts.append(tag("polygon", points=outline, fill=colour, opacity=0.2))
    line = {"fill": "none", "stroke": colour, "stroke-width": "1.5"}
    return [*parts, tag("polyline", points=_points(x, up.at(values)), **line)]


def _points(x: FloatArray, y: FloatArray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _energies(across: _Scale, y: float) -> list[Markup]:
    marks = [
        tag("text", f"{tick:g}", x=f"{float(across.at(np.array(tick))):.1f}", y=y + 14, text_anchor="middle")
        for tick in across.ticks(6)
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return [*marks, tag("text", "photon energy / eV", x=middle, y=y + 29, text_anchor="middle")]


def _wavelengths(across: _Scale) -> list[Markup]:
    """Wavelengths in nm along the top, where they do not touch."""
    parts, last = [], math.inf
    for nm in (200, 250, 300, 400, 500, 600, 800, 1000, 2000):
        x = float(across.at(np.array(EV_NM / nm)))
        if across.low <= EV_NM / nm <= across.high and last - x > 30.0 and x > _LEFT + 14.0:
            parts.append(tag("text", f"{nm}", x=f"{x:.1f}", y=_TOP - 6, text_anchor="middle", fill=_GREY))
            last = x
    return [*parts, tag("text", "nm", x=_LEFT - 5, y=_TOP - 6, text_anchor="end", fill=_GREY)]
