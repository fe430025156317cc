"""Writing a label: one JSON object, a CSV table, a figure, and on demand JCAMP-DX and Molden files."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clusterml.spectrum.files import make_folder
from clusterml.spectrum.jsonio import SCHEMA_VERSION, plain, spectrum_block, states_block, write_json
from clusterml.stda.fragments import Band
from clusterml.stda.label import Label
from clusterml.structure.elements import formula
from clusterml.units import ev_to_nm

_ENGINES = ("numpy", "torch", "pyscf", "tblite")
"""Packages whose version can change the numbers."""


def label_name(label: Label) -> str:
    """The structure's name, as its reader or its maker gave it; ``structure`` if it has none."""
    return str(label.atoms.info.get("name") or "structure")


def label_method(label: Label) -> str:
    """``sTDA-xTB``, or the orbitals' method with the kind of response: ``GFN1-xTB linear response``."""
    method = label.orbitals.method
    return method if method == "sTDA-xTB" else f"{method} linear response"


def label_dict(label: Label, states: bool = False) -> dict[str, Any]:
    """The JSON object of a label: plain values, null for NaN.

    Energies in eV, wavelengths in nm, epsilon and band heights in L mol-1 cm-1, rotatory strengths in 1e-40 cgs,
    times in s.  ``states`` adds the block of excitations, which are eigenstates only from the ``states`` solver.
    """
    result = {
        "schema_version": SCHEMA_VERSION,
        "program": "clusterml",
        "version": version("clusterml"),
        "method": label_method(label),
        "name": label_name(label),
        "source": label.atoms.info.get("source"),
        "charge": label.charge,
        "n_atoms": len(label.atoms),
        "formula": formula(label.atoms.numbers),
        "spectrum": spectrum_block(label.spectrum),
        "bands": [_band(band) for band in label.bands],
        "warnings": label.warnings,
        "timings_s": label.timings_s,
        "provenance": _provenance(label),
    }
    if states:
        result["states"] = states_block(label.transitions)
    return {key: plain(value) for key, value in result.items()}


def write_label(
    label: Label,
    folder: str | Path,
    name: str | None = None,
    *,
    states: bool = False,
    jcamp: bool = False,
    molden: str | Path | None = None,
) -> list[Path]:
    """Write ``NAME.csv``, ``NAME.png``, with ``jcamp`` ``NAME.jdx``, and ``NAME.json`` into ``folder``.

    Returns the paths.  ``name`` defaults to :func:`label_name`.  ``molden`` names a file for the orbitals.  Each file
    is written to a temporary name and renamed, the JSON last: where it is there, the others are too.  Raises
    :class:`clusterml.errors.OutputError` naming the path.
    """
    folder = make_folder(folder)
    name = name or label_name(label)
    paths = {ending: folder / f"{name}.{ending}" for ending in ("csv", "png", "jdx", "json")}
    written = [label.spectrum.to_csv(paths["csv"])]
    label.spectrum.plot(paths["png"], title=_title(label), transitions=label.transitions)
    written.append(paths["png"])
    if jcamp:
        written.append(label.spectrum.to_jcamp(paths["jdx"], title=name))
    if molden is not None:
        written.append(write_orbitals(label, molden))
    written.append(write_json(label_dict(label, states), paths["json"]))
    return written


def write_orbitals(label: Label, path: str | Path) -> Path:
    """Write the ground state's orbitals as a Molden file; raises :class:`clusterml.errors.OutputError`."""
    from clusterml.stda.molden import write_molden

    return write_molden(label.orbitals, path)


def _band(band: Band) -> dict[str, Any]:
    values = asdict(band)
    return {"kind": values.pop("kind"), "energy_ev": band.energy_ev, "wavelength_nm": ev_to_nm(band.energy_ev)} | values


def _title(label: Label) -> str:
    charge = f"{abs(label.charge)}{'+' if label.charge > 0 else '-'}" if label.charge else "neutral"
    # A file name need not be text; matplotlib accepts nothing else.
    name = label_name(label).encode("utf-8", "replace").decode()
    return f"{name}: {formula(label.atoms.numbers)}, {charge}, {label_method(label)}"


def _provenance(label: Label) -> dict[str, Any]:
    structure = dict(label.atoms.info.get("provenance", {}))
    structure.pop("warnings", None)  # they are among the label's own
    versions = {"clusterml": version("clusterml")} | {name: version(name) for name in _ENGINES}
    return {**label.provenance, "structure": structure, "versions": versions}
