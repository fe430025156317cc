"""Which measure of chirality goes with CD?  Correlations within each family."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import pearsonr, spearmanr

from dataset_checks.data import STEP_EV, rms_apart, save, table

FEWEST = 8
"""Fewer records than this are not correlated."""
UNSIGNED = (
    "ccm_frame",
    "misfit_frame",
    "abs(opd)",
    "abs(opd_local)",
    "abs(opd_frame)",
    "abs(opd_local_frame)",
    "rms shift",
)
SIGNED = ("opd", "opd_local", "opd_frame", "opd_local_frame")
TARGETS = {"integrated abs(CD)": UNSIGNED, "max abs(g)": UNSIGNED, "integrated CD": SIGNED}


def correlations(data, path):
    """Spearman and Pearson correlations of the measures with three numbers of the CD, within each family."""
    values = _values(data)
    families = sorted(set(data.text["family"]), key=lambda f: np.mean(data.numbers["n_atoms"][data.where(family=f)]))
    rows, found = [], {target: np.full((len(families), len(names)), np.nan) for target, names in TARGETS.items()}
    counts = []
    for at, family in enumerate(families):
        own = [i for i in data.where(family=family) if _counts(data, i)]
        counts.append(len(own))
        if len(own) < FEWEST:
            continue
        for target, names in TARGETS.items():
            cells = []
            for column, name in enumerate(names):
                x, y = values[name][own], values[target][own]
                good = np.isfinite(x) & np.isfinite(y)
                if good.sum() < FEWEST or np.ptp(x[good]) == 0.0:
                    cells.append("-")
                    continue
                rank, line = spearmanr(x[good], y[good]), pearsonr(x[good], y[good])
                found[target][at, column] = rank.statistic
                star = "*" if rank.pvalue < 0.01 else ""
                cells.append(f"{rank.statistic:+.2f}{star} / {line.statistic:+.2f}")
            rows.append((target, family, len(own), cells))
    parts = []
    for target, names in TARGETS.items():
        own = [(family, n, *cells) for about, family, n, cells in rows if about == target]
        with np.errstate(all="ignore"):
            mean = [f"{np.nanmean(c):+.2f}" if np.isfinite(c).any() else "-" for c in found[target].T]
        parts.append(f"**{target}**\n\n" + table(("family", "n", *names), [*own, ("mean of Spearman", "", *mean)]))
    _draw(found, families, counts, path)
    best = {target: _best(found[target], names) for target, names in TARGETS.items()}
    text = (
        "Spearman / Pearson correlation within each family (thermal and mode records; * Spearman with p < 0.01). rms "
        "shift: rms displacement of all atoms from the parent, where the ligands are the parent's. Highest mean rank "
        "correlation: "
        + "; ".join(f"{target}: {name} ({value:+.2f})" for target, (name, value) in best.items())
        + ". Integrated over 0.5 to 5.5 eV."
    )
    return text + "\n\n" + "\n\n".join(parts)


def _counts(data, index):
    return data.text["kind"][index] in ("mode", "thermal") and not data.is_mirror(index)


def _values(data):
    """Every measure and target, (n,) each."""
    values = {name: data.measures[name] for name in (*SIGNED, "ccm_frame", "misfit_frame")}
    values |= {f"abs({name})": np.abs(data.measures[name]) for name in SIGNED}
    values["rms shift"] = np.full(len(data.ids), np.nan)
    for index, parent in enumerate(data.text["parent"]):
        reference = data.reference(parent)
        if reference is not None and np.array_equal(data.atoms[index], data.atoms[reference]):
            values["rms shift"][index] = rms_apart(data.positions[index], data.positions[reference])
    values["integrated abs(CD)"] = np.abs(data.cd).sum(axis=1) * STEP_EV
    values["integrated CD"] = data.cd.sum(axis=1) * STEP_EV
    values["max abs(g)"] = data.numbers["g_max"]
    return values


def _best(found, names):
    with np.errstate(all="ignore"):
        means = np.array([np.nanmean(c) if np.isfinite(c).any() else 0.0 for c in found.T])
    place = int(np.argmax(np.abs(means)))
    return names[place], float(means[place])


def _draw(found, families, counts, path):
    figure = Figure(figsize=(11.0, 0.32 * len(families) + 2.6), layout="constrained")
    widths = [len(names) for names in TARGETS.values()]
    axes = figure.subplots(1, len(TARGETS), sharey=True, width_ratios=widths)
    for axis, (target, names) in zip(axes, TARGETS.items(), strict=True):
        image = axis.imshow(found[target], vmin=-1.0, vmax=1.0, cmap="RdBu_r", aspect="auto")
        axis.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
        axis.set_yticks(range(len(families)), [f"{f} ({n})" for f, n in zip(families, counts, strict=True)], fontsize=8)
        axis.set_title(target, fontsize=10)
        for (row, column), value in np.ndenumerate(found[target]):
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.6 else "black"
                axis.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, ax=axes, label="Spearman correlation", shrink=0.9)
    save(figure, path)
