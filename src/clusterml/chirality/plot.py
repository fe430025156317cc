"""The figure of a chirality report: atoms coloured by what they contribute to the measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import OptionError
from clusterml.io.display import new_figure, png_of
from clusterml.io.files import write_bytes
from clusterml.spectrum.plot import FILE_DPI
from clusterml.structure.bonds import bonds
from clusterml.structure.rotations import axis_rotation, frames
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D

    from clusterml.chirality.part import PartChirality
    from clusterml.chirality.report import ChiralityReport

_TILT = np.radians(12.0)
_MOST_ATOMS = 3000
_POINTS = 140.0  # from the middle of a panel to the farthest atom, nearly


def draw(
    report: ChiralityReport, path: str | Path | None = None, part: str | None = None, title: str | None = None
) -> Figure:
    """A figure of one part (default: the report's ``frame``), saved as PNG (200 dpi) if ``path`` is given.

    Left: each atom's share of the continuous chirality measure (per cent of the whole).  Right: its part of the local
    signed index, blue where it is left-handed, red where right-handed.  The view is along the outward axis of the first
    trigon or crown, or of the least extent, slightly tilted.  Raises OptionError for an unknown part or more than 3,000
    atoms, :class:`clusterml.errors.OutputError` if saving fails.
    """
    chosen = report.frame if part is None else next((p for p in report.parts if p.name == part), None)
    if chosen is None:
        raise OptionError(f"there is no part '{part}'", f"choose one of {', '.join(p.name for p in report.parts)}")
    if len(chosen.atoms) > _MOST_ATOMS:
        raise OptionError(f"{len(chosen.atoms)} atoms cannot be drawn", f"draw a part of at most {_MOST_ATOMS}")
    figure = new_figure(9.6, 4.7)
    total = max(float(chosen.ccm_contributions.sum()), 1e-300)
    share = 100.0 * chosen.ccm_contributions / total if chosen.ccm > 1e-6 else np.zeros(len(chosen.atoms))
    signed = chosen.opd_contributions
    limit = max(float(np.abs(signed).max()), 1e-12)
    view = _view(report, chosen)
    panels = (
        (share, "viridis", (0.0, max(float(share.max()), 1e-9)), "share of the CCM / %"),
        (signed, "coolwarm", (-limit, limit), "part of the local OPD index"),
    )
    captions = (f"CCM {chosen.ccm:.4f}", f"local OPD {chosen.opd_local:+.2e}")
    for left, (values, colours, span, label), caption in zip((0.0, 0.5), panels, captions, strict=True):
        axes: Axes3D = figure.add_axes((left, 0.02, 0.39, 0.82), projection="3d")
        _panel(axes, report, chosen, view, values, colours, span)
        figure.text(left + 0.205, 0.88, caption, ha="center")
        bar = figure.add_axes((left + 0.392, 0.16, 0.012, 0.56))
        figure.colorbar(axes.collections[-1], cax=bar, label=label)
    name = title or f"{report.name}: {chosen.name}, {chosen.formula}"
    figure.suptitle(name, fontsize="medium", parse_math=False, y=0.975)
    if path is not None:
        write_bytes(path, png_of(figure, FILE_DPI))
    return figure


def _panel(
    axes: Axes3D,
    report: ChiralityReport,
    part: PartChirality,
    view: FloatArray,
    values: FloatArray,
    colours: str,
    span: tuple[float, float],
) -> None:
    from ase.data import covalent_radii
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    numbers = np.asarray(report.atoms.numbers[part.atoms], dtype=np.int64)
    positions = np.asarray(report.atoms.positions[part.atoms], dtype=np.float64)
    positions = (positions - positions.mean(axis=0)) @ view
    pairs = bonds(numbers, positions)
    if len(pairs.first):
        lines = np.stack([positions[pairs.first], positions[pairs.second]], axis=1)
        axes.add_collection3d(Line3DCollection(lines, colors="#9a9a9a", linewidths=0.7, zorder=1))
    extent = 1.02 * float(np.abs(positions).max() + 1.0)
    diameter = 2.0 * 0.62 * np.asarray(covalent_radii)[numbers] / extent * _POINTS
    axes.scatter(
        *positions.T, s=diameter**2, c=values, cmap=colours, vmin=span[0], vmax=span[1], depthshade=False,
        edgecolors="#303030", linewidths=0.4, alpha=1.0,
    )  # fmt: skip
    axes.set_proj_type("ortho")
    axes.view_init(elev=90.0, azim=-90.0)
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent), zlim=(-extent, extent))
    axes.set_box_aspect((1, 1, 1), zoom=1.62)
    axes.set_axis_off()


def _view(report: ChiralityReport, part: PartChirality) -> FloatArray:
    """A matrix ``(3, 3)`` whose columns are the directions to the right, up, and to the viewer."""
    positions = np.asarray(report.atoms.positions[part.atoms], dtype=np.float64)
    centred = positions - positions.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1]
    towards, right = axes[:, 0], axes[:, 2]
    turns = report.template.turns if report.template is not None else ()
    if turns:
        triangle = np.asarray(report.atoms.positions[turns[0].metals], dtype=np.float64)
        towards = triangle.mean(axis=0) - positions.mean(axis=0)
        right = triangle[0] - triangle[1]
    frame = frames(towards, right)[:, [1, 2, 0]]
    return np.asarray(frame @ axis_rotation(np.array([1.0, 0.3, 0.0]), _TILT))
