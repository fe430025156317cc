"""A label written: one JSON object, a CSV table, a figure, and on demand JCAMP-DX and Molden files of the orbitals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.basis import SHELL_LETTERS, Basis, molden_order
from clusterml.engine.fragments import Band
from clusterml.engine.label import Label, response_method
from clusterml.engine.orbitals.orbitals import Orbitals
from clusterml.engine.response.excited import ExcitedStates
from clusterml.errors import OutputError
from clusterml.io.files import make_folder, write_text
from clusterml.io.json import plain, write_json
from clusterml.spectrum.export import SCHEMA_VERSION, spectrum_block, states_block
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.structure.elements import figure_title, formula, structure_name
from clusterml.typing import IntArray
from clusterml.units import REFERENCE_HARTREE_EV, ev_to_nm

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.spectrum.view import View
    from clusterml.structure.charge import ChargeDecision


DIGEST = "result_digest"
"""Key of ``info`` of a structure that one of many results is made of: what that result is of, for going on later."""
_MOLDEN_LETTERS = SHELL_LETTERS[:5]
"""Shells that a Molden file can hold."""


def _ao_order(basis: Basis) -> IntArray:
    """Positions in our order of the functions in Molden's order (shells stay grouped by atom), shape (n_ao,)."""
    starts = np.concatenate([[0], np.cumsum(basis.shell_sizes)[:-1]])
    return np.concatenate([start + molden_order(s.l) for start, s in zip(starts, basis.shells, strict=True)])


def _basis_section(basis: Basis) -> list[str]:
    lines = ["[GTO]"]
    for atom in range(basis.n_atoms):
        lines.append(f"{atom + 1} 0")
        for shell in (s for s in basis.shells if s.atom == atom):
            lines.append(f" {_MOLDEN_LETTERS[shell.l]} {len(shell.exponents)} 1.00")
            pairs = zip(shell.exponents, shell.coefficients, strict=True)
            lines += [f"  {exponent:.12e} {coefficient:.12e}" for exponent, coefficient in pairs]
        lines.append("")
    return lines


def molden_text(orbitals: Orbitals) -> str:
    """The Molden text: geometry, contracted basis, and every kept orbital with energy (hartree) and occupation.

    Virtual energies contain the method's level shift, stated in the title.  Raises OutputError for functions beyond g,
    which the format does not know.
    """
    from ase.data import atomic_numbers

    basis = orbitals.basis
    if (highest := max(s.l for s in basis.shells)) >= len(_MOLDEN_LETTERS):
        problem = f"a Molden file cannot hold the {SHELL_LETTERS[highest]} functions of the basis"
        raise OutputError(problem, "leave out --molden, or use a smaller basis")
    lines = [
        "[Molden Format]",
        "[Title]",
        f"{orbitals.method} orbitals, virtual levels +{orbitals.virtual_shift_ev:g} eV",
    ]
    lines.append("[Atoms] AU")
    for n, (symbol, xyz) in enumerate(zip(orbitals.symbols, basis.coords_bohr, strict=True), start=1):
        lines.append(f"{symbol} {n} {atomic_numbers[symbol]} " + " ".join(f"{x:.10f}" for x in xyz))
    if orbitals.core_electrons is not None:
        lines += ["[Core]", *(f"{n} : {core}" for n, core in enumerate(orbitals.core_electrons, start=1) if core)]
    lines += _basis_section(basis)
    lines += ["[5D]", "[7F]", "[9G]", "[MO]"]
    order = _ao_order(basis)
    for k, (energy, occupation) in enumerate(zip(orbitals.energies_ev, orbitals.occupations, strict=True)):
        lines += [
            f" Sym= {k + 1}a",
            f" Ene= {energy / REFERENCE_HARTREE_EV:.10f}",
            " Spin= Alpha",
            f" Occup= {occupation:.6f}",
        ]
        lines += [f"{n} {c:.10e}" for n, c in enumerate(orbitals.coefficients[order, k], start=1)]
    return "\n".join(lines) + "\n"


def write_molden(orbitals: Orbitals, path: str | Path) -> Path:
    """Write :func:`molden_text` atomically. Raises OutputError naming the path."""
    return write_text(path, molden_text(orbitals))


_ENGINES = ("numpy", "torch", "pyscf", "tblite")
"""Packages whose version can change the numbers."""


def label_name(label: Label) -> str:
    """The name of the structure that was labelled, see :func:`structure_name`."""
    return structure_name(label.atoms)


def label_method(label: Label) -> str:
    """``sTDA-xTB``, or the orbitals' method with the kind of response: ``GFN1-xTB linear response``."""
    return response_method(label.orbitals)


