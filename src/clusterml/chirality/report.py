"""The chirality report of a cluster: how chiral it is, with which sign, in which part; and how it is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.chirality.part import REACH, PartChirality, element_labels, graph_labels, ligand_bonds, measure_part
from clusterml.chirality.pointgroups import point_group
from clusterml.chirality.template import TemplateFit, fit_template, load_template, suggest_template
from clusterml.io.display import WithWarnings, card, small_table, wrapped
from clusterml.io.files import make_folder
from clusterml.io.json import plain, write_json
from clusterml.spectrum.export import SCHEMA_VERSION
from clusterml.structure.anatomy.anatomy import Anatomy, anatomy
from clusterml.structure.anatomy.kernel import CHALCOGENS
from clusterml.structure.check import check_geometry, check_size, check_structure
from clusterml.structure.elements import formula
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms


DEFAULT_GROUPS = ("Ci", "Cs", "C2", "C3", "D2", "D3", "S4", "T", "Td", "Th")
"""Point groups whose measures are reported where none are named."""
S_FRAME, DONOR_FRAME = "metal + S frame", "metal + donor frame"
"""Names of the parts that hold the metals with their S (Se, Te), and with all atoms bonded to them."""
_MOST_FOR_GROUPS = 150  # atoms of a part up to which the default groups are measured; named groups always are


@dataclass(frozen=True, repr=False)
class ChiralityReport(WithWarnings):
    """Measures of chirality and symmetry of one structure.

    name, source, formula   of the structure;  ``atoms``: its geometry
    parts      the whole, then kernel, shells, frames and ligand layer, as far as there are any
    template   a template on the cluster, or None
    keep_bonds  whether permutations were restricted to atoms in the same place of the bonding graph
    warnings   what limits the numbers;  ``timings_s``: seconds
    """

    name: str
    source: str | None
    formula: str
    atoms: Atoms
    parts: tuple[PartChirality, ...]
    template: TemplateFit | None
    keep_bonds: bool
    warnings: tuple[str, ...]
    timings_s: dict[str, float]

    @property
    def whole(self) -> PartChirality:
        """The measures of the whole structure."""
        return self.parts[0]

    @property
    def frame(self) -> PartChirality:
        """The part of metals and all donors, which is what ``frame`` means everywhere; the whole without metals."""
        named = {part.name: part for part in self.parts}
        return named.get(DONOR_FRAME) or self.whole

    def __repr__(self) -> str:
        """One line."""
        measures = f"ccm {self.whole.ccm:.4f}, of the {self.frame.name} {self.frame.ccm:.4f}"
        return wrapped(f"ChiralityReport({self.name}: {self.formula}; {measures}; {len(self.parts)} parts)")

    def _repr_html_(self) -> str:
        """The frame, blue where it is left-handed and red where right-handed, and a table of parts, for notebooks."""
        from clusterml.structure.picture import signed_colours, structure_picture

        share = self.frame.opd_contributions
        colours = signed_colours(share, float(np.abs(share).max(initial=0.0)))
        rows = [
            (part.name, part.formula, f"{part.ccm:.4f}", signed_index(part.opd_local), part.point_groups[0].name)
            for part in self.parts
        ]
        table = small_table(rows, ("part", "formula", "ccm", "local opd", "point group"))
        return card(repr(self), [structure_picture(self.atoms[self.frame.atoms], colours), table], self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: plain values, with units in the names and sign conventions in ``conventions``."""

        return report_dict(self)

    def plot(self, path: str | Path | None = None, part: str | None = None, title: str | None = None) -> Any:
        """A figure of the atoms coloured by what they contribute; see :func:`clusterml.chirality.plot.draw`."""
        from clusterml.chirality.plot import draw

        return draw(self, path, part, title)


def signed_index(value: float) -> str:
    """A signed index for people; what rounding leaves of zero is shown as zero."""
    return f"{value:+.2e}" if abs(value) > 1e-12 else "0"


