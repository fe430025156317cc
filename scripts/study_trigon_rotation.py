"""CD against the trigon rotation of the Td Ag70 model: zero at 0, odd in the angle, growing with it.

Labels the model at several angles of the mode ``trigon-rotation`` (one JSON per angle, kept, so that an interrupted run
goes on), prints the table of docs/guide/distortions.md and draws docs/images/cd_vs_trigon_angle.png, with what a network
predicts at angles in between.

    python scripts/study_trigon_rotation.py datasets/structures/MODEL.xyz --angles=-10:10:9 --network ag-sr-v1
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

import clusterml
from clusterml.cli.ranges import linear
from clusterml.spectrum.files import make_folder
from clusterml.structure.distort.apply import scan
from clusterml.structure.distort.subject import Subject

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "docs" / "images" / "cd_vs_trigon_angle.png"


def spectra(path, angles, folder, mode, **settings):
    """Spectrum at each angle; labels that are in ``folder`` already are not computed again."""
    subject = Subject(clusterml.read(path, allow_several=True))
    make_folder(folder)
    kept = [folder / f"{path.stem}_{mode}_{settings['orbitals']}_{angle:+.3f}.json" for angle in angles]
    frames = scan(subject, mode, angles, problems="warn")
    for row in np.argsort(np.abs(angles), kind="stable"):
        if not kept[row].exists():
            start = time.perf_counter()
            label = clusterml.label(frames[row], allow_several=True, **settings)
            label.spectrum.to_json(kept[row])
            print(f"{angles[row]:+.2f}: {time.perf_counter() - start:.0f} s", flush=True)
    return [clusterml.Spectrum.from_json(file) for file in kept]


def strongest(angles, found, top_ev):
    """Index of the energy, up to ``top_ev``, where the CD of the smallest positive angle is largest."""
    first = int(np.argmin(np.where(np.asarray(angles) > 0.0, angles, np.inf)))
    usable = found[first].energy_ev <= top_ev
    return int(np.argmax(np.abs(found[first].delta_epsilon) * usable))


def table(angles, found, at):
    """Rows: angle, largest CD, CD and g at the band, integral measure of chirality, oddness."""
    energy = found[0].energy_ev
    cd = np.array([s.delta_epsilon for s in found])
    top = np.abs(cd).max()
    print(f"\nband at {energy[at]:.2f} eV\n")
    print("| angle / deg | CD at band | g at band / 1e-3 | largest CD | mean abs CD | CD(x) + CD(-x), largest |")
    print("|---|---|---|---|---|---|")
    for row, angle in enumerate(angles):
        mirror = int(np.argmin(np.abs(np.asarray(angles) + angle)))
        odd = np.abs(cd[row] + cd[mirror]).max() / top
        print(
            f"| {angle:+.1f} | {cd[row, at]:.4g} | {1e3 * found[row].g_abs[at]:.4g} | {np.abs(cd[row]).max():.4g} "
            f"| {np.abs(cd[row]).mean():.4g} | {odd:.0e} of {top:.3g} |"
        )


def predicted(path, mode, reach, model):
    """Angles from -reach to reach, and what the network ``model`` predicts there."""
    subject = Subject(clusterml.read(path, allow_several=True))
    angles = np.linspace(-reach, reach, 81)
    predictor = clusterml.Predictor.load(model, "cpu")
    return angles, [one.spectrum for one in predictor(scan(subject, mode, angles, problems="warn"))]


def compared(angles, found, fine, network):
    """Print how the predictions compare with the labels at the labelled angles."""
    print("\n| angle / deg | absorption cosine | CD cosine | largest CD, network | largest CD, engine |")
    print("|---|---|---|---|---|")
    for angle, truth in zip(angles, found, strict=True):
        said = network[int(np.argmin(np.abs(fine - angle)))]
        pairs = [
            (getattr(said, key), np.interp(said.energy_ev, truth.energy_ev, getattr(truth, key)))
            for key in ("epsilon", "delta_epsilon")
        ]
        cosines = [a @ b / np.sqrt((a @ a) * (b @ b) + 1e-30) for a, b in pairs]
        top = [np.abs(values).max() for values in pairs[1]]
        print(f"| {angle:+.1f} | {cosines[0]:.3f} | {cosines[1]:.2f} | {top[0]:.3g} | {top[1]:.3g} |")


def shown_prediction(axis, energy, fine, network):
    """The predicted CD at ``energy`` against the angle, with its 90 % interval."""
    rows = [int(np.argmin(np.abs(one.energy_ev - energy))) for one in network]
    cd = np.array([one.delta_epsilon[row] for one, row in zip(network, rows, strict=True)])
    half = 1.645 * np.array([one.delta_epsilon_std[row] for one, row in zip(network, rows, strict=True)])
    axis.fill_between(fine, cd - half, cd + half, color="C1", alpha=0.25, lw=0, label="network, 90 %")
    axis.plot(fine, cd, color="C1", lw=1.5, label="network")


def draw(angles, found, at, title, path, prediction=None):
    """CD spectra of the positive and negative angles, and CD and g of the band against the angle."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
    colours = colormaps["coolwarm"]
    largest = max(abs(angle) for angle in angles)
    for angle, spectrum in zip(angles, found, strict=True):
        shade = colours(0.5 + 0.5 * angle / largest) if angle else "black"
        left.plot(
            spectrum.energy_ev, spectrum.delta_epsilon, color=shade, lw=1.2, label=f"{angle:+g}°" if angle else "0°"
        )
    energy = found[0].energy_ev[at]
    left.axvline(energy, color="grey", lw=0.8, ls=":")
    left.axhline(0.0, color="grey", lw=0.6)
    left.set_xlabel("energy / eV")
    left.set_ylabel("Δε / L mol$^{-1}$ cm$^{-1}$")
    left.set_ylim(top=1.45 * left.get_ylim()[1])
    left.legend(fontsize=7, ncols=3, loc="upper left", title="trigon rotation", title_fontsize=8)
    left.set_title(title, fontsize=9)
    cd = [s.delta_epsilon[at] for s in found]
    right.plot(angles, cd, "o-", color="C3", ms=4, label="engine")
    if prediction is not None:
        shown_prediction(right, energy, *prediction)
        right.legend(fontsize=7, loc="lower right")
    right.set_xlabel("trigon rotation / °")
    right.set_ylabel(f"Δε at {energy:.2f} eV / L mol$^{{-1}}$ cm$^{{-1}}$", color="C3")
    right.axhline(0.0, color="grey", lw=0.6)
    right.axvline(0.0, color="grey", lw=0.6)
    other = right.twinx()
    other.plot(angles, [1e3 * s.g_abs[at] for s in found], "s--", color="C0", ms=3)
    other.set_ylabel("g at the same energy / 10$^{-3}$", color="C0")
    for axis in (right, other):
        reach = 1.08 * max(abs(x) for x in axis.get_ylim())
        axis.set_ylim(-reach, reach)
    right.set_title("zero at 0°, odd in the angle", fontsize=9)
    make_folder(path.parent)
    figure.savefig(path, dpi=140)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structure", type=Path, help="the Td model")
    parser.add_argument("--mode", default="trigon-rotation")
    parser.add_argument("--angles", default="-10:10:9", help="LOW:HIGH:COUNT in degrees, as --angles=LOW..")
    parser.add_argument("--orbitals", default="gfn1")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--emax", type=float, default=4.0)
    parser.add_argument("--band-below", type=float, default=3.0, help="the band is sought below this energy (eV)")
    parser.add_argument("--keep", type=Path, default=ROOT / "results" / "trigon_rotation")
    parser.add_argument("--network", help="a checkpoint whose predictions are shown too")
    parser.add_argument("--figure", type=Path, default=FIGURE)
    given = parser.parse_args()
    angles = linear(given.angles, "--angles")
    settings = {"orbitals": given.orbitals, "dtype": given.dtype, "emax_ev": given.emax}
    found = spectra(given.structure, angles, given.keep, given.mode, **settings)
    at = strongest(angles, found, given.band_below)
    table(angles, found, at)
    title = f"{given.structure.stem} (model), {given.orbitals} orbitals, fwhm 0.2 eV"
    prediction = None
    if given.network:
        prediction = predicted(given.structure, given.mode, max(abs(angle) for angle in angles), given.network)
        compared(angles, found, *prediction)
    draw(angles, found, at, title, given.figure, prediction)
    print(f"\n{given.figure}")


if __name__ == "__main__":
    main()
