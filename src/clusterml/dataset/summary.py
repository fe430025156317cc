"""What is in a dataset, in numbers, tables and one figure."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.dataset.record import KINDS
from clusterml.dataset.runner import outcomes
from clusterml.dataset.store import Dataset
from clusterml.errors import DatasetError
from clusterml.io.files import write_bytes
from clusterml.spectrum.spectrum import G_FLOOR
from clusterml.structure.anatomy.kernel import core_key
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from rich.table import Table

_GROUPED = ("parent", "kind", "method", "hand", "shell")


def summary(folder: str | Path) -> dict[str, Any]:
    """Counts by parent, kind, method, hand and shell; distinct ``cores`` and ``ligands``; records by family and kind;
    ranges; outcomes of the jobs.

    Ranges are (5 %, median, 95 %) over the records: ``n_atoms``; ``gap_ev``; ``lowest_ev``; ``epsilon_max`` and
    ``delta_epsilon_max`` (L mol-1 cm-1); ``g_max``, where the absorption is above 2 % of its maximum.  ``chirality``
    has the same for the measures of :func:`~clusterml.dataset.labelling.chirality_measures`, where records have them.
    """
    dataset = Dataset(folder)
    counts = {name: dict(Counter(dataset.column(name)).most_common()) for name in _GROUPED} if len(dataset) else {}
    rejected = Counter(reason for _, state, reason in outcomes(Path(folder)) if state == "rejected")
    failed = Counter(reason for _, state, reason in outcomes(Path(folder)) if state == "failed")
    return {
        "name": dataset.about.get("name", Path(folder).name),
        "records": len(dataset),
        "counts": counts,
        "distinct": distinct(dataset),
        "families": composition(dataset),
        "ranges": {name: _range(values) for name, values in spectral_numbers(dataset).items()},
        "chirality": {name: _range(values[np.isfinite(values)]) for name, values in chirality(dataset).items()},
        "jobs": dict(Counter(state for _, state, _ in outcomes(Path(folder)))),
        "rejected": dict(rejected.most_common(10)),
        "failed": dict(failed.most_common(10)),
    }


def distinct(dataset: Dataset) -> dict[str, int]:
    """How many different metal cores (elements and contacts, one record of each parent) and ligands there are."""
    if not len(dataset):
        return {"cores": 0, "ligands": 0}
    first = dict(zip(reversed(dataset.column("parent")), reversed(dataset.ids), strict=True))
    records = (dataset.find(name) for name in first.values())
    cores = {core_key(record.numbers, np.asarray(record.positions)) for record in records}
    ligands = {name for details in dataset.column("details") for name in details.get("ligands", {})}
    return {"cores": len(cores), "ligands": len(ligands)}


def composition(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Records of each family by kind; mirror images and labels with further protocols are counted too."""
    table: dict[str, Counter[str]] = {}
    if len(dataset):
        for family, kind in zip(dataset.column("family"), dataset.column("kind"), strict=True):
            table.setdefault(family, Counter())[kind] += 1
    return {family: {kind: table[family][kind] for kind in KINDS} for family in sorted(table)}


def chirality(dataset: Dataset) -> dict[str, FloatArray]:
    """The chirality measures of the records, (n,) each; NaN where a record does not have one."""
    stored = [details.get("chirality", {}) for details in dataset.column("details")] if len(dataset) else []
    names = dict.fromkeys(name for measures in stored for name in measures)
    return {name: np.array([float(measures.get(name, np.nan)) for measures in stored]) for name in names}


def spectral_numbers(dataset: Dataset) -> dict[str, FloatArray]:
    """One number (n,) per record: size, gap, lowest excitation, largest epsilon, abs(delta_epsilon) and abs(g)."""
    if not len(dataset):
        return {}
    epsilon, cd = dataset.column("epsilon"), dataset.column("delta_epsilon")
    top = epsilon.max(axis=1, keepdims=True)
    g = np.where(epsilon > G_FLOOR * top, np.abs(cd) / np.maximum(epsilon, 1e-12), 0.0)
    return {
        "n_atoms": dataset.column("n_atoms").astype(float),
        "gap_ev": dataset.column("gap_ev"),
        "lowest_ev": dataset.column("lowest_ev")[:, 0],
        "epsilon_max": top[:, 0],
        "delta_epsilon_max": np.abs(cd).max(axis=1),
        "g_max": g.max(axis=1),
    }


