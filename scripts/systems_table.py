"""The table of docs/guide/systems.md: every shipped model labelled, with its chirality report.

    python scripts/systems_table.py [FILE ..] [--folder results/systems] [--no-label]

Labels (GFN1, to 6 eV, fwhm 0.2 eV) and reports are kept in the folder; what is there already is not computed again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import clusterml
from clusterml.chirality.report import chirality
from clusterml.spectrum.jsonio import write_json
from clusterml.stda.output import write_label

ROOT = Path(__file__).resolve().parents[1]
STRUCTURES = ROOT / "datasets" / "structures"
HEADER = (
    "| model | cluster | atoms | gap / eV | strongest CD band / nm | largest abs(Δε) | largest abs(g) | label / s "
    "| CCM, whole | CCM, frame | local signed index, frame | point group of the frame (0.1 A) |"
)


def labelled(path: Path, folder: Path) -> dict[str, Any]:
    """The JSON of the model's label."""
    target = folder / f"{path.stem}.json"
    if not target.exists():
        atoms = clusterml.read(path)
        write_label(clusterml.label(atoms), folder, path.stem)
    return json.loads(target.read_text())


def reported(path: Path, folder: Path) -> dict[str, Any]:
    """The JSON of the model's chirality report."""
    target = folder / f"{path.stem}_chirality.json"
    if not target.exists():
        write_json(chirality(clusterml.read(path)).to_dict(), target)
    return json.loads(target.read_text())


def row(path: Path, folder: Path, label: bool) -> str:
    """One row of the table."""
    atoms = clusterml.read(path)
    cells = [f"`{path.stem}`", str(atoms.info["provenance"].get("title", atoms.info["name"])), str(len(atoms))]
    cells += _spectrum(labelled(path, folder)) if label else ["-"] * 5
    report = reported(path, folder)
    parts = {part["name"]: part for part in report["parts"]}
    frame = parts["metal + donor frame"]
    index = f"{frame['opd_local']:+.1e}" if abs(frame["opd_local"]) > 1e-12 else "0"
    cells += [f"{parts['whole']['ccm']:.3f}", f"{frame['ccm']:.3f}", index]
    cells.append(frame["point_groups"].get("0.1", "-"))
    return "| " + " | ".join(cells) + " |"


def _spectrum(found: dict[str, Any]) -> list[str]:
    spectrum = found["spectrum"]
    cd, epsilon = spectrum["delta_epsilon"], spectrum["epsilon"]
    top = max(range(len(cd)), key=lambda k: abs(cd[k]))
    bright = [abs(d) / e for d, e in zip(cd, epsilon, strict=True) if e > 0.02 * max(epsilon)]
    gap = found["provenance"]["raw_gap_ev"]
    nm = 1239.841984 / spectrum["energy_ev"][top]
    return [
        f"{gap:.2f}",
        f"{nm:.0f}" if abs(cd[top]) > 1e-4 * max(epsilon) else "none",
        f"{abs(cd[top]):.3g}",
        f"{max(bright):.1e}",
        f"{found['timings_s']['total']:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="default: all of datasets/structures")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "systems")
    parser.add_argument("--no-label", action="store_true", help="chirality reports only")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(HEADER)
    print("|" + "---|" * (HEADER.count("|") - 1))
    for path in options.files or sorted(STRUCTURES.glob("*.xyz"), key=lambda path: path.stat().st_size):
        print(row(path, options.folder, not options.no_label), flush=True)


if __name__ == "__main__":
    main()
