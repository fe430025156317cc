"""Ideal geometries to compare clusters with: the Td core of Ag70, the icosahedron, or a user's own file.

The shipped Ag70 core is a model; a fit never depends on its bond lengths alone, for it is scaled, and the cluster is
also compared with its own nearest structure of the template's symmetry (see :mod:`clusterml.chirality.fit`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.chirality.groups import point_group
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

BUILT_IN = ("Ag70-Td", "icosahedron")
"""Names of the shipped templates."""
_AG70 = Path(__file__).parent / "data" / "ag70_td.json"
_SHELL_GAP = 0.35  # A between the distances from the centre of one shell and of the next, in a user's template


@dataclass(frozen=True)
class Template:
    """An ideal geometry.

    name          for reports
    numbers       (n,) atomic numbers; 0 for any metal
    positions     (n, 3) in A, about their centroid
    shells        (n,) names of the shells that the atoms belong to, inside out
    outer         (n,) whether the atom is in the outer part, which also counts as a shell, named ``outer_name``
    group         point group in its standard orientation, or None if none is used
    """

    name: str
    numbers: IntArray
    positions: FloatArray
    shells: tuple[str, ...]
    outer: IntArray
    outer_name: str
    group: str | None


def load_template(which: str | Path) -> Template:
    """The shipped template of that name (in any case), else the geometry in that file (xyz, extxyz, cif).

    A file's shells are its atoms of one element at about one distance from the centroid.  Raises the errors of
    :func:`clusterml.structure.read.read`.
    """
    name = str(which).lower()
    if name == "ag70-td":
        return ag70_td()
    if name == "icosahedron":
        return icosahedron()
    from clusterml.structure.read import read

    return template_of(read(which, allow_several=True))


def ag70_td() -> Template:
    """Ag70S28 in Td: Ag4 @ Ag12S4 @ Ag12 @ Ag6 @ Ag24 @ Ag12 with 24 thiolate S; the outer 54 metals are M54."""
    data: dict[str, Any] = json.loads(_AG70.read_text())
    elements = point_group(data["group"]).elements
    numbers, positions, shells, outer = [], [], [], []
    for site in data["sites"]:
        orbit = _distinct(elements @ np.array(site["xyz"]))
        positions.append(orbit)
        numbers += [16 if site["element"] == "S" else 0] * len(orbit)
        shells += [site["shell"]] * len(orbit)
        outer += [int(site["outer"])] * len(orbit)
    where = np.concatenate(positions)
    return Template(data["name"], np.array(numbers), where, tuple(shells), np.array(outer), "M54", data["group"])


def icosahedron(radius: float = 2.85) -> Template:
    """Thirteen metals: a centre and the corners of a regular icosahedron at ``radius`` (A)."""
    golden = (1.0 + np.sqrt(5.0)) / 2.0
    corners = _distinct(point_group("Ih").elements @ np.array([0.0, 1.0, golden]))
    positions = np.concatenate([np.zeros((1, 3)), radius * corners / np.linalg.norm(corners[0])])
    shells = ("centre", *["icosahedron"] * 12)
    return Template("icosahedron", np.zeros(13, dtype=np.int64), positions, shells, np.zeros(13, np.int64), "", "Ih")


def template_of(atoms: Atoms) -> Template:
    """A template from a geometry: shells are atoms of one element at about one distance from the centroid."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = np.asarray(atoms.positions - atoms.positions.mean(axis=0), dtype=np.float64)
    radius = np.linalg.norm(positions, axis=1)
    symbols = np.array(atoms.get_chemical_symbols())
    shells = np.empty(len(numbers), dtype=object)
    for symbol in dict.fromkeys(symbols.tolist()):
        members = np.flatnonzero(symbols == symbol)
        order = members[np.argsort(radius[members], kind="stable")]
        for part in np.split(order, np.flatnonzero(np.diff(radius[order]) > _SHELL_GAP) + 1):
            shells[part] = f"{symbol}{len(part)} at {radius[part].mean():.2f} A"
    name = str(atoms.info.get("name") or "template")
    return Template(name, numbers, positions, tuple(shells.tolist()), np.zeros(len(numbers), np.int64), "", None)


def suggest_template(metals: IntArray, kernel: IntArray) -> str | None:
    """Which shipped template suits a cluster with these metals and this kernel (indices), if any."""
    if len(metals) == 70:
        return "Ag70-Td"
    return "icosahedron" if len(kernel) == 13 else None


def kind_labels(numbers: IntArray, template: Template) -> IntArray:
    """Labels ``(n,)`` as in the template's ``numbers``: 0 for metals if it takes any metal, else atomic numbers."""
    return np.where(is_metal(numbers) & bool(np.any(template.numbers == 0)), 0, numbers)


def _distinct(points: FloatArray) -> FloatArray:
    """Points ``(m, 3)`` without repetitions."""
    keep = np.ones(len(points), dtype=np.bool_)
    for i, j in combinations(range(len(points)), 2):
        if keep[i] and np.abs(points[i] - points[j]).max() < 1e-3:
            keep[j] = False
    return points[keep]
