"""The results folder of a screen, the contract for whatever shows it; every file is written atomically.

docs/guide/screening.md describes the files.
"""

from __future__ import annotations

import csv
import io
import json
import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.errors import ClusterMLError, OutputError
from clusterml.io.files import make_folder, write_text
from clusterml.io.json import write_json
from clusterml.run.threads import available_cores
from clusterml.screening.bench import Bench
from clusterml.screening.board import Board, Entry, unique
from clusterml.screening.making import Dropped
from clusterml.screening.source import OwnSource, Source
from clusterml.screening.space import recipe_words
from clusterml.screening.verification import Verification
from clusterml.spectrum.blocks import SCHEMA_VERSION
from clusterml.structure.write import write_frames

if TYPE_CHECKING:
    from ase import Atoms

RUN, RANKED, TOP, SPECTRA, VERIFIED = "run.json", "ranked.csv", "top.extxyz", "spectra", "verified.json"
"""Names of the files; SPECTRA is a folder."""
_PACKAGES = ("clusterml", "torch", "numpy", "scipy", "ase", "tblite", "rdkit")


@dataclass
class Run:
    """What run.json tells of a run, besides the ``board``: hashes of its ``inputs``, ``total`` candidates (None: not
    known before), ``lost`` blocks and why, ``refused_parents`` whose spectrum the network does not give and why,
    candidates evaluated by this process and the seconds that took; ``sessions`` before this one."""

    bench: Bench
    fingerprint: str
    inputs: dict[str, str]
    total: int | None
    board: Board
    sessions: list[dict[str, Any]]
    lost: dict[str, str] = field(default_factory=dict)
    refused_parents: dict[str, str] = field(default_factory=dict)
    evaluated_now: int = 0
    seconds_now: float = 0.0
    begun: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    @property
    def rate(self) -> float | None:
        """Candidates per second over all sessions; None before any."""
        done = [(each["candidates"], each["seconds"]) for each in self.all_sessions]
        seconds = sum(each[1] for each in done)
        return sum(each[0] for each in done) / seconds if seconds > 0.0 else None

    @property
    def all_sessions(self) -> list[dict[str, Any]]:
        """Beginning, candidates and seconds of each time that the screen was started."""
        mine = {"begun": self.begun, "candidates": self.evaluated_now, "seconds": round(self.seconds_now, 3)}
        return [*self.sessions, mine]


def write_run(run: Run, folder: Path, status: str, verification: Verification | None = None) -> Path:
    """Write run.json; raises :class:`~clusterml.errors.OutputError`."""
    bench, board = run.bench, run.board
    counts = {
        "candidates": run.total,
        "evaluated": board.evaluated,
        "valid": board.valid,
        "feasible": board.feasible,
        "out_of_domain": board.out_of_domain,
        "dropped": board.drops.to_dict(),
        "lost": run.lost,
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
        "lines": bench.merit.described(),
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


def write_results(run: Run, source: Source, folder: Path, verification: Verification | None) -> None:
    """Write everything; run.json comes last and says ``finished``, or ``incomplete`` where blocks were lost."""
    board = run.board
    on_front = {entry.row.number for entry in board.front}
    write_text(folder / RANKED, _table(run, source, on_front))
    shown = unique([*board.ranked[: run.bench.screen.top], *board.front])
    _write_top(run, source, folder, shown, on_front)
    if verification is None:
        _remove(folder / VERIFIED)
    else:
        write_json(verification.to_dict(), folder / VERIFIED, indent=1)
    write_run(run, folder, "incomplete" if run.lost else "finished", verification)


def _remove(path: Path) -> None:
    """Delete what an earlier session wrote."""
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
        found = [_flag(not entry.standing.violated), "+".join(entry.standing.violated)]
        found += [_flag(row.number in on_front), _flag(row.in_domain), _number(row.domain_score), row.sign]
        made = source.recipe(row.number)
        named: list[Any] = [rank, row.number, row.name, recipe_words(made), _number(entry.standing.score)]
        recipe = json.dumps(made, separators=(",", ":"), default=str)
        sites = json.dumps(row.sites, separators=(",", ":")) if row.sites else ""
        writer.writerow([*named, *found, _number(row.gap_ev), row.charge, *values, sites, recipe])
    return text.getvalue()


def _write_top(run: Run, source: Source, folder: Path, shown: list[Entry], on_front: set[int]) -> None:
    """Geometries in one file, and the predicted spectrum of each and of their parents."""
    structures = []
    ranks = {entry.row.number: rank for rank, entry in enumerate(run.board.members, start=1)}
    for entry in shown:
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
    place = make_folder(folder / SPECTRA, within=folder)
    for found in run.bench.predict(structures):
        write_json(found.to_dict(), place / f"{found.name}.json", indent=1)
    for parent in _parents(run, source, shown):
        try:
            found = run.bench.predictor(parent)
        except ClusterMLError as error:  # the candidates are valid: it costs the parent's curve in the report only
            run.refused_parents[parent.info["name"]] = str(error)
            _remove(place / f"{parent.info['name']}.json")
            continue
        write_json(found.to_dict(), place / f"{found.name}.json", indent=1)


def _parents(run: Run, source: Source, shown: list[Entry]) -> list[Atoms]:
    """The parents of the candidates shown, as they are, named parent_NAME; or the user's reference."""
    bench = run.bench
    structures: list[tuple[str, Atoms]] = []
    if isinstance(source, OwnSource):
        for variant in dict.fromkeys(bench.space.recipe(entry.row.number).variant for entry in shown):
            atoms = bench.maker.parent(variant)
            if not isinstance(atoms, Dropped):
                structures.append((variant.name, atoms.copy()))
    elif bench.reference is not None:
        structures.append(("reference", bench.reference))
    for name, atoms in structures:
        atoms.info["name"] = f"parent_{name}"
    return [atoms for _, atoms in structures]


def _summary(verification: Verification, run: Run) -> dict[str, Any]:
    """What labelling everything would have taken beside what the screen took, both in seconds of one worker."""
    each = verification.seconds_per_label
    return {
        "labels": len(verification.found),
        "failed": len(verification.failed),
        "seconds_per_label": each,
        "label_everything_s": None if each is None else each * run.board.valid,
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
        "machine": {"platform": platform.platform(), "cores": available_cores(), "device": _device(predictor)},
    }


def _device(predictor: Any) -> str:
    import torch

    device = predictor.ensemble.device
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
