"""Draw the figure of the README from the shipped example: python scripts/make_figures.py [docs/images]."""

from __future__ import annotations

import sys
from pathlib import Path

import clusterml
from clusterml.spectrum.files import make_folder
from clusterml.spectrum.plot import draw

ROOT = Path(__file__).resolve().parents[1]


def main(folder: str | Path = ROOT / "docs" / "images") -> None:
    atoms = clusterml.read(ROOT / "datasets" / "examples" / "ag29_model.xyz")
    predicted = clusterml.Predictor.load()(atoms)
    result = clusterml.label(atoms)
    title = "[Ag29(SH)24(PH3)4]3-, model geometry (no crystal data)"
    path = make_folder(folder) / "ag29_predict.png"
    labels = (f"network {predicted.model}", f"engine, {result.orbitals.method}")
    draw((predicted.spectrum, result.spectrum), path, title=title, labels=labels)
    print(f"{path}: network {predicted.timings_s['total']:.2f} s, engine {result.timings_s['total']:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:2])
