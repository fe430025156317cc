"""The ``spectrum`` and ``states`` blocks of the JSON results, and strict JSON files (NaN becomes null)."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.errors import ClusterMLError, InputFileError
from clusterml.io.files import read_text
from clusterml.io.json import parse_json, plain, write_json
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.typing import FloatArray

SCHEMA_VERSION = 1
"""Version of the JSON layout."""
_ARRAYS = ("energy_ev", "epsilon", "delta_epsilon", "epsilon_std", "delta_epsilon_std")
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
    for name in ("epsilon_std", "delta_epsilon_std"):
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
    layout = result.get("schema_version", SCHEMA_VERSION)
    if layout != SCHEMA_VERSION:
        raise InputFileError(f"{source}: schema_version is {str(layout)[:20]}", "update the program that reads it")
    if "spectrum" not in result and "energy_ev" not in result:
        raise InputFileError(f"{source} holds no 'spectrum'", "give a file written by label or predict")
    spectrum = parse_spectrum_block(result.get("spectrum", result), source)
    words = [word for key in ("name", "method") if isinstance(word := result.get(key), str)]
    return replace(spectrum, meta={**spectrum.meta, "title": ", ".join(words)}) if words else spectrum


def _array(block: dict[str, Any], key: str, source: str) -> FloatArray:
    """A list of numbers (or of lists of them), null read as NaN."""
    try:
        raw = np.array(block[key], dtype=object)
        if any(isinstance(item, bool) or not isinstance(item, int | float | None) for item in raw.flat):
            raise ValueError("an entry is no number")
        return np.array([math.nan if item is None else float(item) for item in raw.flat]).reshape(raw.shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputFileError(f"{source}: '{key}' is not a list of numbers: {error}", "the file is damaged") from error
