"""Ligands for a random frame: which of the library there are, which a cluster gets, and where they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from clusterml.errors import OptionError
from clusterml.structure.build.attach import Placement, move_donors
from clusterml.structure.build.conformers import donor_symbols, find_conformers
from clusterml.structure.build.coverage import Frame
from clusterml.structure.build.sites import (
    BindingSite,
    OpenSite,
    find_bridging_sites,
    find_open_directions,
    find_single_sites,
    site_at,
)
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from clusterml.structure.anatomy.library import Library, LigandEntry

Role = Literal["thiolate", "halide", "alkynyl", "carboxylate", "dithiolate", "phosphine", "diphosphine", "solvent"]
Outfit = Mapping[Role, tuple["LigandEntry", ...]]
"""The ligands of one cluster by role, the preferred one first."""

BRIDGES: tuple[Role, ...] = ("thiolate", "halide", "alkynyl")
"""Anions with one donor, which bridges metals."""
CHELATES: tuple[Role, ...] = ("carboxylate", "dithiolate")
"""Anions with two donors on two metals; dithiolate: dithiocarbamates and dithiophosphates."""
NEUTRAL: tuple[Role, ...] = ("phosphine", "diphosphine", "solvent")
_WEIGHT: dict[Role, float] = {"thiolate": 1.0, "halide": 0.2, "alkynyl": 0.15, "carboxylate": 0.6, "dithiolate": 0.3,
                              "phosphine": 0.9, "diphosphine": 0.1, "solvent": 0.15}  # fmt: skip
_SULFUR = 16
_ONE = np.eye(3)[None]
_APART = 2.75  # A between donors of different ligands


def offer_ligands(library: Library, names: Sequence[str] | None) -> dict[Role, list[LigandEntry]]:
    """The ligands to draw from by role: those of the ``names``, or all of the ``library``.

    Raises :class:`~clusterml.errors.OptionError` for one that has no role, and where none bridges metals.
    """
    offered: dict[Role, list[LigandEntry]] = {}
    for entry in library if names is None else [library.entry(name) for name in names]:
        role = ligand_role(entry)
        if role is not None:
            offered.setdefault(role, []).append(entry)
        elif names is not None:
            raise OptionError(
                f"{entry.name} is no ligand for hypothetical clusters",
                "name thiolates, halides, alkynyls, carboxylates, dithiocarbamates, phosphines or solvents",
            )
    if not any(role in offered for role in BRIDGES):
        raise OptionError("no ligand to draw from bridges metals", "name a thiolate, halide or alkynyl, such as SH")
    return offered


def ligand_role(entry: LigandEntry) -> Role | None:
    """What a library ligand can be in a hypothetical cluster; None for counter-ions, hydride, dithiols and others."""
    if entry.kind == "counter-ion" or not entry.donors:
        return None
    elements, count = set(donor_symbols(entry)), len(entry.donors)
    if entry.charge == 0:
        if elements == {"P"} and entry.kind == "ligand":
            return "phosphine" if count == 1 else "diphosphine"
        return "solvent" if entry.kind == "solvent" and count == 1 and elements <= {"O", "N"} else None
    if entry.charge != 1 or len(elements) > 1:
        return None
    if count == 2:
        return "carboxylate" if elements == {"O"} else "dithiolate" if elements == {"S"} else None
    if elements <= {"Cl", "Br", "I"}:
        return "halide"
    return "thiolate" if elements == {"S"} else "alkynyl" if elements == {"C"} else None


def draw_outfit(offered: Mapping[Role, Sequence[LigandEntry]], rng: np.random.Generator) -> Outfit:
    """Roles of one cluster, one of bridging anions, each with its ligands in random order, small ones early."""
    bridges = [role for role in BRIDGES if role in offered]
    weights = np.array([_WEIGHT[role] for role in bridges])
    roles: list[Role] = [bridges[int(rng.choice(len(bridges), p=weights / weights.sum()))]]
    roles += [role for role in (*CHELATES, *NEUTRAL) if role in offered and rng.random() < _WEIGHT[role]]
    if "carboxylate" in roles and "dithiolate" in roles:
        roles.remove("carboxylate")
    return {role: _shuffle(offered[role], rng) for role in roles}


def draw_substitute(entry: LigandEntry, library: Library, rng: np.random.Generator) -> LigandEntry:
    """Another ligand of the ``library`` that binds as ``entry`` does, small ones more often.

    Raises :class:`~clusterml.errors.OptionError` if there is none.
    """
    role = ligand_role(entry)
    alike = [other for other in library if other != entry and role is not None and ligand_role(other) == role]
    if not alike:
        raise OptionError(f"no ligand of the library binds as {entry.name} does", "name the one to exchange it for")
    return _shuffle(alike, rng)[0]


def _shuffle(entries: Sequence[LigandEntry], rng: np.random.Generator) -> tuple[LigandEntry, ...]:
    keys = np.array([rng.gumbel() - _size(entry) / 10.0 for entry in entries])
    return tuple(entries[k] for k in np.argsort(-keys, kind="stable").tolist())


def _size(entry: LigandEntry) -> int:
    """Number of atoms, from the formula: shapes of ligands that are not taken are not needed."""
    return sum(int(count or 1) for count in re.findall(r"[A-Z][a-z]?(\d*)", entry.formula))


def choose_fitting(entries: Sequence[LigandEntry], room: float, count: int = 1) -> list[LigandEntry]:
    """The first ``count`` of the ligands with at most ``room`` atoms; the smallest if none is so small."""
    return [entry for entry in entries if _size(entry) <= room][:count] or [min(entries, key=_size)]


def stand_on_donors(frame: Frame, entries: Sequence[LigandEntry], rng: np.random.Generator) -> list[Placement]:
    """A ligand on every donor of the frame, drawn from ``entries``."""
    placements = []
    for donor in frame.donors:
        entry = entries[int(rng.integers(len(entries)))]
        shapes = find_conformers(entry)
        element = int(shapes.numbers[shapes.donors[0]])
        at = donor[None]
        if element != _SULFUR:
            at = move_donors(frame.metals, frame.positions, at, _SULFUR, element)
        near = len(shapes.neighbours(int(shapes.donors[0])))
        site = site_at(frame.metals, frame.positions, at, element, n_bonded=near)
        placements.append(Placement(site, entry, shapes, _ONE, _ONE))
    return placements


def chelate_metals(
    frame: Frame, entry: LigandEntry, count: int, placements: Sequence[Placement], rng: np.random.Generator
) -> list[Placement]:
    """Up to ``count`` ligands with two donors, each over two open metals; ``placements`` are there already."""
    shapes = find_conformers(entry)
    element = int(shapes.numbers[shapes.donors[0]])
    bite = float(np.linalg.norm(np.subtract(*shapes.positions[0][shapes.donors[:2]])))
    numbers, positions = _with_donors(frame, placements)
    offered = find_bridging_sites(numbers, positions, _open_metals(frame, numbers, positions), bite, element)
    sites = _choose_apart(frame, offered, count, placements, rng)
    return [Placement(site, entry, shapes, _ONE, _ONE) for site in sites]


def cap_metals(
    frame: Frame, entry: LigandEntry, count: int, placements: Sequence[Placement], rng: np.random.Generator
) -> list[Placement]:
    """Up to ``count`` ligands with one donor, each on an open metal, the barest first; ``placements`` are there."""
    shapes = find_conformers(entry)
    element = int(shapes.numbers[shapes.donors[0]])
    numbers, positions = _with_donors(frame, placements)
    offered = find_single_sites(numbers, positions, _open_metals(frame, numbers, positions), element)
    sites = _choose_apart(frame, [site for site in offered if site.room > 0.0], count, placements, rng)
    near = len(shapes.neighbours(int(shapes.donors[0]))) if len(shapes.numbers) > 1 else 0
    standing = [site_at(frame.metals, frame.positions, site.donors, element, n_bonded=near) for site in sites]
    return [Placement(site, entry, shapes, _ONE, _ONE) for site in standing]


def _with_donors(frame: Frame, placements: Sequence[Placement]) -> tuple[IntArray, FloatArray]:
    """Numbers and positions (A) of metals and of all donors that are placed."""
    donors = [placement.site.donors for placement in placements]
    elements = [
        placement.shapes.numbers[placement.shapes.donors[: len(placement.site.donors)]] for placement in placements
    ]
    return np.concatenate([frame.metals, *elements]), np.concatenate([frame.positions, *donors])


def _open_metals(frame: Frame, numbers: IntArray, positions: FloatArray) -> dict[int, FloatArray]:
    """Metals with room for a donor, but for those between two donors of a staple."""
    straight = set(frame.straight)
    return {m: out for m, out in find_open_directions(numbers, positions).items() if m not in straight}


def _choose_apart(
    frame: Frame, offered: Sequence[OpenSite], count: int, placements: Sequence[Placement], rng: np.random.Generator
) -> list[BindingSite]:
    """Up to ``count`` sites, those of metals with fewest donors first, no two with donors near to each other."""
    load = np.zeros(len(frame.metals))
    for placement in placements:
        load[placement.site.metals] += 1.0
    chosen: list[BindingSite] = []
    while len(chosen) < count:
        free = [
            open_site.site
            for open_site in offered
            if all(
                np.linalg.norm(open_site.site.donors[:, None] - other.donors[None], axis=-1).min() > _APART
                for other in chosen
            )
        ]
        if not free:
            break
        cost = np.array([load[site.metals].mean() for site in free]) - 0.3 * rng.gumbel(size=len(free))
        site = free[int(np.argmin(cost))]
        load[site.metals] += 1.0
        chosen.append(site)
    return chosen
