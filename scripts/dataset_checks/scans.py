"""How CD grows along a collective distortion without any noise: a few labels of one parent at doubling amounts."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from matplotlib.figure import Figure

from clusterml.structure.distort.apply import scan
from clusterml.structure.distort.modes import MODES
from clusterml.structure.distort.subject import Subject
from dataset_checks.data import CD_UNIT, broader, label_again, save, size, table

WIDTH_EV = 0.2
SHARES = (-0.25, 0.0625, 0.125, 0.25, 0.5, 1.0)


def doubling(data, path, keep, longest_s):
    """Change of the CD of the parents along each of their collective modes, from 1/16 to 1 typical amount."""
    rows, curves, first, odd = [], {}, [], []
    for parent in data.parents:
        reference = data.reference(parent)
        if reference is None or data.details[reference]["seconds"] > longest_s:
            continue
        charge = data.dataset.find(data.ids[reference]).charge
        subject = Subject(Atoms(data.atoms[reference], data.positions[reference], info={"charge": charge}))
        scale = np.median(size(broader(data.cd[data.where(parent=parent)], WIDTH_EV)))
        for mode in (mode.name for mode in subject.available() if mode.typical > 0.0):
            amounts = [share * MODES[mode].typical for share in SHARES]
            changes = []
            for share, atoms in zip(SHARES, scan(subject, mode, amounts, problems="warn"), strict=True):
                name = f"scan-{parent}-{mode}-{share:g}"
                cd = label_again(data, reference, atoms.positions, keep, name)[1]
                changes.append(broader(cd - data.cd[reference], WIDTH_EV))
            sizes = size(changes[1:])
            unit = f"{MODES[mode].typical:g} {MODES[mode].unit}"
            if sizes[-1] < 1e-3 * scale:
                rows.append((parent, mode, unit, f"{sizes[-1]:.0e}", *["none"] * 5))
                continue
            powers = np.diff(np.log2(sizes))
            # a change that is odd in the amount has the opposite sign at the opposite amount
            sign = float(changes[0] @ changes[3] / np.linalg.norm(changes[0]) / np.linalg.norm(changes[3]))
            first.append(powers[0])
            odd.append(sign)
            rows.append((parent, mode, unit, f"{sizes[-1]:.3g}", *(f"{p:.2f}" for p in powers), f"{sign:+.2f}"))
            curves[parent, mode] = sizes / sizes[0]
    if not rows:
        return f"No parent has a label of at most {longest_s:g} s."
    _draw(curves, path)
    head = (
        "parent",
        "mode",
        "typical amount",
        "change at 1",
        "1/16-1/8",
        "1/8-1/4",
        "1/4-1/2",
        "1/2-1",
        "CD(-x).CD(x)",
    )
    near = [power for power in first if abs(power - 1.0) <= 0.1]
    others = ", ".join(f"{power:.2f}" for power in sorted(first) if power not in near) or "none"
    text = (
        "Parents distorted by one collective mode without noise, in doubling steps from 1/16 to 1 typical amount: "
        f"exponent p of abs(CD − CD of the parent) ~ x^p in each step, at fwhm {WIDTH_EV:g} eV (change in {CD_UNIT} "
        "eV^1/2; none: below 1e-3 of the parent's usual CD, the mode keeps it achiral), and the cosine of the "
        "changes at -1/4 and +1/4. Linear growth is p = 1; where symmetry forbids the linear term p is 2 (even: cosine "
        f"+1) or 3. Of {len(rows)} modes {len(first)} change the CD; in the first step {len(near)} of these are linear "
        f"(p within 0.1 of 1), the others have p = {others}."
    )
    return f"{text} Labels of at most {longest_s:g} s.\n\n{table(head, rows)}"


def _draw(curves, path):
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axis = figure.subplots()
    shares = np.array(SHARES[1:])
    parents = list(dict.fromkeys(parent for parent, _ in curves))
    modes = list(dict.fromkeys(mode for _, mode in curves))
    for (parent, mode), sizes in curves.items():
        style = ("-", "--", "-.", ":")[modes.index(mode) % 4] + "osvD^"[modes.index(mode) % 5]
        axis.plot(shares, sizes, style, ms=4, lw=1.2, color=f"C{parents.index(parent)}", label=f"{parent} {mode}")
    axis.plot(shares, shares / shares[0], color="black", lw=3.0, alpha=0.25, label="linear")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    axis.set_xlabel("amount / typical amount of the mode")
    axis.set_ylabel("abs(CD − CD of the parent), in units of the first")
    axis.legend(fontsize=7)
    save(figure, path)
