"""Giving a bare core its shell: substituents for its thiolate sulfurs, carboxylates and solvent on its open metals.

In the crystals of R- and S-Ag70 (Nat. Commun. 2022, doi 10.1038/s41467-022-28893-6) only the Ag70S28 core was resolved.
Which metals carry a carboxylate is then a choice: here every open metal gets one oxygen as far as the number of ligands
goes, bridges before single bonds, found by an integer programme.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError, StructureError, check_seed
from clusterml.structure.anatomy.superatom import CLOSED_SHELLS, LARGEST_CHARGE, count_valence_electrons, signed_charge
from clusterml.structure.build.attach import Placement, place
from clusterml.structure.build.blueprint import cluster_name, takes
from clusterml.structure.build.conformers import Conformers, find_conformers
from clusterml.structure.build.contacts import check_contacts, check_ligands
from clusterml.structure.build.sites import (
    BindingSite,
    OpenSite,
    find_bare_sulfurs,
    find_bridging_sites,
    find_open_directions,
    find_single_sites,
    find_thiolate_sulfurs,
    site_at,
)
from clusterml.structure.check import check_geometry, stated_charge, whole_charge
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import Library, LigandEntry

_SHELLS = tuple(n for n in CLOSED_SHELLS if n not in (18, 34))  # without those that another one completes soon
_TOO_NEAR = 2.75  # A between donors of different ligands
_SINGLE = 0.6  # cost of a single bond where a bridge would do
_SECOND = 2.5  # cost of a second oxygen on a metal
_BARE = 1.0  # cost of an open metal without oxygen
_SOLVENTS = 3  # molecules of a solvent whose number is not given
_ONE = np.eye(3)[None]


@dataclass(frozen=True)
class Plan:
    """What a core will be given: thiolate ``sulfurs`` (indices), ``sulfides`` left as they are, numbers of
    ``carboxylates`` and ``solvents``, and the resulting ``charge`` and superatom ``electrons``; ``proposal``: the
    reason for the charge where none was given, else empty."""

    sulfurs: IntArray
    sulfides: IntArray
    carboxylates: int
    solvents: int
    charge: int
    electrons: int
    proposal: str = ""


def complete(
    core: Atoms,
    *,
    thiolate: str,
    carboxylate: str,
    carboxylates: int | None = None,
    solvent: str | None = None,
    solvents: int | None = None,
    charge: int | None = None,
    seed: int = 0,
    library: Library | None = None,
) -> Atoms:
    """A whole cluster from a ``core`` of metals, sulfides and bare thiolate sulfurs.

    Every sulfur with room for a carbon becomes a ``thiolate`` (a library name), the others are sulfides.  The number of
    ``carboxylates``, if not given, follows from the ``charge`` (default ``info["charge"]``): of the numbers that close
    a superatom shell, the one that comes nearest to one oxygen on every open metal.  Without a charge both are chosen
    together in this way; a warning says so and lists the nearest alternatives.  ``solvents`` molecules of ``solvent``
    (three, if not given) sit on the most open metals (three on a triangle of them).  Atoms of the core do not move.

    Raises :class:`~clusterml.errors.OptionError` for ligands, numbers or a seed that cannot be, and
    :class:`~clusterml.errors.StructureError` where ligands do not fit; the result is checked.

    Examples:
        >>> import clusterml as cm
        >>> core = cm.build("ag4", thiolate="SH")[[0, 1, 2, 3, 4, 6, 8, 10]]
        >>> core.info = {"charge": 0}
        >>> cm.complete(core, thiolate="SCH3", carboxylate="HCOO", carboxylates=0).info["name"]
        '[Ag4(SCH3)4]'
    """
    from clusterml.structure.anatomy.library import load_library

    check_seed(seed)
    check_geometry(core)
    book = library or load_library()
    thiol = book.entry(thiolate, partial(takes, ("thiolate",)))
    acid = book.entry(carboxylate, partial(takes, ("carboxylate",)))
    wet = book.entry(solvent, partial(takes, ("solvent",))) if solvent is not None else None
    if solvents is not None and solvents < 0:
        raise OptionError(f"{solvents} solvent ligands are requested", "give a number that is not negative")
    if wet is None and solvents:
        raise OptionError(f"{solvents} solvent ligands are requested, but no solvent is named", "name one, such as DMF")
    if solvents is None:
        solvents = _SOLVENTS if wet is not None else 0
    numbers, positions = np.asarray(core.numbers, dtype=np.int64), np.asarray(core.positions, dtype=np.float64)
    open_to = find_open_directions(numbers, positions)
    plan = _plan(core, thiol, acid, len(open_to), carboxylates, solvents, charge)
    soaked = _choose_solvated(numbers, positions, open_to, solvents)
    dry = {metal: out for metal, out in open_to.items() if metal not in soaked}
    shapes = {entry: find_conformers(entry) for entry in (thiol, acid, *((wet,) if wet else ()))}
    chosen = _choose(numbers, positions, dry, shapes[acid], plan.carboxylates, acid.name)
    singles = {int(s.site.metals[0]): s.site for s in find_single_sites(numbers, positions, open_to)}
    frame, placements = _make_placements(core, plan, [s.site for s in chosen], thiol, acid, shapes)
    if wet is not None:
        placements += [_placement(core, plan, singles[m], wet, shapes[wet]) for m in soaked]
    cluster = place(frame, placements, rng=np.random.default_rng(seed))
    _describe(
        cluster,
        core,
        plan,
        {thiol: len(plan.sulfurs), acid: plan.carboxylates, **({wet: solvents} if wet else {})},
        seed,
    )
    check_contacts(cluster, "completed core")
    _check(cluster, plan, thiol, acid, wet, book)
    return cluster


def _plan(
    core: Atoms,
    thiol: LigandEntry,
    acid: LigandEntry,
    n_open: int,
    n_carboxylates: int | None,
    solvents: int,
    charge: int | None,
) -> Plan:
    numbers, positions = np.asarray(core.numbers, dtype=np.int64), np.asarray(core.positions, dtype=np.float64)
    metals = is_metal(numbers)
    sulfurs = find_thiolate_sulfurs(numbers, positions)
    sulfides = np.setdiff1d(find_bare_sulfurs(numbers, positions), sulfurs)
    others = np.setdiff1d(np.flatnonzero(~metals), np.concatenate([sulfurs, sulfides]))
    if len(others):
        other = int(others[0])
        raise StructureError(
            f"the core holds {core.symbols[other]}{other + 1}, which is neither metal nor bare sulfur",
            "give the metals and their sulfurs alone",
        )
    if len(sulfurs) == 0:
        raise StructureError("the core has no sulfur with room for a substituent", "is it a bare core?")
    available = count_valence_electrons(numbers) - len(sulfurs) * thiol.charge - 2 * len(sulfides)
    total_charge = stated_charge(core) if charge is None else whole_charge(charge)
    proposal = ""
    if n_carboxylates is None and total_charge is not None:
        n_carboxylates = _count(available, acid.charge, total_charge, n_open, solvents)
    if n_carboxylates is not None and not 0 <= n_carboxylates <= n_open:
        raise OptionError(f"{n_carboxylates} carboxylates do not go on {n_open} open metals", "give another number")
    if total_charge is None:
        total_charge, n_carboxylates, proposal = _propose_charge(available, acid, n_carboxylates, n_open, solvents)
    count = n_carboxylates or 0
    electrons = available - count * acid.charge - total_charge
    return Plan(sulfurs, sulfides, count, solvents, total_charge, electrons, proposal)


def _propose_charge(
    available: int, acid: LigandEntry, n_carboxylates: int | None, n_open: int, solvents: int
) -> tuple[int, int, str]:
    """Charge and number of carboxylates (``n_carboxylates`` if given) of a core of unknown charge; a sentence on both.

    Of all that close a superatom shell: nearest to one oxygen on every open metal, rather too many than too few, then
    nearest to neutral.
    """
    options = [
        (abs(2 * count + solvents - n_open), 2 * count + solvents < n_open, abs(charge), charge, count, shell)
        for charge in range(-LARGEST_CHARGE, LARGEST_CHARGE + 1)
        for shell in _SHELLS
        for count in _counts(available - charge - shell, acid.charge, n_carboxylates)
        if count <= n_open
    ]
    if not options:
        raise OptionError("no charge closes a superatom shell on this core", "give --charge and --carboxylates")
    best, *others = sorted(options)
    charge, count, shell = best[3:]
    also = ", ".join(f"{signed_charge(q)} with {n} {acid.name} ({e} electrons)" for *_, q, n, e in others[:3])
    text = (
        f"charge {signed_charge(charge)} with {count} {acid.name} is a proposal: {shell} superatom electrons, a closed"
    )
    text += f" shell, and {2 * count + solvents} oxygens for {n_open} open metals" + (f"; or {also}" if also else "")
    return charge, count, f"{text}; --charge decides"


def _counts(negative: int, ligand_charge: int, n_carboxylates: int | None = None) -> list[int]:
    """How many ligands of ``ligand_charge`` carry ``negative`` charges: ``n_carboxylates`` (if given), or none."""
    if n_carboxylates is not None:
        return [n_carboxylates] if n_carboxylates * ligand_charge == negative else []
    if ligand_charge <= 0:
        raise OptionError("the carboxylate carries no negative charge", "give --charge and --carboxylates")
    return [negative // ligand_charge] if negative >= 0 and negative % ligand_charge == 0 else []


def _count(available: int, ligand_charge: int, charge: int, n_open: int, solvents: int) -> int:
    """Number of carboxylates that closes a shell and comes nearest to one oxygen on every open metal."""
    options = [count for shell in _SHELLS for count in _counts(available - charge - shell, ligand_charge)]
    if not options:
        raise OptionError(f"no number of carboxylates closes a shell at charge {charge:+d}", "give the number")
    return min(options, key=lambda n: abs(2 * n + solvents - n_open))


def _choose_solvated(numbers: IntArray, positions: FloatArray, open_to: dict[int, FloatArray], count: int) -> list[int]:
    """The metals that get solvent: a triangle of open metals for three, furthest out; else the outermost ones."""
    if count > len(open_to):
        raise OptionError(f"{count} solvent ligands do not go on {len(open_to)} open metals", "give fewer")
    centre = positions[is_metal(numbers)].mean(axis=0)
    radius = {m: float(np.linalg.norm(positions[m] - centre)) for m in open_to}
    outermost = sorted(open_to, key=lambda m: (-round(radius[m], 2), m))
    if count == 3:
        for trio in combinations(outermost[: 4 * count], 3):
            if all(np.linalg.norm(positions[a] - positions[b]) < 3.7 for a, b in combinations(trio, 2)):
                return list(trio)
    return outermost[:count]


def _choose(
    numbers: IntArray, positions: FloatArray, open_to: dict[int, FloatArray], shapes: Conformers, count: int, name: str
) -> list[OpenSite]:
    """The sites of the carboxylates: an integer programme over all bridges and single bonds."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    if count == 0:
        return []
    offered = find_single_sites(numbers, positions, open_to)
    n_single = len(offered)
    if len(shapes.donors) > 1:
        bite = float(np.linalg.norm(np.subtract(*shapes.positions[0][shapes.donors[:2]])))
        offered += find_bridging_sites(numbers, positions, open_to, bite)
    metals = sorted(open_to)
    load = np.array([[float(m in s.site.metals) for s in offered] for m in metals])
    n, k = len(offered), len(metals)
    clash = _find_clashes(offered)
    cost = np.array([_SINGLE * (i < n_single) - 0.3 * min(s.room, 1.0) for i, s in enumerate(offered)])
    # unknowns: taken (n), second oxygens on a metal (k), metals without oxygen (k)
    rows = [np.concatenate([np.ones(n), np.zeros(2 * k)])]
    low, high = [float(count)], [float(count)]
    for row in range(k):
        more = np.concatenate([load[row], -np.eye(k)[row], np.eye(k)[row]])
        rows.append(more)
        low.append(1.0)
        high.append(1.0)
    for i, j in clash:
        pair = np.zeros(n + 2 * k)
        pair[[i, j]] = 1.0
        rows.append(pair)
        low.append(0.0)
        high.append(1.0)
    solution = milp(
        np.concatenate([cost, np.full(k, _SECOND), np.full(k, _BARE)]),
        constraints=LinearConstraint(np.array(rows), low, high),
        integrality=np.concatenate([np.ones(n), np.zeros(2 * k)]),
        bounds=Bounds(0.0, np.concatenate([np.ones(n), np.full(k, 1.0), np.full(k, 1.0)])),
        options={"time_limit": 60.0, "mip_rel_gap": 0.01},
    )
    if solution.x is None:
        raise StructureError(f"there are not {count} sites for {name} on the core", "give a smaller number")
    return [offered[i] for i in np.flatnonzero(solution.x[:n] > 0.5)]


