"""Measure the smooth mode: rotation scatter, continuity through a Td point, distance from the reference mode.

Prints the tables of docs/science/smooth-mode.md and draws its figures into docs/images.  About ten minutes on one core.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from clusterml.stda.reference import reference_states
from clusterml.stda.settings import ExcitedSettings
from clusterml.stda.smooth import smooth_states
from clusterml.stda.tightbinding import stda_xtb_orbitals

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
GRID = np.arange(0.5, 4.5, 0.02)


def spectrum(symbols, positions, charge, grid=GRID, damped=True, emax=4.5, **settings):
    """(epsilon, delta_epsilon) at fwhm 0.2 eV; ``damped`` False takes the reference's low-energy damping out again."""
    chosen = ExcitedSettings(emax_ev=emax, **settings)
    orbitals = stda_xtb_orbitals(symbols, positions, charge, screen=chosen.mode == "reference")
    states = (smooth_states if chosen.mode == "smooth" else reference_states)(orbitals, chosen).transitions
    broadened = states.broaden(grid, 0.2)
    cd = broadened.delta_epsilon
    if chosen.mode == "reference" and not damped:
        omega = states.energy_ev / 27.21139
        factor = omega ** (-np.exp(-150.0 * omega**2))
        cd = type(states)(**(vars(states) | {"r_velocity_cgs": states.r_velocity_cgs * factor})).broaden(grid, 0.2)
        cd = cd.delta_epsilon
    return broadened.epsilon, cd


def model(name):
    """Symbols, positions, charge of a small model in tests/data."""
    data = json.loads((ROOT / "tests/data/stda" / f"{name}.json").read_text())
    return data["symbols"], np.array(data["xyz_angstrom"]), data["charge"]


def rattled(name, sigma, seed):
    """A model with Gaussian displacements of ``sigma`` angstrom."""
    symbols, positions, charge = model(name)
    return symbols, positions + np.random.default_rng(seed).normal(0.0, sigma, positions.shape), charge


def ag16s4(angle):
    """Ag4 @ Ag12S4, a piece of fcc with Td symmetry; its Ag3 trigons turned by ``angle`` degrees about their axes.

    The inner core of the Ag70 model: MODEL geometry, charge 0 (8 superatom electrons).
    """
    a = 4.09 / 4.0
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    symbols, positions = ["Ag"] * 4, [-a * c for c in corners]
    for axis in corners:
        unit = axis / np.sqrt(3.0)
        turn = Rotation.from_rotvec(np.radians(angle) * unit).as_matrix()
        trigon = [a * (axis + 2.0 * np.eye(3)[k] * axis[k]) for k in range(3)]
        positions += [turn @ p for p in trigon]
        symbols += ["Ag"] * 3
        top = np.mean(trigon, axis=0)
        edge = np.linalg.norm(trigon[0] - top)
        positions.append(top + unit * np.sqrt(2.5**2 - edge**2))
        symbols.append("S")
    return symbols, np.array(positions), 0


def rotation_scatter():
    """Largest change of the spectra when the molecule is turned at random, both modes."""
    cases = {
        "Ag16S4, Td": ag16s4(0.0),
        "Ag16S4, T (5 degrees)": ag16s4(5.0),
        "[Ag13(SCH3)6]-, near C3i": model("ag13_sch3_6_minus"),
        "[Ag13(SCH3)6]-, rattled 0.05 A": rattled("ag13_sch3_6_minus", 0.05, 0),
    }
    print("| cluster | smooth absorption | smooth CD | reference absorption | reference CD | CD maximum |")
    print("|---|---|---|---|---|---|")
    for name, (symbols, positions, charge) in cases.items():
        row = []
        for options in ({"tolerance": 1e-8}, {"mode": "reference", "solver": "states"}):
            base = spectrum(symbols, positions, charge, **options)
            scale = [np.abs(x).max() for x in base]
            scatter = np.zeros(2)
            for seed in range(4):
                turned = positions @ Rotation.random(random_state=seed).as_matrix().T
                new = spectrum(symbols, turned, charge, **options)
                scatter = np.maximum(scatter, [np.abs(a - b).max() for a, b in zip(new, base, strict=True)])
            absolute = scale[1] < 1e-6 * scale[0]
            row += [
                f"{scatter[0] / scale[0]:.0e}",
                f"{scatter[1]:.0e} abs" if absolute else f"{scatter[1] / scale[1]:.0e}",
            ]
        print(f"| {name} | " + " | ".join(row) + f" | {scale[1]:.2g} |", flush=True)


