"""Blueprints: clusters as data (``data/*.yaml``, and those of installed packages), and the formula of a cluster.

Positions are in A about the centre of the cluster; the first group listed makes the whole frame of the unique sites.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from clusterml.config.registry import Registry
from clusterml.config.schema import Strict, load
from clusterml.errors import ClusterMLError, OptionError
from clusterml.structure.anatomy.library import REGISTRY as LIGANDS
from clusterml.structure.build.conformers import donor_symbols

if TYPE_CHECKING:
    from clusterml.structure.anatomy.library import Library, LigandEntry


def cluster_name(metals: str, sulfides: int, ligands: Mapping[LigandEntry, int], charge: int) -> str:
    """Formula from the ``metals`` (``Ag70``), the number of sulfide ions, the ligands in their order and the charge."""
    from ase.data import chemical_symbols

    text = metals + (f"S{_times(sulfides)}" if sulfides else "")
    for entry, count in ligands.items():
        if count:
            single = entry.formula in chemical_symbols
            text += (entry.formula if single else f"({entry.name})") + _times(count)
    sign = f"{_times(abs(charge))}{'-' if charge < 0 else '+'}" if charge else ""
    return f"[{text}]{sign}"


def _times(count: int) -> str:
    return str(count) if count > 1 else ""


ELEMENT = {"thiolate": "S", "dithiolate": "S", "phosphine": "P", "carboxylate": "O", "halide": "Cl", "solvent": "O"}
"""Kind of a site -> the donor element its positions are meant for."""

Kind = Literal["thiolate", "dithiolate", "phosphine", "carboxylate", "halide", "solvent"]
Vector = Annotated[list[float], Field(min_length=3, max_length=3)]


def takes(kinds: Iterable[str], entry: LigandEntry) -> bool:
    """Is a ligand one that a site of one of these ``kinds`` may be meant for?  For lists: a given name is always tried.

    A phosphine's site takes any neutral ligand (carbenes, CO), a thiolate's any anion (alkynyls).
    """
    if not entry.donors or entry.kind == "counter-ion":
        return False
    symbols = donor_symbols(entry)
    several = entry.charge > 0 and len(symbols) > 1
    fits = {
        "phosphine": entry.charge == 0,
        "solvent": entry.charge == 0,
        "thiolate": entry.charge > 0,
        "dithiolate": several and "S" in symbols,
        "carboxylate": several and "O" in symbols,
        "halide": entry.charge == 1 and entry.formula == symbols[0],
    }
    return any(fits[kind] for kind in kinds)


class FrameAtom(Strict):
    """A symmetry-unique atom of the metal frame (sulfide belongs to it): ``at`` in A."""

    label: str
    element: str
    role: str
    at: Vector


class LigandSite(Strict):
    """A symmetry-unique place for a ligand.

    Its ``donors`` (A), or the ``metals`` (A) it sits on, from which donors follow; ``outward``: directions for its
    body, else away from the metals.  ``expand``: the group that makes its copies (default: the blueprint's first).
    ``solvated``: only with (true) or without (false) solvent ligands.  Sites of one ``shell`` carry one ligand.
    """

    label: str
    kind: Kind
    shell: str
    donors: list[Vector] = Field(default_factory=list, max_length=2)
    metals: list[Vector] = Field(default_factory=list, max_length=4)
    outward: list[Vector] | None = None
    expand: str | None = None
    solvated: bool | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> LigandSite:
        if bool(self.donors) == bool(self.metals):
            raise ValueError(f"site {self.label} needs either donors or metals")
        if self.metals and not self.outward:
            raise ValueError(f"site {self.label} is given by its metals and needs outward, the direction of its ligand")
        return self


class Blueprint(Strict):
    """A cluster to be built.

    ``electrons``: superatom electrons, which fix the charge for any choice of ligands.  ``groups``: point groups by
    name with their generators, the highest first; ligands that cannot keep one get the next.  ``hands``: names of the
    two hands of a chiral frame, and which of them the positions are.  ``shells``: default ligand of each shell; null
    for one that is empty unless asked for.
    """

    name: str
    aliases: list[str] = Field(default_factory=list)
    title: str
    electrons: int
    reference: str
    notes: str
    groups: dict[str, list[str]]
    hands: dict[str, Literal["as-given", "mirrored"]] = Field(default_factory=dict)
    shells: dict[str, str | None]
    frame: list[FrameAtom]
    sites: list[LigandSite]

    @property
    def point_group(self) -> str:
        """The symmetry of the metal frame."""
        return next(iter(self.groups))

    @model_validator(mode="after")
    def _consistent(self) -> Blueprint:
        for site in self.sites:
            if site.shell not in self.shells:
                raise ValueError(f"site {site.label} is of the unknown shell {site.shell}")
            if site.expand is not None and site.expand not in self.groups:
                raise ValueError(f"site {site.label} is expanded by the unknown group {site.expand}")
        if self.hands and set(self.hands.values()) != {"as-given", "mirrored"}:
            raise ValueError("one of the two hands must be as-given and the other mirrored")
        return self


def read_blueprint(path: Path) -> Blueprint:
    """The blueprint in a YAML file; raises :class:`~clusterml.errors.InputFileError` naming the file and the key."""
    return load(Blueprint, path)


REGISTRY: Registry[Blueprint] = Registry(
    "blueprints",
    Blueprint,
    "clusterml.structure.build.data",
    name=lambda plan: plan.name.casefold(),
    claims=lambda plan: [alias.casefold() for alias in plan.aliases],
    read=lambda path: (read_blueprint(path),),
)
"""Every blueprint, by name."""


def blueprints() -> dict[str, Blueprint]:
    """All shipped or installed blueprints by name, sorted."""
    return {plan.name: plan for plan in REGISTRY.all()}


def blueprint(name: str | Path) -> Blueprint:
    """The blueprint of that name or alias (capitals do not matter), or that of a YAML file.

    Raises :class:`~clusterml.errors.OptionError`, listing the names, for an unknown one.
    """
    if isinstance(name, Path) or name.lower().endswith((".yaml", ".yml")):
        return read_blueprint(Path(name))
    word = name.casefold()
    for plan in REGISTRY.all():
        if word in (title.casefold() for title in (plan.name, *plan.aliases)):
            return plan
    raise OptionError(f"there is no blueprint {name!r}", f"choose one of {', '.join(blueprints())}, or a YAML file")


def packages_used(
    build: Mapping[str, str | list[str]] | None, ligands: Iterable[str], library: Library
) -> dict[str, str]:
    """``blueprint NAME`` and ``ligand NAME`` -> name and version of the package it is from; our own are left out.

    ``build``: options of :func:`clusterml.structure.build.build.build`; ``ligands``: others that are used, by name or
    formula; ``library``: where they are looked up.  What is not known is left out too.
    """
    names = {key: [value] if isinstance(value, str) else value for key, value in (build or {}).items()}
    used: dict[str, str] = {}
    words = [*ligands, *(word for key in names if key not in _NO_LIGANDS for word in names[key])]
    for name in names.get("name", []):
        with suppress(ClusterMLError):
            plan = blueprint(name)
            words += [ligand for ligand in plan.shells.values() if ligand]
            if plan in REGISTRY.all() and (package := REGISTRY.packages.get(REGISTRY.name(plan))):
                used[f"blueprint {plan.name}"] = package
    for word in words:
        with suppress(ClusterMLError):
            entry = library.entry(word)
            if entry in LIGANDS.all() and (package := LIGANDS.packages.get(entry.name)):
                used[f"ligand {entry.name}"] = package
    return used


_NO_LIGANDS = ("name", "hand", "symmetry", "seed")
"""Options of a build that name no ligand."""
