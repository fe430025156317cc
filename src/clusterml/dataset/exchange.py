"""Datasets out to other programs (extxyz, ASE database), and a user's own labels in."""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.dataset.record import LARGEST_FWHM_EV, N_LOWEST, Record, SpectralGrid, stored_positions
from clusterml.dataset.store import Store, grid_of
from clusterml.errors import DatasetError, InputFileError, OptionError, OutputError, SpectrumError
from clusterml.io.files import read_text, write_text
from clusterml.io.json import parse_json
from clusterml.spectrum.calculation import program_of, read_calculation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ase import Atoms

    from clusterml.spectrum.excitations import Excitations
    from clusterml.spectrum.spectrum import Spectrum

PREFIX = "clusterml_"
"""In front of every key of an exported record, so that no other program takes it for its own."""
_SCALARS = ("kind", "parent", "family", "shell", "hand", "pair", "method", "n_snapshots", "gap_ev")
_LISTS = ("energy_ev", "f_length", "r_velocity_cgs")
_LARGEST_CHARGE = 1000
_CURVES = ("epsilon", "delta_epsilon", "epsilon_std", "delta_epsilon_std")


def to_atoms(record: Record) -> Atoms:
    """A record as ASE Atoms: scalars and curves in ``info`` under prefixed keys; ``charge`` and ``name`` plain.

    An empty text, such as the shell of a bare cluster, is left out.
    """
    from ase import Atoms

    atoms = Atoms(record.numbers, record.positions)
    atoms.info.update(charge=record.charge, name=record.id)
    atoms.info.update(known({PREFIX + key: getattr(record, key) for key in _SCALARS}))
    atoms.info.update({PREFIX + key: getattr(record, key) for key in _CURVES})
    atoms.info[f"{PREFIX}energy_ev"] = record.grid.energy_ev.copy()
    atoms.info[f"{PREFIX}fwhm_ev"] = record.fwhm_ev
    return atoms


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` without None and empty texts: these make readers of extended xyz lose what follows them."""
    return {name: value for name, value in values.items() if value is not None and value != ""}


def export_extxyz(records: Iterable[Record], path: Path) -> int:
    """Write records to one extxyz file, atomically; returns how many."""
    import io

    from ase.io.extxyz import write_xyz

    buffer, count = io.StringIO(), 0
    for record in records:
        write_xyz(buffer, [to_atoms(record)])
        count += 1
    write_text(path, buffer.getvalue())
    return count


def export_ase_db(records: Iterable[Record], path: Path) -> int:
    """Write records to a new ASE database (SQLite): scalars as key-value pairs, curves as data; returns how many.

    Raises :class:`OptionError` if the file exists, :class:`~clusterml.errors.OutputError` if it cannot be written, and
    :class:`DatasetError` for a record that ASE does not take.  The file is there once all of it is.
    """
    if os.path.lexists(path):
        raise OptionError(f"{path} exists already", "choose another name, or remove it")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp.db")
    try:
        count = _write_ase_db(records, temporary)
        os.replace(temporary, path)
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"{path} cannot be written: {error}", "check that its folder exists and has space") from error
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _write_ase_db(records: Iterable[Record], path: Path) -> int:
    from ase.db import connect

    count = 0
    with connect(path, type="db", use_lock_file=False) as database:
        for record in records:
            pairs = {PREFIX + key: getattr(record, key) for key in _SCALARS}
            pairs |= {f"{PREFIX}charge": record.charge, f"{PREFIX}fwhm_ev": record.fwhm_ev}
            curves = {PREFIX + key: getattr(record, key) for key in _CURVES}
            atoms = to_atoms(record)
            atoms.info = {}
            try:
                database.write(
                    atoms, key_value_pairs=_quote(pairs), data={**curves, f"{PREFIX}energy_ev": record.grid.energy_ev}
                )
            except ValueError as error:
                problem = f"record {record.id} does not fit into an ASE database: {error}"
                raise DatasetError(problem, "export to .extxyz") from error
            count += 1
    return count


def export(records: Iterable[Record], path: Path) -> int:
    """Write records in the format that the name of ``path`` promises: .xyz or .extxyz, or .db; returns how many.

    Raises :class:`OptionError` for another ending.
    """
    writers = {".xyz": export_extxyz, ".extxyz": export_extxyz, ".db": export_ase_db}
    if path.suffix not in writers:
        raise OptionError(f"{path}: the ending is {path.suffix!r}", f"choose one of {', '.join(writers)}")
    return writers[path.suffix](records, path)


def _quote(pairs: dict[str, Any]) -> dict[str, Any]:
    """ASE refuses texts that it would read as numbers or truths: these, and empty ones, get a leading underscore."""
    from ase.db.core import str_represents

    def quoted(value: Any) -> Any:
        is_taken = isinstance(value, str) and (not value or any(str_represents(value, t) for t in (bool, int, float)))
        return f"_{value}" if is_taken else value

    return {key: quoted(value) for key, value in pairs.items()}


def import_labels(
    folder: str | Path, files: Sequence[Path], method: str, family: str, charge: int | None = None
) -> tuple[list[str], list[str]]:
    """Add a user's own labels to the dataset ``folder``; returns the names of the new records, and what to know.

    Each of ``files`` is the output of a finished calculation (:mod:`clusterml.spectrum.calculation`), or JSON:
    ``{"structure": FILE, "charge": Q, "transitions": {"energy_ev": [..], "f_length": [..], "r_velocity_cgs": [..]}}``,
    as a TDDFT program prints them (eV; 1e-40 cgs), or with ``"spectrum"`` in place of ``"transitions"``, as our own
    JSON results have it, with the width ``fwhm_ev`` of its bands.  FILE lies beside the JSON file.  A spectrum narrower
    than those of the dataset (0.10 eV in a new one) is broadened by the difference, a wider one keeps its width, which
    the record names.  What a label does not have (tensors, other gauges) is stored as zeros and listed in
    ``details["missing"]``.  ``charge``: that of outputs which do not state one.

    Raises :class:`InputFileError` naming file and key, :class:`DatasetError` for a name that is taken,
    :class:`OptionError` for a method or family that is no word, for a ``charge`` that no file lacks, and where cclib is
    not installed.  Nothing is added then.
    """
    for key, word in (("method", method), ("family", family)):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", word):
            raise OptionError(f"{key} is {word!r}", "give one word of letters, digits and . _ + -")
    records = list(_read_labels(files, method, family, charge, grid_of(Path(folder))))
    with Store.held(folder) as store:
        names = store.finished()
        for record in records:
            if record.id in names:
                raise DatasetError(f"{folder}: has a record {record.id} already", "rename the file")
            names.add(record.id)
        for record in records:
            store.add(record)
        store.pack()
    return [record.id for record in records], [word for record in records for word in record.details["warnings"]]


def _read_labels(
    files: Sequence[Path], method: str, family: str, charge: int | None, grid: SpectralGrid
) -> Iterator[Record]:
    from clusterml.structure.anatomy.anatomy import anatomy

    for path in files:
        text = read_text(path)
        if path.suffix.lower() == ".json" or program_of(text) is None:
            atoms, label = _from_json(path, parse_json(text, str(path)), grid)
        else:
            atoms, label = _from_calculation(read_calculation(text, str(path)), path, grid)
        if charge is not None and atoms.info.get("charge") is not None:
            raise OptionError(f"{path}: states the charge {atoms.info['charge']}", "leave --charge out")
        atoms.positions[:] = stored_positions(atoms.positions - atoms.positions.mean(axis=0))
        counts = anatomy(atoms).ligand_counts()
        details = {"missing": label.missing, "warnings": label.warnings, "provenance": {"file": path.name}}
        try:
            yield Record(
                id=f"{method}-{path.stem}",
                kind="imported",
                parent=family,
                family=family,
                shell="+".join(f"{count}{name}" for name, count in sorted(counts.items())),
                hand="0",
                pair=f"{method}-{path.stem}",
                method=method,
                charge=_charge(path, atoms.info.get("charge") if charge is None else charge),
                numbers=np.asarray(atoms.numbers, dtype=np.int64),
                positions=np.asarray(atoms.positions),
                gap_ev=label.gap_ev,
                details=details | label.further(),
                grid=grid,
                **label.curves,
                **label.lowest,
            )
        except DatasetError as error:
            raise InputFileError(f"{path}: {error.problem}", error.remedy) from error


def _from_json(path: Path, content: dict[str, Any], grid: SpectralGrid) -> tuple[Atoms, _ImportedLabel]:
    from clusterml.structure.read import read

    atoms = read(_structure_file(path, content.get("structure")))
    if "charge" in content:
        atoms.info["charge"] = _charge(path, content["charge"])
    return atoms, _label_of(path, content, grid)


def _from_calculation(excitations: Excitations, path: Path, grid: SpectralGrid) -> tuple[Atoms, _ImportedLabel]:
    """The structure and the label of an output; raises :class:`InputFileError` for one without CD or geometry."""
    from ase import Atoms

    from clusterml.structure.check import check_geometry
    from clusterml.structure.elements import atomic_number

    if not excitations.has_cd:
        problem = f"{path}: {excitations.program} printed no rotatory strengths, which records need"
        raise InputFileError(problem, "compute them (Turbomole: escf; ORCA and Gaussian print them unasked)")
    numbers = [atomic_number(symbol) for symbol in excitations.symbols]
    if not numbers or None in numbers:
        advice = "write structure and excitations into a JSON file, see clusterml dataset import --help"
        raise InputFileError(f"{path}: the output of {excitations.program} has no geometry that can be read", advice)
    atoms = Atoms(numbers, np.array(excitations.positions, dtype=np.float64))
    check_geometry(atoms)
    atoms.info["charge"] = excitations.charge
    lines = excitations.transitions()
    label = _label_of_transitions(path, lines.energy_ev, lines.f_length, lines.r_velocity_cgs, grid)
    label.warnings.extend(excitations.notes)
    return atoms, label


def _structure_file(path: Path, name: Any) -> Path:
    """The structure that a label names: a file beside it, or in a folder there."""
    if not isinstance(name, str) or not name:
        raise InputFileError(f"{path}: key 'structure' is missing", "name the xyz file beside it")
    file = path.parent / name
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(path.parent)):
        raise InputFileError(f"{path}: structure '{name[:80]}' lies elsewhere", "put the file beside the JSON file")
    return file


def _charge(path: Path, charge: Any) -> int:
    if isinstance(charge, bool) or not isinstance(charge, int) or abs(charge) > _LARGEST_CHARGE:
        raise InputFileError(f"{path}: charge is {charge!r:.40}", "give the whole number of the total charge")
    return charge


def _gap(path: Path, gap: Any) -> float:
    if isinstance(gap, bool) or not isinstance(gap, int | float) or not 0.0 <= gap <= 100.0:
        raise InputFileError(f"{path}: gap_ev is {gap!r:.40}", "give the HOMO-LUMO gap in eV, or leave it out")
    return float(gap)


@dataclass(frozen=True)
class _ImportedLabel:
    """What a file says: ``curves`` and ``lowest`` by column of a record, their width, what is ``missing``.

    ``reaches_ev``: where its excitations end, None if that is above the stored energies.
    """

    curves: dict[str, Any]
    lowest: dict[str, Any]
    grid: SpectralGrid
    fwhm_ev: float
    missing: list[str]
    warnings: list[str]
    reaches_ev: float | None
    gap_ev: float = 0.0

    def further(self) -> dict[str, float]:
        """The details of a record that are not those of our own labels."""
        width = {} if self.fwhm_ev == self.grid.fwhm_ev else {"fwhm_ev": self.fwhm_ev}
        return width | ({} if self.reaches_ev is None else {"reaches_ev": self.reaches_ev})


def _label_of(path: Path, content: dict[str, Any], grid: SpectralGrid) -> _ImportedLabel:
    gap = _gap(path, content.get("gap_ev", 0.0))
    if "transitions" in content:
        energy, f, r = (_numbers(path, content["transitions"], key) for key in _LISTS)
        label = _label_of_transitions(path, energy, f, r, grid)
        return replace(label, gap_ev=gap)
    if "spectrum" not in content:
        raise InputFileError(f"{path}: has neither 'transitions' nor 'spectrum'", "give one of them")
    spectrum = _spectrum_to_store(path, content, grid)
    blank, lowest = _blank_columns(grid)
    width = float(spectrum.meta["fwhm_ev"])
    return _ImportedLabel(blank | _curves(spectrum, grid), lowest, grid, width, [*blank, *lowest], [], None, gap)


def _label_of_transitions(path: Path, energy: Any, f: Any, r: Any, grid: SpectralGrid) -> _ImportedLabel:
    """Of energies (n,) in eV, oscillator strengths and rotatory strengths in 1e-40 cgs."""
    spectrum = _broaden(path, energy, f, r, grid)
    blank, lowest = _blank_columns(grid)
    order = np.argsort(energy)[:N_LOWEST]
    for name, values in zip(lowest, (energy, f, r), strict=True):
        lowest[name][: len(order)] = values[order]
    reaches, warnings = None, list[str]()
    if energy.max() < grid.energy_ev[-1]:
        reaches = float(energy.max())
        warnings = [f"{path.name}: excitations end at {reaches:.2f} eV: nothing is taught about energies above"]
    return _ImportedLabel(blank | _curves(spectrum, grid), lowest, grid, grid.fwhm_ev, list(blank), warnings, reaches)


def _blank_columns(grid: SpectralGrid) -> tuple[dict[str, Any], dict[str, Any]]:
    """Curves that no imported label has, and the lowest excitations, of zeros."""
    m = grid.n_points
    curves = {name: np.zeros(m) for name in ("epsilon_velocity", "delta_epsilon_length")}
    tensors = {name: np.zeros((m, 3, 3)) for name in ("absorption_tensor", "rotatory_tensor")}
    return curves | tensors, {name: np.zeros(N_LOWEST) for name in ("lowest_ev", "lowest_f", "lowest_r_cgs")}


def _curves(spectrum: Spectrum, grid: SpectralGrid) -> dict[str, Any]:
    names = ("epsilon", "delta_epsilon")
    return {name: np.interp(grid.energy_ev, spectrum.energy_ev, getattr(spectrum, name)) for name in names}


def _spectrum_to_store(path: Path, content: dict[str, Any], grid: SpectralGrid) -> Spectrum:
    """The file's spectrum: complete, over the stored energies, fine enough, and at least as wide as stored ones."""
    from clusterml.spectrum.compare import broaden_to, stated_width
    from clusterml.spectrum.export import spectrum_of

    spectrum = spectrum_of(content, str(path))
    width = stated_width(spectrum)
    if width is None or width > LARGEST_FWHM_EV:
        stated = spectrum.meta.get("fwhm_ev")
        raise InputFileError(f"{path}: spectrum.fwhm_ev is {stated!r:.40}", "give the width of its bands in eV")
    if spectrum.meta.get("shape", "gaussian") != "gaussian":
        raise InputFileError(f"{path}: its bands are {spectrum.meta['shape']!r:.40}", "give Gaussian bands")
    if not (spectrum.has_absorption and spectrum.has_cd):
        raise InputFileError(f"{path}: the spectrum lacks absorption or CD", "give both")
    low, high = float(spectrum.energy_ev[0]), float(spectrum.energy_ev[-1])
    stored = grid.energy_ev
    if low > stored[0] + 1e-6 or high < stored[-1] - 1e-6:
        needed = f"{stored[0]:.2f} to {stored[-1]:.2f} eV are stored"
        raise InputFileError(f"{path}: the spectrum is from {low:.2f} to {high:.2f} eV", needed)
    step = float(np.diff(spectrum.energy_ev).max())
    if step > 0.5 * width:
        raise InputFileError(
            f"{path}: energies are up to {step:.3g} eV apart", "give points closer than half its fwhm_ev"
        )
    return broaden_to(spectrum, grid.fwhm_ev) if width < grid.fwhm_ev else spectrum


def _broaden(path: Path, energy: Any, f: Any, r: Any, grid: SpectralGrid) -> Spectrum:
    from clusterml.spectrum.transitions import Transitions

    if not len(energy) == len(f) == len(r):
        raise InputFileError(f"{path}: transitions have lists of different length", "one number per excitation in each")
    if not len(energy):
        raise InputFileError(f"{path}: transitions are empty lists", "give the excitations, or a spectrum instead")
    none = np.zeros((len(energy), 3))
    try:
        return Transitions(energy, f, f, r, r, none, none, none).broaden(grid.energy_ev, grid.fwhm_ev)
    except SpectrumError as error:
        raise InputFileError(f"{path}: transitions: {error.problem}", error.remedy) from error


def _numbers(path: Path, values: Any, key: str) -> Any:
    try:
        array = np.asarray(values[key], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{path}: transitions.{key} is missing or not a list of numbers"
        raise InputFileError(problem, f"give {', '.join(_LISTS)}") from error
    if array.ndim != 1 or not np.isfinite(array).all():
        raise InputFileError(f"{path}: transitions.{key} is not a list of finite numbers", "correct it")
    return array
