"""What symmetry demands of CD: none for achiral clusters, the opposite for a mirror image."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from clusterml.dataset.record import FWHM_EV, GRID_EV
from dataset_checks.data import CD_UNIT, label_again, save, table

PRECISION = 2e-3
"""Of a label: CD below this share of what distortions give counts as none."""


def achiral(data, path):
    """CD of the undistorted parents beside that of their distorted records."""
    figure = Figure(figsize=(8.0, 4.2), layout="constrained")
    axis = figure.subplots()
    rows, worst = [], 0.0
    largest = np.maximum(np.abs(data.cd).max(axis=1), 1e-9)
    known = [parent for parent in data.parents if data.reference(parent) is not None]
    for place, parent in enumerate(known):
        reference = data.reference(parent)
        moved = np.concatenate([data.where(parent=parent, kind=kind) for kind in ("mode", "thermal")])
        hand = data.text["hand"][reference]
        typical = float(np.median(largest[moved])) if len(moved) else float("nan")
        ratio = largest[reference] / typical
        worst = max(worst, ratio) if hand == "0" else worst
        rows.append(
            (
                parent,
                hand,
                f"{data.measures['ccm_frame'][reference]:.1e}",
                f"{data.epsilon[reference].max():.3g}",
                f"{largest[reference]:.1e}",
                f"{typical:.3g} ({len(moved)})",
                f"{ratio:.0e}",
            )
        )
        axis.plot(np.full(len(moved), place), largest[moved], "_", color="C0", ms=12, alpha=0.6)
        axis.plot(place, largest[reference], "o", color="C3" if hand == "0" else "C2")
    axis.set_xticks(range(len(known)), known, rotation=35, ha="right", fontsize=8)
    axis.set_yscale("log")
    axis.set_ylabel(f"max |Δε| / {CD_UNIT}")
    axis.plot([], [], "_", color="C0", ms=12, label="distorted (modes and thermal)")
    axis.plot([], [], "o", color="C3", label="parent, achiral")
    axis.plot([], [], "o", color="C2", label="parent, chiral")
    axis.legend(fontsize=8)
    save(figure, path)
    head = ("parent", "hand", "CCM of the frame", "max ε", "max abs(Δε), parent", "median of distorted (n)", "ratio")
    verdict = "vanishes" if worst <= PRECISION else "does not vanish"
    text = (
        f"CD of achiral parents (hand 0) {verdict}: at most {worst:.0e} of the median CD of their distorted records. "
        f"Largest values of a spectrum at fwhm {FWHM_EV:g} eV, in {CD_UNIT}."
    )
    return f"{text}\n\n{table(head, rows)}"


def mirrors(data, path, keep, longest_s):
    """One chiral record of each parent labelled again as its mirror image."""
    stored = [index for index in range(len(data.ids)) if data.is_mirror(index)]
    chosen = []
    for parent in data.parents:
        own = [i for i in data.where(parent=parent) if not data.is_mirror(i) and data.details[i].get("seconds", 0) > 0]
        own = [i for i in own if data.text["kind"][i] in ("mode", "thermal")]
        quick = [i for i in own if data.details[i]["seconds"] <= longest_s]
        chosen += [max(quick, key=lambda i: np.abs(data.cd[i]).max())] if quick else []
    figure = Figure(figsize=(10.0, 2.3 * int(np.ceil(len(chosen) / 3)) + 0.3), layout="constrained")
    axes = figure.subplots(int(np.ceil(len(chosen) / 3)), 3, squeeze=False, sharex=True)
    rows, worst = [], 0.0
    for axis, index in zip(axes.flat, chosen, strict=False):
        image = data.positions[index] * [1.0, 1.0, -1.0]
        epsilon, cd = label_again(data, index, image, keep, f"mirror-{data.ids[index]}")
        top = np.abs(data.cd[index]).max()
        wrong = np.abs(cd + data.cd[index]).max() / top
        worst = max(worst, wrong)
        apart = np.abs(epsilon - data.epsilon[index]).max() / data.epsilon[index].max()
        rows.append((f"`{data.ids[index]}`", f"{top:.3g}", f"{wrong:.0e}", f"{apart:.0e}"))
        axis.plot(GRID_EV, data.cd[index], lw=1.1)
        axis.plot(GRID_EV, cd, lw=1.1)
        axis.axhline(0.0, color="grey", lw=0.5)
        axis.set_title(data.ids[index], fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in list(axes.flat)[len(chosen) :]:
        axis.set_visible(False)
    figure.supxlabel("energy / eV", fontsize=9)
    figure.supylabel(f"Δε / {CD_UNIT} (blue: record, orange: its mirror image)", fontsize=9)
    save(figure, path)
    head = ("record", f"max abs(Δε) / {CD_UNIT}", "abs(Δε + Δε') / max", "abs(ε - ε') / max")
    text = (
        f"{len(stored)} stored mirror images are computed by symmetry and exact by construction. Labelled anew, as "
        f"below, mirror images have opposite CD to {worst:.0e} of its maximum or better: the numerical precision of a "
        f"label. One record of each parent with a label of at most {longest_s:g} s, the one with the largest CD."
    )
    return f"{text}\n\n{table(head, rows)}"


def precision(data, keep, longest_s):
    """One record of each parent labelled again in double precision with a solver that is fully converged."""
    rows, worst = [], np.zeros(2)
    rng = np.random.default_rng(0)
    for parent in data.parents:
        own = [i for i in data.where(parent=parent) if data.text["kind"][i] in ("mode", "thermal")]
        own = [i for i in own if not data.is_mirror(i) and data.details[i]["seconds"] <= longest_s]
        if not own:
            continue
        index = int(rng.choice(own))
        settings = {"dtype": "float64", "tolerance": 1e-5}
        again = label_again(data, index, data.positions[index], keep, f"exact-{data.ids[index]}", **settings)
        top = data.epsilon[index].max(), np.abs(data.cd[index]).max()
        stored = data.epsilon[index], data.cd[index]
        wrong = np.array([np.abs(a - b).max() / t for a, b, t in zip(again, stored, top, strict=True)])
        worst = np.maximum(worst, wrong)
        rows.append((f"`{data.ids[index]}`", f"{top[1] / top[0]:.0e}", f"{wrong[0]:.0e}", f"{wrong[1]:.0e}"))
    head = ("record", "max abs(Δε) / max ε", "error of ε / max ε", "error of Δε / max abs(Δε)")
    text = (
        f"One record of each parent, drawn at random among labels of at most {longest_s:g} s, labelled again in double "
        f"precision with a solver tolerance of 1e-5: largest error {worst[0]:.0e} of the largest ε and {worst[1]:.0e} "
        "of the largest abs(Δε). The errors are those of the numerics, not of the method."
    )
    return f"{text}\n\n{table(head, rows)}"
