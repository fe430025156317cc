"""What a screen and a design are told: every key, its default and what it means, in one place.

``clusterml screen --keys`` prints them.  :func:`load_screen` reads the YAML file.  The lines of ``objectives`` and
``constraints`` are in :mod:`clusterml.screening.lines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from clusterml.config.overrides import override
from clusterml.config.schema import Strict, read_yaml, validated
from clusterml.dataset.campaign import StoredProtocol
from clusterml.engine.protocol import Protocol
from clusterml.io.shipped import DEFAULT_MODEL, locate
from clusterml.screening.lines import FILES, Constraint, Objective
from clusterml.screening.quantities import parse_counts, parse_range


class Free(Strict):
    """A second stage, in which every atom may move, at a price."""

    steps: int = Field(30, ge=1, description="a whole number: most steps with free coordinates")
    penalty: float = Field(1.0, gt=0.0, description="a number above 0: score that 1 eV of elastic strain costs")


class Design(Strict):
    """How candidates are improved by gradients, see ``clusterml design``."""

    start_from: str | None = Field(
        None, description="results folder of a screen, whose best candidates are looked at first; null: drawn ones"
    )
    starts: int = Field(
        16, ge=1, description="a whole number: candidates that are looked at first, drawn evenly or a screen's best"
    )
    climbs: int = Field(2, ge=1, description="a whole number: so many of the best of them are improved")
    steps: int = Field(40, ge=0, description="a whole number: most steps on the amounts of the distortions")
    free: Free | None = Field(None, description="steps and penalty of a stage with free coordinates; null: none")
    label: bool = Field(False, description="true or false: the engine labels the best end point")


Sampling = Literal["grid", "random", "sobol"]
Attitude = Literal["expected", "optimistic", "pessimistic"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]


class ScreenParent(Strict):
    """A cluster that candidates are made of: a ``file``, or the arguments of ``build``, or lists of them."""

    file: str | None = Field(None, description="an xyz, extxyz or cif file, seen from the YAML file")
    build: dict[str, str | list[str]] | None = Field(
        None, description="options of clusterml build; a list of names stands for one parent each"
    )
    charge: int | None = Field(None, description="a whole number: total charge; default: what file or blueprint says")

    @model_validator(mode="after")
    def _one_source(self) -> ScreenParent:
        if (self.file is None) == (self.build is None):
            raise ValueError("give either file or build")
        if self.build is not None and "name" not in self.build:
            raise ValueError("build needs the name of a blueprint")
        if any(value == [] for value in (self.build or {}).values()):
            raise ValueError("a list of build is empty")
        return self


class Exchange(Strict):
    """Ligands ``old`` become ``new``: one candidate for each new ligand, draw of sites and count."""

    old: str = Field(description="name or formula of the ligand that goes")
    new: str | list[str] = Field(description="name of the ligand that comes, or a list of them (R-TFL, S-TFL, ..)")
    counts: int | str | list[int] = Field(description="how many are exchanged: 3, [0, 4, 8] or 0..20 by 2")
    sites: Literal["random", "first"] = Field("random", description="random or first: which sites, in which order")
    draws: int = Field(1, ge=1, description="a whole number: draws of sites (and placements) for each count")
    placement: Literal["best", "sampled"] = Field(
        "best", description="best or sampled: conformer and orientation of each new ligand"
    )

    @field_validator("counts")
    @classmethod
    def _counts(cls, given: int | str | list[int]) -> int | str | list[int]:
        parse_counts(given)
        return given

    @field_validator("new")
    @classmethod
    def _new(cls, given: str | list[str]) -> str | list[str]:
        if not given:
            raise ValueError("name at least one ligand")
        return given

    @property
    def ligands(self) -> tuple[str, ...]:
        """The new ligands."""
        return (self.new,) if isinstance(self.new, str) else tuple(self.new)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The counts, ascending."""
        return parse_counts(self.counts)


class Shell(Exchange):
    """One way to another ligand shell: an exchange, and others after it, in all combinations."""

    then: list[Exchange] = Field([], description="a list of exchanges that follow, with the keys above")


class Conformers(Strict):
    """Thermal snapshots of every ligand shell, from its elastic network; distortions start from each of them."""

    temperature_k: float = Field(300.0, gt=0.0, description="a temperature in K, above 0")
    snapshots: int = Field(ge=1, description="a whole number: snapshots of each ligand shell")
    at_rest: bool = Field(False, description="true or false: the shell without thermal motion too")


