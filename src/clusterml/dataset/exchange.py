"""Datasets out to other programs (extxyz, ASE database), and a user's own labels in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.dataset.record import GRID_EV, N_LOWEST, Record, stored_positions
from clusterml.dataset.store import Store
from clusterml.errors import DatasetError, InputFileError, OptionError
from clusterml.locks import exclusive
from clusterml.spectrum.files import read_text, write_text
from clusterml.spectrum.jsonio import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ase import Atoms

    from clusterml.spectrum.spectrum import Spectrum

PREFIX = "clusterml_"
"""In front of every key of an exported record, so that no other program takes it for its own."""
_SCALARS = ("kind", "parent", "family", "shell", "hand", "pair", "method", "n_snapshots", "gap_ev")
_LISTS = ("energy_ev", "f_length", "r_velocity_cgs")
_CURVES = ("epsilon", "delta_epsilon", "epsilon_std", "delta_epsilon_std")


def to_atoms(record: Record) -> Atoms:
    """A record as ASE Atoms: scalars and curves in ``info`` under prefixed keys; ``charge`` and ``name`` plain."""
    from ase import Atoms

    atoms = Atoms(record.numbers, record.positions)
    atoms.info.update(charge=record.charge, name=record.id)
    atoms.info.update({PREFIX + key: getattr(record, key) for key in (*_SCALARS, *_CURVES)})
    atoms.info[f"{PREFIX}energy_ev"] = GRID_EV.copy()
    return atoms


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

    Raises :class:`OptionError` if the file exists.
    """
    from ase.db import connect

    if path.exists():
        raise OptionError(f"{path} exists already", "choose another name, or remove it")
    count = 0
    with connect(path, type="db") as database:
        for record in records:
            pairs = {PREFIX + key: getattr(record, key) for key in _SCALARS} | {f"{PREFIX}charge": record.charge}
            curves = {PREFIX + key: getattr(record, key) for key in _CURVES}
            atoms = to_atoms(record)
            atoms.info = {}
            database.write(atoms, key_value_pairs=_quoted(pairs), data={**curves, f"{PREFIX}energy_ev": GRID_EV})
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


def _quoted(pairs: dict[str, Any]) -> dict[str, Any]:
    """ASE refuses strings that look like numbers: such names get a leading underscore."""
    return {k: f"_{v}" if isinstance(v, str) and re.fullmatch(r"[-+.0-9eE]+|", v) else v for k, v in pairs.items()}


def import_labels(folder: str | Path, files: Sequence[Path], method: str, family: str) -> list[str]:
    """Add a user's own labels to the dataset ``folder``; returns the names of the new records.

    Each of ``files`` is JSON: ``{"structure": FILE, "charge": Q, "transitions": {"energy_ev": [..], "f_length": [..],
    "r_velocity_cgs": [..]}}``, as a TDDFT program prints them (eV; 1e-40 cgs), or with ``"spectrum"`` in place of
    ``"transitions"``, as our own JSON results have it.  What a label does not have (tensors, other gauges) is stored as
    zeros and listed in ``details["missing"]``.

    Raises :class:`InputFileError` naming file and key, :class:`DatasetError` for a name that is taken.
    """
    store = Store(folder)
    if not re.fullmatch(r"[A-Za-z0-9._+-]+", method):
        raise OptionError(f"method is {method!r}", "give one word, e.g. TDDFT-CAM-B3LYP")
    records = list(_imported(files, method, family))
    with exclusive(store.folder):
        taken = store.finished()
        for record in records:
            if record.id in taken:
                raise DatasetError(f"{folder}: has a record {record.id} already", "rename the file")
            taken.add(record.id)
        for record in records:
            store.add(record)
        store.pack()
    return [record.id for record in records]


def _imported(files: Sequence[Path], method: str, family: str) -> Iterator[Record]:
    from clusterml.structure.anatomy.anatomy import anatomy
    from clusterml.structure.read import read

    for path in files:
        content = parse_json(read_text(path), str(path))
        if not isinstance(content.get("structure"), str):
            raise InputFileError(f"{path}: key 'structure' is missing", "name the xyz file beside it")
        atoms = read(path.parent / content["structure"])
        atoms.positions[:] = stored_positions(atoms.positions - atoms.positions.mean(axis=0))
        charge = content.get("charge", atoms.info.get("charge"))
        if isinstance(charge, bool) or not isinstance(charge, int):
            raise InputFileError(f"{path}: charge is {charge!r}", "give a whole number")
        curves, lowest, missing = _curves(path, content)
        counts = anatomy(atoms).ligand_counts()
        yield Record(
            id=f"{method}-{path.stem}",
            kind="imported",
            parent=family,
            family=family,
            shell="+".join(f"{count}{name}" for name, count in sorted(counts.items())),
            hand="0",
            pair=f"{method}-{path.stem}",
            method=method,
            charge=charge,
            numbers=np.asarray(atoms.numbers, dtype=np.int64),
            positions=np.asarray(atoms.positions),
            gap_ev=float(content.get("gap_ev", 0.0)),
            details={"missing": missing, "provenance": {"file": path.name}},
            **curves,
            **lowest,
        )


def _curves(path: Path, content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    m = len(GRID_EV)
    empty = {name: np.zeros(m) for name in ("epsilon_velocity", "delta_epsilon_length")}
    empty |= {name: np.zeros((m, 3, 3)) for name in ("absorption_tensor", "rotatory_tensor")}
    lowest = {name: np.zeros(N_LOWEST) for name in ("lowest_ev", "lowest_f", "lowest_r_cgs")}
    if "transitions" in content:
        energy, f, r = (_numbers(path, content["transitions"], key) for key in _LISTS)
        spectrum = _broadened(path, energy, f, r)
        order = np.argsort(energy)[:N_LOWEST]
        for name, values in zip(lowest, (energy, f, r), strict=True):
            lowest[name][: len(order)] = values[order]
        missing = list(empty)
    elif "spectrum" in content:
        from clusterml.spectrum.jsonio import read_spectrum

        spectrum = read_spectrum(path)
        missing = [*empty, *lowest, "width: as measured or computed, not that of the other records"]
    else:
        raise InputFileError(f"{path}: has neither 'transitions' nor 'spectrum'", "give one of them")
    values = {
        name: np.interp(GRID_EV, spectrum.energy_ev, getattr(spectrum, name)) for name in ("epsilon", "delta_epsilon")
    }
    return {**values, **empty}, lowest, missing


def _broadened(path: Path, energy: Any, f: Any, r: Any) -> Spectrum:
    from clusterml.dataset.record import FWHM_EV
    from clusterml.spectrum.transitions import Transitions

    if not len(energy) == len(f) == len(r):
        raise InputFileError(f"{path}: transitions have lists of different length", "one number per excitation in each")
    none = np.zeros((len(energy), 3))
    return Transitions(energy, f, f, r, r, none, none, none).broaden(GRID_EV, FWHM_EV)


def _numbers(path: Path, values: Any, key: str) -> Any:
    try:
        array = np.asarray(values[key], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{path}: transitions.{key} is missing or not a list of numbers"
        raise InputFileError(problem, f"give {', '.join(_LISTS)}") from error
    if array.ndim != 1 or not np.isfinite(array).all():
        raise InputFileError(f"{path}: transitions.{key} is not a list of finite numbers", "correct it")
    return array
