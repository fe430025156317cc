"""Spectra in files and other programs: JSON blocks of results, CSV tables, JCAMP-DX 4.24, pandas and xarray.

JSON is strict: NaN becomes null.

The format: R. S. McDonald, P. A. Wilks, Appl. Spectrosc. 42 (1988) 151.
"""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import ClusterMLError, InputFileError
from clusterml.io.files import read_text, write_text
from clusterml.io.json import parse_json, plain, write_json
from clusterml.io.shipped import import_extra
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset

_ERRORS = ("epsilon_std", "delta_epsilon_std", "label_error")
"""Fields of a spectrum that files hold where they are known."""
COLUMNS = ("energy_ev", "wavelength_nm", "epsilon_l_mol_cm", "delta_epsilon_l_mol_cm", "g_abs")
"""Headings of the table; ``epsilon_std_l_mol_cm``, ``delta_epsilon_std_l_mol_cm`` and ``label_error_l_mol_cm`` follow
where they are known, and ``computed_by`` (network or engine) for predictions."""


def csv_text(spectrum: Spectrum) -> str:
    """The table of ``spectrum``: columns :data:`COLUMNS`, one row per energy, empty cells where a value is not known.

    Numbers have 7 significant digits; JSON keeps them in full, and ``meta`` too.
    """
    names = list(COLUMNS)
    columns = [spectrum.energy_ev, spectrum.wavelength_nm, spectrum.epsilon, spectrum.delta_epsilon, spectrum.g_abs]
    for name in _ERRORS:
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
    "label_error": "L mol-1 cm-1",
}
"""Units of the columns for pandas and xarray, whose names are those of the attributes of a :class:`Spectrum`."""


def to_pandas(spectrum: Spectrum) -> DataFrame:
    """A ``pandas.DataFrame`` with the index ``energy_ev`` (eV) and a column for each quantity that is known.

    ``attrs`` hold the spectrum's ``meta`` and the ``units``.  Raises :class:`OptionError` where pandas is missing.
    """
    pandas = import_extra("pandas", "notebook", "to_pandas")
    index = pandas.Index(spectrum.energy_ev, name="energy_ev")
    table = pandas.DataFrame(_columns(spectrum), index=index)
    table.attrs = {**spectrum.meta, "units": {name: UNITS[name] for name in ("energy_ev", *table.columns)}}
    return table


def to_xarray(spectrum: Spectrum) -> Dataset:
    """An ``xarray.Dataset`` over ``energy_ev`` (eV) with every quantity that is known, and the other coordinate
    ``wavelength_nm``; each has its unit, and ``attrs`` are the spectrum's ``meta``.

    Raises :class:`OptionError` where xarray is missing.
    """
    xarray = import_extra("xarray", "notebook", "to_xarray")
    columns = {"energy_ev": spectrum.energy_ev, **_columns(spectrum)}
    variables = {name: ("energy_ev", values, {"units": UNITS[name]}) for name, values in columns.items()}
    coordinates = {name: variables.pop(name) for name in ("energy_ev", "wavelength_nm")}
    return xarray.Dataset(variables, coordinates, dict(spectrum.meta))


def _columns(spectrum: Spectrum) -> dict[str, FloatArray]:
    columns = {name: getattr(spectrum, name) for name in UNITS if name != "energy_ev"}
    return {name: values for name, values in columns.items() if values is not None and not np.isnan(values).all()}


