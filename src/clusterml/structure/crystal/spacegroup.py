"""The symmetry operations of a crystal: read from a CIF, checked against the cell, and multiplied."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from clusterml.structure.crystal.cifblock import CifBlock

MOST_OPERATIONS = 192
"""Largest number of operations of a space group (face-centred cubic)."""
_SYMOP_TAGS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_HM_TAGS = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_full")
_NUMBER_TAGS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_METRIC_TOLERANCE = 0.02
_PARTS = 24  # translations are multiples of 1/24, as in gemmi
_DIGIT = 3  # rotation entries between -3 and 3 make a code of base 7


@dataclass(frozen=True)
class Symmetry:
    """Operations on fractional coordinates, the identity first: ``rotations`` ``(m, 3, 3)``, ``translations``
    ``(m, 3)``; ``name`` of the space group, if it has one; ``notes``: sentences for the user."""

    rotations: IntArray
    translations: FloatArray
    name: str | None
    notes: tuple[str, ...] = ()


def identity() -> Symmetry:
    """No symmetry: P 1."""
    return Symmetry(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)), "P 1")


def read_symmetry(block: CifBlock, lattice: FloatArray, source: str) -> Symmetry:
    """The symmetry of a CIF block, whose cell has the vectors ``lattice`` ``(3, 3)`` (A).

    The listed operations count; then the Hall symbol, the Hermann-Mauguin name and the number.  Raises what
    :func:`make_symmetry` raises, and :class:`InputFileError` for unreadable operations and different groups.
    """
    notes: list[str] = []
    listed = _listed_operations(block, source)
    symmetry = make_symmetry(listed or _named_operations(block, lattice, notes, source), lattice, source)
    if listed:
        notes += _find_contradiction(block, lattice, symmetry)
    return replace(symmetry, notes=tuple(notes))


def make_symmetry(operations: Sequence[Any], lattice: FloatArray, source: str) -> Symmetry:
    """The symmetry that ``gemmi`` ``operations`` make (the identity may be missing).

    Raises :class:`InputFileError` for operations that do not form a group, or that do not keep the lengths and angles
    of the ``lattice`` ``(3, 3)`` (A).
    """
    import gemmi

    unique = {(str(op.rot), str([t % op.DEN for t in op.tran])): op for op in (gemmi.Op(), *operations)}
    rotations = np.array([op.rot for op in unique.values()], dtype=np.int64) // gemmi.Op.DEN
    translations = np.array([op.tran for op in unique.values()], dtype=np.float64) / gemmi.Op.DEN
    _check_group(rotations, translations, source)
    _check_metric(lattice, rotations, source)
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(list(unique.values())))
    return Symmetry(rotations, translations, group.xhm() if group else _name_of_setting(rotations, translations))


def product_table(rotations: IntArray, translations: FloatArray) -> IntArray | None:
    """Table ``(m, m)``: entry ``[h, g]`` is the operation "first g, then h" up to lattice translations.

    None if the operations are not closed under multiplication.
    """
    shifts = np.rint(translations * _PARTS).astype(np.int64)
    codes = _codes(rotations, shifts)
    order = np.argsort(codes)
    rotation = np.einsum("hij,gjk->hgik", rotations, rotations)
    shift = np.einsum("hij,gj->hgi", rotations, shifts) + shifts[:, None, :]
    if np.abs(rotation).max() > _DIGIT:
        return None
    products = _codes(rotation, shift)
    place = np.minimum(np.searchsorted(codes[order], products), len(codes) - 1)
    operations = order[place]
    return np.asarray(operations, dtype=np.int64) if np.array_equal(codes[operations], products) else None


def triplet(rotation: IntArray, translation: FloatArray) -> str:
    """The operation as CIF writes it, e.g. ``-x,y+1/2,-z``."""
    import gemmi

    op = gemmi.Op()
    op.rot = (rotation * gemmi.Op.DEN).tolist()
    op.tran = np.rint(translation * gemmi.Op.DEN).astype(int).tolist()
    return str(op.wrap().triplet())


def determinants(rotations: IntArray) -> IntArray:
    """Determinants ``(m,)`` of rotations ``(m, 3, 3)``: 1 keeps the hand, -1 turns it round."""
    return np.rint(np.linalg.det(rotations)).astype(np.int64)


def _codes(rotations: IntArray, shifts: IntArray) -> IntArray:
    """One integer for each operation ``(..., 3, 3)``, ``(..., 3)`` (in units of 1/24), equal for equal operations."""
    digits = np.concatenate([rotations.reshape(*rotations.shape[:-2], 9) + _DIGIT, shifts % _PARTS], axis=-1)
    weights = np.cumprod([1, *[2 * _DIGIT + 1] * 9, *[_PARTS] * 2])
    return np.asarray(digits @ weights, dtype=np.int64)


def _check_group(rotations: IntArray, translations: FloatArray, source: str) -> None:
    proper = np.abs(rotations).max() <= _DIGIT and np.all(np.abs(np.rint(np.linalg.det(rotations))) == 1)
    if not proper or len(rotations) > MOST_OPERATIONS or product_table(rotations, translations) is None:
        raise InputFileError(
            f"{source}: the symmetry operations are not those of a space group", "correct the list of operations"
        )


def _check_metric(lattice: FloatArray, rotations: IntArray, source: str) -> None:
    """The operations must keep the lengths and angles of the lattice."""
    metric = lattice @ lattice.T
    moved = np.einsum("mki,kl,mlj->mij", rotations, metric, rotations)
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    if np.max(np.abs(moved - metric) / scale) > _METRIC_TOLERANCE:
        raise InputFileError(
            f"{source}: the symmetry operations do not fit the unit cell", "check cell lengths, angles and space group"
        )


def _name_of_setting(rotations: IntArray, translations: FloatArray) -> str | None:
    """Name of a group in a setting that gemmi does not list."""
    import spglib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # on how spglib will report errors one day
        group = spglib.get_spacegroup_type_from_symmetry(rotations.astype(np.intc), translations)
    return f"{group.international_short} (another setting)" if group else None


def _find_contradiction(block: CifBlock, lattice: FloatArray, symmetry: Symmetry) -> list[str]:
    """A warning if the space-group name in the file does not belong to its operations."""
    import gemmi

    group = gemmi.find_spacegroup_by_name(symmetry.name) if symmetry.name else None
    for tag in _HM_TAGS:
        text = block.value(tag)
        named = _find_space_group(text, lattice) if text else None
        if named and group and named.number != group.number:
            return [
                f"the file names space group {named.xhm()}, its operations are those of {symmetry.name}; "
                "took the operations"
            ]
    return []


def _find_space_group(text: str, lattice: FloatArray) -> Any:
    """The ``gemmi`` space group of that name; alpha and gamma distinguish its settings."""
    import gemmi

    unit = lattice / np.linalg.norm(lattice, axis=1, keepdims=True)
    alpha, gamma = (float(np.degrees(np.arccos(unit[i] @ unit[j]))) for i, j in ((1, 2), (0, 1)))
    return gemmi.find_spacegroup_by_name(text, alpha, gamma)


def _listed_operations(block: CifBlock, source: str) -> list[Any]:
    import gemmi

    for tag in _SYMOP_TAGS:
        texts = block.values(tag)
        if len(texts) > 4 * MOST_OPERATIONS:
            raise InputFileError(f"{source}: {tag} lists {len(texts)} operations", "a space group has at most 192")
        if texts:
            try:
                return [gemmi.Op(text) for text in texts]
            except (ValueError, RuntimeError) as error:
                raise InputFileError(f"{source}: {tag} cannot be read ({error})", "correct the operation") from error
    return []


def _check_names_agree(block: CifBlock, lattice: FloatArray, source: str) -> None:
    """Check that names and numbers belong to one space group, where the file lists no operations."""
    import gemmi

    named = [_find_space_group(text, lattice) for tag in _HM_TAGS for text in block.values(tag)]
    numbers = [gemmi.cif.as_number(text) for tag in _NUMBER_TAGS for text in block.values(tag)]
    names = {group.number: group.xhm() for group in named if group}
    for number in numbers:
        if np.isfinite(number) and 1 <= number <= 230:
            names.setdefault(int(number), f"number {number:.0f}")
    if len(names) > 1:
        raise InputFileError(
            f"{source}: the space group is given as {' and as '.join(names.values())}",
            "keep the right one, or list the operations",
        )


def _named_operations(block: CifBlock, lattice: FloatArray, notes: list[str], source: str) -> list[Any]:
    """Operations from the Hall symbol, the Hermann-Mauguin name or the number; identity, with a warning, from none.

    Raises :class:`InputFileError` where names and numbers are of different groups.
    """
    import gemmi

    _check_names_agree(block, lattice, source)
    for tag in _HALL_TAGS:
        text = block.value(tag)
        if text:
            try:
                return list(gemmi.symops_from_hall(text))
            except (ValueError, RuntimeError):
                notes.append(f"the Hall symbol {text} is unknown and was ignored")
    for tag in _HM_TAGS:
        text = block.value(tag)
        group = _find_space_group(text, lattice) if text else None
        if group:
            return list(group.operations())
    for tag in _NUMBER_TAGS:
        text = block.value(tag)
        number = gemmi.cif.as_number(text) if text else float("nan")
        if np.isfinite(number) and 1 <= number <= 230:
            notes.append(f"no symmetry operations in the file; took the standard setting of space group {number:.0f}")
            return list(gemmi.find_spacegroup_by_number(int(number)).operations())
    notes.append("no symmetry in the file; took P 1")
    return []
