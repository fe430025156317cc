"""Fitting a template to a cluster: which atom is which, misfits shell by shell, the turn of every trigon and crown.

The template is scaled and superposed.  If it has a point group, the cluster's own nearest structure of that symmetry,
with the template's equivalences, is the ideal that misfits and angles refer to; else it is the scaled template.  So the
misfits show broken symmetry and not differences of bond lengths (Nat. Commun. 2022, doi 10.1038/s41467-022-28893-6,
compares Ag70 with its Td parent in this way).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clusterml.chirality.groups import point_group
from clusterml.chirality.orientation import best_orientation
from clusterml.chirality.representation import best_permutations, project
from clusterml.chirality.template import Template, kind_labels
from clusterml.errors import StructureError
from clusterml.structure.anatomy.motifs import Motif
from clusterml.structure.assign import Kinds
from clusterml.structure.superpose import superpose
from clusterml.typing import FloatArray, IntArray


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
        wanted = np.flatnonzero(template.numbers == kind)
        there = candidates[labels[candidates] == kind]
        if len(there) >= len(wanted):
            order = np.argsort(np.linalg.norm(positions[there] - centre, axis=1), kind="stable")
            used.append(wanted)
            chosen.append(there[order[: len(wanted)]])
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
    where = positions[atoms]
    centred = where - where.mean(axis=0)
    guess = float(np.sqrt((centred**2).sum() / max((model**2).sum(), 1e-12)))
    labels = kind_labels(numbers, template)[atoms]
    found = superpose(template.numbers[used], guess * model, where, target_numbers=labels)
    order = np.argsort(found.permutation)
    turned = model @ found.rotation.T
    scale = float((turned * centred[order]).sum() / max((model**2).sum(), 1e-12))
    return scale * turned + where.mean(axis=0), scale, atoms[order], found.rotation


def _symmetrise(where: FloatArray, template: Template, rotation: FloatArray) -> tuple[FloatArray, float]:
    """The nearest structure with the template's symmetry and equivalences ``(m, 3)`` (A), and the measure."""
    group = point_group(str(template.group))
    kinds = Kinds.of(template.numbers)
    permutations = best_permutations(kinds, template.positions, group.elements, group.table)
    centre = where.mean(axis=0)
    points = where - centre
    correlation = np.swapaxes(points[permutations], -1, -2) @ points
    turned = best_orientation(group.elements, rotation, correlation)
    ideal = project(points, turned @ group.elements @ turned.T, permutations)
    return ideal + centre, 100.0 * float(((points - ideal) ** 2).sum() / max((points**2).sum(), 1e-300))


def _shells(
    template: Template, used: IntArray, where: FloatArray, ideal: FloatArray, placed: FloatArray, atoms: IntArray
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
            _rms(where[members] - ideal[members]),
            _rms(where[members] - placed[members]),
            float(np.linalg.norm(where[members] - centre, axis=1).mean()),
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
