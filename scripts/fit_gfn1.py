"""Fit the Hamiltonian of ``gfn1-pbe`` to records with PBE orbitals, and judge it on clusters that it has not seen.

    OMP_NUM_THREADS=1 nice python scripts/fit_gfn1.py DATASET .. --work FOLDER [--ridge 1e-4] [--write]

A DATASET is the folder of a campaign with ``orbitals: cp2k``, whose orbitals are in its ``checkpoints``.  Each record
is prepared once and kept in FOLDER, so that the command goes on where it was; the log is FOLDER/fit.log.  Every record
is judged by a fit that saw no record of its family; those with elements that no term knows are left out.  ``--write``
puts all data's fit and the scores into src/clusterml/engine/data/gfn1_pbe.json, whose hash a test knows.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.engine.orbitals.cp2k import METHOD
from clusterml.engine.orbitals.gfn import gfn_orbitals
from clusterml.engine.orbitals.gfn1_pbe import SEEN
from clusterml.io.files import sha256
from clusterml.io.json import write_json
from refit.reference import AXIS_EV, WIDTH_EV, Curves, Reference, deviator, likeness, references
from refit.regression import Equations, refitted, solve

TARGET = Path(__file__).resolve().parents[1] / "src" / "clusterml" / "engine" / "data" / "gfn1_pbe.json"
SMALL = "small"
GROUPS = {family: SMALL for family in ("ag1", "ag2", "ag3", "ag4")}
"""Families that are left out together."""
WEIGHTS = {SMALL: 2.0}
_SHIFTS_EV = np.arange(-20, 21) * 0.02
_log = logging.getLogger("fit")


@dataclass(frozen=True)
class Score:
    """How a method's spectrum of a record compares with that of PBE."""

    name: str
    group: str
    absorption: float
    cd: float | None
    oriented_cd: float | None
    gap_error_ev: float
    first_band_error_ev: float
    shifted: tuple[float, ...]
    """CD cosine after each of the shifts."""

    @classmethod
    def of(cls, reference: Reference, curves: Curves) -> Score:
        """That of ``curves`` beside the record's."""
        known = reference.curves
        oriented = likeness(deviator(curves.cd_tensor), deviator(known.cd_tensor)) if reference.oriented else None
        return cls(
            name=reference.name,
            group=group_of(reference),
            absorption=likeness(curves.absorption, known.absorption),
            cd=likeness(curves.cd, known.cd) if reference.chiral else None,
            oriented_cd=oriented,
            gap_error_ev=curves.gap_ev - known.gap_ev,
            first_band_error_ev=curves.first_band - known.first_band,
            shifted=tuple(_shifted(curves.cd, known.cd, s) for s in _SHIFTS_EV) if reference.chiral else (),
        )


def _shifted(cd: np.ndarray[Any, Any], known: np.ndarray[Any, Any], shift: float) -> float:
    """Cosine of ``cd`` moved up by ``shift`` eV, where both are known."""
    inside = (AXIS_EV - shift >= AXIS_EV[0] - 1e-9) & (AXIS_EV - shift <= AXIS_EV[-1] + 1e-9)
    return likeness(np.interp(AXIS_EV - shift, AXIS_EV, cd)[inside], known[inside])


def group_of(record: Reference | Equations) -> str:
    """The group that it is left out with."""
    return GROUPS.get(record.family, record.family)


def summary(scores: Sequence[Score]) -> dict[str, Any]:
    """Means over records; the CD after one shift common to all; medians of errors."""
    chiral = [s for s in scores if s.cd is not None]
    shifted = np.mean([s.shifted for s in chiral], axis=0)
    best = int(np.argmax(shifted))
    bands = [abs(s.first_band_error_ev) for s in scores if np.isfinite(s.first_band_error_ev)]
    return {
        "records": len(scores),
        "absorption": float(np.mean([s.absorption for s in scores])),
        "cd": float(np.mean([s.cd for s in chiral if s.cd is not None])),
        "cd_one_shift": float(shifted[best]),
        "shift_ev": float(_SHIFTS_EV[best]),
        "oriented_cd": float(np.mean([s.oriented_cd for s in scores if s.oriented_cd is not None])),
        "gap_error_ev": float(np.mean([abs(s.gap_error_ev) for s in scores])),
        "first_band_error_ev": float(np.median(bands)) if bands else None,
    }


def table(name: str, scores: Sequence[Score]) -> str:
    """Lines of a Markdown table: a row for each group, and one for all."""
    groups = sorted({s.group for s in scores})
    rows = [(g, [s for s in scores if s.group == g]) for g in groups] + [("all", list(scores))]
    lines = []
    for group, few in rows:
        if not any(s.cd is not None for s in few) or not any(s.oriented_cd is not None for s in few):
            continue
        m = summary(few)
        first = "" if m["first_band_error_ev"] is None else f"{m['first_band_error_ev']:.2f}"
        lines.append(
            f"| {name} | {group} ({len(few)}) | {m['absorption']:.3f} | {m['cd']:+.2f} | {m['cd_one_shift']:+.2f} at "
            f"{m['shift_ev']:+.2f} | {m['oriented_cd']:+.2f} | {m['gap_error_ev']:.2f} | {first} |"
        )
    return "\n".join(lines)


