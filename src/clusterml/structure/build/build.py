"""Building a cluster from a blueprint with chosen ligands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError, StructureError, check_seed
from clusterml.structure.anatomy.superatom import count_valence_electrons
from clusterml.structure.build.attach import Placement, move_donors, place
from clusterml.structure.build.blueprint import ELEMENT, Blueprint, LigandSite, blueprint, cluster_name, takes
from clusterml.structure.build.conformers import Conformers, donor_symbols, find_conformers
from clusterml.structure.build.contacts import check_contacts, check_ligands
from clusterml.structure.build.ligation import ligation_warnings
from clusterml.structure.build.operations import find_orbit, group, same_points
from clusterml.structure.build.sites import BindingSite, site_at, site_on
from clusterml.structure.elements import PLATINUM_IN_SILVER, atomic_number, formula
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import Library, LigandEntry

MODEL = "model, not crystal"
"""What every built structure says of itself."""
_SWAP = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_CAP = "cap"


def build(
    name: str | Path,
    *,
    thiolate: str | None = None,
    dithiolate: str | None = None,
    phosphine: str | None = None,
    carboxylate: str | None = None,
    halide: str | None = None,
    solvent: str | None = None,
    cap: str | None = None,
    hand: str | None = None,
    symmetry: str | None = None,
    seed: int = 0,
    library: Library | None = None,
) -> Atoms:
    """A model of the cluster called ``name`` (a blueprint, or a YAML file of one) with library ligands on its sites.

    Each kind of ligand is a name of the ligand library, or None for the blueprint's default; ``cap`` is for the shell
    of that name (in Ag70 the eight anions on the trigons).  ``hand``: one of the blueprint's hands, by default the
    first. The ligands keep as much of the frame's symmetry as they can; ``symmetry`` names a lower group of the
    blueprint to start from.  ``seed``: of the packing search.  The two hands with mirror-image ligands are exact
    mirror images.

    The Atoms (A, centred) have ``info``: ``charge``, ``name`` (formula by ligands) and ``provenance`` (``model``:
    "model, not crystal", blueprint, hand, ligands, symmetry, seed, reference, ``warnings``).

    Raises :class:`~clusterml.errors.OptionError` for a name, hand, group, ligand or seed that cannot be, and
    :class:`~clusterml.errors.StructureError` if the ligands do not fit: composition, bonding graph and contacts of the
    result are checked.

    Examples:
        >>> import clusterml as cm
        >>> atoms = cm.build("ag3", thiolate="SH")
        >>> atoms.info["name"], atoms.info["charge"]
        ('[Ag3(SH)3]', 0)
    """
    from clusterml.structure.anatomy.library import load_library

    check_seed(seed)
    plan = blueprint(name)
    kinds = {"thiolate": thiolate, "dithiolate": dithiolate, "phosphine": phosphine, "carboxylate": carboxylate,
             "halide": halide, "solvent": solvent}  # fmt: skip
    chosen = _choose(plan, kinds, cap, library)
    mirrored = _is_mirrored(plan, hand)
    shapes = {entry: _shapes(entry, mirrored) for _, entry in chosen}
    frame = _frame(plan)
    cluster, used = _try_groups(plan, frame, chosen, shapes, symmetry, seed)
    if mirrored:
        cluster.positions[:] = cluster.positions @ _SWAP.T
    _describe(cluster, plan, chosen, hand or next(iter(plan.hands), None), used, seed)
    counts = Counter({entry: 0 for _, entry in chosen})
    for site, entry in chosen:
        counts[entry] += len(_places(plan, site))
    sulfides = sum(len(_orbit_of(plan, atom.at)) for atom in plan.frame if atom.element == "S")
    if sulfides:
        counts[(library or load_library()).entry("S")] += sulfides
    check_ligands(cluster, counts, cluster.info["name"])
    cluster.info["provenance"]["warnings"] += ligation_warnings(cluster, library)
    return cluster


def _choose(
    plan: Blueprint, kinds: Mapping[str, str | None], cap: str | None, library: Library | None
) -> list[tuple[LigandSite, LigandEntry]]:
    """The occupied sites, each with its ligand."""
    from clusterml.structure.anatomy.library import load_library

    library_in_use = library or load_library()
    offered = {site.kind for site in plan.sites}
    for kind, ligand in kinds.items():
        if ligand is not None and kind not in offered:
            raise OptionError(f"{plan.name} has no site for a {kind}", f"it has sites for {', '.join(sorted(offered))}")
    if cap is not None and _CAP not in plan.shells:
        raise OptionError(f"{plan.name} has no shell 'cap'", "leave the cap out")
    solvated = any(s.kind == "solvent" for s in plan.sites) and kinds["solvent"] is not None
    chosen = []
    for shell, default in plan.shells.items():
        sites = [s for s in plan.sites if s.shell == shell and s.solvated in (None, solvated)]
        choices: dict[str, str | None] = {
            kind: kinds[kind] for kind in dict.fromkeys(s.kind for s in sites) if kinds[kind] is not None
        }
        if shell == _CAP and cap is not None:
            entry = library_in_use.entry(cap, partial(takes, {site.kind for site in sites}))
            choices = {_kind_among({s.kind for s in sites}, entry): cap}
        if len(choices) > 1:
            raise OptionError(f"{' and '.join(choices)} compete for the same sites of {plan.name}", "give one of them")
        if not choices and default is None:
            continue
        name = next(iter(choices.values())) if choices else default
        entry = library_in_use.entry(name or "", partial(takes, set(choices) or {site.kind for site in sites}))
        kind = next(iter(choices)) if choices else _kind_among({s.kind for s in sites}, entry)
        chosen += [(site, entry) for site in sites if site.kind == kind]
    return chosen


def _kind_among(kinds: set[str], entry: LigandEntry) -> str:
    """The kind of site, among ``kinds``, that suits the donors of a ligand."""
    symbols = donor_symbols(entry)
    halogen = set(symbols) <= {"F", "Cl", "Br", "I", "H"}
    for kind in sorted(kinds):
        donors = 2 if kind == "dithiolate" else 1
        fits = halogen if kind == "halide" else set(symbols) == {ELEMENT[kind]}
        if (
            fits
            and min(len(symbols), 2) >= donors
            and (kind != "thiolate" or "dithiolate" not in kinds or len(symbols) < 2)
        ):
            return kind
    return sorted(kinds)[0]


def _is_mirrored(plan: Blueprint, hand: str | None) -> bool:
    if hand is None:
        return bool(plan.hands) and next(iter(plan.hands.values())) == "mirrored"
    if hand not in plan.hands:
        remedy = f"choose one of {', '.join(plan.hands)}" if plan.hands else "its frame is achiral: leave the hand out"
        raise OptionError(f"{plan.name} has no hand {hand!r}", remedy)
    return plan.hands[hand] == "mirrored"


def _shapes(entry: LigandEntry, mirrored: bool) -> Conformers:
    """Shapes for building; in a cluster that is mirrored at the end, a chiral ligand goes in as its mirror image."""
    shapes = find_conformers(entry)
    return shapes.mirrored() if mirrored and entry.hand is not None else shapes


def _frame(plan: Blueprint) -> Atoms:
    from ase import Atoms

    operations = group(plan.groups[plan.point_group])
    symbols: list[str] = []
    positions: list[FloatArray] = []
    for atom in plan.frame:
        if atomic_number(atom.element) is None:
            raise OptionError(f"blueprint {plan.name}: {atom.label} is of the unknown element {atom.element}")
        images = find_orbit(np.array([atom.at]), operations).operations @ np.array(atom.at)
        symbols += [atom.element] * len(images)
        positions.append(images)
    return Atoms(symbols, positions=np.concatenate(positions))


def _places(plan: Blueprint, site: LigandSite) -> FloatArray:
    """Operations ``(m, 3, 3)`` that make all copies of a site."""
    points = np.array(site.donors or site.metals)
    return find_orbit(points, group(plan.groups[site.expand or plan.point_group])).operations


def _try_groups(
    plan: Blueprint, frame: Atoms, chosen: list[tuple[LigandSite, LigandEntry]],
    shapes: Mapping[LigandEntry, Conformers], symmetry: str | None, seed: int,
) -> tuple[Atoms, str]:  # fmt: skip
    """The result under the highest group that sites and ligands can keep, and the name of that group."""
    names = list(plan.groups)
    if symmetry is not None:
        if symmetry not in names:
            raise OptionError(f"{plan.name} has no symmetry group {symmetry!r}", f"choose one of {', '.join(names)}")
        names = names[names.index(symmetry) :]
    problem = StructureError(f"{plan.name}: its sites fit none of the groups {', '.join(names)}")
    for name in names:
        operations = group(plan.groups[name])
        chiral = any(entry.hand is not None for _, entry in chosen)
        if not all(_is_closed(plan, site, operations) for site, _ in chosen) or (chiral and _has_improper(operations)):
            continue  # a mirror would turn a chiral ligand into its enantiomer
        try:
            placements = [
                p
                for site, entry in chosen
                for p in _make_placements(plan, frame, site, entry, shapes[entry], operations)
            ]
            cluster = place(frame, placements, rng=np.random.default_rng(seed), operations=operations)
            check_contacts(cluster, f"{plan.name} as {name}")
        except StructureError as error:
            problem = error
            continue
        return cluster, name
    raise problem


def _has_improper(operations: FloatArray) -> bool:
    return bool((np.linalg.det(operations) < 0).any())


def _is_closed(plan: Blueprint, site: LigandSite, operations: FloatArray) -> bool:
    """Do the operations take every copy of the site to a copy?"""
    points = np.array(site.donors or site.metals)
    copies = [points @ g.T for g in _places(plan, site)]
    return all(any(same_points(copy @ g.T, other) for other in copies) for copy in copies for g in operations)


def _make_placements(
    plan: Blueprint, frame: Atoms, site: LigandSite, entry: LigandEntry, shapes: Conformers, operations: FloatArray
) -> list[Placement]:
    """One placement for every set of copies that the operations join."""
    points = np.array(site.donors or site.metals)
    left = list(_places(plan, site))
    placements = []
    while left:
        g = left[0]
        joined = find_orbit(points @ g.T, operations)
        images = [points @ g.T @ h.T for h in joined.operations]
        left = [x for x in left if not any(same_points(points @ x.T, image) for image in images)]
        copy = _site(frame, site, g, shapes)
        placements.append(Placement(copy, entry, shapes, joined.operations, joined.stabiliser))
    return placements


def _site(frame: Atoms, site: LigandSite, g: FloatArray, shapes: Conformers) -> BindingSite:
    """The copy of a blueprint's site made by g, for a ligand with the given shapes."""
    numbers: IntArray = np.asarray(frame.numbers, dtype=np.int64)
    element = int(shapes.numbers[shapes.donors[0]]) if len(shapes.donors) else 0
    n_bonded = len(shapes.neighbours(int(shapes.donors[0]))) if len(shapes.donors) else 0
    outward = np.array(site.outward) @ g.T if site.outward is not None else None
    if site.metals and outward is not None:
        images = np.array(site.metals) @ g.T
        metals = np.array([int(np.argmin(np.linalg.norm(frame.positions - x, axis=1))) for x in images])
        bite = 0.0
        if len(shapes.donors) > 1:
            bite = float(np.linalg.norm(np.subtract(*shapes.positions[0][shapes.donors[:2]])))
        return site_on(numbers, frame.positions, metals, outward[0], element, bite)
    donors = np.array(site.donors) @ g.T
    expected = atomic_number(ELEMENT[site.kind]) or 0
    if element != expected:
        donors = move_donors(numbers, frame.positions, donors, expected, element)
    return site_at(numbers, frame.positions, donors, element, outward, n_bonded)