BLOCKS = {
    "epsilon": ("UV/VIS SPECTRUM", "MOLAR ABSORPTIVITY", "absorption"),
    "delta_epsilon": ("CIRCULAR DICHROISM SPECTRUM", "DELTA EPSILON", "circular dichroism"),
    "epsilon_std": ("UV/VIS SPECTRUM", "MOLAR ABSORPTIVITY", "standard deviation of the absorption"),
    "delta_epsilon_std": ("CIRCULAR DICHROISM SPECTRUM", "DELTA EPSILON", "standard deviation of the CD"),
    "label_error": ("CIRCULAR DICHROISM SPECTRUM", "DELTA EPSILON", "deviation of the CD from DFT"),
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


SCHEMA_VERSION = 1
"""Version of the JSON layout."""
_ARRAYS = ("energy_ev", "epsilon", "delta_epsilon", *_ERRORS)
_STATES = ("energy_ev", "f_length", "f_velocity", "r_length_cgs", "r_velocity_cgs")
_MOMENTS = ("electric_au", "velocity_au", "magnetic_au")
_PROMOTED = ("fwhm_ev", "gauge", "absorption_gauge", "shape")


def spectrum_block(spectrum: Spectrum) -> dict[str, Any]:
    """The ``spectrum`` object of a result: plain lists, null for NaN; other entries of ``meta`` under ``meta``."""
    block: dict[str, Any] = {
        "energy_ev": spectrum.energy_ev,
        "epsilon": spectrum.epsilon,
        "delta_epsilon": spectrum.delta_epsilon,
        "g_abs": spectrum.g_abs,
        "fwhm_ev": spectrum.meta.get("fwhm_ev"),
        "gauge": spectrum.meta.get("gauge"),
    }
    block |= {key: spectrum.meta[key] for key in _PROMOTED[2:] if key in spectrum.meta}
    for name in _ERRORS:
        if getattr(spectrum, name) is not None:
            block[name] = getattr(spectrum, name)
    remainder = {key: value for key, value in spectrum.meta.items() if key not in (*_PROMOTED, "title")}
    block |= {"meta": remainder} if remainder else {}
    return {key: plain(value) for key, value in block.items()}


def parse_spectrum_block(block: Any, source: str) -> Spectrum:
    """The spectrum of a ``spectrum`` object; raises :class:`InputFileError` naming ``source`` and the key."""
    if not isinstance(block, dict):
        raise InputFileError(f"{source}: 'spectrum' is not an object", "give a file written by label or predict")
    arrays = {key: _array(block, key, source) for key in _ARRAYS if block.get(key) is not None}
    for key in _ARRAYS[:3]:
        if key not in arrays:
            raise InputFileError(f"{source}: 'spectrum' has no '{key}'", "give a file written by label or predict")
    meta = block.get("meta") if isinstance(block.get("meta"), dict) else {}
    meta = {**(meta or {}), **{key: block[key] for key in _PROMOTED if block.get(key) is not None}}
    if "warnings" in meta:
        said = meta.pop("warnings")
        said = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        meta["warnings"] = [word for word in said if isinstance(word, str)]
    try:
        return Spectrum(**arrays, meta=meta)
    except ClusterMLError as error:
        raise InputFileError(f"{source}: 'spectrum': {error.problem}", error.remedy) from error


def states_block(transitions: Transitions, moments: bool = False) -> dict[str, Any]:
    """The ``states`` object of a result, with hole and electron ``fractions`` where they are known.

    ``moments`` adds the transition moments (n, 3), which triple the size.
    """
    names = (*_STATES, *_MOMENTS) if moments else _STATES
    block = {key: plain(getattr(transitions, key)) for key in names}
    if transitions.fractions is not None:
        block["fractions"] = plain(transitions.fractions)
    return block


def parse_states_block(block: Any, source: str) -> Transitions:
    """The transitions of a ``states`` object (moments that are absent become zero); raises :class:`InputFileError`."""
    if not isinstance(block, dict):
        raise InputFileError(f"{source}: 'states' is not an object", "give a file written by label --states")
    for key in _STATES:
        if key not in block:
            raise InputFileError(f"{source}: 'states' has no '{key}'", "give a file written by label --states")
    arrays: dict[str, Any] = {key: _array(block, key, source) for key in _STATES}
    zeros = np.zeros((len(arrays["energy_ev"]), 3))
    arrays |= {key: _array(block, key, source) if block.get(key) else zeros for key in _MOMENTS}
    try:
        return Transitions(**arrays, fractions=block.get("fractions"))
    except (ClusterMLError, AttributeError, TypeError) as error:
        problem = error.problem if isinstance(error, ClusterMLError) else "'fractions' is damaged"
        raise InputFileError(f"{source}: 'states': {problem}", "the file is damaged") from error


def write_spectrum(spectrum: Spectrum, path: str | Path) -> Path:
    """Write ``{"schema_version", "program", "version", "spectrum"}``; raises :class:`OutputError` naming the path."""
    head = {"schema_version": SCHEMA_VERSION, "program": "clusterml", "version": version("clusterml")}
    return write_json({**head, "spectrum": spectrum_block(spectrum)}, path)


def read_spectrum(path: str | Path) -> Spectrum:
    """The spectrum of a JSON result (or of a bare ``spectrum`` object); raises :class:`InputFileError`."""
    return spectrum_of(parse_json(read_text(path), str(path)), str(path))


def spectrum_of(result: dict[str, Any], source: str) -> Spectrum:
    """The spectrum of a parsed JSON result; raises :class:`InputFileError` naming ``source``."""
    _check_layout(result, source)
    if "spectrum" not in result and "energy_ev" not in result:
        raise InputFileError(f"{source} holds no 'spectrum'", "give a file written by label or predict")
    spectrum = parse_spectrum_block(result.get("spectrum", result), source)
    words = [word for key in ("name", "method") if isinstance(word := result.get(key), str)]
    return replace(spectrum, meta={**spectrum.meta, "title": ", ".join(words)}) if words else spectrum


def transitions_of(result: dict[str, Any], source: str) -> Transitions:
    """The transitions of a parsed JSON result of ``label --states``; raises :class:`InputFileError` naming it."""
    _check_layout(result, source)
    if "states" not in result:
        raise InputFileError(f"{source} holds no 'states'", "label it again with --states")
    transitions = parse_states_block(result["states"], source)
    meta = {key: word for key in ("name", "method") if isinstance(word := result.get(key), str)}
    return replace(transitions, meta={**meta, "source": source})


def _check_layout(result: dict[str, Any], source: str) -> None:
    layout = result.get("schema_version", SCHEMA_VERSION)
    if layout != SCHEMA_VERSION:
        raise InputFileError(f"{source}: schema_version is {str(layout)[:20]}", "update the program that reads it")


def _array(block: dict[str, Any], key: str, source: str) -> FloatArray:
    """A list of numbers (or of lists of them), null read as NaN."""
    try:
        raw = np.array(block[key], dtype=object)
        if any(isinstance(item, bool) or not isinstance(item, int | float | None) for item in raw.flat):
            raise ValueError("an entry is no number")
        return np.array([math.nan if item is None else float(item) for item in raw.flat]).reshape(raw.shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputFileError(f"{source}: '{key}' is not a list of numbers: {error}", "the file is damaged") from error
