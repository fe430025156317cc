"""Compare the two orbital sources on given clusters: gap, bands against experiment, CD scale, smoothness, seconds.

    python scripts/compare_orbital_sources.py --log results/sources.jsonl FILE[:CHARGE[:MEASURED_SYSTEM]] ...

Prints one row per cluster and source for docs/science/orbital-sources.md.  Finished rows are kept in the log and not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import clusterml
from clusterml.spectrum.bands import compare_bands

SOURCES = {
    "stda-xtb": {"orbitals": "stda-xtb"},
    "gfn1": {"orbitals": "gfn1", "solvent": "methanol"},
}
STEP_ANGSTROM = 0.005


def cosine(a, b):
    """Cosine similarity of two curves."""
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def row(path, charge, system, source, args):
    """Everything the table says about one cluster and source."""
    atoms = clusterml.read(path, allow_several=True)
    options = {"emax_ev": args.emax, "fwhm_ev": args.fwhm, "dtype": args.dtype, "allow_several": True} | SOURCES[source]
    start = time.perf_counter()
    result = clusterml.label(atoms, charge, **options)
    seconds = time.perf_counter() - start
    moved = atoms.copy()
    direction = np.random.default_rng(0).normal(size=(len(atoms), 3))
    moved.positions += STEP_ANGSTROM * direction / np.sqrt((direction**2).sum(axis=1).mean())
    after = clusterml.label(moved, charge, **options).spectrum
    peaks = [b for b in result.bands if b.kind == "absorption" and b.energy_ev < args.emax - 0.2]
    bands_nm = [round(1239.84 / b.energy_ev) for b in peaks]
    out = {
        "cluster": result.atoms.get_chemical_formula(),
        "file": Path(path).name,
        "source": source,
        "charge": result.charge,
        "raw_gap_ev": result.orbitals.raw_gap_ev,
        "bands_nm": bands_nm,
        "max_g": float(np.nanmax(np.abs(result.spectrum.g_abs))),
        "cd_max": float(np.abs(result.spectrum.delta_epsilon).max()),
        "absorption_step_cosine": cosine(result.spectrum.epsilon, after.epsilon),
        "cd_step_cosine": cosine(result.spectrum.delta_epsilon, after.delta_epsilon),
        "seconds": seconds,
        "ground_state_s": result.timings_s["ground_state"],
        "warnings": list(result.warnings),
    }
    if system:
        out["measured"] = compare_bands(result.spectrum, system, common_shift=True).to_dict()
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clusters", nargs="+", metavar="FILE[:CHARGE[:SYSTEM]]")
    parser.add_argument("--log", type=Path, default=Path("results/orbital_sources.jsonl"))
    parser.add_argument("--emax", type=float, default=5.0)
    parser.add_argument("--fwhm", type=float, default=0.2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--sources", default=",".join(SOURCES), help="comma-separated")
    args = parser.parse_args()
    args.log.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in args.log.read_text().splitlines()] if args.log.exists() else []
    done = {(r["file"], r["source"]) for r in rows}
    for cluster in args.clusters:
        path, charge, system = (*cluster.split(":"), "", "")[:3]
        for source in args.sources.split(","):
            if (Path(path).name, source) in done:
                continue
            rows.append(row(path, int(charge) if charge else None, system, source, args))
            with args.log.open("a") as log:
                log.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1]["file"], source, f"{rows[-1]['seconds']:.0f} s", flush=True)
    print(
        "| file | source | gap / eV | absorption bands / nm | max abs(g) | step cosine abs / CD | seconds (orbitals) |"
    )
    print("|---|---|---|---|---|---|---|")
    for r in rows:
        bands = ", ".join(map(str, r["bands_nm"]))
        steps = f"{r['absorption_step_cosine']:.3f} / {r['cd_step_cosine']:.3f}"
        seconds = f"{r['seconds']:.0f} ({r['ground_state_s']:.0f})"
        gap, g = f"{r['raw_gap_ev']:.2f}", f"{r['max_g']:.1e}"
        print(f"| {r['file']} | {r['source']} | {gap} | {bands} | {g} | {steps} | {seconds} |")


if __name__ == "__main__":
    main()
