"""The card of a network that has just been trained: what it is and learnt from, in the order a reader asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clusterml.training.config import Config

_ROWS = {
    "epoch": "epoch of these weights",
    "validation_loss": "validation loss",
    "absorption_cosine": "absorption: median cosine",
    "absorption_r2": "absorption: R2 against the training mean",
    "cd_cosine": "CD: median cosine",
    "cd_r2": "CD: R2 against the training mean",
}


def card(config: Config, spec: Mapping[str, Any], about: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown for ``config``; ``about``: see :func:`clusterml.training.run.train`; ``metrics``: of the best epoch."""
    grid = spec["grid"]
    data = about["data"]
    lines = [
        f"# {config.name}",
        "",
        "Predicts absorption and circular-dichroism spectra of ligand-protected silver clusters from their geometry:",
        f"{grid['low_ev']:g} to {grid['high_ev']:g} eV in steps of {grid['step_ev']:g} eV, fwhm"
        f" {spec['fwhm_ev']:g} eV,",
        f"absorption in the {config.data.absorption} gauge, CD in the {config.data.cd} gauge.",
        "",
        "## Trained on",
        "",
        f"* data set: {data['name']}, method {data['method']}",
        f"* records: {data['train']} for training, {data['validation']} for validation",
        f"* parents: {', '.join(data['parents'])}",
        f"* kinds of geometry: {', '.join(config.data.kinds)}",
        *([f"* started from: {about['started_from']}"] if about["started_from"] else []),
        "",
        "## On the validation set",
        "",
        "The epoch was chosen by these same structures: a test set says more.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {words} | {_number(metrics[key])} |" for key, words in _ROWS.items() if key in metrics),
        "",
    ]
    return "\n".join(lines)


def members_card(config: Config, first: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown for an ensemble whose members were trained alike: the ``first`` one's card, and the ``rows`` of all."""
    body, _, _ = first.partition("## On the validation set")
    _, _, body = body.partition("\n")
    keys = [key for key in _ROWS if all(key in row for row in rows)]
    lines = [
        f"# {config.name}",
        f"{body.rstrip()}",
        f"* members: {len(rows)}, each from one of the checkpoint it started from",
        "",
        "## On the validation set",
        "",
        "The epochs were chosen by these same structures: a test set says more.",
        "",
        f"| member | {' | '.join(_ROWS[key] for key in keys)} |",
        f"|---|{'---|' * len(keys)}",
        *(f"| {k} | {' | '.join(_number(row[key]) for key in keys)} |" for k, row in enumerate(rows)),
        "",
    ]
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "none"
