"""What the labels of a dataset say about the science, good or bad: a page of tables, and a figure for each question.

CD of achiral parents; mirror images labelled anew; growth of CD with small collective distortions, along scans and in
the records; correlation of chirality measures with CD; bands beside measured ones; precision of the labels; loss of
likeness with distance.  Run it again when the dataset has grown; labels made for it are kept in ``--keep``.

    python scripts/study_dataset.py datasets/ag-sr-v1
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from clusterml.spectrum.files import write_text
from dataset_checks.bands import peaks
from dataset_checks.data import load
from dataset_checks.measures import correlations
from dataset_checks.response import decorrelation, growth
from dataset_checks.scans import doubling
from dataset_checks.symmetry import achiral, mirrors, precision

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "science" / "labels.md"
HEAD = """# What the labels say

Made by `scripts/study_dataset.py` from {count} {method} records of `{name}`; nothing on this page is written by hand.
Spectra as in [datasets](../guide/datasets.md).
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--keep", type=Path, default=ROOT / "results" / "dataset-study")
    parser.add_argument("--longest", type=float, default=60.0, help="seconds of a label that is made again")
    parser.add_argument("--scan", type=float, default=15.0, help="seconds of a parent's label that is scanned")
    given = parser.parse_args()
    data = load(given.dataset)
    keep, longest = given.keep, given.longest
    keep.mkdir(parents=True, exist_ok=True)
    questions = (
        ("Is the CD of achiral clusters zero?", "achiral", lambda path: achiral(data, path)),
        ("Do mirror images have opposite CD?", "mirrors", lambda path: mirrors(data, path, keep, longest)),
        ("Does CD grow linearly with a small distortion?", "scan", lambda path: doubling(data, path, keep, given.scan)),
        ("Is that seen in the records?", "growth", lambda path: growth(data, path)),
        ("Which measure of chirality goes with CD?", "measures", lambda path: correlations(data, path)),
        ("Are the bands where they are measured?", "bands", lambda path: peaks(data, path)),
        ("How precise are the labels?", "precision", lambda path: precision(data, keep, longest)),
        ("How fast does CD forget the geometry?", "distance", lambda path: decorrelation(data, path)),
    )
    count, name = len(data.ids), data.dataset.about.get("name", given.dataset.name)
    parts = [HEAD.format(count=count, method=data.method, name=name)]
    for title, short, check in questions:
        figure = given.images / f"dataset_{short}.png"
        text = check(figure)
        link = os.path.relpath(figure, given.page.parent)
        parts.append(f"## {title}\n\n{text}\n" + (f"\n![{title}]({link})\n" if figure.exists() else ""))
        print(f"{title} {text.split('|')[0].strip()}\n", flush=True)
    write_text(given.page, "\n".join(parts))


if __name__ == "__main__":
    main()