def _find_clashes(offered: list[OpenSite]) -> list[tuple[int, int]]:
    """Pairs of sites whose donors would be too close to each other."""
    clashes = []
    for i, j in combinations(range(len(offered)), 2):
        gap = np.linalg.norm(offered[i].site.donors[:, None] - offered[j].site.donors[None], axis=-1)
        if gap.min() < _TOO_NEAR:
            clashes.append((i, j))
    return clashes


def _make_placements(
    core: Atoms,
    plan: Plan,
    sites: list[BindingSite],
    thiol: LigandEntry,
    acid: LigandEntry,
    shapes: dict[LigandEntry, Conformers],
) -> tuple[Atoms, list[Placement]]:
    """The core without its thiolate sulfurs, and placements of thiolates and carboxylates on it."""
    keep = np.setdiff1d(np.arange(len(core)), plan.sulfurs)
    frame = core[keep]
    frame.info = {**core.info}
    numbers = np.asarray(frame.numbers, dtype=np.int64)
    near = len(shapes[thiol].neighbours(int(shapes[thiol].donors[0])))
    placements = []
    for sulfur in plan.sulfurs:
        site = site_at(numbers, frame.positions, core.positions[sulfur][None], 16, n_bonded=near)
        placements.append(Placement(site, thiol, shapes[thiol], _ONE, _ONE))
    return frame, placements + [_placement(core, plan, site, acid, shapes[acid]) for site in sites]


