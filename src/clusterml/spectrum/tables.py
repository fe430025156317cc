"""CSV: writing the table of a spectrum; :mod:`clusterml.spectrum.formats.table` reads it."""

from __future__ import annotations

import math
from pathlib import Path

from clusterml.spectrum.files import write_text
from clusterml.spectrum.spectrum import Spectrum

COLUMNS = ("energy_ev", "wavelength_nm", "epsilon_l_mol_cm", "delta_epsilon_l_mol_cm", "g_abs")
"""Headings of the table; ``epsilon_std_l_mol_cm`` and ``delta_epsilon_std_l_mol_cm`` follow where they are known, and
``computed_by`` (network or engine) for predictions."""


def csv_text(spectrum: Spectrum) -> str:
    """The table of ``spectrum``: columns :data:`COLUMNS`, one row per energy, empty cells where a value is not known.

    Numbers have 7 significant digits; JSON keeps them in full, and ``meta`` too.
    """
    names = list(COLUMNS)
    columns = [spectrum.energy_ev, spectrum.wavelength_nm, spectrum.epsilon, spectrum.delta_epsilon, spectrum.g_abs]
    for name in ("epsilon_std", "delta_epsilon_std"):
        values = getattr(spectrum, name)
        if values is not None:
            names.append(f"{name}_l_mol_cm")
            columns.append(values)
    rows = [",".join("" if math.isnan(v) else f"{v:.7g}" for v in row) for row in zip(*columns, strict=True)]
    if "computed_by" in spectrum.meta:
        names.append("computed_by")
        rows = [f"{row},{spectrum.meta['computed_by']}" for row in rows]
    return "\n".join([",".join(names), *rows]) + "\n"


def write_csv(spectrum: Spectrum, path: str | Path) -> Path:
    """Write :func:`csv_text` to ``path`` atomically; raises :class:`clusterml.errors.OutputError`."""
    return write_text(path, csv_text(spectrum))