def _describe(
    atoms: Atoms, plan: Blueprint, chosen: list[tuple[LigandSite, LigandEntry]], hand: str | None, used: str, seed: int
) -> None:
    counts: Counter[LigandEntry] = Counter()
    for site, entry in chosen:
        counts[entry] += len(_places(plan, site))
    frame = [a.element for a in plan.frame for _ in _orbit_of(plan, a.at)]
    metals = [atomic_number(element) or 0 for element in frame if element != "S"]
    sulfides = frame.count("S")
    charge = (
        count_valence_electrons(metals) - sum(n * e.charge for e, n in counts.items()) - 2 * sulfides - plan.electrons
    )
    name = cluster_name(formula(metals), sulfides, counts, charge)
    provenance: dict[str, Any] = {
        "model": MODEL,
        "level": "as built, not relaxed",
        "blueprint": plan.name,
        "hand": hand,
        "ligands": {entry.name: count for entry, count in counts.items()},
        "symmetry": used,
        "seed": seed,
        "electrons": plan.electrons,
        "reference": plan.reference,
        "warnings": [PLATINUM_IN_SILVER] if {"Pt", "Ag"} <= set(frame) else [],
    }
    atoms.info = {
        "charge": charge,
        "name": name,
        "source": f"blueprint {plan.name}",
        "provenance": provenance,
    }


def _orbit_of(plan: Blueprint, at: list[float]) -> FloatArray:
    return find_orbit(np.array([at]), group(plan.groups[plan.point_group])).operations
