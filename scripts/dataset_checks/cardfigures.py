"""The two figures of a dataset card: distributions of numbers, and example spectra."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from clusterml.dataset.record import GRID_EV
from dataset_checks.data import CD_UNIT, save


def distributions(data, path):
    """Histograms of energies, sizes of CD and chirality measures, stacked by family."""
    families = sorted(set(data.text["family"]), key=lambda f: np.mean(data.numbers["n_atoms"][data.where(family=f)]))
    rows = [data.where(family=family) for family in families]
    numbers = data.numbers
    panels = (
        ("lowest excitation / eV", numbers["lowest_ev"], False),
        ("HOMO-LUMO gap / eV", numbers["gap_ev"], False),
        ("max ε / 10³ L mol⁻¹ cm⁻¹", numbers["epsilon_max"] / 1e3, False),
        (f"max |Δε| / {CD_UNIT}", numbers["delta_epsilon_max"], True),
        ("max |g|", numbers["g_max"], True),
        ("atoms", numbers["n_atoms"], False),
        ("CCM of the frame", data.measures["ccm_frame"], True),
        ("misfit of the frame to its mirror image / Å", data.measures["misfit_frame"], True),
        ("|local signed index of the frame|", np.abs(data.measures["opd_local_frame"]), True),
    )
    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    for axis, (label, values, logarithmic) in zip(figure.subplots(3, 3).flat, panels, strict=True):
        known = values[np.isfinite(values)]
        bins = np.linspace(known.min(), known.max() * 1.0001 + 1e-12, 31)
        if logarithmic:
            # exact zeros of achiral parents would stretch the axis: they stand in the first bar
            low = max(known.max() * 1e-5, 1e-12)
            values = np.maximum(values, low)
            bins = np.geomspace(low, known.max() * 1.0001, 31)
            axis.set_xscale("log")
        shades = [f"C{k}" for k in range(len(families))]
        axis.hist([values[own][np.isfinite(values[own])] for own in rows], bins=bins, stacked=True, color=shades)
        axis.set_xlabel(label)
        axis.tick_params(labelsize=8)
    names = [f"{family} ({len(own)})" for family, own in zip(families, rows, strict=True)]
    handles = [figure.axes[0].plot([], [], "s", color=f"C{k}")[0] for k in range(len(families))]
    figure.legend(handles, names, loc="outside lower center", ncols=5, fontsize=8, title="records of family")
    figure.supylabel("records", fontsize=9)
    save(figure, path)


def examples(data, path):
    """For each parent the absorption of one record, and the CD of up to three of different kinds."""
    columns = 3
    lines = int(np.ceil(len(data.parents) / columns))
    figure = Figure(figsize=(11.0, 2.3 * lines + 0.5), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False, sharex=True).flat)
    for axis, parent in zip(axes, data.parents, strict=False):
        shown = [int(found[0]) for kind in _SHADES if len(found := data.where(parent=parent, kind=kind))]
        behind = axis.twinx()
        behind.fill_between(GRID_EV, data.epsilon[shown[0]] / 1e3, color="0.88", lw=0.0)
        behind.set_ylim(0.0, 2.2 * data.epsilon[shown[0]].max() / 1e3)
        behind.tick_params(labelsize=7, colors="0.5")
        axis.set_zorder(behind.get_zorder() + 1)
        axis.patch.set_visible(False)
        for index in shown:
            axis.plot(GRID_EV, data.cd[index], lw=1.0, color=_SHADES[data.text["kind"][index]])
        axis.set_title(parent, fontsize=9)
        axis.tick_params(labelsize=7, labelbottom=True)
    for axis in axes[len(data.parents) :]:
        axis.set_visible(False)
    handles = [axes[0].plot([], [], color=shade)[0] for shade in _SHADES.values()]
    grey = axes[0].fill_between([], [], color="0.88")
    labels = [*_SHADES, "ε of the first / 10³ L mol⁻¹ cm⁻¹ (right)"]
    figure.legend(
        [*handles, grey], labels, loc="outside lower center", ncols=5, fontsize=8, title="over the energy / eV"
    )
    figure.supylabel(f"Δε / {CD_UNIT} (left)", fontsize=9)
    save(figure, path, dpi=90)


_SHADES = {"reference": "black", "mode": "C0", "thermal": "C1", "ensemble": "C2"}
