"""A structure as a flat SVG, and the colours and sizes of its atoms in all pictures of pages and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clusterml.io.display import Markup, card, tag
from clusterml.spectrum.picture import spectra_picture
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.bonds import bonds
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

_SHARE = {"metal": 0.62, "other": 0.42}
"""Discs are drawn with this share of the covalent radius."""
_METAL = {"Ag": "#b9bec9"}  # ASE's colour of silver is nearly white
_MOST_ATOMS = 400  # beyond these, hydrogen is not drawn; beyond five times as many, nothing is


def structure_picture(atoms: Atoms, colours: Sequence[str] | None = None, size: float = 280.0) -> Markup:
    """An SVG of ``size`` pixels, seen along the shortest direction, nearer atoms above farther ones.

    ``colours``: #rrggbb of each atom, else those of the elements.  Of large structures hydrogen is left out.
    """
    chosen = np.arange(len(atoms))
    if len(atoms) > _MOST_ATOMS:
        chosen = np.flatnonzero(atoms.numbers > 1)
    if len(chosen) > 5 * _MOST_ATOMS or not len(chosen):
        return tag("span", f"{len(atoms)} atoms: not drawn")
    palette = colours or element_colours(atoms)
    painted = [palette[int(k)] for k in chosen]
    shown = atoms[chosen]
    numbers = np.asarray(shown.numbers, dtype=np.int64)
    radii, projected = atom_radii(shown), broadside(np.asarray(shown.positions, dtype=np.float64))
    pairs = bonds(numbers, np.asarray(shown.positions, dtype=np.float64))
    reach = float((np.abs(projected[:, :2]) + radii[:, None]).max()) + 0.2
    points, scale = size / 2 + size / (2 * reach) * projected * np.array([1.0, -1.0, 1.0]), size / (2 * reach)
    ends = zip(pairs.first, pairs.second, strict=True)
    items = [(float(projected[[i, j], 2].min()) - 1e-6, _bond(points[i], points[j])) for i, j in ends]
    items += [
        (float(depth), _disc(point, radius * scale, colour))
        for depth, point, radius, colour in zip(projected[:, 2], points, radii, painted, strict=True)
    ]
    drawn = [item for _, item in sorted(items, key=lambda item: item[0])]
    group = tag("g", *drawn, stroke="#555", stroke_width=f"{max(0.06 * scale, 0.4):.1f}")
    title = tag("title", str(atoms.info.get("name", "structure")))
    side = f"{size:g}"
    return tag(
        "svg", title, group, xmlns="http://www.w3.org/2000/svg", width=side, height=side, viewBox=f"0 0 {side} {side}",
        style="background:#fff",
    )  # fmt: skip


def result_card(
    title: str, atoms: Atoms, spectra: Sequence[Spectrum], labels: Sequence[str] = (), notes: Sequence[str] = ()
) -> str:
    """What a notebook shows of a result: the spectra, the structure that they are of, and warnings."""
    return card(title, [spectra_picture(spectra, labels), structure_picture(atoms)], notes)


def element_colours(atoms: Atoms) -> list[str]:
    """Jmol's colours of the elements, silver darker."""
    from ase.data.colors import jmol_colors

    return [
        _METAL.get(symbol) or _hex(jmol_colors[number])
        for symbol, number in zip(atoms.get_chemical_symbols(), atoms.numbers, strict=True)
    ]


def signed_colours(values: FloatArray, reach: float) -> list[str]:
    """Blue for ``-reach`` over light grey for 0 to red for ``reach``, of ``values`` (n,)."""
    shares = np.clip(np.asarray(values) / reach, -1.0, 1.0) if reach > 0.0 else np.zeros(len(values))
    return [_hex(_between(float(share))) for share in shares]


def broadside(positions: FloatArray) -> FloatArray:
    """``positions`` (n, 3) centred and turned, never mirrored: the longest direction is x, the shortest one z."""
    centred = positions - positions.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return np.asarray(centred @ axes)


def atom_radii(atoms: Atoms) -> FloatArray:
    """Radii (n,) in A that atoms are drawn with."""
    from ase.data import covalent_radii

    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    return np.asarray(covalent_radii[numbers] * np.where(is_metal(numbers), _SHARE["metal"], _SHARE["other"]))


def _bond(first: FloatArray, second: FloatArray) -> Markup:
    (x1, y1), (x2, y2) = first[:2], second[:2]
    return tag("path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}")


def _disc(point: FloatArray, radius: float, colour: str) -> Markup:
    return tag("circle", cx=f"{point[0]:.1f}", cy=f"{point[1]:.1f}", r=f"{radius:.1f}", fill=colour)


def _between(share: float) -> FloatArray:
    zero, end = np.array([0.88, 0.88, 0.88]), np.array([0.70, 0.05, 0.12] if share > 0 else [0.02, 0.30, 0.66])
    return zero + abs(share) ** 0.7 * (end - zero)


def _hex(rgb: FloatArray) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in rgb)