def _placement(core: Atoms, plan: Plan, site: BindingSite, entry: LigandEntry, shapes: Conformers) -> Placement:
    """A placement whose site's metals are numbered as in the core without its thiolate sulfurs."""
    keep = np.setdiff1d(np.arange(len(core)), plan.sulfurs)
    metals = np.searchsorted(keep, site.metals)
    return Placement(BindingSite(metals, site.donors, site.outward), entry, shapes, _ONE, _ONE)


def _describe(atoms: Atoms, core: Atoms, plan: Plan, counts: dict[LigandEntry, int], seed: int) -> None:
    history: dict[str, Any] = dict(core.info.get("provenance", {}))
    history |= {
        "model": "model, not crystal: the core was given, its shell was added here",
        "level": "as built, not relaxed",
        "ligands": {entry.name: count for entry, count in counts.items() if count},
        "sulfides": len(plan.sulfides),
        "electrons": plan.electrons,
        "seed": seed,
        "warnings": [
            *history.get("warnings", []),
            *([plan.proposal] if plan.proposal else []),
            "which metals carry the added ligands is a choice, not an observation",
        ],
    }
    metals = core.symbols[is_metal(np.asarray(core.numbers, dtype=np.int64))].get_chemical_formula()
    name = cluster_name(metals, len(plan.sulfides), counts, plan.charge)
    atoms.info |= {"charge": plan.charge, "name": name, "provenance": history}


def _check(
    atoms: Atoms, plan: Plan, thiol: LigandEntry, acid: LigandEntry, wet: LigandEntry | None, book: Library
) -> None:
    expected: Counter[LigandEntry] = Counter({thiol: len(plan.sulfurs), acid: plan.carboxylates})
    if wet is not None:
        expected[wet] += plan.solvents
    expected[book.entry("S")] += len(plan.sulfides)
    check_ligands(atoms, +expected, "completed core")
