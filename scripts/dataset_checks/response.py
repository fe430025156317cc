"""How CD follows a distortion: growth with small collective amounts, and loss of likeness with distance."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from scipy.optimize import least_squares

from clusterml.structure.distort.modes import MODES
from dataset_checks.data import CD_UNIT, NOISE, broader, cosine, rms_apart, save, size, table

WIDTH_EV = 0.2
SMALL = 1.5
"""Amounts up to this many typical amounts of a mode count as small."""
FEWEST = 8
"""Fewer records than this say nothing about a slope."""
WIDTHS_EV = (0.1, 0.2, 0.4)
EDGES_A = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.3)
MOST_PAIRS = 1500


def growth(data, path):
    """abs(CD - CD of the parent) against the amount of a single collective distortion."""
    singles = _single(data)
    parents = [p for p in data.parents if any(p == parent for parent, _ in singles)]
    figure = Figure(figsize=(10.0, 2.7 * int(np.ceil(len(parents) / 3))), layout="constrained")
    axes = list(figure.subplots(int(np.ceil(len(parents) / 3)), 3, squeeze=False, sharex=True).flat)
    colours = {mode: f"C{k}" for k, mode in enumerate(sorted({mode for _, mode in singles}))}
    rows, exponents, even = [], [], []
    for (parent, mode), points in sorted(singles.items(), key=lambda item: (parents.index(item[0][0]), item[0][1])):
        reference = data.cd[data.reference(parent)]
        x = np.array([abs(amount) / MODES[mode].typical for amount, _ in points])
        y = size(broader(data.cd[[index for _, index in points]] - reference, WIDTH_EV))
        axis = axes[parents.index(parent)]
        axis.plot(x, y, "o", ms=3.5, color=colours[mode], label=mode)
        small = (x <= SMALL) & (y > 0.0)
        fitted = _power(x[small], y[small]) if small.sum() >= FEWEST else None
        sign = _sign_rule(data, points, reference)
        # an exponent means something where the distortion does more than the noise
        heard = fitted is not None and fitted[0] * SMALL ** fitted[1] > 2.0 * fitted[2]
        heard = heard and fitted[3] < 0.8 * np.log(y[small]).std()
        if heard:
            exponents.append(fitted[1])
            grid = np.geomspace(0.02, SMALL, 60)
            axis.plot(grid, np.hypot(fitted[0] * grid ** fitted[1], fitted[2]), "-", lw=0.9, color=colours[mode])
        if sign is not None and MODES[mode].mirrors:
            even.append(sign)
        numbers = [f"{fitted[0]:.3g}", f"{fitted[2]:.2g}", f"{fitted[3]:.2f}"] if fitted else 3 * ["-"]
        numbers = [f"{fitted[1]:.2f}" if heard else "in the noise" if fitted else "-", *numbers]
        unit = f"{MODES[mode].typical:g} {MODES[mode].unit}"
        rows.append((parent, mode, unit, f"{int(small.sum())}", *numbers, "-" if sign is None else f"{sign:+.2f}"))
    for axis, parent in zip(axes, parents, strict=False):
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlim(0.01, 6.0)
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, high / 30.0), 1.5 * high)
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set_title(parent, fontsize=9)
        axis.tick_params(labelsize=7, labelbottom=True)
    for axis in axes[len(parents) :]:
        axis.set_visible(False)
    handles = [axes[0].plot([], [], "o", ms=4, color=colour)[0] for colour in colours.values()]
    title = "x: abs(amount) in typical amounts of the mode"
    figure.legend(handles, colours, loc="outside lower center", ncols=len(colours), fontsize=8, title=title)
    figure.supylabel(f"abs(CD − CD of the parent) / {CD_UNIT} eV$^{{1/2}}$", fontsize=9)
    save(figure, path)
    head = ("parent", "mode", "typical amount", "n", "exponent p", "c", "floor", "scatter (ln)", "sign rule")
    median = f"median exponent {np.median(exponents):.2f} of {len(exponents)} fits" if exponents else "too few records"
    odd = f"; mean sign rule of the modes whose sign is a hand: {np.mean(even):+.2f}" if even else ""
    text = (
        "Fits of abs(CD − CD of the parent) = hypot(c x^p, floor) to records with one collective distortion x (in "
        f"typical amounts, up to {SMALL:g}) at fwhm {WIDTH_EV:g} eV: {median} (1: linear){odd}. The floor is what the "
        "little thermal noise on every record gives; a mode that gives less is in the noise. Sign rule: mean CD "
        "cosine of pairs after each CD was multiplied with the sign of its amount: +1 where the sign of the "
        "distortion alone decides the CD, 0 where it says nothing."
    )
    return f"{text}\n\n{table(head, rows)}"


def _single(data):
    """(parent, mode) -> [(amount, index)] of records with one collective distortion and the parent's own ligands."""
    found = {}
    for index in range(len(data.ids)):
        parent = data.text["parent"][index]
        if data.text["kind"][index] != "mode" or data.is_mirror(index) or data.reference(parent) is None:
            continue
        if data.details[index].get("exchanges"):
            continue
        steps = [step for step in data.details[index]["distortions"] if step["mode"] != NOISE]
        if len(steps) == 1 and steps[0]["amount"] != 0.0:
            found.setdefault((parent, steps[0]["mode"]), []).append((steps[0]["amount"], index))
    return found


