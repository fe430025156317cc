"""Draw the figures of docs/guide/chirality.md from the shipped models: python scripts/figures_chirality.py [docs/images]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from clusterml.chirality.batch import chirality_batch
from clusterml.chirality.report import chirality
from clusterml.spectrum.files import make_folder
from clusterml.structure.distort.apply import distort, distorted_positions
from clusterml.structure.read import read

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "datasets" / "structures"


def twist(path: Path) -> None:
    """CCM, misfit to the mirror image and local index of the Ag70S28 core against the turn of its trigons."""
    from matplotlib.figure import Figure

    atoms = read(MODELS / "ag70_td_cl4.xyz")
    angles = np.linspace(-20.0, 20.0, 41)
    core = np.isin(atoms.numbers, (16, 47))
    positions = distorted_positions(atoms, "trigon-rotation", angles)[:, core]
    parent = atoms.positions[core]
    found = chirality_batch(atoms.numbers[core], positions, parent=parent, samples=0)
    panels = (
        (found.ccm, "CCM"),
        (found.misfit, "misfit to the mirror image / Å"),
        (1e5 * found.opd_local, "10⁵ local OPD"),
    )
    figure = Figure(figsize=(9.6, 2.9), layout="constrained")
    for axes, (values, label) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.axhline(0.0, color="#b0b0b0", lw=0.8)
        axes.plot(angles, values, color="#0072B2", marker="o", ms=2.5, lw=1.2)
        axes.set(xlabel="turn of the trigons / degrees", ylabel=label)
    figure.savefig(path, dpi=200)


def main(folder: str | Path = ROOT / "docs" / "images") -> None:
    place = make_folder(folder)
    turned = distort(read(MODELS / "ag70_td_cl4.xyz"), "trigon-rotation", 8.0, problems="warn")
    for name, atoms, title in (
        ("ag70", turned, "Ag70S28 core of the Td model with its trigons turned by +8 degrees"),
        (
            "ag29",
            read(MODELS / "ag29_bdt_pph3_R.xyz"),
            "Ag29S24 frame of the R model: a chiral shell on an icosahedron",
        ),
    ):
        path = place / f"chirality_{name}.png"
        chirality(atoms, groups=[]).plot(path, title=title)
        print(path)
    twist(place / "chirality_twist.png")
    print(place / "chirality_twist.png")


if __name__ == "__main__":
    main(*sys.argv[1:2])
