"""Draw the figures of the README from the shipped example: python scripts/make_figures.py [docs/images]."""

from __future__ import annotations

import sys
from pathlib import Path

import clusterml
from clusterml.spectrum.files import make_folder

ROOT = Path(__file__).resolve().parents[1]


def main(folder: str | Path = ROOT / "docs" / "images") -> None:
    atoms = clusterml.read(ROOT / "datasets" / "examples" / "ag29_model.xyz")
    result = clusterml.label(atoms)
    title = f"[Ag29(SH)24(PH3)4]3-, model geometry (no crystal data), {result.orbitals.method}"
    path = make_folder(folder) / "ag29_label.png"
    result.spectrum.plot(path, title=title, transitions=result.transitions)
    print(f"{path}: {result.timings_s['total']:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:2])
