"""The chirality report as a JSON object, and its files."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.chirality.fit import TemplateFit
from clusterml.chirality.part import REACH, PartChirality
from clusterml.spectrum.files import make_folder
from clusterml.spectrum.jsonio import SCHEMA_VERSION, plain, write_json

if TYPE_CHECKING:
    from clusterml.chirality.report import ChiralityReport

CONVENTIONS = {
    "ccm": "continuous chirality measure, 0 (achiral) to 100: the least symmetry_measure over Cs, Ci, S4, S6, S8",
    "symmetry_measures": "100 x squared distance from the nearest structure of the group / squared distance from the "
    "centroid, 0 (symmetric) to 100",
    "mirror_misfit_a": "least root-mean-square distance from the mirror image over rotations and permutations, A",
    "hausdorff": "least Hausdorff distance from the mirror image / diameter, 0 to 1",
    "opd": "scaled index of Osipov, Pickup and Dunmur, dimensionless; positive for right-handed helices, opposite for "
    "mirror images, zero for achiral structures (and for some chiral ones)",
    "opd_local": f"the same, of neighbours only: distances damped with a reach of {REACH} A",
    "angle_deg": "turn about the outward axis; positive is counter-clockwise seen from outside; opposite for mirror "
    "images",
    "point_groups": "Schoenflies symbol within each tolerance (largest displacement of an atom, A)",
    "atoms": "numbers of atoms, from 1",
}
"""What the numbers of a report mean."""


def report_dict(report: ChiralityReport) -> dict[str, Any]:
    """The JSON object of a report: plain values, units in the names, atoms counted from 1."""
    result = {
        "schema_version": SCHEMA_VERSION,
        "program": "clusterml",
        "version": version("clusterml"),
        "name": report.name,
        "source": report.source,
        "formula": report.formula,
        "n_atoms": len(report.atoms),
        "permutations": "within elements and places of the bonding graph" if report.keep_bonds else "within elements",
        "parts": [_part(part) for part in report.parts],
        "template": None if report.template is None else _template(report.template),
        "conventions": CONVENTIONS,
        "warnings": list(report.warnings),
        "timings_s": report.timings_s,
    }
    return {key: plain(value) for key, value in result.items()}


def write_report(report: ChiralityReport, folder: str | Path, name: str) -> tuple[Path, ...]:
    """Write NAME_chirality.json and NAME_chirality.png into ``folder`` (made if absent); raises OutputError."""
    place = make_folder(folder)
    data = write_json(report_dict(report), place / f"{name}_chirality.json", indent=1)
    picture = place / f"{name}_chirality.png"
    report.plot(picture)
    return data, picture


def _part(part: PartChirality) -> dict[str, Any]:
    return {
        "name": part.name,
        "formula": part.formula,
        "n_atoms": len(part.atoms),
        "atoms": part.atoms + 1,
        "radius_a": part.radius,
        "ccm": part.ccm,
        "ccm_group": part.ccm_group,
        "ccm_bonds_kept": part.ccm_bonds_kept,
        "mirror_misfit_a": part.misfit,
        "hausdorff": part.hausdorff.value,
        "hausdorff_distance_a": part.hausdorff.distance,
        "diameter_a": part.hausdorff.diameter,
        "opd": part.opd,
        "opd_local": part.opd_local,
        "point_groups": {f"{group.tolerance:g}": group.name for group in part.point_groups},
        "symmetry_measures": part.symmetry,
        "ccm_contributions": part.ccm_contributions,
        "opd_local_contributions": part.opd_contributions,
    }


def _template(fit: TemplateFit) -> dict[str, Any]:
    return {
        "name": fit.template,
        "ideal": f"nearest structure of symmetry {fit.group}" if fit.group else "scaled template",
        "scale": fit.scale,
        "rmsd_a": fit.rmsd,
        "template_rmsd_a": fit.template_rmsd,
        "symmetry_measure": fit.measure,
        "shells": [
            {
                "name": shell.name,
                "n_atoms": len(shell.atoms),
                "atoms": shell.atoms + 1,
                "rmsd_a": shell.rmsd,
                "template_rmsd_a": shell.template_rmsd,
                "radius_a": shell.radius,
                "ideal_radius_a": shell.ideal_radius,
            }
            for shell in fit.shells
        ],
        "motifs": [
            {"kind": turn.kind, "metals": turn.metals + 1, "angle_deg": turn.angle, "reference": turn.reference}
            for turn in fit.turns
        ],
    }
