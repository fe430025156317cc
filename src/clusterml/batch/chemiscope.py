"""Results for chemiscope (https://chemiscope.org), the viewer of maps: structures, single values and spectra in a file.

G. Fraux, R. K. Cersonsky, M. Ceriotti, J. Open Source Softw. 5, 2117 (2020).
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.batch.tables import ENGINE, Entries, ResultsLike, curves_of, entries_of, filled
from clusterml.errors import OptionError
from clusterml.io.files import write_bytes
from clusterml.io.shipped import import_extra
from clusterml.spectrum.export import UNITS

_CURVES = {
    "epsilon": "absorption",
    "delta_epsilon": "circular dichroism",
    "delta_epsilon_std": "standard deviation of the CD",
    "label_error": "deviation of the CD from DFT",
    f"{ENGINE}epsilon": "absorption by the engine",
    f"{ENGINE}delta_epsilon": "circular dichroism by the engine",
}


def to_chemiscope(what: ResultsLike, path: str | Path, *, title: str | None = None) -> Path:
    """Write results, or a screen, as a file that chemiscope shows; returns its path.

    ``what``: a result, several, the result of a screen or the folder of one, see :func:`clusterml.to_pandas`; of a
    screen the candidates whose geometries it keeps (``top``).  ``path`` ends in ``.json`` or ``.json.gz``.  The map
    shows the objectives of a screen, else energy and height of the strongest CD band; spectra are curves.  Values that
    are not known are NaN, as chemiscope writes them.  In a notebook ``chemiscope.show_input(path)`` opens it.

    Raises :class:`~clusterml.errors.OptionError` where chemiscope is missing, for another ending, and for spectra on
    different energies, and :class:`~clusterml.errors.OutputError` naming the path.

    Examples:
        >>> import clusterml as cm
        >>> cm.to_chemiscope(cm.Predictor.load()([cm.build("ag2"), cm.build("ag3")]), "rings.json.gz").name
        'rings.json.gz'
    """
    target = Path(path)
    if not target.name.endswith((".json", ".json.gz")):
        raise OptionError(f"{target}: chemiscope reads .json and .json.gz", "choose such a name")
    chemiscope = import_extra("chemiscope", "notebook", "to_chemiscope")
    entries = entries_of(what)
    data = chemiscope.create_input(
        structures=[_plain_atoms(entry.atoms) for entry in entries.items],
        properties={**_values(entries), **_spectra(entries)},
        parameters={"energy_ev": {"values": entries.energy_ev, "name": "photon energy", "units": "eV"}},
        metadata={"name": title or entries.title, "description": "written by clusterml"},
        settings=_settings(entries),
    )
    content = json.dumps(data).encode()  # NaN stays NaN: the viewer hides such points, and refuses null
    return write_bytes(target, gzip.compress(content, mtime=0) if target.name.endswith(".gz") else content)


def _plain_atoms(atoms: Any) -> Any:
    """Elements and coordinates alone: nothing else is asked of ``info`` and ``arrays``."""
    from ase import Atoms

    return Atoms(atoms.numbers, atoms.positions)


def _values(entries: Entries) -> dict[str, dict[str, Any]]:
    properties = {}
    for name in entries.known:
        unit, meaning = entries.columns[name]
        values = filled(entries.column(name))
        properties[name] = {"target": "structure", "values": values.tolist(), "description": meaning}
        if unit not in ("", "1"):
            properties[name]["units"] = unit
    return properties


def _spectra(entries: Entries) -> dict[str, dict[str, Any]]:
    curves = {name: values for name, values in curves_of(entries).items() if name in _CURVES}
    return {
        f"spectrum: {_CURVES[name]}": {
            "target": "structure",
            "values": values,
            "units": UNITS[name.removeprefix(ENGINE)],
            "description": _CURVES[name],
            "parameters": ["energy_ev"],
        }
        for name, values in curves.items()
    }


def _settings(entries: Entries) -> dict[str, Any]:
    """What the map shows first: two columns that vary, coloured by a third."""
    varying = [name for name in (*entries.lines, "cd_ev", "cd_height", "largest_g", "gap_ev") if _varies(entries, name)]
    chosen = list(dict.fromkeys(varying))[:3]
    map_settings = {axis: {"property": name} for axis, name in zip(("x", "y", "color"), chosen, strict=False)}
    return {"map": map_settings, "structure": [{"bonds": True, "spaceFilling": False, "unitCell": False}]}


def _varies(entries: Entries, name: str) -> bool:
    values = [value for value in entries.column(name) if isinstance(value, float) and np.isfinite(value)]
    return len(values) > 1 and max(values) > min(values)
