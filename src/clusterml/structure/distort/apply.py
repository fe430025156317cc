"""``distort``: a structure, a mode and an amount give a new structure, its chemistry checked; scans; random draws.

A ligand's donors keep their common centre on the (moved) frame; its rotation is the one that best maps its donors and
the metals around them from before to after (Kabsch, Acta Cryst. A32, 922 (1976)).  Metals count by a Gaussian of their
distance to the nearest donor, and a small pull towards no rotation settles rotations that nothing else decides (about a
terminal metal-donor bond), so that the result is unique, smooth in the displacement, and commutes with mirror planes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError, StructureError
from clusterml.structure.anatomy.ligands import Ligand
from clusterml.structure.distort.fields import FIELDS, check_weights, mixture, mixture_weights
from clusterml.structure.distort.modes import (
    MIXTURE,
    NORMAL_MODE,
    THERMAL_NOISE,
    WITH_AXIS,
    Mode,
    check_amounts,
    check_rng,
    find_mode,
)
from clusterml.structure.distort.subject import Subject, axis_of
from clusterml.structure.distort.verify import Problems, compare, settle
from clusterml.structure.distort.vibrations import (
    displace,
    noise_direction,
    temperature_of,
    vibration_direction,
)
from clusterml.structure.rotations import nearest_rotation
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms


_RANGE = 2.0  # A; width of the Gaussian of the distances that count metals, about a metal-donor bond
_PULL = 0.05  # A^2; weight of "no rotation" beside the squared distances of donors and metals


def follow(subject: Subject, frame: FloatArray) -> FloatArray:
    """Displacements ``(a, n, 3)`` (A) of all atoms when metals and donors are displaced by ``frame`` ``(a, n, 3)``."""
    moved = frame.copy()
    if not subject.metal.any():
        return moved
    for ligand in subject.ligands:
        moved[:, ligand.atoms] = _carry_ligands(subject, ligand, frame)
    return moved


def _carry_ligands(subject: Subject, ligand: Ligand, frame: FloatArray) -> FloatArray:
    metals = np.flatnonzero(subject.metal)
    before = subject.positions[metals]
    donors = ligand.donors if len(ligand.donors) else ligand.atoms
    distance = np.linalg.norm(before[:, None] - subject.positions[donors], axis=2).min(axis=1)
    weight = np.exp(-((distance**2 - distance.min() ** 2) / (2.0 * _RANGE**2)))
    pivot = subject.positions[donors].mean(axis=0)
    if len(ligand.donors):
        shift = frame[:, donors].mean(axis=1)
        anchors = np.concatenate([donors, metals])
        weight = np.concatenate([np.ones(len(donors)), weight])
    else:  # solvent and ions go with the metals nearest to them
        shift = np.einsum("m,amx->ax", weight / weight.sum(), frame[:, metals])
        anchors = metals
    if len(ligand.atoms) == 1:
        return shift[:, None, :]
    old = subject.positions[anchors] - pivot
    new = old + frame[:, anchors] - shift[:, None, :]
    rotation = _best_rotation(old, new, weight)
    offset = subject.positions[ligand.atoms] - pivot
    return shift[:, None, :] + offset @ (rotation.transpose(0, 2, 1) - np.eye(3))


def _best_rotation(old: FloatArray, new: FloatArray, weight: FloatArray) -> FloatArray:
    """Proper rotations ``(a, 3, 3)`` that best turn ``old`` ``(m, 3)`` into ``new`` ``(a, m, 3)``."""
    covariance = np.einsum("m,ami,mj->aij", weight, new, old) + _PULL * np.eye(3)
    return nearest_rotation(covariance)


@dataclass(frozen=True)
class ModePath:
    """A mode made ready for one parent: ``positions`` maps amounts ``(a,)`` to ``(a, n, 3)`` (A).

    ``details`` go into the provenance: what was drawn or chosen.
    """

    mode: Mode
    positions: Callable[[FloatArray], FloatArray]
    details: dict[str, Any]


def distort(
    atoms: Atoms | Subject,
    mode: str,
    amount: float,
    *,
    rng: np.random.Generator | None = None,
    axis: Sequence[float] | None = None,
    index: int = 1,
    factors: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    problems: Problems = "error",
) -> Atoms:
    """The structure distorted by ``amount`` of ``mode`` (see :data:`clusterml.structure.distort.modes.MODES`).

    ``rng``: for the modes that draw random numbers.  ``axis`` ``(3,)``: of a twist or shear, default the first motif's.
    ``index``: which normal mode, from 1.  ``factors``: element -> factor on its thermal displacement.
    ``weights``: of a mixture, mode -> its amount where the mixture's is 1; else they are drawn.
    ``problems``: ``"error"`` raises where chemistry is broken, ``"warn"`` notes it in the provenance's warnings.
    The result's provenance lists mode, amount and unit under ``distortions``; amount 0 gives the parent's positions.

    Raises :class:`OptionError` for a mode the cluster does not have or an amount out of range, and
    :class:`StructureError`, naming the atoms and their distance, for broken chemistry.

    Examples:
        >>> import clusterml as cm
        >>> sheared = cm.distort(cm.build("ag3", thiolate="SH"), "shear", 4.0)
        >>> sheared.info["provenance"]["distortions"][0]["mode"]
        'shear'
    """
    return scan(
        atoms, mode, [amount],
        rng=rng, axis=axis, index=index, factors=factors, weights=weights, problems=problems,
    )[0]  # fmt: skip


def scan(
    atoms: Atoms | Subject,
    mode: str,
    amounts: Sequence[float] | FloatArray,
    *,
    rng: np.random.Generator | None = None,
    axis: Sequence[float] | None = None,
    index: int = 1,
    factors: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    problems: Problems = "error",
) -> list[Atoms]:
    """One structure per amount, all along the same path: random modes draw once.  Arguments as :func:`distort`.

    Examples:
        >>> import clusterml as cm
        >>> images = cm.scan(cm.build("ag3", thiolate="SH"), "breathing", [-2.0, 0.0, 2.0])
        >>> [f"{image.get_distance(0, 1):.2f}" for image in images]
        ['3.14', '3.20', '3.27']
    """
    results = attempt_scan(
        atoms, mode, amounts,
        rng=rng, axis=axis, index=index, factors=factors, weights=weights, problems=problems,
    )  # fmt: skip
    return require_intact(results)


def attempt_scan(
    atoms: Atoms | Subject,
    mode: str,
    amounts: Sequence[float] | FloatArray,
    *,
    rng: np.random.Generator | None = None,
    axis: Sequence[float] | None = None,
    index: int = 1,
    factors: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    problems: Problems = "error",
) -> list[Atoms | StructureError]:
    """As :func:`scan`, with an error in place of each structure whose chemistry would be broken."""
    subject = atoms if isinstance(atoms, Subject) else Subject(atoms)
    path = prepare(subject, mode, rng=rng, axis=axis, index=index, factors=factors, weights=weights)
    values = np.atleast_1d(np.asarray(amounts, dtype=np.float64))
    return [
        moved if isinstance(moved, StructureError) else _attempt(subject, moved, path, float(amount), problems)
        for moved, amount in zip(_attempt_positions(subject, path, values), values, strict=True)
    ]


def require_intact(results: Sequence[Atoms | StructureError]) -> list[Atoms]:
    """The structures of an attempt; raises the first error among them."""
    frames: list[Atoms] = []
    for result in results:
        if isinstance(result, StructureError):
            raise result
        frames.append(result)
    return frames


def _attempt_positions(subject: Subject, path: ModePath, amounts: FloatArray) -> Sequence[FloatArray | StructureError]:
    """Positions (n, 3) for each amount, all at once where none of them fails."""
    try:
        return list(path_positions(subject, path, amounts))
    except StructureError as error:
        if len(amounts) == 1:
            return [error]
        return [part for amount in amounts for part in _attempt_positions(subject, path, np.array([amount]))]


def _attempt(
    subject: Subject, positions: FloatArray, path: ModePath, amount: float, problems: Problems
) -> Atoms | StructureError:
    try:
        return finish(subject, positions, path, amount, problems)
    except StructureError as error:
        return error


def distorted_positions(
    atoms: Atoms | Subject,
    mode: str,
    amounts: Sequence[float] | FloatArray,
    *,
    rng: np.random.Generator | None = None,
    axis: Sequence[float] | None = None,
    index: int = 1,
    factors: Mapping[str, float] | None = None,
) -> FloatArray:
    """Positions ``(a, n, 3)`` (A) for an array of amounts ``(a,)``, without the check of chemistry."""
    subject = atoms if isinstance(atoms, Subject) else Subject(atoms)
    path = prepare(subject, mode, rng=rng, axis=axis, index=index, factors=factors)
    return path_positions(subject, path, np.atleast_1d(np.asarray(amounts, dtype=np.float64)))


def prepare(
    subject: Subject,
    mode: str,
    *,
    rng: np.random.Generator | None = None,
    axis: Sequence[float] | None = None,
    index: int = 1,
    factors: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
) -> ModePath:
    """Prepare a mode for one parent; all random numbers are drawn here.  Raises :class:`OptionError`; see
    :func:`distort`."""
    requested = find_mode(mode)
    subject.require(requested)
    if factors and mode != THERMAL_NOISE:
        raise OptionError("factors of elements are given", f"they apply to {THERMAL_NOISE} only")
    if weights is not None and mode != MIXTURE:
        raise OptionError("weights of modes are given", f"they apply to {MIXTURE} only")
    if mode == THERMAL_NOISE:
        noise = noise_direction(subject, check_rng(requested, rng), factors)
        scaled = {"factors": dict(factors)} if factors else {}
        return ModePath(requested, lambda amounts: displace(subject, amounts, noise, rigid_bonds=True), scaled)
    if mode == NORMAL_MODE:
        direction, wavenumber = vibration_direction(subject, index)
        details = {"index": index, "wavenumber_cm": round(wavenumber, 2)}
        return ModePath(requested, lambda amounts: displace(subject, amounts, direction, rigid_bonds=False), details)
    return _frame_path(subject, requested, rng, axis, weights)


def path_positions(subject: Subject, path: ModePath, amounts: FloatArray) -> FloatArray:
    """Positions ``(a, n, 3)`` along a prepared mode; exactly the parent's where the amount is 0."""
    check_amounts(path.mode, amounts)
    try:
        moved = path.positions(amounts)
    except StructureError as error:
        raise StructureError(f"{path.mode.name}: {error.problem}", error.remedy) from error
    moved[amounts == 0.0] = subject.positions
    return moved


