"""The card of a dataset, its ``README.md``: what is in it, what was refused and why, and what it cost, in tables.

All of it follows from the folder: written again after the dataset has grown it is up to date.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.dataset.groups import gathered, hypothetical_families, kin_of, ligands_of
from clusterml.dataset.record import KINDS
from clusterml.dataset.runner import outcomes
from clusterml.dataset.split import SETS, load_split
from clusterml.dataset.store import Dataset
from clusterml.errors import counted
from clusterml.io.files import write_text

CARD = "README.md"
_SIZES = (0, 20, 40, 60, 100, 150, 350, 10_000)
"""Edges of the classes of size, in atoms."""
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")
_MOST_ROWS = 40
_LONGEST_REASON = 110
_NUMBERED = re.compile(r"-\d{5}$")


def write_card(folder: str | Path) -> Path:
    """Write the card of the dataset ``folder`` and return its path.

    Raises :class:`~clusterml.errors.DatasetError` for what is no dataset, OutputError if it cannot be written.
    """
    dataset = Dataset(folder)
    return write_text(dataset.folder / CARD, "\n\n".join(_sections(dataset)) + "\n")


def _sections(dataset: Dataset) -> Iterable[str]:
    about, columns = dataset.about, _Columns(dataset)
    yield f"# {about.get('title', about.get('name', dataset.folder.resolve().name))}"
    yield "Written by `clusterml dataset card`. Labels are spectra with their tensors, and the ground state."
    yield _overview(dataset, columns)
    yield "## By family\n\n" + _by_family(columns)
    yield "## By size\n\n" + _by_size(columns)
    yield "## Ligands\n\n" + _by_ligand(columns)
    yield "## Elements\n\n" + _by_element(dataset)
    yield "## Geometries\n\n" + _by_origin(columns)
    yield "## What was refused\n\n" + _refused(dataset.folder)
    if splits := _splits(dataset):
        yield "## Splits\n\n" + splits


class _Columns:
    """What is read of every record, once."""

    def __init__(self, dataset: Dataset) -> None:
        names = ("kind", "parent", "family", "shell", "method", "details")
        self.kind, self.parent, self.family, self.shell, self.method, self.details = (
            list(dataset.column(name)) if len(dataset) else [] for name in names
        )
        self.n_atoms = dataset.column("n_atoms").astype(int) if len(dataset) else np.zeros(0, dtype=int)
        self.drawn = hypothetical_families(dataset) if len(dataset) else set()
        self.cores = len(set(kin_of(dataset))) if len(dataset) else 0
        self.seconds = np.array([float(details.get("seconds", np.nan)) for details in self.details])

    def group(self, index: int) -> str:
        """The family, or of hypothetical clusters what they were drawn as."""
        family = self.family[index]
        return f"{_NUMBERED.sub('', family)} (hypothetical)" if family in self.drawn else family


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _overview(dataset: Dataset, columns: _Columns) -> str:
    megabytes = sum(path.stat().st_size for path in (dataset.folder / "shards").glob("*.h5")) / 1e6
    of_kind, methods = Counter(columns.kind), Counter(columns.method)
    static = len(dataset) - of_kind["ensemble"]
    ligands = {name for shell in columns.shell for name in ligands_of(shell)}
    per_record = f", {1e3 * megabytes / len(dataset):.2f} kB each" if len(dataset) else ""
    grid = dataset.grid
    rows = [
        ("labels of one geometry", static),
        ("thermal means", of_kind["ensemble"]),
        *((f"of kind {kind}", of_kind[kind]) for kind in KINDS if of_kind[kind] and kind != "ensemble"),
        *((f"labelled by {method}", count) for method, count in methods.most_common()),
        ("parents", len(set(columns.parent))),
        ("different families or cores", columns.cores),
        ("of these hypothetical", len(set(columns.drawn))),
        ("ligands", len(ligands)),
        ("size of the shards", f"{megabytes:.1f} MB{per_record}"),
        (
            "energies",
            f"{grid.low_ev:g} to {grid.energy_ev[-1]:g} eV in steps of {grid.step_ev:g} eV, bands {grid.fwhm_ev:g} eV",
        ),
    ]
    return table(("what", "number"), rows)


def _by_family(columns: _Columns) -> str:
    """Numbers of records by family and kind, their sizes, and what a label costs."""
    groups = gathered(columns.group(index) for index in range(len(columns.kind)))
    kinds = [kind for kind in KINDS if kind in columns.kind]
    rows = []
    for name in sorted(groups, key=lambda name: (np.median(columns.n_atoms[sorted(groups[name])]), name)):
        members = sorted(groups[name])
        of_kind = Counter(columns.kind[index] for index in members)
        atoms, seconds = columns.n_atoms[members], columns.seconds[members]
        known = seconds[np.isfinite(seconds)]
        cost = f"{np.median(known):.2f}" if len(known) else ""
        counts = [of_kind[kind] for kind in kinds]
        parents = len({columns.parent[index] for index in members})
        rows.append((name, parents, *counts, len(members), f"{atoms.min()} to {atoms.max()}", cost))
    return table(("family", "parents", *kinds, "all", "atoms", "median s of a label"), rows)


def _by_size(columns: _Columns) -> str:
    rows = []
    for low, high in pairwise(_SIZES):
        inside = (columns.n_atoms > low) & (columns.n_atoms <= high)
        seconds = columns.seconds[inside & np.isfinite(columns.seconds)]
        rate = f"{3600.0 / seconds.mean():.0f}" if len(seconds) and seconds.mean() > 0.0 else ""
        rows.append((f"{low + 1} to {high}", int(inside.sum()), f"{inside.mean():.0%}" if len(inside) else "", rate))
    note = "Seconds and rates are those of one thread of a processor (AMD EPYC), whatever else ran beside it."
    return table(("atoms", "records", "share", "labels an hour"), rows) + f"\n\n{note}"


def _by_ligand(columns: _Columns) -> str:
    counts = Counter(name for shell in columns.shell for name in ligands_of(shell))
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


def _by_element(dataset: Dataset) -> str:
    from ase.data import chemical_symbols

    counts: Counter[int] = Counter()
    for numbers, _ in dataset.geometries():
        counts.update(set(numbers.tolist()))
    symbols = ", ".join(f"{chemical_symbols[number]} {count}" for number, count in counts.most_common())
    return f"Records that hold each: {symbols or 'none'}."


def _by_origin(columns: _Columns) -> str:
    """What the geometries began from, and what was done to them."""
    done = Counter[str]()
    for details in columns.details:
        done["ligands exchanged"] += bool(details.get("exchanges"))
        done["a dopant"] += "dopant" in details
        distortions = [d for d in details.get("distortions", []) if d.get("mode") != "thermal-noise"]
        done["several collective distortions at once"] += len(distortions) > 1
    forms = Counter(str(details.get("form", "as given")) for details in columns.details)
    rows = [*((f"began from: {form}", count) for form, count in forms.most_common()), *done.items()]
    return table(("geometry", "records"), rows)


def _refused(folder: Path) -> str:
    """Jobs by what became of them, and by reason; numbers in reasons are left out."""
    states: Counter[str] = Counter()
    reasons: defaultdict[tuple[str, str], int] = defaultdict(int)
    for _, state, reason in outcomes(folder):
        states[state] += 1
        if state in ("rejected", "failed"):
            reasons[state, _plain(reason)] += 1
        elif reason:
            reasons["one label of two", _plain(reason)] += 1
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    rows: list[tuple[Any, ...]] = [(state, reason, count) for (state, reason), count in ordered[:_MOST_ROWS]]
    rest = sum(count for _, count in ordered[_MOST_ROWS:])
    rows += [("", f"{counted(len(ordered) - _MOST_ROWS, 'other reason')}", rest)] if rest else []
    words = ", ".join(f"{count} {state}" for state, count in states.most_common()) or "none"
    said = f"Jobs: {words}. A label is kept if the ground state and the spectrum converged and the gap is clear."
    return f"{said}\n\n{table(('state', 'reason', 'jobs'), rows)}" if rows else said


def _plain(reason: str) -> str:
    """A reason without its numbers, short."""
    return _NUMBER.sub("N", reason.splitlines()[0] if reason else "")[:_LONGEST_REASON]


def _splits(dataset: Dataset) -> str:
    rows = []
    for path in sorted((dataset.folder / "splits").glob("*.json")):
        split = load_split(path)
        unseen = split.unseen[:6]
        words = ", ".join(unseen) + (f" and {len(split.unseen) - 6} more" if len(split.unseen) > 6 else "")
        rows.append((f"`splits/{path.name}`", *(len(getattr(split, part)) for part in SETS), words or "distortions"))
    return table(("split", *SETS, "unseen in training"), rows) if rows else ""
