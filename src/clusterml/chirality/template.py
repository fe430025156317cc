"""Ideal geometries to compare clusters with, and their fit: misfits shell by shell, the turn of every motif.

The shipped Ag70 core is a model; a fit never depends on its bond lengths alone, for it is scaled, and the cluster is
also compared with its own nearest structure of the template's symmetry.

The template is scaled and superposed.  If it has a point group, the cluster's own nearest structure of that symmetry,
with the template's equivalences, is the ideal that misfits and angles refer to; else it is the scaled template.  So the
misfits show broken symmetry and not differences of bond lengths (Nat. Commun. 2022, doi 10.1038/s41467-022-28893-6,
compares Ag70 with its Td parent in this way).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.chirality.pointgroups import best_orientation, point_group
from clusterml.chirality.representation import best_permutations, project
from clusterml.errors import StructureError
from clusterml.structure.anatomy.anatomy import Motif
from clusterml.structure.elements import is_metal
from clusterml.structure.superpose import Kinds, superpose
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


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
    sites = np.concatenate(positions)
    return Template(data["name"], np.array(numbers), sites, tuple(shells), np.array(outer), "M54", data["group"])


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
    """The shipped template that suits a cluster with these metals and this kernel (indices), if any."""
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


@dataclass(frozen=True)
class ShellFit:
    """One shell: ``atoms`` of the cluster, ``rmsd`` from the ideal and ``template_rmsd`` from the scaled template (A),
    mean distances from the centre: ``radius`` in the cluster and ``ideal_radius`` in the ideal (A)."""

    name: str
    atoms: IntArray
    rmsd: float
    template_rmsd: float
    radius: float
    ideal_radius: float


@dataclass(frozen=True)
class MotifTurn:
    """The turn of one trigon or crown about its axis, ``angle`` in degrees: positive is counter-clockwise seen from
    outside.  ``reference``: ``ideal`` if its metals are in the template (what they are turned from), else ``face
    beneath``: the three atoms of the template nearest to its axis, and the angle is between -60 and 60."""

    kind: str
    metals: IntArray
    angle: float
    reference: str


@dataclass(frozen=True)
class TemplateFit:
    """A template on a cluster.

    template      its name;  ``group``: the point group of the ideal, None if the template has none
    atoms         (m,) atoms of the cluster, in the template's order
    ideal         (m, 3) ideal places of those atoms in the cluster's frame, A
    scale         of the template;  ``rmsd``, ``template_rmsd`` (A): over all these atoms, as for a shell
    measure       continuous symmetry measure of these atoms for ``group`` with the template's equivalences, 0 to 100
    shells        inside out, then the outer part as a whole if the template has one
    turns         of trigons and crowns
    """

    template: str
    group: str | None
    atoms: IntArray
    ideal: FloatArray
    scale: float
    rmsd: float
    template_rmsd: float
    measure: float | None
    shells: tuple[ShellFit, ...]
    turns: tuple[MotifTurn, ...]


def fit_template(
    numbers: IntArray, positions: FloatArray, template: Template, candidates: IntArray, motifs: Sequence[Motif] = ()
) -> TemplateFit:
    """Fit ``template`` to the atoms ``candidates`` of a cluster, ``numbers`` ``(n,)``, ``positions`` ``(n, 3)`` (A).

    Of kinds of atoms that the cluster has more of, those nearest to the centre of the candidates are taken; those that
    it has fewer of are left out, unless none remain: StructureError.  ``motifs``: whose turns are measured.
    """
    used, atoms = _choose(numbers, positions, template, candidates)
    placed, scale, atoms, rotation = _place(template, used, numbers, positions, atoms)
    ideal, measure = placed, None
    if template.group is not None and len(used) == len(template.numbers):
        ideal, measure = _symmetrise(positions[atoms], template, rotation)
    shells = _shells(template, used, positions[atoms], ideal, placed, atoms)
    turns = tuple(_turn(positions, motif, atoms, ideal) for motif in motifs if motif.kind in ("trigon", "crown"))
    return TemplateFit(
        template.name,
        template.group if measure is not None else None,
        atoms,
        ideal,
        scale,
        _rms(positions[atoms] - ideal),
        _rms(positions[atoms] - placed),
        measure,
        shells,
        turns,
    )


def turn_angle(ideal: FloatArray, actual: FloatArray, axis: FloatArray) -> float:
    """Angle (degrees) by which the points ``actual`` ``(m, 3)`` are turned about ``axis`` ``(3,)`` from ``ideal``.

    Both are taken about their own centroids; positive is counter-clockwise for an observer towards whom the axis
    points.
    """
    p, q = ideal - ideal.mean(axis=0), actual - actual.mean(axis=0)
    sine = float((np.cross(p, q) @ axis).sum())
    cosine = float((p * q).sum() - ((p @ axis) * (q @ axis)).sum())
    return float(np.degrees(np.arctan2(sine, cosine)))


def _choose(
    numbers: IntArray, positions: FloatArray, template: Template, candidates: IntArray
) -> tuple[IntArray, IntArray]:
    """Atoms of the template that are used, and as many of each kind in the cluster."""
    labels = kind_labels(numbers, template)
    centre = positions[candidates].mean(axis=0)
    used, chosen = [], []
    for kind in np.unique(template.numbers):
        ideal = np.flatnonzero(template.numbers == kind)
        available = candidates[labels[candidates] == kind]
        if len(available) >= len(ideal):
            order = np.argsort(np.linalg.norm(positions[available] - centre, axis=1), kind="stable")
            used.append(ideal)
            chosen.append(available[order[: len(ideal)]])
    if not used:
        raise StructureError(
            f"the template {template.name} has more atoms of every kind than the cluster",
            "choose a template that is a part of the cluster",
        )
    return np.sort(np.concatenate(used)), np.concatenate(chosen)


def _place(
    template: Template, used: IntArray, numbers: IntArray, positions: FloatArray, atoms: IntArray
) -> tuple[FloatArray, float, IntArray, FloatArray]:
    """The template on the cluster: positions, scale, the cluster's atoms in the template's order, rotation."""
    model = template.positions[used] - template.positions[used].mean(axis=0)
    positions_used = positions[atoms]
    centred = positions_used - positions_used.mean(axis=0)
    guess = float(np.sqrt((centred**2).sum() / max((model**2).sum(), 1e-12)))
    labels = kind_labels(numbers, template)[atoms]
    fit = superpose(template.numbers[used], guess * model, positions_used, target_numbers=labels)
    order = np.argsort(fit.permutation)
    turned = model @ fit.rotation.T
    scale = float((turned * centred[order]).sum() / max((model**2).sum(), 1e-12))
    return scale * turned + positions_used.mean(axis=0), scale, atoms[order], fit.rotation


def _symmetrise(cluster_positions: FloatArray, template: Template, rotation: FloatArray) -> tuple[FloatArray, float]:
    """The nearest structure with the template's symmetry and equivalences ``(m, 3)`` (A), and the measure."""
    group = point_group(str(template.group))
    kinds = Kinds.of(template.numbers)
    permutations = best_permutations(kinds, template.positions, group.elements, group.table)
    centre = cluster_positions.mean(axis=0)
    points = cluster_positions - centre
    correlation = np.swapaxes(points[permutations], -1, -2) @ points
    turned = best_orientation(group.elements, rotation, correlation)
    ideal = project(points, turned @ group.elements @ turned.T, permutations)
    return ideal + centre, 100.0 * float(((points - ideal) ** 2).sum() / max((points**2).sum(), 1e-300))


