"""A structure as the page's viewer wants it: turned to show its broad side, with bonds, sizes and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clusterml.screening.page.markup import Markup, data_block, joined, tag
from clusterml.structure.bonds import bonds
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

Colours = Sequence[str]
"""A colour #rrggbb for each atom."""
_SHARE = {"metal": 0.62, "other": 0.42}
"""Discs are drawn with this share of the covalent radius."""
_METAL = {"Ag": "#b9bec9"}  # ASE's colour of silver is nearly white


def viewer(
    atoms: Atoms, name: str, colours: Mapping[str, Colours], notes: Sequence[str] | None = None, large: bool = False
) -> Markup:
    """A view of ``atoms``; ``name`` is its id on the page, ``colours``: ways to colour the atoms, the first one at the
    start; ``notes``: text for each atom, behind its label."""
    numbers, positions = np.asarray(atoms.numbers), broadside(np.asarray(atoms.positions))
    pairs = bonds(np.asarray(numbers, dtype=np.int64), np.asarray(atoms.positions, dtype=np.float64))
    radii = _radii(atoms)
    labels = [f"{symbol}{number}" for number, symbol in enumerate(atoms.get_chemical_symbols(), start=1)]
    content = {
        "positions": np.round(positions, 3).ravel(),
        "bonds": np.stack([pairs.first, pairs.second], axis=1).ravel(),
        "radii": np.round(radii, 3),
        "reach": float((np.linalg.norm(positions, axis=1) + radii).max()),
        "labels": labels if notes is None else [f"{a}: {b}" for a, b in zip(labels, notes, strict=True)],
        "colours": dict(colours),
    }
    choice: list[Markup] = []
    if len(colours) > 1:
        options = (tag("option", each, value=each) for each in colours)
        choice = [tag("select", *options, class_="choice", aria_label="colours")]
    canvas = tag("canvas", role="img", aria_label=f"three-dimensional view of {atoms.info.get('name', 'a structure')}")
    tip = tag("div", "drag to turn, wheel to zoom", class_="tip")
    box = tag("div", canvas, tip, *choice, class_="view large" if large else "view", data_of=name)
    return joined([box, data_block(name, content)])


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


def _radii(atoms: Atoms) -> FloatArray:
    from ase.data import covalent_radii

    from clusterml.structure.elements import is_metal

    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    return np.asarray(covalent_radii[numbers] * np.where(is_metal(numbers), _SHARE["metal"], _SHARE["other"]))


def _between(share: float) -> FloatArray:
    zero, end = np.array([0.88, 0.88, 0.88]), np.array([0.70, 0.05, 0.12] if share > 0 else [0.02, 0.30, 0.66])
    return zero + abs(share) ** 0.7 * (end - zero)


def _hex(rgb: FloatArray) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in rgb)