def label_dict(label: Label, states: bool = False) -> dict[str, Any]:
    """The JSON object of a label: plain values, null for NaN.

    Energies in eV, wavelengths in nm, epsilon and band heights in L mol-1 cm-1, rotatory strengths in 1e-40 cgs,
    times in s.  ``states`` adds the block of excitations, which are eigenstates only from the ``states`` solver.
    """
    result = {
        **result_head(label.atoms, label.decision, label_method(label), label.spectrum),
        "bands": [_band(band) for band in label.bands],
        "reliability": label.reliability.to_dict(),
        "warnings": label.warnings,
        "timings_s": label.timings_s,
        "provenance": _provenance(label),
    }
    if states:
        result["states"] = states_block(label.transitions)
    return {key: plain(value) for key, value in result.items()}


def result_head(atoms: Atoms, decision: ChargeDecision, method: str, spectrum: Spectrum) -> dict[str, Any]:
    """What the JSON objects of all spectra begin with: version, method, structure, charge, spectrum."""
    return {
        "schema_version": SCHEMA_VERSION,
        "program": "clusterml",
        "version": version("clusterml"),
        "method": method,
        "name": structure_name(atoms),
        "source": atoms.info.get("source"),
        "charge": decision.charge,
        "n_atoms": len(atoms),
        "formula": formula(atoms.numbers),
        **decision.to_dict(),
        **({"digest": atoms.info[DIGEST]} if DIGEST in atoms.info else {}),
        "spectrum": spectrum_block(spectrum),
    }


def write_label(
    label: Label,
    folder: str | Path,
    name: str | None = None,
    *,
    states: bool = False,
    jcamp: bool = False,
    molden: str | Path | None = None,
    view: View | None = None,
) -> list[Path]:
    """Write ``NAME.csv``, ``NAME.png``, with ``jcamp`` ``NAME.jdx``, and ``NAME.json`` into ``folder``.

    Returns the paths.  ``name`` defaults to :func:`label_name`.  ``molden`` names a file for the orbitals; ``view``:
    axis and range of the picture.  Each file is written to a temporary name and renamed, the JSON last: where it is
    there, the others are too.  Raises :class:`clusterml.errors.OutputError` naming the path.
    """
    folder = make_folder(folder)
    orbitals = [] if molden is None else [write_orbitals(label, molden)]
    title = figure_title(label.atoms, label.charge, label_method(label))
    name = name or label_name(label)
    content = label_dict(label, states)
    title = f"{title}\n{label.reliability.headline}"
    how: dict[str, Any] = {"jcamp": jcamp, "view": view, "doubtful": label.reliability.doubtful}
    sticks = label.transitions if isinstance(label.response, ExcitedStates) else None
    *files, last = write_results(label.spectrum, content, folder / name, title, sticks, **how)
    return [*files, *orbitals, last]


def write_results(
    spectrum: Spectrum,
    content: dict[str, Any],
    stem: Path,
    title: str,
    transitions: Transitions | None = None,
    *,
    jcamp: bool = False,
    faint: Spectrum | None = None,
    beside: Mapping[str, Spectrum] | None = None,
    marks: Mapping[str, Sequence[float]] | None = None,
    doubtful: Sequence[tuple[float, float]] = (),
    view: View | None = None,
) -> list[Path]:
    """Write STEM.csv, STEM.png under ``title``, with ``jcamp`` STEM.jdx, and last STEM.json that holds ``content``.

    ``faint``: drawn as a thin line, the network's spectrum beside the engine's.  ``beside``: name -> spectra drawn
    with it, which is their mean.  ``marks``, ``doubtful``: see :func:`clusterml.spectrum.plot.draw`.  ``view``: axis
    and range of the picture.  Returns the paths; raises :class:`clusterml.errors.OutputError` naming the path.
    """
    from clusterml.spectrum.plot import draw

    paths = {ending: stem.with_name(f"{stem.name}.{ending}") for ending in ("csv", "png", "jdx", "json")}
    written = [spectrum.to_csv(paths["csv"])]
    labels: tuple[str, ...] = () if faint is None else ("engine",)
    if beside:
        labels = ("mean", *beside)
    curves = [spectrum, *(beside or {}).values()]
    draw(curves, paths["png"], title, transitions, labels, marks=marks, faint=faint, view=view, doubtful=doubtful)
    written.append(paths["png"])
    if jcamp:
        written.append(spectrum.to_jcamp(paths["jdx"], title=stem.name))
    written.append(write_json(content, paths["json"]))
    return written


def write_orbitals(label: Label, path: str | Path) -> Path:
    """Write the ground state's orbitals as a Molden file; raises :class:`clusterml.errors.OutputError`."""

    return write_molden(label.orbitals, path)


def _band(band: Band) -> dict[str, Any]:
    values = asdict(band)
    return {"kind": values.pop("kind"), "energy_ev": band.energy_ev, "wavelength_nm": ev_to_nm(band.energy_ev)} | values


def _provenance(label: Label) -> dict[str, Any]:
    structure = dict(label.atoms.info.get("provenance", {}))
    structure.pop("warnings", None)  # they are among the label's own
    versions = {"clusterml": version("clusterml")} | {name: version(name) for name in _ENGINES}
    return {**label.provenance, "structure": structure, "versions": versions}