def chirality_report(
    atoms: Atoms,
    *,
    groups: Sequence[str] | None = None,
    template: str | Path | None = "auto",
    parts: bool = True,
    keep_bonds: bool = False,
) -> ChiralityReport:
    """Measure how chiral ``atoms`` (positions in A, no periodicity) is, as a whole and part by part.

    ``groups``: point groups for the continuous symmetry measures (default: DEFAULT_GROUPS, for parts of at most 150
    atoms).  ``template``: a file, ``Ag70-Td``, ``icosahedron``, None, or ``auto``: what suits the cluster.  ``parts``:
    also kernel, shells, frames and ligand layer.  ``keep_bonds``: exchange only atoms in the same place of the bonding
    graph.  Raises OptionError for an unknown group, StructureError for coordinates that cannot be a structure, and the
    errors of reading a template's file.

    Examples:
        >>> import clusterml as cm
        >>> report = cm.chirality_report(cm.build("ag3", thiolate="SH"), groups=["C3"])
        >>> f"{report.whole.ccm:.3f}", report.frame.point_groups[0].name
        ('0.000', 'D3h')
    """
    started = time.perf_counter()
    check_structure(atoms, "chirality_batch measures several geometries")
    check_geometry(atoms)
    check_size(atoms)
    for name in groups or ():
        point_group(name)
    cluster = anatomy(atoms)
    chosen = {"whole": np.arange(len(atoms)), **(_parts(atoms, cluster) if parts else {})}
    pairs = ligand_bonds(atoms)
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    elements = element_labels(atoms)
    labels = graph_labels(elements, pairs) if keep_bonds else elements
    timings: dict[str, float] = {}
    measures: list[PartChirality] = []
    for name, members in chosen.items():
        before = time.perf_counter()
        same = next((part for part in measures if np.array_equal(part.atoms, members)), None)
        improper_groups = groups if groups is not None else DEFAULT_GROUPS if len(members) <= _MOST_FOR_GROUPS else ()
        measured = same or measure_part(name, atoms, members, labels, pairs, tuple(improper_groups))
        measures.append(replace(measured, name=name))
        timings[name] = time.perf_counter() - before
    before = time.perf_counter()
    fit = _fit(atoms, cluster, template)
    timings |= {"template": time.perf_counter() - before, "total": time.perf_counter() - started}
    source = atoms.info.get("source")
    return ChiralityReport(
        str(atoms.info.get("name") or "structure"),
        None if source is None else str(source),
        formula(numbers),
        atoms.copy(),
        tuple(measures),
        fit,
        keep_bonds,
        _warnings(atoms, cluster, chosen, groups),
        timings,
    )


def _parts(atoms: Atoms, cluster: Anatomy) -> dict[str, IntArray]:
    """The parts that the anatomy names, and metals with S (Se, Te) only where there are other donors too."""
    parts = cluster.parts()
    sulfur = cluster.donors[np.isin(atoms.numbers[cluster.donors], CHALCOGENS)]
    if 0 < len(sulfur) < len(cluster.donors) and len(cluster.metals):
        layer = parts.pop("ligand layer", None)
        parts |= {S_FRAME: np.union1d(cluster.metals, sulfur)} | ({} if layer is None else {"ligand layer": layer})
    return parts


def _fit(atoms: Atoms, cluster: Anatomy, template: str | Path | None) -> TemplateFit | None:
    """The template on the cluster, if there is one."""
    which = suggest_template(cluster.metals, cluster.kernel) if template == "auto" else template
    if which is None:
        return None
    model = load_template(which)
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    frame = cluster.parts().get(DONOR_FRAME, np.arange(len(atoms)))
    kernel_sized = len(cluster.kernel) == len(model.numbers)
    in_frame = set(model.numbers.tolist()) <= {0, *numbers[frame].tolist()}
    candidates = cluster.kernel if kernel_sized else frame if in_frame else np.arange(len(atoms))
    positions = np.asarray(atoms.positions, dtype=np.float64)
    return fit_template(numbers, positions, model, candidates, cluster.motifs)


def _warnings(
    atoms: Atoms, cluster: Anatomy, parts: dict[str, IntArray], groups: Sequence[str] | None
) -> tuple[str, ...]:
    warnings = list(atoms.info.get("provenance", {}).get("warnings", []))
    elements = element_labels(atoms)
    if np.any(changed := elements != atoms.numbers):
        names = " and ".join(formula([z]) for z in np.unique(atoms.numbers[np.isin(elements, elements[changed])]))
        warnings.append(f"{names} share sites of the crystal and count as one element: their order is a choice")
    large = [name for name, members in parts.items() if len(members) > _MOST_FOR_GROUPS]
    if groups is None and large:
        warnings.append(
            f"symmetry measures are left out for parts of over {_MOST_FOR_GROUPS} atoms ({', '.join(large)}) "
            "unless groups are named"
        )
    if cluster.leftovers and len(cluster.metals):
        warnings.append(f"the whole includes {len(cluster.leftovers)} molecules or ions not bonded to the cluster")
    return tuple(warnings)


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
