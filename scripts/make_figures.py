"""Draw the figure of the README: python scripts/make_figures.py [docs/images].

The cluster is one that the network knows, with its crowns turned by 4 degrees: a geometry that it has not learnt.
"""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path

from PIL import Image

import clusterml
from clusterml.io.files import make_folder
from clusterml.spectrum.plot import draw

ROOT = Path(__file__).resolve().parents[1]


def with_few_colours(png: bytes, colours: int) -> bytes:
    """A picture of ``colours`` colours, a third to a fifth of the size."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()


def main(folder: str | Path = ROOT / "docs" / "images") -> None:
    parent = clusterml.read(ROOT / "datasets" / "structures" / "ag29_sh_ph3_R.xyz")
    atoms = clusterml.distort(parent, "crown-rotation", 4.0)
    predicted = clusterml.Predictor.load()(atoms)
    result = clusterml.label(atoms, grid=predicted.spectrum.energy_ev)
    title = "[Ag29(SH)24(PH3)4]3-, model with crowns turned by 4 deg (no crystal data)"
    path = make_folder(folder) / "ag29_predict.png"
    labels = (f"network {predicted.model}", f"engine, {result.orbitals.method}")
    draw((predicted.spectrum, result.spectrum), path, title=title, labels=labels)
    path.write_bytes(with_few_colours(path.read_bytes(), 32))
    cd = clusterml.compare(predicted.spectrum, result.spectrum, fit_shift=False).cd
    print(f"{predicted!r}; CD cosine to the engine {cd.cosine if cd else math.nan:.2f}")
    print(f"{path}: network {predicted.timings_s['total']:.2f} s, engine {result.timings_s['total']:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:2])