def _range(values: FloatArray) -> list[float]:
    return [float(x) for x in np.quantile(values, [0.05, 0.5, 0.95])]


def tables(numbers: dict[str, Any]) -> list[Table]:
    """The summary as tables for a terminal."""
    from rich.table import Table

    sections = []
    kinds = numbers["distinct"]
    title = (
        f"{numbers['name']}: {numbers['records']} records, {kinds['cores']} different cores, {kinds['ligands']} ligands"
    )
    overview = Table("group", "value", "records", title=title)
    for group, counts in numbers["counts"].items():
        for number, (value, count) in enumerate(list(counts.items())[:12]):
            overview.add_row(group if number == 0 else "", str(value), str(count))
        if len(counts) > 12:
            overview.add_row("", f"and {len(counts) - 12} more", str(sum(list(counts.values())[12:])))
    sections += [overview, _family_table(numbers["families"])]
    ranges = Table("quantity", "5 %", "median", "95 %")
    for name, values in numbers["ranges"].items():
        ranges.add_row(name, *(f"{value:.4g}" for value in values))
    for name, values in numbers["chirality"].items():
        ranges.add_row(f"chirality {name}", *(f"{value:.3g}" for value in values))
    sections.append(ranges)
    if numbers["jobs"]:
        jobs = Table("jobs", "count", "reason")
        for state, count in numbers["jobs"].items():
            jobs.add_row(state, str(count), "")
            for reason, times in numbers.get(state, {}).items():
                jobs.add_row("", str(times), reason)
        sections.append(jobs)
    return sections


def _family_table(families: dict[str, dict[str, int]]) -> Table:
    from rich.table import Table

    kinds = [kind for kind in KINDS if any(row[kind] for row in families.values())]
    table = Table("family", *kinds, "all")
    for family, row in families.items():
        table.add_row(family, *(str(row[kind]) for kind in kinds), str(sum(row.values())))
    return table


def draw(folder: str | Path, path: Path) -> Path:
    """One figure: distributions over parents, and the mean and spread of each parent's spectra; returns ``path``."""
    from matplotlib.figure import Figure

    dataset = Dataset(folder)
    if not len(dataset):
        raise DatasetError(f"{folder}: holds no packed records yet", "wait until the campaign packs some, or stop it")
    numbers = spectral_numbers(dataset)
    parent = np.array(dataset.column("parent"))
    names = list(dict.fromkeys(parent))
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    panels = (("gap_ev", "HOMO-LUMO gap / eV"), ("delta_epsilon_max", "max |Δε| / L mol⁻¹ cm⁻¹"), ("g_max", "max |g|"))
    for axis, (key, label) in zip(axes[0], panels, strict=True):
        axis.hist([numbers[key][parent == name] for name in names], bins=30, stacked=True, label=names)
        axis.set_xlabel(label)
        axis.set_ylabel("records")
    axes[0, 0].legend(fontsize=7)
    curves = {"epsilon": "ε / 10³ L mol⁻¹ cm⁻¹", "delta_epsilon": "|Δε| / L mol⁻¹ cm⁻¹"}
    for axis, (key, label) in zip(axes[1], curves.items(), strict=False):
        values = np.abs(dataset.column(key)) / (1e3 if key == "epsilon" else 1.0)
        for name in names:
            axis.plot(dataset.grid.energy_ev, values[parent == name].mean(axis=0), label=name)
        axis.set_xlabel("energy / eV")
        axis.set_ylabel(f"mean {label}")
    axes[1, 2].scatter(numbers["n_atoms"], np.maximum(numbers["g_max"], 1e-8), s=4)
    axes[1, 2].set_yscale("log")
    axes[1, 2].set_xlabel("atoms")
    axes[1, 2].set_ylabel("max |g|")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return write_bytes(path, buffer.getvalue())
