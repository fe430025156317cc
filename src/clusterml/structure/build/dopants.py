"""Dopants: one silver atom of a cluster becomes gold, copper, palladium or platinum, its electron count kept.

Known doped clusters have them where most metals meet: Pd and Pt in the middle of [Ag24M(SR)18]2-, Au in that of
[Ag24Au(SR)18]-.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.anatomy.superatom import VALENCE_ELECTRONS, superatom_electrons
from clusterml.structure.check import stated_charge
from clusterml.structure.points import distances
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

SILVER = 47
_COINAGE, _PLATINUM_GROUP = (79, 29), (46, 78)
_TOUCHING = 3.45  # A
_BURIED = 9  # metals that one in the middle of a superatom touches at least
_SUPERATOM = 8  # electrons


Dopant = Literal["Au", "Cu", "Pd", "Pt"]
DOPANTS: tuple[Dopant, ...] = get_args(Dopant)


def draw_dopant(
    positions: FloatArray, electrons: int, rng: np.random.Generator, elements: Sequence[Dopant] = DOPANTS
) -> tuple[int, int]:
    """Which of the metals at ``positions`` ``(n, 3)`` (A) becomes a dopant, and of which atomic number.

    It is the one that touches most others.  Palladium and platinum, which bring no electron, are drawn only where it is
    buried in a superatom of at least eight ``electrons``.  ``elements``: those to draw from.  Raises
    :class:`~clusterml.errors.StructureError` if none of them fits.
    """
    from ase.data import atomic_numbers

    touched = (distances(positions, positions) < _TOUCHING).sum(axis=1) - 1
    site = int(np.argmax(touched))
    buried = electrons >= _SUPERATOM and touched[site] >= _BURIED
    wanted = {atomic_numbers[symbol] for symbol in elements}
    offered = [number for number in _COINAGE + (_PLATINUM_GROUP if buried else ()) if number in wanted]
    if not offered:
        raise StructureError(f"no metal can become {', '.join(elements)}", "allow Au or Cu as dopants, too")
    return site, int(rng.choice(offered))


def dope(atoms: Atoms, *, rng: np.random.Generator, elements: Sequence[Dopant] = DOPANTS) -> tuple[Atoms, str]:
    """A copy with one silver atom replaced, and the symbol of what it is now; positions stay.

    The charge in ``info`` follows, so that the superatom electrons are the same; without one only gold and copper are
    drawn.  Raises :class:`~clusterml.errors.StructureError` for a cluster without silver, and what :func:`draw_dopant`
    raises.
    """
    silver = np.flatnonzero(atoms.numbers == SILVER)
    if len(silver) == 0:
        raise StructureError("the cluster has no silver to replace", "leave its dopants out")
    charge = stated_charge(atoms)
    electrons = 0 if charge is None else superatom_electrons(atoms, charge)
    site, number = draw_dopant(np.asarray(atoms.positions[silver]), electrons, rng, elements)
    doped = atoms.copy()
    doped.info = {**atoms.info}
    doped.numbers[silver[site]] = number
    if charge is not None:
        doped.info["charge"] = charge + VALENCE_ELECTRONS[number] - VALENCE_ELECTRONS[SILVER]
    return doped, str(doped.symbols[silver[site]])
