"""The results folder of a screen, the contract with everything that reads it; every file is written atomically.

docs/guide/results.md describes the files.
"""

from __future__ import annotations

import csv
import io
import json
import platform
import time
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.errors import ClusterMLError, OutputError
from clusterml.io.files import make_folder, write_text
from clusterml.io.json import write_json
from clusterml.run.launcher import Launcher, Lost
from clusterml.run.progress import Reporter, State
from clusterml.run.resources import available_cores
from clusterml.screening.bench import Bench, answer_of
from clusterml.screening.board import Board, BoardEntry, unique_entries
from clusterml.screening.making import Rejection
from clusterml.screening.source import OwnSource, Source
from clusterml.screening.space import recipe_words
from clusterml.screening.verification import Verification
from clusterml.spectrum.export import SCHEMA_VERSION
from clusterml.structure.write import write_frames

if TYPE_CHECKING:
    from ase import Atoms

RUN, RANKED, TOP, SPECTRA, VERIFIED = "run.json", "ranked.csv", "top.extxyz", "spectra", "verified.json"
"""Names of the files; SPECTRA is a folder."""
_PACKAGES = ("clusterml", "torch", "numpy", "scipy", "ase", "tblite", "rdkit")


@dataclass
class Run:
    """What run.json says of a run, besides the ``board``.

    ``inputs``: their hashes; ``total``: number of candidates (None: not known in advance); ``sessions``: those before
    this one; ``lost_blocks`` and ``refused_parents`` (for which the network gives no spectrum), each with its reason;
    ``evaluated_now`` and ``seconds_now``: candidates evaluated in this session, and the time that took.
    """

    bench: Bench
    fingerprint: str
    inputs: dict[str, str]
    total: int | None
    board: Board
    sessions: list[dict[str, Any]]
    lost_blocks: dict[str, str] = field(default_factory=dict)
    refused_parents: dict[str, str] = field(default_factory=dict)
    evaluated_now: int = 0
    seconds_now: float = 0.0
    start_time: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    @property
    def rate(self) -> float | None:
        """Candidates per second over all sessions; None before the first."""
        sessions = [(session["candidates"], session["seconds"]) for session in self.all_sessions]
        seconds = sum(session[1] for session in sessions)
        return sum(session[0] for session in sessions) / seconds if seconds > 0.0 else None

    @property
    def all_sessions(self) -> list[dict[str, Any]]:
        """Start time, candidates and seconds of every session."""
        this_session = {
            "begun": self.start_time,
            "candidates": self.evaluated_now,
            "seconds": round(self.seconds_now, 3),
        }
        return [*self.sessions, this_session]


def write_run(run: Run, folder: Path, status: str, verification: Verification | None = None) -> Path:
    """Write run.json; raises :class:`~clusterml.errors.OutputError`."""
    bench, board = run.bench, run.board
    counts = {
        "candidates": run.total,
        "evaluated": board.evaluated,
        "valid": board.valid,
        "feasible": board.feasible,
        "out_of_domain": board.out_of_domain,
        "small_gap": board.small_gap,
        "dropped": board.rejections.to_dict(),
        "lost": run.lost_blocks,
        "refused_parents": run.refused_parents,
    }
    content = {
        "schema_version": SCHEMA_VERSION,
        "program": "clusterml",
        "name": bench.screen.name,
        "title": bench.screen.title,
        "status": status,
        "fingerprint": run.fingerprint,
        "inputs": run.inputs,
        "library": bench.setting.library,
        "config": bench.screen.model_dump(mode="json", exclude_none=True),
        "lines": bench.merit.describe(),
        "ranked_by": {"value": bench.screen.value, "standard_deviations": bench.merit.shift},
        "space": {"all": bench.space.size, "parents": [variant.name for variant in bench.space.variants]},
        "counts": counts,
        "front": {"members": len(board.front), "cut": board.front_cut},
        "rate_per_s": run.rate,
        "sessions": run.all_sessions,
        "timings_s": {key: round(value, 3) for key, value in board.seconds.items()},
        "verification": None if verification is None else _summary(verification, run),
        "peak_memory_mb": _peak_memory_mb(),
        "provenance": provenance_of(bench),
    }
    return write_json(content, folder / RUN, indent=1)


def write_results(
    run: Run, source: Source, folder: Path, verification: Verification | None, launcher: Launcher, reporter: Reporter
) -> None:
    """Write all results; run.json comes last and says ``finished``, or ``incomplete`` if blocks were lost.

    Where a spectrum takes long, those of the best are made by ``launcher``, and ``reporter`` is told how many there
    are.
    """
    board = run.board
    on_front = {entry.row.number for entry in board.front}
    write_text(folder / RANKED, _table(run, source, on_front))
    top_entries = unique_entries([*board.ranked[: run.bench.screen.top], *board.front])
    structures = _write_top(run, source, folder, top_entries, on_front)
    _write_spectra(run, source, folder, top_entries, structures, launcher, reporter)
    if verification is None:
        _remove(folder / VERIFIED)
    else:
        write_json(verification.to_dict(), folder / VERIFIED, indent=1)
    write_run(run, folder, "incomplete" if run.lost_blocks else "finished", verification)