def path_continuity():
    """Spectra along a trigon rotation through the Td point, and the change from step to step."""
    angles = np.round(np.arange(-2.0, 2.0 + 1e-9, 0.1), 6)
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col")
    print(
        "| mode | d / eV | max/median step, absorption | max/median step, CD | oddness | CD at Td / CD at 2 degrees |"
    )
    print("|---|---|---|---|---|---|")
    rows = [("smooth", 0.001), ("smooth", 0.005), ("smooth", 0.02), ("reference", None)]
    for mode, width in rows:
        options = (
            {"mode": mode, "solver": "states"} if width is None else {"tolerance": 1e-4, "k_shift_width_ev": width}
        )
        spectra = [spectrum(*ag16s4(angle), **options) for angle in angles]
        curves = [np.array(x) for x in zip(*spectra, strict=True)]
        steps = [np.abs(np.diff(c, axis=0)).max(axis=1) for c in curves]
        ratios = [s.max() / np.median(s) for s in steps]
        cd = curves[1]
        middle, top = len(angles) // 2, np.abs(cd[-1]).max()
        odd = np.abs(cd + cd[::-1]).max() / top
        name = mode if width is None else f"{mode}, d = {width:g} eV"
        rest = np.abs(cd[middle]).max() / top
        print(f"| {mode} | {width or '-'} | {ratios[0]:.2f} | {ratios[1]:.2f} | {odd:.0e} | {rest:.0e} |", flush=True)
        if width in (0.005, None):
            column = 0 if width else 1
            at = int(np.abs(cd[-1]).argmax())
            axes[0, column].plot(angles, cd[:, at])
            axes[0, column].set_title(f"{name}: CD at {GRID[at]:.2f} eV")
            axes[1, column].plot(0.5 * (angles[1:] + angles[:-1]), steps[1])
            axes[1, column].set_ylim(bottom=0.0)
            axes[1, column].set_xlabel("trigon rotation / degrees")
    axes[0, 0].set_ylabel("Δε / L mol$^{-1}$ cm$^{-1}$")
    axes[1, 0].set_ylabel("largest change of Δε in 0.1°")
    figure.savefig(IMAGES / "smooth_path.png", dpi=140)


def cosine(a, b):
    """Cosine similarity of two curves."""
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def distance_from_reference():
    """Similarity of the two modes over rattled low-symmetry clusters (reference without its damping)."""
    found = []
    for name, n, top in (("ag13_sch3_6_minus", 12, 4.0), ("ag3_sch3_3", 12, 6.0), ("helicene4", 6, 6.0)):
        grid = np.arange(0.5, top, 0.02)
        for seed in range(n):
            case = rattled(name, 0.05, seed)
            smooth = spectrum(*case, grid, emax=top + 0.5)
            reference = spectrum(*case, grid, damped=False, emax=top + 0.5, mode="reference", solver="states")
            shifts = [
                (cosine(np.interp(grid - s, grid, smooth[0]), reference[0]), s) for s in np.arange(-0.1, 0.101, 0.005)
            ]
            found.append((name, cosine(smooth[0], reference[0]), cosine(smooth[1], reference[1]), max(shifts)[1]))
    print("| cluster | n | absorption cosine, median (min) | CD cosine, median (min) | shift / meV, median (range) |")
    print("|---|---|---|---|---|")
    for name in dict.fromkeys(f[0] for f in found):
        a, c, s = (np.array(x, dtype=float) for x in zip(*(f[1:] for f in found if f[0] == name), strict=True))
        print(
            f"| {name} | {len(a)} | {np.median(a):.4f} ({a.min():.4f}) | {np.median(c):.4f} ({c.min():.4f}) "
            f"| {1e3 * np.median(s):.0f} ({1e3 * s.min():.0f} to {1e3 * s.max():.0f}) |",
            flush=True,
        )


if __name__ == "__main__":
    start = time.perf_counter()
    studies = {s.__name__: s for s in (rotation_scatter, distance_from_reference, path_continuity)}
    for study in [studies[name] for name in sys.argv[1:]] or studies.values():
        print(f"\n{study.__name__.replace('_', ' ')}\n", flush=True)
        study()
    print(f"\n{time.perf_counter() - start:.0f} s")