HEADING = (
    "| method | clusters | absorption | CD | CD, one shift | CD by direction | gap / eV | first strong band / eV |\n"
    "|---|---|---|---|---|---|---|---|"
)


def equations_of(reference: Reference, folder: Path) -> Equations:
    """Those kept in ``folder``, or made now."""
    path = folder / f"{reference.name}.npz"
    if not path.exists():
        start = time.process_time()
        made = Equations.of(reference)
        made.save(path)
        _log.info(
            "%s: %d terms, %.2f eV as published, %.0f s",
            made.name,
            len(made.names),
            made.misfit({}),
            time.process_time() - start,
        )
    return Equations.load(path)


def held_out(known: Sequence[Reference], equations: Sequence[Equations], ridge: float) -> list[Score]:
    """Scores of records by fits without their group."""
    scores = []
    for group in sorted({group_of(e) for e in equations}):
        fit = solve([e for e in equations if group_of(e) != group], ridge, GROUPS, WEIGHTS)
        scores += judged([r for r in known if group_of(r) == group], fit)
    return scores


def judged(known: Sequence[Reference], coefficients: Mapping[str, float]) -> list[Score]:
    """Scores of records by given coefficients."""
    return [Score.of(r, Curves.of(refitted(r.atoms, r.record.charge, coefficients))) for r in known]


def misfits(equations: Sequence[Equations], ridges: Sequence[float]) -> dict[float, float]:
    """Mean misfit in eV of records by fits without their group, for each of ``ridges``."""
    means = {}
    for ridge in ridges:
        left = []
        for group in sorted({group_of(e) for e in equations}):
            fit = solve([e for e in equations if group_of(e) != group], ridge, GROUPS, WEIGHTS)
            left.append(np.mean([e.misfit(fit) for e in equations if group_of(e) == group]))
        means[ridge] = float(np.mean(left))
    return means


def document(
    known: Sequence[Reference], fit: Mapping[str, float], ridge: float, tables: Mapping[str, Sequence[Score]]
) -> dict[str, Any]:
    """The data file."""
    ids = sorted(r.name for r in known)
    content = b"".join(
        r.record.epsilon.tobytes() + r.record.delta_epsilon.tobytes() for r in sorted(known, key=lambda r: r.name)
    )
    elements = sorted({symbol for r in known for symbol in r.atoms.get_chemical_symbols()})
    return {
        "terms": {name: float(f"{value:.5g}") for name, value in sorted(fit.items())},
        "fit": {
            "reference": METHOD,
            "elements": elements,
            "prior": "0, GFN1-xTB as published",
            "ridge": ridge,
            "records": ids,
            "records_sha256": sha256(content)[:16],
            "spectra": f"{AXIS_EV[0]:g} to {AXIS_EV[-1]:g} eV, fwhm {WIDTH_EV:g} eV",
            "scores": {name: summary(scores) for name, scores in tables.items()},
            "held_out": {
                s.name: {"absorption": s.absorption, "cd": s.cd, "gap_error_ev": s.gap_error_ev}
                for s in tables["held out"]
            },
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, required=True, help="folder of the log and of prepared records")
    parser.add_argument("--ridge", type=float, nargs="+", default=[1e-4], help="of the squared coefficients in eV")
    parser.add_argument("--write", action="store_true", help="write the data file, with the first ridge")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(options.work / "fit.log")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    known = [r for r in references(options.datasets) if set(r.atoms.get_chemical_symbols()) <= set(SEEN)]
    equations = [equations_of(r, options.work) for r in known]
    for ridge, misfit in misfits(equations, [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]).items():
        _log.info("ridge %.0e: %.3f eV left out", ridge, misfit)
    methanol = [Score.of(r, Curves.of(gfn_orbitals(r.atoms, r.record.charge, solvent="methanol"))) for r in known]
    tables = {"published": judged(known, {}), "in methanol": methanol}
    for ridge in options.ridge:
        fit = solve(equations, ridge, GROUPS, WEIGHTS)
        tables |= {"held out": held_out(known, equations, ridge), "in sample": judged(known, fit)}
        _log.info("ridge %.0e\n%s\n%s", ridge, HEADING, "\n".join(table(name, s) for name, s in tables.items()))
        for s in tables["held out"]:
            _log.info("%s: absorption %.3f, CD %s, gap %+.2f", s.name, s.absorption, s.cd, s.gap_error_ev)
        if options.write and ridge == options.ridge[0]:
            write_json(document(known, fit, ridge, tables), TARGET)
            _log.info("wrote %s", TARGET)


if __name__ == "__main__":
    main()