def _power(x, y):
    """(c, p, floor, rms residual of ln y) of the best y = hypot(c x^p, floor)."""

    def wrong(values):
        c, p, floor = np.exp(values[0]), values[1], np.exp(values[2])
        return np.log(np.hypot(c * x**p, floor)) - np.log(y)

    start = [np.log(np.median(y / x)), 1.0, np.log(y.min())]
    low = [np.log(y.min()) - 5.0, 0.2, np.log(y.min()) - 5.0]
    high = [np.log(y.max()) + 5.0, 4.0, np.log(y.max())]
    found = least_squares(wrong, np.clip(start, np.add(low, 1e-6), np.subtract(high, 1e-6)), bounds=(low, high))
    c, p, floor = np.exp(found.x[0]), found.x[1], np.exp(found.x[2])
    return float(c), float(p), float(floor), float(np.sqrt(np.mean(found.fun**2)))


def _sign_rule(data, points, reference):
    """Mean cosine of the CD changes after each was multiplied with the sign of its amount; None for too few."""
    if len(points) < 3:
        return None
    changes = [np.sign(amount) * broader(data.cd[index] - reference, WIDTH_EV) for amount, index in points]
    units = np.array([change / size(change) for change in changes if size(change) > 0.0])
    together = units @ units.T * (size(units[0]) ** 2 / (units[0] @ units[0]))
    return float(together[np.triu_indices(len(units), 1)].mean())


def decorrelation(data, path):
    """Likeness of the CD of two records of a parent against the distance of their geometries, by kind."""
    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    spectra = {width: broader(data.cd, width) for width in WIDTHS_EV}
    absorption = broader(data.epsilon, WIDTH_EV)
    rows, kept = [], []
    for axis, kind in zip(axes, ("thermal", "mode"), strict=True):
        for number, parent in enumerate(data.parents):
            chiral = any(hand != "0" for hand in data.text["hand"][data.text["parent"] == parent])
            for of, pairs in _pairs(data, parent, kind, chiral).items():
                apart = np.array([rms_apart(data.positions[i], data.positions[j]) for i, j in pairs])
                found = {w: np.array([cosine(spectra[w][i], spectra[w][j]) for i, j in pairs]) for w in WIDTHS_EV}
                same = np.array([cosine(absorption[i], absorption[j]) for i, j in pairs])
                centres, medians = [], []
                for low, high in pairwise(EDGES_A):
                    inside = (apart >= low) & (apart < high)
                    if inside.sum() < 3:
                        continue
                    cells = [f"{np.nanmedian(found[w][inside]):+.2f}" for w in WIDTHS_EV]
                    centres.append(np.median(apart[inside]))
                    medians.append(np.nanmedian(found[WIDTH_EV][inside]))
                    if of == "parent" and kind == "thermal":
                        kept.append(f"{parent} {medians[-1]:+.2f} at {centres[-1]:.2f} Å")
                    share = f"{np.median(same[inside]):.2f}"
                    rows.append((kind, parent, of, f"{low:g}-{high:g}", inside.sum(), share, *cells))
                if centres:
                    line, label = "--s" if of == "parent" else "-o", f"{parent} to {of}"
                    axis.plot(centres, medians, line, ms=4, lw=1.3, color=f"C{number % 10}", label=label)
                if of == "each other":
                    axis.plot(apart, found[WIDTH_EV], ".", ms=1.5, alpha=0.25, color=f"C{number % 10}")
        axis.set_title(kind, fontsize=10)
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("rms distance of the two geometries, all atoms / Å")
        axis.axhline(0.0, color="grey", lw=0.6)
    lines = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(lines.values(), lines, loc="outside right center", fontsize=7)
    axes[0].set_ylabel(f"CD cosine at fwhm {WIDTH_EV:g} eV (lines: median)")
    save(figure, path)
    head = ("kind", "parent", "compared with", "rms distance / Å", "pairs", "absorption cosine")
    text = (
        "Records with their parent's own ligands, compared with each other and, where the parent is chiral, with it, "
        f"by the rms distance of the geometries: median cosine of the absorption (fwhm {WIDTH_EV:g} eV) and of the CD "
        "(three widths). The CD of an achiral parent's records falls to 0; of a chiral one's a share survives. "
        f"Thermal snapshots against their chiral parents: {'; '.join(kept) if kept else 'too few yet'}."
    )
    return f"{text}\n\n{table((*head, *(f'CD {w:g} eV' for w in WIDTHS_EV)), rows)}"


def _pairs(data, parent, kind, chiral):
    """Pairs of records with the parent's own ligands (a random choice of the many), and of each with a chiral "
    "parent."""
    own = [int(i) for i in data.where(parent=parent, kind=kind)]
    own = [i for i in own if not data.is_mirror(i) and not data.details[i].get("exchanges")]
    pairs = [(i, j) for at, i in enumerate(own) for j in own[at + 1 :]]
    rng = np.random.default_rng(0)
    found = {"each other": [pairs[k] for k in rng.permutation(len(pairs))[:MOST_PAIRS]]}
    reference = data.reference(parent)
    if chiral and reference is not None:
        found["parent"] = [(reference, i) for i in own]
    return {of: some for of, some in found.items() if some}
