"""What an evaluation leaves: Markdown and JSON tables, and figures of similarity, examples and learning curves."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.io.files import make_folder, write_bytes, write_text
from clusterml.io.json import write_json
from clusterml.training.evaluation import Evaluation
from clusterml.training.metrics import cosine, largest_g
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
"""Version of ``evaluation.json``."""
COLUMNS = {
    "structures": ("structures", "{:.0f}"),
    "absorption_cosine": ("absorption cosine", "{:.3f}"),
    "absorption_r2": ("absorption R²", "{:.3f}"),
    "absorption_mae": ("absorption MAE", "{:.4g}"),
    "absorption_peak_error_ev": ("absorption peaks / eV", "{:.3f}"),
    "cd_cosine": ("CD cosine", "{:.3f}"),
    "cd_r2": ("CD R²", "{:.3f}"),
    "cd_mae": ("CD MAE", "{:.3g}"),
    "cd_peak_error_ev": ("CD peaks / eV", "{:.3f}"),
    "sign_accuracy": ("CD sign", "{:.3f}"),
    "largest_g_rank": ("max abs g rank", "{:.2f}"),
    "absorption_coverage": ("absorption in 90 % band", "{:.2f}"),
    "cd_coverage": ("CD in 90 % band", "{:.2f}"),
    "in_domain": ("in domain", "{:.2f}"),
    "gap_error_ev": ("gap error / eV", "{:.3f}"),
    "seconds": ("s per structure", "{:.2g}"),
}
"""Number -> heading and format; those that no row has are left out."""
NOTE = (
    "Medians over the structures, except R², which is of the whole set against the training mean of the same parent "
    "and hand, the rank correlation, and the last columns, which are means.  MAE in L mol⁻¹ cm⁻¹.  CD sign: share of "
    "the energies with the right sign where |CD| is above its median.  By parent: last the parents whose frame is "
    "chiral (of one hand: R or S, P or M), and the others, of which some have chiral ligands."
)
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHOWN = ("epsilon", "delta_epsilon")
_FEWEST_DRAWN = 10
"""A learning curve of fewer structures is noise: it is in the table only, unless there is no other."""
_AXIS = {"epsilon": "ε / 10³ L mol⁻¹ cm⁻¹", "delta_epsilon": "Δε / L mol⁻¹ cm⁻¹"}


def write_evaluations(
    evaluations: Sequence[Evaluation], model: str, folder: Path, curve: Sequence[Mapping[str, Any]] = ()
) -> list[Path]:
    """Write ``evaluation.md``, ``evaluation.json`` and figures of ``model`` into ``folder``; returns the paths.

    ``curve``: table rows of networks trained on parts of the data, each with ``n_train``.
    """
    make_folder(folder)
    written = []
    for evaluation in evaluations:
        written.append(_save(draw_similarity(evaluation), folder / f"similarity-{evaluation.title}.png"))
        written.append(_save(draw_examples(evaluation, model), folder / f"examples-{evaluation.title}.png"))
    if curve:
        written.append(_save(draw_curve(curve), folder / "learning-curve.png"))
    written.append(write_text(folder / "evaluation.md", markdown(evaluations, model, curve)))
    rows = [row for evaluation in evaluations for row in evaluation.table()]
    groups = [row for evaluation in evaluations for row in evaluation.table_by_group(model)]
    content = {"schema_version": SCHEMA_VERSION, "program": "clusterml", "version": version("clusterml")}
    content |= {
        "model": model,
        "rows": rows,
        "groups": groups,
        "learning_curve": list(curve),
        "splits": [_sizes(evaluation) for evaluation in evaluations],
    }
    written.append(write_json(content, folder / "evaluation.json", indent=1))
    return written


def markdown(evaluations: Sequence[Evaluation], model: str, curve: Sequence[Mapping[str, Any]] = ()) -> str:
    """For each split one table for each kind, and by parent that of ``model``; one table of the learning curve."""
    lines = [f"# {model}", "", NOTE]
    for evaluation in evaluations:
        sizes = _sizes(evaluation)
        lines += [
            "",
            f"## {evaluation.title} ({evaluation.question}): {sizes['train']} training, {sizes['test']} test records",
        ]
        rows = evaluation.table()
        for kind in evaluation.kinds():
            lines += ["", f"### {kind}", "", *_table([row for row in rows if row["kind"] == kind], "model")]
        rows = evaluation.table_by_group(model)
        for kind in dict.fromkeys(row["kind"] for row in rows):
            own = [row for row in rows if row["kind"] == kind]
            lines += ["", f"### {kind}, by parent: {model}", "", *_table(own, "group", "parent")]
    if curve:
        ordered = sorted(curve, key=lambda row: (row["split"], row["kind"], row["n_train"]))
        rows = [{**row, "what": f"{row['split']}, {row['kind']}, {row['n_train']}"} for row in ordered]
        lines += ["", "## Learning curve", "", *_table(rows, "what", "split, kind, training records")]
    return "\n".join(lines) + "\n"


def draw_similarity(evaluation: Evaluation) -> Figure:
    """Cosines of absorption and CD as cumulative shares of the structures, and predicted against true max |g|."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, key, words in zip(axes, _SHOWN, ("absorption", "CD"), strict=False):
        truth = getattr(evaluation.part.truth, key)
        for number, (name, judged) in enumerate(evaluation.judged.items()):
            values = cosine(getattr(judged.spectra, key), truth)
            _cumulative(axis, values[~np.isnan(values)], name, _COLOURS[number % len(_COLOURS)])
        axis.set_xlabel(f"{words} cosine")
        axis.set_ylabel("share of structures below")
        axis.set_ylim(0.0, 1.0)
    axes[0].legend(frameon=False, fontsize="small")
    name, judged = list(evaluation.judged.items())[-1]
    true_g = largest_g(evaluation.part.truth.epsilon, evaluation.part.truth.delta_epsilon)
    said_g = largest_g(judged.spectra.epsilon, judged.spectra.delta_epsilon)
    axes[2].scatter(np.maximum(true_g, 1e-7), np.maximum(said_g, 1e-7), s=6, color=_COLOURS[0], label=name)
    reach = [1e-7, max(float(true_g.max()), float(said_g.max()), 1e-6)]
    axes[2].plot(reach, reach, color="black", lw=0.7)
    axes[2].set(xscale="log", yscale="log", xlabel="max |g| of the labels", ylabel=f"max |g| of {name}")
    figure.suptitle(f"{evaluation.title}: {len(evaluation.part.ids)} test structures", fontsize="medium")
    return figure


