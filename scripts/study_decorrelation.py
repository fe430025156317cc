"""How fast the CD of a cluster forgets itself: similarity to a start geometry against the amplitude of a displacement.

For each parent of a campaign a chiral start geometry is made (one strong collective distortion), displaced along each
of its collective modes, along thermal directions and along independent Gaussian noise, and labelled.  Prints the table
of docs/guide/datasets.md and draws docs/images/decorrelation.png.  Labels are kept, so that an interrupted run goes on.

    python scripts/study_decorrelation.py configs/campaigns/ag-sr-v1.yaml ag3-sch3 ag25-sh ag29-sh
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter1d

import clusterml
from clusterml.dataset.campaign import load_campaign, source_of
from clusterml.dataset.geometry import parent_atoms
from clusterml.dataset.record import FWHM_EV, GRID_EV
from clusterml.structure.distort.apply import distort, scan
from clusterml.structure.distort.modes import MODES, THERMAL_NOISE
from clusterml.structure.distort.subject import Subject

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "docs" / "images" / "decorrelation.png"
THERMAL_A = (0.0025, 0.005, 0.01, 0.02, 0.04)
GAUSSIAN_A = (0.005, 0.01, 0.02)
MODE_SHARES = (0.125, 0.25, 0.5, 1.0)
WIDTHS_EV = (0.1, 0.2, 0.4)


def start_geometry(parent, file):
    """The parent, made chiral by its first collective mode."""
    subject = Subject(parent_atoms(parent, file))
    first = next(mode for mode in subject.available() if mode.typical > 0.0 and mode.name != "breathing")
    return distort(subject, first.name, first.typical)


def displacements(start, draws, rng):
    """(kind, amount, geometry) of every displaced geometry."""
    subject = Subject(start)
    for name in [mode.name for mode in subject.available() if mode.typical > 0.0]:
        amounts = [share * MODES[name].typical for share in MODE_SHARES]
        for share, atoms in zip(MODE_SHARES, scan(subject, name, amounts, problems="warn"), strict=True):
            yield name, share, atoms
    for _ in range(draws):
        seed = int(rng.integers(2**31))
        for amount, atoms in zip(
            THERMAL_A,
            scan(subject, THERMAL_NOISE, THERMAL_A, rng=np.random.default_rng(seed), problems="warn"),
            strict=True,
        ):
            yield "thermal", amount, atoms
        direction = rng.normal(size=start.positions.shape)
        for amount in GAUSSIAN_A:
            atoms = start.copy()
            atoms.positions += amount * direction
            yield "gaussian", amount, atoms


def labelled(atoms, charge, protocol, kept):
    """(epsilon, delta_epsilon) on the stored grid; read from ``kept`` if it is there."""
    if not kept.exists():
        options = {"orbitals": protocol.orbitals, "emax_ev": protocol.emax_ev, "dtype": protocol.dtype}
        spectrum = clusterml.label(atoms, charge, grid=GRID_EV, fwhm_ev=FWHM_EV, groups={}, **options).spectrum
        kept.write_text(json.dumps([spectrum.epsilon.tolist(), spectrum.delta_epsilon.tolist()]), encoding="ascii")
    return np.array(json.loads(kept.read_text(encoding="ascii")))


def broader(spectra, fwhm_ev):
    """Spectra of FWHM_EV broadened to ``fwhm_ev``."""
    if fwhm_ev <= FWHM_EV:
        return spectra
    sigma = np.sqrt(fwhm_ev**2 - FWHM_EV**2) / 2.35482 / (GRID_EV[1] - GRID_EV[0])
    return gaussian_filter1d(spectra, sigma, axis=-1)


def cosine(first, second):
    """Similarity of two spectra, -1 to 1."""
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("campaign", type=Path)
    parser.add_argument("parents", nargs="+")
    parser.add_argument("--draws", type=int, default=2, help="random directions")
    parser.add_argument("--keep", type=Path, default=ROOT / "results" / "decorrelation")
    parser.add_argument("--figure", type=Path, default=FIGURE)
    given = parser.parse_args()
    campaign = load_campaign(given.campaign)
    given.keep.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in given.parents:
        parent = campaign.parents[name]
        start = start_geometry(parent, source_of(given.campaign, parent))
        charge = int(start.info["charge"])
        begun = time.perf_counter()
        reference = labelled(start, charge, campaign.protocol, given.keep / f"{name}.json")
        rng = np.random.default_rng(7)
        for index, (kind, amount, atoms) in enumerate(displacements(start, given.draws, rng)):
            found = labelled(atoms, charge, campaign.protocol, given.keep / f"{name}-{index:03d}.json")
            for width in WIDTHS_EV:
                before, after = broader(reference, width), broader(found, width)
                values = results.setdefault((name, kind, width), {}).setdefault(amount, [])
                values.append([cosine(before[0], after[0]), cosine(before[1], after[1])])
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
    print_table(results)
    draw(results, given.parents, given.figure)


def print_table(results):
    """CD and absorption similarity at fwhm 0.2 eV, a row per parent, kind and amount."""
    print("| parent | displacement | amount | absorption cosine | CD cosine 0.1 eV | 0.2 eV | 0.4 eV |")
    print("|---|---|---|---|---|---|---|")
    for (name, kind, width), points in results.items():
        if width != WIDTHS_EV[0]:
            continue
        for amount in points:
            mean = [np.mean(results[name, kind, each][amount], axis=0) for each in WIDTHS_EV]
            unit = "Å" if kind in ("thermal", "gaussian") else "typical"
            cd = " | ".join(f"{each[1]:.2f}" for each in mean)
            print(f"| {name} | {kind} | {amount:g} {unit} | {mean[1][0]:.3f} | {cd} |")


def draw(results, parents, path):
    """One column per parent: CD cosine against the amount, thermal and Gaussian above, modes below."""
    figure = Figure(figsize=(3.3 * len(parents), 6.2), layout="constrained")
    axes = figure.subplots(2, len(parents), sharey=True, squeeze=False)
    colours = {}
    for (name, kind, width), points in results.items():
        if width == WIDTHS_EV[0]:
            continue
        row = 0 if kind in ("thermal", "gaussian") else 1
        axis = axes[row, parents.index(name)]
        colour = colours.setdefault(kind, f"C{len(colours)}")
        amounts = [0.0, *points]
        values = [1.0, *(np.mean(points[each], axis=0)[1] for each in points)]
        style = "-" if width == WIDTHS_EV[1] else ":"
        label = kind if width == WIDTHS_EV[1] else None
        axis.plot(amounts, values, style, marker="o", ms=3, lw=1.2, color=colour, label=label)
    for column, name in enumerate(parents):
        axes[0, column].set_title(name, fontsize=9)
        axes[0, column].set_xlabel("rms displacement / Å")
        axes[1, column].set_xlabel("amount / typical amount of the mode")
        for row in (0, 1):
            axes[row, column].axhline(0.0, color="grey", lw=0.6)
            axes[row, column].legend(fontsize=6)
    for row in (0, 1):
        axes[row, 0].set_ylabel("CD cosine to the start (— 0.2 eV, ··· 0.4 eV)", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140)


if __name__ == "__main__":
    main()
