"""From the spectra of a file, as they are written, to one :class:`Spectrum`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clusterml.errors import ClusterMLError, InputFileError, OptionError
from clusterml.spectrum.curves import ENERGY_RANGE_EV, LARGEST_VALUE
from clusterml.spectrum.formats.headers import ABSORPTION, CD, LABEL_ERROR, STD, UNSTATED
from clusterml.spectrum.formats.settings import ReadSettings, unit_names
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray
from clusterml.units import EV_NM, MDEG_PER_DELTA_A, MOLAR_ELLIPTICITY_PER_DELTA_EPSILON

EV_PER_WAVENUMBER = EV_NM * 1e-7
"""eV per cm-1."""
LARGEST_DISAGREEMENT = 0.2
"""Values at one energy that differ by more than this share of the largest value are not averaged."""
_BLANK = re.compile(r"(?<![a-z])(?:blank|base ?line|buffer|solvent|background|dark)(?![a-z])", re.IGNORECASE)
_PER_MOLAR = {"absorbance": 1.0, "delta_absorbance": 1.0, "mdeg": 1.0 / MDEG_PER_DELTA_A}
PLAUSIBLE = {"epsilon": (1e3, 1e8), "delta_epsilon": (1e-2, 1e5)}
"""The largest value of a spectrum of a cluster (L mol-1 cm-1), at least and at most.