def finish(subject: Subject, positions: FloatArray, path: ModePath, amount: float, problems: Problems) -> Atoms:
    """A copy of the parent at ``positions`` ``(n, 3)`` with its chemistry checked and its provenance extended."""
    title = f"{path.mode.name} {amount:+g} {path.mode.unit}"
    warnings = settle(compare(subject, positions), title, problems)
    details = dict(path.details)
    if path.mode.name == THERMAL_NOISE:
        details |= {"temperature_k": round(temperature_of(subject, amount), 1), "rms_a": _rms(subject, positions)}
    entry = {"mode": path.mode.name, "amount": amount, "unit": path.mode.unit, **details}
    name = f"{subject.atoms.info.get('name') or 'structure'}_{path.mode.name}_{amount:+g}"
    return make_child(subject.atoms, positions, name, "distortions", entry, warnings)


def make_child(
    parent: Atoms, positions: FloatArray, name: str, key: str, entry: dict[str, Any], warnings: list[str]
) -> Atoms:
    """A copy of ``parent`` at other positions; ``entry`` is appended to the list ``key`` of its provenance."""
    atoms = parent.copy()
    atoms.positions = positions
    provenance = dict(parent.info.get("provenance", {}))
    provenance[key] = [*provenance.get(key, []), entry]
    provenance["warnings"] = [*provenance.get("warnings", []), *warnings]
    atoms.info.update(name=name, provenance=provenance)
    return atoms


