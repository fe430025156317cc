"""Spectra for other programs: CSV tables, JCAMP-DX 4.24, pandas and xarray.

The format: R. S. McDonald, P. A. Wilks, Appl. Spectrosc. 42 (1988) 151.
"""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError
from clusterml.io.files import write_text
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset

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


UNITS = {
    "energy_ev": "eV",
    "wavelength_nm": "nm",
    "epsilon": "L mol-1 cm-1",
    "delta_epsilon": "L mol-1 cm-1",
    "g_abs": "1",
    "epsilon_std": "L mol-1 cm-1",
    "delta_epsilon_std": "L mol-1 cm-1",
}
"""Units of the columns for pandas and xarray, whose names are those of the attributes of a :class:`Spectrum`."""


def to_pandas(spectrum: Spectrum) -> DataFrame:
    """A ``pandas.DataFrame`` with the index ``energy_ev`` (eV) and a column for each quantity that is known.

    ``attrs`` hold the spectrum's ``meta`` and the ``units``.  Raises :class:`OptionError` where pandas is missing.
    """
    pandas = _extra("pandas")
    index = pandas.Index(spectrum.energy_ev, name="energy_ev")
    table = pandas.DataFrame(_columns(spectrum), index=index)
    table.attrs = {**spectrum.meta, "units": {name: UNITS[name] for name in ("energy_ev", *table.columns)}}
    return table


def to_xarray(spectrum: Spectrum) -> Dataset:
    """An ``xarray.Dataset`` over ``energy_ev`` (eV) with every quantity that is known, and the other coordinate
    ``wavelength_nm``; each has its unit, and ``attrs`` are the spectrum's ``meta``.

    Raises :class:`OptionError` where xarray is missing.
    """
    xarray = _extra("xarray")
    columns = {"energy_ev": spectrum.energy_ev, **_columns(spectrum)}
    variables = {name: ("energy_ev", values, {"units": UNITS[name]}) for name, values in columns.items()}
    coordinates = {name: variables.pop(name) for name in ("energy_ev", "wavelength_nm")}
    return xarray.Dataset(variables, coordinates, dict(spectrum.meta))


def _columns(spectrum: Spectrum) -> dict[str, FloatArray]:
    columns = {name: getattr(spectrum, name) for name in UNITS if name != "energy_ev"}
    return {name: values for name, values in columns.items() if values is not None and not np.isnan(values).all()}


def _extra(name: str) -> Any:
    """A package that is not installed with the program."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise OptionError(f"to_{name}: {error.name} is not installed", f"pip install {error.name}") from error


BLOCKS = {
    "epsilon": ("UV/VIS SPECTRUM", "MOLAR ABSORPTIVITY", "absorption"),
    "delta_epsilon": ("CIRCULAR DICHROISM SPECTRUM", "DELTA EPSILON", "circular dichroism"),
    "epsilon_std": ("UV/VIS SPECTRUM", "MOLAR ABSORPTIVITY", "standard deviation of the absorption"),
    "delta_epsilon_std": ("CIRCULAR DICHROISM SPECTRUM", "DELTA EPSILON", "standard deviation of the CD"),
}
"""Field of a Spectrum -> data type, ordinate unit, and what its title says."""
PER_LINE = 2
"""Ordinates per line: keeps lines under the 80 characters that the format allows."""
_META = ("fwhm_ev", "gauge", "absorption_gauge", "shape")


def jcamp_text(spectrum: Spectrum, title: str | None = None) -> str:
    """The JCAMP-DX text of ``spectrum``; abscissa in eV, ordinates in L mol-1 cm-1, numbers in full.

    Equally spaced points are written as (X++(Y..Y)), others as (XY..XY).  A quantity that is not known has no block.
    """
    name = _one_line(title or str(spectrum.meta.get("name") or "spectrum"))
    fields = [key for key in BLOCKS if _has_values(spectrum, key)]
    head = [
        f"##TITLE={name}",
        "##JCAMP-DX=4.24",
        "##DATA TYPE=LINK",
        f"##BLOCKS={len(fields) + 1}",
        "##ORIGIN=clusterml",
        "##OWNER=see the source of the data",
        *(f"##$CLUSTERML {key.upper()}={_one_line(str(spectrum.meta[key]))}" for key in _META if key in spectrum.meta),
    ]
    blocks = [line for i, key in enumerate(fields, start=1) for line in _block(spectrum, key, name, i)]
    return "\n".join([*head, *blocks, "##END="]) + "\n"


def write_jcamp(spectrum: Spectrum, path: str | Path, title: str | None = None) -> Path:
    """Write :func:`jcamp_text` atomically; raises :class:`clusterml.errors.OutputError` naming the path."""
    return write_text(path, jcamp_text(spectrum, title))


def _has_values(spectrum: Spectrum, key: str) -> bool:
    values = getattr(spectrum, key)
    return values is not None and not bool(np.isnan(values).all())


def _block(spectrum: Spectrum, key: str, name: str, number: int) -> list[str]:
    data_type, unit, title = BLOCKS[key]
    x, y = spectrum.energy_ev, getattr(spectrum, key)
    return [
        f"##TITLE={name}: {title}",
        "##JCAMP-DX=4.24",
        f"##DATA TYPE={data_type}",
        f"##BLOCK_ID={number}",
        "##ORIGIN=clusterml",
        "##OWNER=see the source of the data",
        f"##$CLUSTERML QUANTITY={key}",
        "##XUNITS=EV",
        f"##YUNITS={unit}",
        f"##FIRSTX={_number(x[0])}",
        f"##LASTX={_number(x[-1])}",
        f"##MAXX={_number(x[-1])}",
        f"##MINX={_number(x[0])}",
        f"##MAXY={_number(np.nanmax(y))}",
        f"##MINY={_number(np.nanmin(y))}",
        *([] if np.isnan(y[0]) else [f"##FIRSTY={_number(y[0])}"]),
        "##XFACTOR=1.0",
        "##YFACTOR=1.0",
        f"##NPOINTS={len(x)}",
        f"##DELTAX={_number((x[-1] - x[0]) / (len(x) - 1))}",
        *_data(x, y),
        "##END=",
    ]


def _data(x: FloatArray, y: FloatArray) -> list[str]:
    steps = np.diff(x)
    if np.ptp(steps) > 1e-9 * x[-1]:
        return ["##XYPOINTS=(XY..XY)", *(f"{_number(a)}, {_number(b)}" for a, b in zip(x, y, strict=True))]
    rows = [" ".join([f"{x[i]:.10E}", *(_number(v) for v in y[i : i + PER_LINE])]) for i in range(0, len(x), PER_LINE)]
    return ["##XYDATA=(X++(Y..Y))", *rows]


def _number(value: float) -> str:
    return "?" if np.isnan(value) else f"{float(value):.16E}"


def _one_line(text: str) -> str:
    # "$$" would begin a comment; line breaks would end the record.
    return " ".join(text.replace("$$", " ").split())[:70]