Bands that clusters and silver(I) complexes are measured by have 1e3 to 1e4 per metal atom or ligand, so that 5,000
atoms stay below 1e8.  Instruments see a CD of 1e-5 of the absorption or more, and that of clusters is below 1e-2 of it;
1e5 is 1e-3 of the largest.  A concentration in mmol/L or umol/L given as mol/L leads out of this.
"""
_MOLAR = {"epsilon": 1.0, "delta_epsilon": 1.0, "molar_ellipticity": 1.0 / MOLAR_ELLIPTICITY_PER_DELTA_EPSILON}


@dataclass(frozen=True, eq=False)
class SpectrumBlock:
    """One spectrum of a file: ``columns`` (m,) by quantity over the axis ``x`` (m,), in the units of the names.

    ``axis``: one of :data:`~clusterml.spectrum.formats.headers.AXES`.  NaN where nothing is given.
    ``lines`` (m,): the line of each point in the file.  ``title``: its name in the file.  ``notes``: by quantity or
    axis, what is to be told of a column that is used.
    """

    title: str
    axis: str
    x: FloatArray
    columns: dict[str, FloatArray]
    lines: list[int]
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Curve:
    """One quantity of one block at its own energies, ascending; ``errors``: :data:`STD` or label error -> (m,)."""

    energy_ev: FloatArray
    values: FloatArray
    errors: dict[str, FloatArray]


@dataclass
class _Assembly:
    """The state while a spectrum is assembled."""

    source: str
    settings: ReadSettings
    warnings: list[str] = field(default_factory=list)
    molar_was_needed: bool = False
    scale_is_doubted: bool = False

    def doubt_scale(self, quantity: str, values: FloatArray) -> None:
        """Warn once where ``values`` (m,) that were divided by concentration and path are those of no cluster."""
        largest, (least, most) = float(np.abs(values).max()), PLAUSIBLE[quantity]
        if self.scale_is_doubted or largest == 0.0 or least <= largest <= most:
            return
        self.scale_is_doubted = True
        name = {"epsilon": "epsilon", "delta_epsilon": "|delta epsilon|"}[quantity]
        words = f"{name} of {self.source} is at most {largest:.2g} L mol-1 cm-1"
        self.warnings.append(f"{words}: is the concentration in mol/L, and the path in cm?")


def assemble(
    blocks: list[SpectrumBlock], source: str, settings: ReadSettings, meta: dict[str, Any] | None = None
) -> Spectrum:
    """The spectrum that ``blocks`` hold: absorption and CD, each from the one block that gives it.

    Both are brought to the energies of that which has more of them in the range that both cover.
    ``meta["warnings"]`` says what was done to the data.  Raises :class:`InputFileError` naming ``source`` and the line
    for what cannot be a spectrum, :class:`OptionError` naming the option that is missing, or has no effect.
    """
    assembly = _Assembly(source, settings)
    _refuse_vain_units(blocks, assembly)
    resolved = [_resolve_units(block, assembly) for block in blocks]
    indices = _choose_blocks(resolved, assembly)
    curves: dict[str, _Curve] = {}
    for name, kinds in (("epsilon", ABSORPTION), ("delta_epsilon", CD)):
        origin = _origin(name, kinds, resolved, indices, assembly)
        if origin is not None:
            curves[name] = _curve(*origin, assembly)
            told = [origin[0].notes[key] for key in (origin[0].axis, origin[1]) if key in origin[0].notes]
            assembly.warnings += [note for note in told if note not in assembly.warnings]
            if origin[1] in _PER_MOLAR:
                assembly.doubt_scale(name, curves[name].values)
    if not curves:
        raise InputFileError(f"{source} holds no absorption and no CD", "give a file with one of them")
    if not assembly.molar_was_needed and (options := settings.given("concentration", "path")):
        raise OptionError(f"{source} is in molar units: {' and '.join(options)} would change nothing", "leave them out")
    notes = {"warnings": assembly.warnings} if assembly.warnings else {}
    return _spectrum(curves, assembly, {**(meta or {}), "source": source, **notes})


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
        place = f"line {lines[first]}" if lines else f"point {first + 1}"
        raise InputFileError(f"{source}: {place}: {axis} is {values[first]:g}", "give a positive number in that unit")
    return energy


def _refuse_vain_units(blocks: list[SpectrumBlock], at: _Assembly) -> None:
    """Refuse a unit of CD or of absorption where no block holds any."""
    held = {name.removesuffix(STD) for block in blocks for name in block.columns}
    for kind, unit in at.settings.units().items():
        if not held & {kind, *UNSTATED[kind]}:
            raise OptionError(
                f"{at.source} holds no {kind}: {at.settings.option('unit')} {unit} would change nothing", "leave it out"
            )


def _resolve_units(block: SpectrumBlock, at: _Assembly) -> SpectrumBlock:
    """``block`` with the units that the user gave, which outrank those of the file."""
    units = at.settings.units()
    columns, notes = {}, dict(block.notes)
    for quantity, values in block.columns.items():
        base = quantity.removesuffix(STD)
        kind = next((kind for kind, units_of_kind in UNSTATED.items() if base == kind or base in units_of_kind), None)
        stated = units.get(kind, base) if kind else base
        if stated in UNSTATED:
            raise OptionError(
                f"{at.source} does not say in which unit its {stated} is",
                f"give {at.settings.option('unit')}: {unit_names(stated)}",
            )
        if stated != base and stated in block.columns:  # that unit is there already, beside this one
            if quantity == base:
                at.warnings.append(f"{at.settings.option('unit')} is {stated}: the {base} of the file is left out")
            continue
        if stated != base and base not in UNSTATED:
            at.warnings.append(f"{at.settings.option('unit')} is {stated}: the file says {base}")
        if (name := stated + quantity[len(base) :]) in columns:
            held = " and ".join(name for name in block.columns if name in {base, *UNSTATED[str(kind)], str(kind)})
            raise OptionError(
                f"{at.source} holds {held}: {at.settings.option('unit')} {stated} cannot be of all of them",
                f"choose one with {at.settings.option('columns')}",
            )
        columns[name] = values
        notes |= {name: block.notes[quantity]} if quantity in block.notes else {}
    return SpectrumBlock(block.title, block.axis, block.x, columns, block.lines, notes)


def _choose_blocks(blocks: list[SpectrumBlock], at: _Assembly) -> list[int]:
    """Indices of the blocks to use: all, unless ``--block`` names some."""
    text = at.settings.block
    if text is None:
        return list(range(len(blocks)))
    words = [word.strip() for word in text.split(",")]
    are_numbers = all(word.isdecimal() and len(word) < 7 for word in words)
    if are_numbers and all(1 <= int(word) <= len(blocks) for word in words):
        return [int(word) - 1 for word in words]
    titles = [block.title.casefold() for block in blocks]
    name = text.strip().casefold()
    matches = [i for i, title in enumerate(titles) if title == name]
    if not matches and name:  # a number is a word of a title, any other text a part
        part = rf"\b{re.escape(name)}\b" if are_numbers else re.escape(name)
        matches = [i for i, title in enumerate(titles) if re.search(part, title)]
    if len({titles[i] for i in matches}) != 1:
        raise OptionError(
            f"{at.source}: {at.settings.option('block')} is '{text[:40]}', and the file holds {_list_blocks(blocks)}",
            "give a number or a title",
        )
    return matches


def _origin(
    name: str, kinds: tuple[str, ...], blocks: list[SpectrumBlock], indices: list[int], at: _Assembly
) -> tuple[SpectrumBlock, str] | None:
    """The block and its column that give ``name``, None if there is none; several of one kind are an error."""
    for kind in kinds:
        holders = [i for i in indices if kind in blocks[i].columns]
        if len(holders) > 1:
            quantity = "absorption" if name == "epsilon" else "CD"
            raise OptionError(
                f"{at.source} holds {len(holders)} {quantity} spectra: {_list_blocks(blocks, holders)}",
                f"choose with {at.settings.option('block')} NUMBER or TITLE",
            )
        if holders:
            block = blocks[holders[0]]
            if _BLANK.search(block.title) and at.settings.block is None:
                at.warnings.append(f"its title '{block.title[:40]}' says that this is a blank, not a sample")
            return block, kind
    return None


def _list_blocks(blocks: list[SpectrumBlock], among: list[int] | None = None) -> str:
    indices = list(range(len(blocks))) if among is None else among
    names = [f"{i + 1} '{blocks[i].title[:40]}' ({', '.join(blocks[i].columns)})" for i in indices[:12]]
    return "; ".join(names) + ("; .." if len(indices) > 12 else "")


def _curve(block: SpectrumBlock, kind: str, at: _Assembly) -> _Curve:
    """A column in molar units over ascending energies, each once; empty cells at the ends are left out."""
    values = block.columns[kind]
    errors = {STD: block.columns[kind + STD]} if kind + STD in block.columns else {}
    if kind == "delta_epsilon" and LABEL_ERROR in block.columns:
        errors[LABEL_ERROR] = block.columns[LABEL_ERROR]
    present = np.flatnonzero(~np.isnan(values))
    if len(present) < 2:
        raise InputFileError(f"{at.source}: {kind} has {len(present)} values", "a spectrum needs at least 2")
    part = slice(int(present[0]), int(present[-1]) + 1)
    values, lines, x = values[part], block.lines[part], block.x[part]
    if np.isnan(values).any():
        raise InputFileError(
            f"{at.source}: line {lines[int(np.argmax(np.isnan(values)))]} has no {kind}",
            "fill the cell or remove the line",
        )
    energy = energies(block.axis, x, at.source, lines)
    factor = _factor(kind, at)
    columns = [values * factor, *(error[part] * factor for error in errors.values())]
    if kind == "log_epsilon":
        columns[0] = np.asarray(10.0 ** np.clip(values, -30.0, 30.0))
        columns[1:] = [math.log(10.0) * columns[0] * c for c in columns[1:]]
    order = np.argsort(energy, kind="stable")
    energy, *columns = _merge_repeats(energy[order], [c[order] for c in columns], [lines[i] for i in order], at)
    if len(energy) < 2:
        raise InputFileError(f"{at.source}: {kind} is given at {len(energy)} energy", "a spectrum needs at least 2")
    return _Curve(energy, columns[0], dict(zip(errors, columns[1:], strict=True)))


def _factor(kind: str, at: _Assembly) -> float:
    if kind in _PER_MOLAR:
        at.molar_was_needed = True
        return _PER_MOLAR[kind] * at.settings.per_molar(at.source, kind)
    return _MOLAR.get(kind, 1.0)


def _merge_repeats(energy: FloatArray, columns: list[FloatArray], lines: list[int], at: _Assembly) -> list[FloatArray]:
    """Every energy once: equal repeats merged, others averaged with a warning, contradictions refused."""
    first = np.flatnonzero(np.diff(energy, prepend=-1.0) != 0.0)
    if len(first) == len(energy):
        return [energy, *columns]
    counts = np.diff(np.append(first, len(energy)))
    values = columns[0]
    spread = np.maximum.reduceat(values, first) - np.minimum.reduceat(values, first)
    worst = int(np.argmax(spread))
    if spread[worst] > 0.0:
        of = sorted(lines[first[worst] : first[worst] + counts[worst]])
        place = f"lines {', '.join(map(str, of[:6]))} give different values at {EV_NM / energy[first[worst]]:.6g} nm"
        if spread[worst] > LARGEST_DISAGREEMENT * float(np.abs(values).max()):
            raise InputFileError(
                f"{at.source}: {place}, which contradict each other",
                "remove the wrong ones, or split the file if it holds two spectra",
            )
        at.warnings.append(f"{place}: means were taken at {np.count_nonzero(spread)} repeated energies")
    return [energy[first], *(np.add.reduceat(column, first) / counts for column in columns)]


def _spectrum(curves: dict[str, _Curve], at: _Assembly, meta: dict[str, Any]) -> Spectrum:
    """Absorption and CD on the finer energies of the two, where both are known."""
    low, high = (pick(float(c.energy_ev[end]) for c in curves.values()) for pick, end in ((max, 0), (min, -1)))
    axes = [curve.energy_ev for curve in curves.values()]
    energy = max(axes, key=lambda axis: np.count_nonzero((axis >= low) & (axis <= high)))
    covered = (energy >= low) & (energy <= high)
    if np.count_nonzero(covered) < 2:
        raise InputFileError(f"{at.source}: its absorption and CD do not overlap", "give them as two files")
    if not covered.all() or any(not (c.energy_ev[0] >= low and c.energy_ev[-1] <= high) for c in curves.values()):
        note = f"absorption and CD cover different energies: {low:.2f} to {high:.2f} eV are used"
        meta["warnings"] = [*meta.get("warnings", []), note]
    fields: dict[str, FloatArray] = {}
    for name, curve in curves.items():
        same = curve.energy_ev.shape == energy.shape and bool((curve.energy_ev == energy).all())
        errors = {name + STD if of == STD else of: values for of, values in curve.errors.items()}
        for key, values in ({name: curve.values} | errors).items():
            fields[key] = (values if same else np.interp(energy, curve.energy_ev, values))[covered]
    absent = np.full(int(covered.sum()), np.nan)
    try:
        return Spectrum(energy[covered], **{"epsilon": absent, "delta_epsilon": absent, **fields}, meta=meta)
    except ClusterMLError as error:
        raise InputFileError(f"{at.source}: {error.problem}", error.remedy) from error
