"""Reading a spectrum from any file: a measured table, a JCAMP-DX file, or a JSON result of ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clusterml.errors import ClusterMLError, InputFileError, OptionError
from clusterml.spectrum.arrays import ENERGY_RANGE_EV, LARGEST_VALUE
from clusterml.spectrum.files import read_text
from clusterml.spectrum.headers import AXES
from clusterml.spectrum.jcampread import Block, parse_jcamp
from clusterml.spectrum.jsonio import parse_json, spectrum_of
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.tables import parse_table
from clusterml.typing import FloatArray
from clusterml.units import EV_NM, MDEG_PER_DELTA_A

EV_PER_WAVENUMBER = EV_NM * 1e-7
"""eV per cm-1."""
_ABSORPTION = ("epsilon", "log_epsilon", "absorbance")
_CD = ("delta_epsilon", "delta_absorbance", "mdeg")


@dataclass(frozen=True)
class Sample:
    """What turns absorbance and ellipticity into molar quantities.

    ``concentration`` mol/L, ``path_cm`` cm; ``suffix`` completes the names of the options in messages ("-a").
    """

    concentration: float | None = None
    path_cm: float | None = None
    suffix: str = ""

    def __post_init__(self) -> None:
        """Refuse values that are not positive."""
        for option, value in self._options():
            if value is not None and not (math.isfinite(value) and 1e-15 < value < 1e6):
                raise OptionError(f"{option} is {value}", "give a positive number (mol/L for the concentration, cm)")

    def _options(self) -> tuple[tuple[str, float | None], tuple[str, float | None]]:
        return (f"--concentration{self.suffix}", self.concentration), (f"--path{self.suffix}", self.path_cm)

    def per_molar(self, source: str, kind: str) -> float:
        """1 / (c l) in L mol-1 cm-1; raises :class:`OptionError` naming the option that is missing."""
        missing = [option for option, value in self._options() if value is None]
        if missing or self.concentration is None or self.path_cm is None:
            raise OptionError(
                f"{source} gives {kind}, which needs the concentration (mol/L) and the path (cm)",
                f"give {' and '.join(missing)}",
            )
        return 1.0 / (self.concentration * self.path_cm)


def read_spectrum(
    path: str | Path, concentration: float | None = None, path_cm: float | None = None, option_suffix: str = ""
) -> Spectrum:
    """The spectrum in the file at ``path``, recognised by its content.

    JSON: the ``spectrum`` of a ``label`` or ``predict`` result.  JCAMP-DX: absorption and CD blocks.  Anything else: a
    text table (see :func:`clusterml.spectrum.tables.parse_table`).  Absorbance, delta_absorbance and mdeg become
    epsilon and delta_epsilon with ``concentration`` (mol/L) and ``path_cm`` (cm).  A quantity the file lacks is NaN.

    Raises :class:`InputFileError` naming file and line for damaged files, :class:`OptionError` naming the option if
    concentration or path are needed and missing.
    """
    sample = Sample(concentration, path_cm, option_suffix)
    text = read_text(path)
    start = text.lstrip()[:2]
    if start.startswith(("{", "[")):
        return spectrum_of(parse_json(text, str(path)), str(path))
    if start == "##":
        return jcamp_spectrum(text, str(path), sample)
    return table_spectrum(text, str(path), sample)


def read_table(path: str | Path) -> Spectrum:
    """The spectrum of a text table in molar units; errors as :func:`read_spectrum`."""
    return table_spectrum(read_text(path), str(path), Sample())


def read_jcamp(path: str | Path) -> Spectrum:
    """The spectrum of a JCAMP-DX file in molar units; errors as :func:`read_spectrum`."""
    return jcamp_spectrum(read_text(path), str(path), Sample())


def table_spectrum(text: str, source: str, sample: Sample) -> Spectrum:
    """The spectrum of a text table; errors as :func:`read_spectrum`."""
    columns = parse_table(text, source)
    values = {kind: column for kind, column in columns.values.items() if not np.isnan(column).all()}
    axis = next((kind for kind in AXES if kind in values), None)
    if axis is None:
        raise InputFileError(f"{source}: the energy column is empty", "give a table with energies or wavelengths")
    absorption = next((kind for kind in _ABSORPTION if kind in values), None)
    cd = next((kind for kind in _CD if kind in values), None)
    used = [axis, *(kind for kind in (absorption, cd) if kind in values)]
    for kind in used:
        if np.isnan(values[kind]).any():
            line = columns.lines[int(np.argmax(np.isnan(values[kind])))]
            raise InputFileError(f"{source}: line {line} has no {kind}", "fill the cell or remove the line")
    fields = {
        "epsilon": _molar(values, absorption, source, sample),
        "delta_epsilon": _molar(values, cd, source, sample),
        "epsilon_std": values.get("epsilon_std"),
        "delta_epsilon_std": values.get("delta_epsilon_std"),
    }
    energy = energies(axis, values[axis], source, columns.lines)
    return _sorted_spectrum(energy, fields, source)


def jcamp_spectrum(text: str, source: str, sample: Sample) -> Spectrum:
    """The spectrum of JCAMP-DX text; a CD block on other energies is interpolated to those of the absorption block.

    Errors as :func:`read_spectrum`.
    """
    blocks: dict[str, Block] = {}
    units = []
    for block in parse_jcamp(text, source):
        units.append(f"{block.labels.get('XUNITS', '?')[:20]} / {block.labels.get('YUNITS', '?')[:20]}")
        if block.axis and block.ordinate:
            blocks.setdefault(block.ordinate, block)
    absorption = next((kind for kind in _ABSORPTION if kind in blocks), None)
    cd = next((kind for kind in _CD if kind in blocks), None)
    main = absorption or cd
    if main is None:
        raise InputFileError(
            f"{source} holds no absorption or CD block in known units (found {'; '.join(units[:4])})",
            "known are NANOMETERS, EV, 1/CM and MOLAR ABSORPTIVITY, ABSORBANCE, DELTA EPSILON, MDEG",
        )
    fields: dict[str, FloatArray | None] = {}
    energy = _block_energies(blocks[main], source)
    names = {"epsilon": absorption, "delta_epsilon": cd, "epsilon_std": "epsilon_std"}
    for name, kind in {**names, "delta_epsilon_std": "delta_epsilon_std"}.items():
        if kind in blocks:
            block = blocks[kind]
            molar = _molar({kind: block.y}, kind, source, sample)
            fields[name] = _onto(energy, _block_energies(block, source), molar, source) if molar is not None else None
    given = [values for name, values in fields.items() if values is not None and not name.endswith("_std")]
    covered = np.logical_and.reduce([~np.isnan(values) for values in given])
    kept = {name: None if values is None else values[covered] for name, values in fields.items()}
    return _sorted_spectrum(energy[covered], kept, source, _jcamp_meta(text))


def energies(axis: str, values: FloatArray, source: str, lines: list[int] | None = None) -> FloatArray:
    """Photon energies (m,) in eV of an axis in nm, cm-1 or eV; raises :class:`InputFileError` naming the line."""
    allowed = (values > 0) & (values < LARGEST_VALUE)
    energy = np.full_like(values, np.nan)
    if axis == "wavelength_nm":
        np.divide(EV_NM, values, out=energy, where=values > 1e-6)
    else:
        np.multiply(values, EV_PER_WAVENUMBER if axis == "wavenumber_cm" else 1.0, out=energy, where=allowed)
    bad = ~((energy >= ENERGY_RANGE_EV[0]) & (energy <= ENERGY_RANGE_EV[1]))
    if bad.any():
        first = int(np.argmax(bad))
        where = f"line {lines[first]}" if lines else f"point {first + 1}"
        raise InputFileError(f"{source}: {where}: {axis} is {values[first]:g}", "give a positive number in that unit")
    return energy


def _block_energies(block: Block, source: str) -> FloatArray:
    return energies(block.axis or "", block.x, f"{source}, block at line {block.first_line}")


def _molar(values: dict[str, FloatArray], kind: str | None, source: str, sample: Sample) -> FloatArray | None:
    """``values[kind]`` as a molar quantity in L mol-1 cm-1; None if the file has none."""
    if kind is None:
        return None
    if kind == "log_epsilon":
        return np.asarray(10.0 ** np.clip(values[kind], -30.0, 30.0))
    if kind in ("epsilon", "delta_epsilon", "epsilon_std", "delta_epsilon_std"):
        return values[kind]
    factor = sample.per_molar(source, kind)
    return np.asarray(values[kind] * factor / (MDEG_PER_DELTA_A if kind == "mdeg" else 1.0))


def _onto(energy: FloatArray, own: FloatArray, values: FloatArray, source: str) -> FloatArray:
    """``values`` at ``own`` energies, linearly interpolated to ``energy``; NaN outside their range."""
    if own.shape == energy.shape and (own == energy).all():
        return values
    order = np.argsort(own)
    onto: FloatArray = np.interp(energy, own[order], values[order], left=np.nan, right=np.nan)
    if np.isfinite(onto).sum() < 2:
        raise InputFileError(f"{source}: its absorption and CD blocks do not overlap", "give them as two files")
    return onto


def _sorted_spectrum(
    energy: FloatArray, fields: dict[str, FloatArray | None], source: str, meta: dict[str, object] | None = None
) -> Spectrum:
    order = np.argsort(energy, kind="stable")
    ordered = {name: None if values is None else values[order] for name, values in fields.items()}
    absent = np.full(len(energy), np.nan)
    try:
        return Spectrum(
            energy_ev=energy[order],
            epsilon=_or(ordered.get("epsilon"), absent),
            delta_epsilon=_or(ordered.get("delta_epsilon"), absent),
            epsilon_std=ordered.get("epsilon_std"),
            delta_epsilon_std=ordered.get("delta_epsilon_std"),
            meta={**(meta or {}), "source": source},
        )
    except ClusterMLError as error:
        raise InputFileError(f"{source}: {error.problem}", error.remedy) from error


def _or(values: FloatArray | None, absent: FloatArray) -> FloatArray:
    return absent if values is None else values


def _jcamp_meta(text: str) -> dict[str, object]:
    """What our own writer says about broadening and gauge."""
    meta: dict[str, object] = {}
    for line in text.splitlines()[:40]:
        if line.startswith("##$CLUSTERML ") and "QUANTITY" not in line:
            key, _, value = line.removeprefix("##$CLUSTERML ").partition("=")
            meta[key.strip().lower()] = value.strip()
    try:
        meta["fwhm_ev"] = float(str(meta["fwhm_ev"]))
    except (KeyError, ValueError):
        meta.pop("fwhm_ev", None)
    return meta
