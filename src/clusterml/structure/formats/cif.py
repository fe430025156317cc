"""CIF: crystal structures, from any program, in the dictionaries with and without dots."""

from __future__ import annotations

import re

from clusterml.structure.crystal.cif import crystals
from clusterml.structure.formats.format import StructureFormat

_SITES = re.compile(r"^\s*_(cell|atom_site)[._]", re.IGNORECASE | re.MULTILINE)


def _recognise(text: str) -> bool:
    return "data_" in text.lower() and bool(_SITES.search(text))


FORMATS = (
    StructureFormat(
        "cif",
        "Crystallographic Information File",
        ("*.cif", "*.mmcif"),
        crystals,
        _recognise,
        measured=True,
        largest=256 * 1024**2,
    ),
)
