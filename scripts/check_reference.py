"""Compare the engine's reference mode with the programs it re-implements: a markdown table, one row per molecule.

    python scripts/check_reference.py                         the numbers shipped in tests/data/engine
    python scripts/check_reference.py FOLDER [--only NAME ..] [--dtype float32] [--device cuda]

Reads every closed-shell result (``*.json``: energies, CSF counts, excitations) in the folder.  A result holds its
geometry, or names a file relative to a folder above it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from clusterml.engine.label import Label, label
from clusterml.spectrum.transitions import Transitions
from clusterml.structure.read import read

FWHM_EV = 0.2
SAME_ENERGY_EV = 5e-4
"""States closer than this mix freely within rounding: their strengths are compared as sums."""
FLOORS = {"f": 1e-4, "R": 0.1, "g": 1e-5}
"""Smallest scales deviations are relative to (f; R in 1e-40 cgs; CD over absorption): achiral molecules have R ~ 0."""


@dataclass(frozen=True)
class Agreement:
    """How far the engine is from the programs: largest deviations; ``f``, ``r`` and spectra relative to the largest.

    ``csf``, ``expected_csf``: (primary, selected by perturbation).  ``mo_ev`` is None where the result has no orbital
    energies; energies and strengths are None where the number of states differs.
    """

    name: str
    n_atoms: int
    csf: tuple[int, int]
    expected_csf: tuple[int, int]
    n_states: int
    expected_states: int
    mo_ev: float | None
    excitation_ev: float | None
    f: float | None
    r: float | None
    absorption: float
    cd: float


def results(folder: Path, only: list[str]) -> Iterator[tuple[dict[str, Any], Atoms]]:
    """Every closed-shell result of the folder with its geometry, small molecules first."""
    found = []
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text())
        if "E_eV" in data and not data.get("n_unpaired") and (not only or data["name"] in only):
            found.append((data, geometry(data, folder)))
    yield from sorted(found, key=lambda item: len(item[1]))


def geometry(data: dict[str, Any], folder: Path) -> Atoms:
    """The geometry of a result, its charge in ``info``."""
    if "structure" not in data:
        return Atoms(data["symbols"], data["xyz_angstrom"], info={"charge": data["charge"]})
    for parent in (folder, *folder.resolve().parents):
        if (parent / data["structure"]).is_file():
            atoms = read(parent / data["structure"])
            atoms.info["charge"] = data["charge"]
            return atoms
    raise SystemExit(f"{data['name']}: there is no {data['structure']} in {folder} or above it")


def compare(data: dict[str, Any], atoms: Atoms, **settings: Any) -> Agreement:
    """Run the engine as ``data`` was made, and compare."""
    emax = data["energy_threshold_eV"]
    options: dict[str, Any] = {"orbitals": "stda-xtb", "mode": "reference", "solver": "states", "allow_several": True}
    ours = label(atoms, emax_ev=emax, **options, **settings)
    theirs = _transitions(data, ours.transitions)
    counts = ours.response.counts
    same = len(ours.transitions) == data["n_states"]
    f = [_strengths(theirs, ours.transitions, name, "f") for name in ("f_length", "f_velocity")] if same else None
    r = [_strengths(theirs, ours.transitions, name, "R") for name in ("r_length_cgs", "r_velocity_cgs")] if same else []
    spectra = [_spectra(theirs, ours.transitions, emax, gauge) for gauge in ("length", "velocity")]
    return Agreement(
        name=data["name"],
        n_atoms=len(atoms),
        csf=(counts["n_primary"], counts["n_selected"]),
        expected_csf=(data["n_csf_primary"], data["n_csf_pt"]),
        n_states=len(ours.transitions),
        expected_states=data["n_states"],
        mo_ev=_orbitals(data, ours),
        excitation_ev=float(np.abs(ours.transitions.energy_ev - theirs.energy_ev).max()) if same else None,
        f=max(f) if f else None,
        r=max(r) if r else None,
        absorption=max(s[0] for s in spectra),
        cd=max(s[1] for s in spectra),
    )


def _transitions(data: dict[str, Any], like: Transitions) -> Transitions:
    none = np.zeros((data["n_states"], 3))
    return replace(
        like,
        energy_ev=np.array(data["E_eV"]),
        f_length=np.array(data["fL"]),
        f_velocity=np.array(data["fV"]),
        r_length_cgs=np.array(data["RL"]),
        r_velocity_cgs=np.array(data["RV_corr"]),
        electric_au=none,
        velocity_au=none,
        magnetic_au=none,
    )


def _orbitals(data: dict[str, Any], ours: Label) -> float | None:
    if "eps_occ_eV" not in data:
        return None
    expected = np.array(data["eps_occ_eV"] + data["eps_virt_eV"])
    if len(expected) != len(ours.orbitals.energies_ev):
        return float("inf")
    return float(np.abs(ours.orbitals.energies_ev - expected).max())


def _strengths(theirs: Transitions, ours: Transitions, name: str, kind: str) -> float:
    """Largest deviation of strengths summed over near-degenerate states, relative to the largest single one."""
    starts = np.flatnonzero(np.diff(theirs.energy_ev, prepend=-1.0) > SAME_ENERGY_EV)
    expected = getattr(theirs, name)
    change = np.add.reduceat(getattr(ours, name) - expected, starts)
    return float(np.abs(change).max() / max(np.abs(expected).max(), FLOORS[kind]))


def _spectra(theirs: Transitions, ours: Transitions, emax: float, gauge: str) -> tuple[float, float]:
    grid = np.arange(25, round(50 * emax) + 1) / 50.0
    a, b = (t.broaden(grid, FWHM_EV, gauge=gauge, absorption_gauge=gauge) for t in (ours, theirs))
    scale = max(b.epsilon.max(), 1.0)
    cd_scale = max(np.abs(b.delta_epsilon).max(), FLOORS["g"] * scale)
    return (
        float(np.abs(a.epsilon - b.epsilon).max() / scale),
        float(np.abs(a.delta_epsilon - b.delta_epsilon).max() / cd_scale),
    )


HEADER = (
    "| system | atoms | CSFs primary + selected | states | max dE_MO / eV | max dE_exc / eV | f / % | R / % "
    "| absorption / % | CD / % |\n|---|---|---|---|---|---|---|---|---|---|"
)


def row(a: Agreement) -> str:
    """One line of the table; where counts differ, the programs' stand in brackets."""

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.2g}"

    def ev(value: float | None) -> str:
        return "-" if value is None else f"{value:.1e}"

    csf = f"{a.csf[0]} + {a.csf[1]}" + (
        "" if a.csf == a.expected_csf else f" ({a.expected_csf[0]} + {a.expected_csf[1]})"
    )
    states = f"{a.n_states}" + ("" if a.n_states == a.expected_states else f" ({a.expected_states})")
    numbers = [ev(a.mo_ev), ev(a.excitation_ev), *map(percent, (a.f, a.r, a.absorption, a.cd))]
    return f"| {a.name} | {a.n_atoms} | {csf} | {states} | {' | '.join(numbers)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("folder", type=Path, nargs="?", default=here / "tests" / "data" / "engine")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="systems to compare (default: all)")
    parser.add_argument("--dtype", default="float64", choices=["float64", "float32"])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    print(
        f"Deviations of f, R relative to the largest (states within {SAME_ENERGY_EV * 1000:g} meV summed), of the "
        f"spectra (fwhm {FWHM_EV} eV, worse of both gauges) relative to the maximum.\n\n{HEADER}"
    )
    for data, atoms in results(arguments.folder, arguments.only):
        print(row(compare(data, atoms, dtype=arguments.dtype, device=arguments.device)), flush=True)


if __name__ == "__main__":
    main()