class Distortion(Strict):
    """A set of distortions applied one after the other: a grid of amounts, or points drawn in their ranges."""

    modes: dict[str, float | str | list[float]] = Field(
        min_length=1,
        description="mode: amounts; -20..20 by 1 deg or a list for a grid, else LOW..HIGH; or 'normal-mode 3': ..",
    )
    sampling: Sampling = Field("grid", description="grid (all combinations), random or sobol")
    points: int | None = Field(None, ge=1, description="a whole number: points of random and sobol")

    @model_validator(mode="after")
    def _fits(self) -> Distortion:
        if (self.sampling == "grid") != (self.points is None):
            raise ValueError("points are given for sampling random and sobol, and only for these")
        for mode, amounts in self.modes.items():
            try:
                self._check(amounts)
            except ValueError as error:
                raise ValueError(f"{mode}: {error}") from error
        return self

    def _check(self, amounts: float | str | list[float]) -> None:
        if self.sampling == "grid":
            if isinstance(amounts, str):
                parse_range(amounts).values()
            elif amounts == []:
                raise ValueError("the list is empty")
        elif not isinstance(amounts, str) or parse_range(amounts).step is not None:
            raise ValueError(f"sampling {self.sampling} draws between two amounts: LOW..HIGH")


class Screen(Strict):
    """A screen.

    Example:
        >>> import clusterml as cm
        >>> screen = cm.Screen(
        ...     name="rings", parents={"ag3": {"build": {"name": "ag3", "thiolate": ["SH", "SCH3"]}}},
        ...     objectives=[{"max_g": "3..5 eV"}],
        ... )
        >>> screen.objectives[0].measure
        ('max_g', '3..5 eV')
    """

    name: Name = Field(description="a name of letters, digits, . _ -")
    title: str = Field("", description="a line for the report")
    seed: int = Field(0, ge=0, description="a whole number from 0: of everything random")
    model: str = Field(DEFAULT_MODEL, description="a checkpoint's name or folder")
    library: str | None = Field(
        None, description="a YAML file of more ligands, whose names parents and exchanges may use; null: none"
    )
    parents: dict[Name, ScreenParent] = Field(
        {}, description="clusters by name; may be left out where Python gives the candidates"
    )
    exchanges: list[Shell] = Field([], description="a list of ligand shells, alternatives; empty: the parent's own")
    conformers: Conformers | None = Field(None, description="thermal snapshots; null: the geometry as it is")
    distortions: list[Distortion] = Field([], description="a list of sets of distortions, alternatives; empty: none")
    most: int | None = Field(
        None, ge=1, description="a whole number: so many candidates, drawn evenly over all; null: all"
    )
    objectives: list[Objective] = Field(min_length=1, description="a list of lines {MEASURE: VALUE, goal: ..}")
    constraints: list[Constraint] = Field([], description="a list of lines {MEASURE: VALUE, at_most: ..}")
    value: Attitude = Field("expected", description="expected, optimistic or pessimistic: what candidates rank by")
    sigmas: float = Field(1.0, ge=0.0, description="a number: standard deviations of optimism or pessimism")
    top: int = Field(20, ge=1, le=1000, description="a whole number up to 1000: best ones with geometry and spectrum")
    keep: int = Field(1000, ge=1, le=100_000, description="a whole number up to 100000: best ones in ranked.csv")
    front: int = Field(200, ge=1, le=5000, description="a whole number up to 5000: most members of the Pareto front")
    block: int = Field(128, ge=1, le=8192, description="a whole number: candidates between two checkpoints of a worker")
    verify: int = Field(0, ge=0, description="a whole number: best different geometries that the engine labels")
    verify_random: int = Field(0, ge=0, description="a whole number: randomly drawn ones that the engine labels")
    hit_share: float = Field(
        0.1, gt=0.0, lt=1.0, description="a share: as good as this share of random candidates is a hit"
    )
    engine: StoredProtocol = Field(Protocol(), description="how the engine labels, see a campaign's protocol")
    design: Design = Field(Design(), description="how clusterml design improves candidates")


def load_screen(path: str | Path, overrides: Sequence[str] = ()) -> Screen:
    """The screen in a YAML file; files it names are seen from there.

    ``overrides`` such as ``verify=20`` go before it (values are YAML; files are seen from the current folder).

    Raises :class:`~clusterml.errors.InputFileError` or :class:`~clusterml.errors.OptionError` naming file and key, and
    the nearest key where one is unknown.

    Example:
        >>> import clusterml as cm
        >>> cm.load_screen(cm.locate("shipped:configs/screen/small.yaml"), ["top=3"]).top
        3
    """
    file = locate(path)
    values = read_yaml(file)
    parents = values.get("parents")
    if isinstance(values.get("library"), str):
        values["library"] = str(locate(values["library"], file.parent).resolve())
    design = values.get("design")
    if isinstance(design, dict) and isinstance(design.get("start_from"), str):
        design["start_from"] = str((file.parent / design["start_from"]).resolve())
    lines = [line for key in ("objectives", "constraints") for line in _listed(values.get(key))]
    for entry, key in [
        *((parent, "file") for parent in (parents.values() if isinstance(parents, dict) else [])),
        *((line, key) for line in lines for key in FILES),
    ]:
        if isinstance(entry, dict) and isinstance(entry.get(key), str):
            entry[key] = str(locate(entry[key], file.parent).resolve())
    return validated(Screen, override(values, overrides, Screen, "screen"), str(file))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