def _shells(
    template: Template,
    used: IntArray,
    points: FloatArray,
    ideal: FloatArray,
    placed: FloatArray,
    atoms: IntArray,
) -> tuple[ShellFit, ...]:
    centre = ideal.mean(axis=0)
    names = [template.shells[k] for k in used]
    groups = {name: np.array([k for k, other in enumerate(names) if other == name]) for name in dict.fromkeys(names)}
    if template.outer.any():
        groups[template.outer_name] = np.flatnonzero(template.outer[used])
    return tuple(
        ShellFit(
            name,
            np.sort(atoms[members]),
            _rms(points[members] - ideal[members]),
            _rms(points[members] - placed[members]),
            float(np.linalg.norm(points[members] - centre, axis=1).mean()),
            float(np.linalg.norm(ideal[members] - centre, axis=1).mean()),
        )
        for name, members in groups.items()
    )


def _turn(positions: FloatArray, motif: Motif, atoms: IntArray, ideal: FloatArray) -> MotifTurn:
    """How far a motif's metals are turned about their axis."""
    place = {int(atom): row for row, atom in enumerate(atoms)}
    if all(int(metal) in place for metal in motif.metals):
        reference = ideal[[place[int(metal)] for metal in motif.metals]]
        axis = np.cross(reference[1] - reference[0], reference[2] - reference[0])
        axis *= np.sign(axis @ motif.axis) / max(np.linalg.norm(axis), 1e-12)
        return MotifTurn(motif.kind, motif.metals, turn_angle(reference, positions[motif.metals], axis), "ideal")
    outward = ideal - ideal.mean(axis=0)
    length = np.linalg.norm(outward, axis=1)
    along = np.where(length > 0.5, outward @ motif.axis / np.maximum(length, 1e-12), -1.0)
    face = _around(ideal[np.argsort(-along, kind="stable")[:3]], motif.axis)
    angle = turn_angle(face, _around(positions[motif.metals], motif.axis), motif.axis)
    return MotifTurn(motif.kind, motif.metals, (angle + 60.0) % 120.0 - 60.0, "face beneath")


def _around(points: FloatArray, axis: FloatArray) -> FloatArray:
    """The points ``(3, 3)`` in counter-clockwise order seen against ``axis``."""
    normal = np.cross(points[1] - points[0], points[2] - points[0])
    return points if normal @ axis >= 0.0 else points[::-1]


def _rms(difference: FloatArray) -> float:
    return float(np.sqrt(np.mean((difference**2).sum(axis=-1))))