def _frame_path(
    subject: Subject,
    mode: Mode,
    rng: np.random.Generator | None,
    axis: Sequence[float] | None,
    weights: Mapping[str, float] | None,
) -> ModePath:
    direction = None if axis is None else axis_of(subject, np.asarray(axis, dtype=np.float64))
    details: dict[str, Any] = {}
    if mode.name in WITH_AXIS:
        details["axis"] = [round(float(x), 6) for x in axis_of(subject, direction)]
    if mode.name == MIXTURE:
        given = mixture_weights(subject, check_rng(mode, rng)) if weights is None else check_weights(subject, weights)
        details["weights"] = {name: round(weight, 6) for name, weight in given.items()}
        return ModePath(
            mode, lambda amounts: _describe_motion(subject, mixture(subject, amounts, given, direction)), details
        )
    field = FIELDS[mode.name]
    return ModePath(mode, lambda amounts: _describe_motion(subject, field(subject, amounts, direction)), details)


def _describe_motion(subject: Subject, frame: FloatArray) -> FloatArray:
    return subject.positions + follow(subject, frame)


def _rms(subject: Subject, positions: FloatArray) -> dict[str, float]:
    """Root mean square displacement (A) of each element."""
    square = np.sum((positions - subject.positions) ** 2, axis=1)
    symbols = np.array(subject.atoms.get_chemical_symbols())
    return {str(s): round(float(np.sqrt(square[symbols == s].mean())), 4) for s in dict.fromkeys(symbols)}
