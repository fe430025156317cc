"""Computed absorption bands beside the measured ones, with one shift and one scale for all clusters."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from clusterml.dataset.record import GRID_EV
from clusterml.spectrum.bands import FARTHEST_EV, measured_bands
from clusterml.spectrum.peaks import find_bands
from clusterml.spectrum.spectrum import Spectrum
from dataset_checks.data import broader, save, table

WIDTH_EV = 0.2
SYSTEMS = {"ag25-sch3": "Ag25", "ag29-sh": "Ag29-BDT", "ag70-t": "Rac-Ag70"}
"""Parent -> list of measured bands."""
SHIFTS_EV = np.linspace(-0.8, 0.8, 65)
SCALES = np.linspace(0.9, 1.1, 11)
RANDOM_LISTS = 99


def peaks(data, path):
    """The computed bands of the parents matched with measured ones after one common shift and scale."""
    known = {parent: name for parent, name in SYSTEMS.items() if data.reference(parent) is not None}
    if not known:
        return "No parent with measured bands has been labelled."
    computed, measured, curves = {}, {}, {}
    for parent, name in known.items():
        curves[parent] = broader(data.epsilon[data.reference(parent)], WIDTH_EV)
        computed[parent] = find_bands(Spectrum(GRID_EV, curves[parent], np.zeros(len(GRID_EV))))
        bands = [band for band in measured_bands(name) if band.quantity == "absorption"]
        measured[parent] = sorted(bands, key=lambda band: band.energy_ev)
    wanted = {parent: np.array([band.energy_ev for band in bands]) for parent, bands in measured.items()}
    found = {parent: np.array([band.energy_ev for band in bands]) for parent, bands in computed.items()}
    # only a measured shoulder may be a computed one
    able = {
        parent: np.array([[m.kind == "shoulder" or c.kind == "peak" for c in computed[parent]] for m in bands])
        for parent, bands in measured.items()
    }
    best = {fitted: _chance(found, wanted, able, fitted) for fitted in ("shift and scale", "shift alone")}
    (scale, shift), cost, chance = best["shift and scale"]
    rows, deviations = [], []
    for parent, bands in measured.items():
        pairs = dict(_pairs(scale * found[parent] + shift, wanted[parent], able[parent]))
        for number, band in enumerate(bands):
            cells = ["-", "-", "-"]
            if number in pairs:
                raw = found[parent][pairs[number]]
                deviations.append(scale * raw + shift - band.energy_ev)
                cells = [f"{raw:.2f}", f"{scale * raw + shift:.2f}", f"{deviations[-1]:+.2f}"]
            rows.append((parent, known[parent], f"{band.nm:g}", band.kind, f"{band.energy_ev:.2f}", *cells))
    _draw(curves, found, wanted, scale, shift, path)
    head = ("parent", "measured list", "nm", "kind", "measured / eV", "computed / eV", "fitted / eV", "deviation / eV")
    (_, alone), worse, chance_alone = best["shift alone"]
    extra = "; ".join(f"{parent} shows {len(bands)} bands" for parent, bands in computed.items())
    text = (
        f"Fitted once for all: E' = {scale:.2f} E {shift:+.2f} eV. {len(deviations)} of {len(rows)} measured bands "
        f"have a counterpart within {FARTHEST_EV:g} eV (a shoulder only for a shoulder), mean absolute deviation "
        f"{np.mean(np.abs(deviations)):.2f} eV. Random band lists are matched as well with a probability of "
        f"{chance:.2f}; below 0.05 would make the agreement evidence. With a shift alone ({alone:+.2f} eV) the "
        f"squared deviations are {worse / cost:.1f} times as large, the probability {chance_alone:.2f}. Spectra at "
        f"fwhm {WIDTH_EV:g} eV ({extra}). The models carry small ligands (SCH3, SH, HCOO, Cl), the measured clusters "
        "large ones, the Ag70 model has another charge, and the bands of Ag25 are approximate and second hand."
    )
    return f"{text}\n\n{table(head, rows)}"


def _chance(found, wanted, able, fitted):
    """((scale, shift), cost) of the best fit, and the probability that random band lists cost no more."""
    scales = SCALES if fitted == "shift and scale" else np.ones(1)
    cost, *best = _fit(found, wanted, able, scales)
    rng = np.random.default_rng(0)
    as_good = sum(_fit(found, _random(wanted, rng), able, scales)[0] <= cost for _ in range(RANDOM_LISTS))
    return best, cost, (as_good + 1) / (RANDOM_LISTS + 1)


def _fit(found, wanted, able, scales):
    """(cost, scale, shift) with the least sum of squared deviations, a band without counterpart counting 0.3 eV."""
    best = (np.inf, 1.0, 0.0)
    for scale in scales:
        for shift in SHIFTS_EV:
            cost = sum(_cost(scale * found[p] + shift, wanted[p], able[p]) for p in found)
            cost += 1e-6 * (abs(scale - 1.0) + abs(shift))  # among equals the one that changes least
            if cost < best[0]:
                best = (cost, float(scale), float(shift))
    return best


def _squares(energies, wanted, able):
    """Squared deviations (measured, computed), at most those of a band without counterpart."""
    squares = (wanted[:, None] - energies[None, :]) ** 2
    return np.minimum(np.where(able, squares, FARTHEST_EV**2), FARTHEST_EV**2)


def _cost(energies, wanted, able):
    squares = _squares(energies, wanted, able)
    used = linear_sum_assignment(squares)
    return float(squares[used].sum() + (len(wanted) - len(used[0])) * FARTHEST_EV**2)


def _pairs(energies, wanted, able):
    """(measured, computed) numbers of the bands that belong together."""
    squares = _squares(energies, wanted, able)
    pairs = zip(*linear_sum_assignment(squares), strict=True)
    return [(int(i), int(j)) for i, j in pairs if squares[i, j] < FARTHEST_EV**2]


def _random(wanted, rng):
    """As many bands of each cluster at random distances over about the same energies, none closer than the measured."""
    lists = {}
    for parent, energies in wanted.items():
        gaps = np.diff(energies)
        least = 0.9 * gaps.min()
        span = gaps.sum() * rng.uniform(0.8, 1.2)
        new = least + rng.dirichlet(np.ones(len(gaps))) * max(span - least * len(gaps), 0.0)
        lists[parent] = energies[0] + rng.uniform(-FARTHEST_EV, FARTHEST_EV) + np.concatenate([[0.0], np.cumsum(new)])
    return lists


def _draw(curves, computed, wanted, scale, shift, path):
    figure = Figure(figsize=(8.0, 1.9 * len(curves) + 0.4), layout="constrained")
    axes = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (parent, curve) in zip(axes, curves.items(), strict=True):
        axis.plot(scale * GRID_EV + shift, curve / 1e3, lw=1.3)
        heights = np.interp(computed[parent], GRID_EV, curve) / 1e3
        axis.plot(scale * computed[parent] + shift, heights, "v", ms=5, label="computed bands")
        for number, energy in enumerate(wanted[parent]):
            label = f"measured bands of {SYSTEMS[parent]}" if number == 0 else None
            axis.axvline(energy, ls=":", color="C3", lw=1.3, label=label)
        axis.set_title(parent, fontsize=9, loc="left")
        axis.set_ylim(0.0, 1.15 * curve[scale * GRID_EV + shift < 4.4].max() / 1e3)
        axis.legend(fontsize=7, loc="upper left")
    axes[-1].set_xlim(1.0, 4.4)
    axes[-1].set_xlabel(f"{scale:.2f} × computed energy {shift:+.2f} eV")
    figure.supylabel("ε / 10³ L mol⁻¹ cm⁻¹", fontsize=9)
    save(figure, path)