def draw_examples(evaluation: Evaluation, model: str) -> Figure:
    """Spectra of three test structures of each kind: with the best, the median and the worst CD cosine."""
    from matplotlib.figure import Figure

    kinds = [kind for kind in evaluation.kinds() if kind in evaluation.part.kinds]
    said, truth = evaluation.judged[model].spectra, evaluation.part.truth
    quality = np.nan_to_num(cosine(said.delta_epsilon, truth.delta_epsilon), nan=-2.0)
    figure = Figure(figsize=(12, 3.6 * len(kinds) + 0.4), layout="constrained")
    grid = figure.subplots(2 * len(kinds), 3, squeeze=False)
    for number, kind in enumerate(kinds):
        members = np.flatnonzero(evaluation.rows_of(kind))
        ordered = members[np.argsort(-quality[members])]
        picked = (ordered[0], ordered[len(ordered) // 2], ordered[-1])
        for column, (row, words) in enumerate(zip(picked, ("best", "median", "worst"), strict=True)):
            for line, key in enumerate(_SHOWN):
                axis = grid[2 * number + line, column]
                size = 1e3 if key == "epsilon" else 1.0
                axis.plot(evaluation.energy_ev, getattr(truth, key)[row] / size, color="black", lw=1.2, label="label")
                axis.plot(evaluation.energy_ev, getattr(said, key)[row] / size, color=_COLOURS[1], lw=1.2, label=model)
                axis.set_ylabel(_AXIS[key], fontsize="small")
            grid[2 * number, column].set_title(f"{kind}, {words}: {evaluation.part.ids[row]}", fontsize="small")
    grid[0, 0].legend(frameon=False, fontsize="small")
    for axis in grid[-1]:
        axis.set_xlabel("energy / eV")
    return figure


def draw_curve(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """R2 and cosine of absorption and CD against the number of training records, for each split and kind."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplots(1, 2)
    drawn = [row for row in rows if row["structures"] >= _FEWEST_DRAWN] or list(rows)
    groups = sorted({(row["split"], row["kind"]) for row in drawn})
    for axis, quantity in zip(axes, ("absorption", "cd"), strict=True):
        for number, group in enumerate(groups):
            own = sorted((r for r in drawn if (r["split"], r["kind"]) == group), key=lambda r: r["n_train"])
            colour = _COLOURS[number % len(_COLOURS)]
            counts = [row["n_train"] for row in own]
            axis.plot(counts, [row[f"{quantity}_r2"] for row in own], "o-", color=colour, label=", ".join(group))
            axis.plot(counts, [row[f"{quantity}_cosine"] for row in own], "s--", color=colour, mfc="none")
        axis.set(xscale="log", xlabel="training records", ylim=(-0.5, 1.02))
        axis.set_xticks(sorted({row["n_train"] for row in drawn}))
        axis.xaxis.set_major_formatter("{x:.0f}")
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_ylabel(f"{'CD' if quantity == 'cd' else quantity}: R² (full), median cosine (dashed)")
        axis.axhline(0.0, color="black", lw=0.6)
    axes[0].legend(frameon=False, fontsize="small")
    return figure


def cells(rows: Sequence[Mapping[str, Any]], key: str, heading: str | None = None) -> list[list[str]]:
    """Headings, then the cells of each of ``rows``, named by ``key`` in the first column."""
    shown = [name for name in COLUMNS if any(name in row for row in rows)]
    head = [heading or key, *(COLUMNS[name][0] for name in shown)]
    return [head, *([str(row[key]), *(_cell(COLUMNS[name][1], row.get(name)) for name in shown)] for row in rows)]


def _table(rows: Sequence[Mapping[str, Any]], key: str, heading: str | None = None) -> list[str]:
    head, *others = cells(rows, key, heading)
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in others)]


def _cell(pattern: str, value: Any) -> str:
    return pattern.format(value) if isinstance(value, int | float) and np.isfinite(value) else "-"


def _sizes(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "split": evaluation.title,
        "question": evaluation.question,
        "train": evaluation.n_train,
        "test": len(evaluation.part.ids),
    }


def _cumulative(axis: Axes, values: FloatArray, label: str, colour: str) -> None:
    if len(values):
        axis.step(np.sort(values), np.arange(1, len(values) + 1) / len(values), label=label, color=colour)


def _save(figure: Figure, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return write_bytes(path, buffer.getvalue())
