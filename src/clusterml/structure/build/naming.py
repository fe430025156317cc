"""The formula of a cluster by its ligands: ``[Ag70S4(SiPr)24(CF3COO)20(DMF)3]2-``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clusterml.structure.anatomy.library import LigandEntry


def cluster_name(metals: str, sulfides: int, ligands: Mapping[LigandEntry, int], charge: int) -> str:
    """Formula from the ``metals`` (``Ag70``), the number of sulfide ions, the ligands in their order and the charge."""
    from ase.data import chemical_symbols

    text = metals + (f"S{_times(sulfides)}" if sulfides else "")
    for entry, count in ligands.items():
        if count:
            single = entry.formula in chemical_symbols
            text += (entry.formula if single else f"({entry.name})") + _times(count)
    sign = f"{_times(abs(charge))}{'-' if charge < 0 else '+'}" if charge else ""
    return f"[{text}]{sign}"


def _times(count: int) -> str:
    return str(count) if count > 1 else ""