def _remove(path: Path) -> None:
    """Delete a file of an earlier session."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be deleted: {error.strerror or error}", "delete it by hand") from error


def _table(run: Run, source: Source, on_front: set[int]) -> str:
    names = run.bench.merit.names
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measured = [column for name in names for column in (name, f"{name}_std")]
    flags = ["feasible", "violated", "on_front", "in_domain", "domain_score", "sign"]
    writer.writerow(
        ["rank", "number", "name", "label", "score", *flags, "gap_ev", "charge", *measured, "sites", "recipe"]
    )
    for rank, entry in enumerate(run.board.members, start=1):
        row = entry.row
        values = [cell for value in row.values for cell in (_number(value.value), _number(value.std))]
        flag_cells = [_flag(not entry.standing.violated), "+".join(entry.standing.violated)]
        flag_cells += [_flag(row.number in on_front), _flag(row.in_domain), _number(row.domain_score), row.sign]
        recipe = source.recipe(row.number)
        first_cells: list[Any] = [rank, row.number, row.name, recipe_words(recipe), _number(entry.standing.score)]
        recipe_json = json.dumps(recipe, separators=(",", ":"), default=str)
        sites = json.dumps(row.sites, separators=(",", ":")) if row.sites else ""
        writer.writerow([*first_cells, *flag_cells, _number(row.gap_ev), row.charge, *values, sites, recipe_json])
    return text.getvalue()


def _write_top(
    run: Run, source: Source, folder: Path, top_entries: list[BoardEntry], on_front: set[int]
) -> list[Atoms]:
    """Write the geometries into one file; returns them."""
    structures = []
    ranks = {entry.row.number: rank for rank, entry in enumerate(run.board.members, start=1)}
    for entry in top_entries:
        row = entry.row
        atoms = source.geometry(row.number)
        atoms.info |= {"name": row.name, "charge": row.charge}
        values = dict(zip(run.bench.merit.names, ([v.value, v.std] for v in row.values), strict=True))
        standing: dict[str, Any] = {
            "rank": ranks[row.number],
            "label": recipe_words(source.recipe(row.number)),
            "score": entry.standing.score,
            "on_front": row.number in on_front,
        }
        standing |= {
            "in_domain": row.in_domain,
            "sign": row.sign,
            "feasible": not entry.standing.violated,
            "values": values,
        }
        atoms.info["provenance"] = {**atoms.info.get("provenance", {}), "screening": standing}
        structures.append(atoms)
    write_frames(structures, folder / TOP)
    return structures


def _write_spectra(
    run: Run,
    source: Source,
    folder: Path,
    top_entries: list[BoardEntry],
    structures: list[Atoms],
    launcher: Launcher,
    reporter: Reporter,
) -> None:
    """Write the spectra of the ``structures``, which are the top entries, and of their parents."""
    place = make_folder(folder / SPECTRA, within=folder)
    if run.bench.seconds_each is None:
        for answer in run.bench.predict(structures):
            write_json(answer.to_dict(), place / f"{answer.name}.json", indent=1)
    else:
        work = launcher.run(partial(answer_of, run.bench.setting), structures)
        for count, (atoms, content) in enumerate(work, 1):
            if isinstance(content, Lost):  # the candidate stays: it costs its curve in the report only
                _remove(place / f"{atoms.info['name']}.json")
                continue
            write_json(content, place / f"{atoms.info['name']}.json", indent=1)
            reporter.show(State("spectra of the best", count, len(structures)))
    for parent in _parents(run, source, top_entries):
        try:
            (prediction,) = run.bench.predict([parent])
        except ClusterMLError as error:  # the candidates are valid: it costs the parent's curve in the report only
            run.refused_parents[parent.info["name"]] = str(error)
            _remove(place / f"{parent.info['name']}.json")
            continue
        write_json(prediction.to_dict(), place / f"{prediction.name}.json", indent=1)


def _parents(run: Run, source: Source, top_entries: list[BoardEntry]) -> list[Atoms]:
    """The unchanged parents of the top candidates, named parent_NAME; or the user's reference."""
    bench = run.bench
    structures: list[tuple[str, Atoms]] = []
    if isinstance(source, OwnSource):
        for variant in dict.fromkeys(bench.space.recipe(entry.row.number).variant for entry in top_entries):
            atoms = bench.maker.parent(variant)
            if not isinstance(atoms, Rejection):
                structures.append((variant.name, atoms.copy()))
    elif bench.reference is not None:
        structures.append(("reference", bench.reference))
    for name, atoms in structures:
        atoms.info["name"] = f"parent_{name}"
    return [atoms for _, atoms in structures]


def _summary(verification: Verification, run: Run) -> dict[str, Any]:
    """The cost of labelling every candidate beside that of the screen, both in seconds of one worker."""
    seconds_per_label = verification.seconds_per_label
    return {
        "labels": len(verification.label_of),
        "failed": len(verification.failed),
        "seconds_per_label": seconds_per_label,
        "label_everything_s": None if seconds_per_label is None else seconds_per_label * run.board.valid,
        "screen_s": sum(run.board.seconds.values()),
    }


def provenance_of(bench: Bench) -> dict[str, Any]:
    """Model, seed, versions and machine."""
    predictor = bench.predictor
    return {
        "model": predictor.name,
        "model_sha256": bench.setting.model_sha256,
        **predictor.provenance,
        "calibrated": predictor.uncertainty is not None,
        "knows_domain": predictor.domain is not None,
        "seed": bench.screen.seed,
        "versions": {name: version(name) for name in _PACKAGES},
        "machine": {"platform": platform.platform(), "cores": available_cores(), "device": _device(bench)},
    }


def _device(bench: Bench) -> str:
    import torch

    device = torch.device(bench.compute.device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"


def _peak_memory_mb() -> float:
    """Largest memory of this process so far; workers have their own."""
    import resource

    unit = 1024.0**2 if platform.system() == "Darwin" else 1024.0
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"


def _flag(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
