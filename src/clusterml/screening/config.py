"""The configuration of a screen and of a design: every key, its default and its meaning, in one place.

``clusterml screen --keys`` prints them.  :func:`load_screen` reads the YAML file.  The lines of ``objectives`` and
``constraints`` are in :mod:`clusterml.screening.lines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from clusterml.config.schema import Strict, override, read_yaml, validated
from clusterml.dataset.campaign import StoredProtocol
from clusterml.engine.protocol import Protocol
from clusterml.io.shipped import DEFAULT_MODEL, QUICK_MODEL, locate
from clusterml.screening.lines import FILES, Constraint, Objective
from clusterml.screening.quantities import parse_counts, parse_range
from clusterml.screening.spectra import ENGINE


class FreeDesign(Strict):
    """A second stage of a design, in which every atom may move; strain lowers the score."""

    steps: int = Field(30, ge=1, description="a whole number: steps with free coordinates, at most")
    penalty: float = Field(1.0, gt=0.0, description="a number above 0: score lost per eV of elastic strain")


class Design(Strict):
    """How candidates are improved, see ``clusterml design``."""

    start_from: str | None = Field(
        None, description="results folder of a screen whose best candidates are the starts; null: random candidates"
    )
    starts: int = Field(
        16, ge=1, description="a whole number: candidates to start from, drawn evenly or the best of a screen"
    )
    climbs: int = Field(2, ge=1, description="a whole number: how many of the best starts are improved")
    steps: int = Field(
        40,
        ge=0,
        description="a whole number: geometries tried in a climb on k amounts, after the first 2 k + 1; 0: none",
    )
    free: FreeDesign | None = Field(
        None, description="a stage with free coordinates (keys steps and penalty); null: none"
    )
    label: bool = Field(False, description="true or false: does the engine label the best end point?")


Sampling = Literal["grid", "random", "sobol"]
Attitude = Literal["expected", "optimistic", "pessimistic"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]


class ScreenParent(Strict):
    """A cluster that candidates are made from: a ``file``, or options of ``build``, single values or lists."""

    file: str | None = Field(None, description="an xyz, extxyz or cif file, relative to the YAML file")
    build: dict[str, str | list[str]] | None = Field(
        None, description="options of clusterml build; a list of names gives one parent for each"
    )
    charge: int | None = Field(None, description="a whole number: total charge; default: that of the file or blueprint")

    @model_validator(mode="after")
    def _one_source(self) -> ScreenParent:
        if (self.file is None) == (self.build is None):
            raise ValueError("give either file or build")
        if self.build is not None and "name" not in self.build:
            raise ValueError("build needs the name of a blueprint")
        if any(value == [] for value in (self.build or {}).values()):
            raise ValueError("a list of build is empty")
        return self


class ScreenExchange(Strict):
    """Ligands ``old`` are exchanged for ``new``: one candidate for each new ligand, draw of sites and count."""

    old: str = Field(description="name or formula of the ligand that leaves")
    new: str | list[str] = Field(
        description="name of the ligand that takes its place, or a list of names (R-TFL, S-TFL, ..)"
    )
    counts: int | str | list[int] = Field(description="how many are exchanged: 3, [0, 4, 8] or 0..20 by 2")
    sites: Literal["random", "first"] = Field(
        "random", description="random or first: which sites are exchanged, and in which order"
    )
    draws: int = Field(1, ge=1, description="a whole number: random draws of sites (and placements) for each count")
    placement: Literal["best", "sampled"] = Field(
        "best", description="best or sampled: how conformer and orientation of each new ligand are chosen"
    )

    @field_validator("counts")
    @classmethod
    def _counts(cls, value: int | str | list[int]) -> int | str | list[int]:
        parse_counts(value)
        return value

    @field_validator("new")
    @classmethod
    def _new(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError("name at least one ligand")
        return value

    @property
    def ligands(self) -> tuple[str, ...]:
        """The new ligands."""
        return (self.new,) if isinstance(self.new, str) else tuple(self.new)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The counts, ascending."""
        return parse_counts(self.counts)


class ScreenShell(ScreenExchange):
    """A way to other ligand shells: an exchange, and others after it, in all combinations."""

    then: list[ScreenExchange] = Field([], description="a list of exchanges that follow, with the same keys")


class ScreenConformers(Strict):
    """Thermal snapshots of every ligand shell, from its elastic network; distortions start from each snapshot."""

    temperature_k: float = Field(300.0, gt=0.0, description="a temperature in K, above 0")
    snapshots: int = Field(ge=1, description="a whole number: snapshots of each ligand shell")
    at_rest: bool = Field(False, description="true or false: include the shell without thermal motion?")


class ScreenDistortion(Strict):
    """A set of distortions applied one after another: a grid of amounts, or points drawn from their ranges."""

    modes: dict[str, float | str | list[float]] = Field(
        min_length=1,
        description="MODE: AMOUNTS, such as 'normal-mode 3': -2..2; a grid needs -20..20 by 1 deg or a list",
    )
    sampling: Sampling = Field("grid", description="grid (all combinations), random or sobol")
    points: int | None = Field(None, ge=1, description="a whole number: number of points for random and sobol")

    @model_validator(mode="after")
    def _fits(self) -> ScreenDistortion:
        if (self.sampling == "grid") != (self.points is None):
            raise ValueError("points belong to sampling random and sobol, which need them; a grid has none")
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
    """A screen: its candidates, what is wanted of them, and how they are ranked and verified.

    Examples:
        >>> import clusterml as cm
        >>> screen = cm.Screen(
        ...     name="rings", parents={"ag3": {"build": {"name": "ag3", "thiolate": ["SH", "SCH3"]}}},
        ...     objectives=[{"max_g": "3..5 eV"}],
        ... )
        >>> screen.objectives[0].measure
        ('max_g', '3..5 eV')
    """

    name: Name = Field(description="a name of letters, digits and . _ -")
    title: str = Field("", description="heading of the report")
    seed: int = Field(0, ge=0, description="a whole number from 0: seed of everything random")
    model: str | None = Field(
        None,
        description=f"name or folder of a checkpoint, or {ENGINE}: every candidate is labelled, and nothing verified; "
        f"null: {DEFAULT_MODEL}, and for a design with free coordinates {QUICK_MODEL}, which has derivatives",
    )
    library: str | None = Field(
        None, description="a YAML file of further ligands for parents and exchanges; null: none"
    )
    parents: dict[Name, ScreenParent] = Field(
        {}, description="the clusters, by name; leave them out where Python gives the candidates"
    )
    exchanges: list[ScreenShell] = Field([], description="a list of alternative ligand shells; empty: the parent's own")
    conformers: ScreenConformers | None = Field(None, description="thermal snapshots; null: the geometry as given")
    distortions: list[ScreenDistortion] = Field(
        [], description="a list of alternative sets of distortions; empty: none"
    )
    most: int | None = Field(
        None, ge=1, description="a whole number: number of candidates, drawn evenly from all; null: all"
    )
    objectives: list[Objective] = Field(min_length=1, description="a list of lines {MEASURE: VALUE, goal: ..}")
    constraints: list[Constraint] = Field([], description="a list of lines {MEASURE: VALUE, at_most: ..}")
    value: Attitude = Field(
        "expected", description="expected, optimistic or pessimistic: the value that candidates are ranked by"
    )
    sigmas: float = Field(
        1.0, ge=0.0, description="a number: how many standard deviations optimistic and pessimistic add or subtract"
    )
    top: int = Field(
        20, ge=1, le=1000, description="a whole number up to 1000: best candidates written with geometry and spectrum"
    )
    keep: int = Field(1000, ge=1, le=100_000, description="a whole number up to 100000: best candidates in ranked.csv")
    front: int = Field(200, ge=1, le=5000, description="a whole number up to 5000: largest size of the Pareto front")
    block: int = Field(
        32, ge=1, le=8192, description="a whole number: candidates that a worker evaluates between two saves"
    )
    verify: int = Field(0, ge=0, description="a whole number: best distinct geometries that the engine labels")
    verify_random: int = Field(0, ge=0, description="a whole number: random candidates that the engine labels")
    hit_share: float = Field(
        0.1,
        gt=0.0,
        lt=1.0,
        description="a share from 0 to 1: a hit is as good as the best of this share of random candidates",
    )
    engine: StoredProtocol = Field(Protocol(), description="how the engine labels: see the protocol of a campaign")
    design: Design = Field(Design(), description="how clusterml design improves candidates; see the keys below")


def load_screen(path: str | Path, overrides: Sequence[str] = ()) -> Screen:
    """Read a screen from a YAML file; the paths in it are relative to that file.

    ``overrides`` such as ``verify=20`` take precedence (values are YAML; paths are relative to the current folder).

    Raises :class:`~clusterml.errors.InputFileError` or :class:`~clusterml.errors.OptionError` naming file and key, and
    the nearest key where one is unknown.

    Examples:
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
    lines = [line for key in ("objectives", "constraints") for line in _as_list(values.get(key))]
    for entry, key in [
        *((parent, "file") for parent in (parents.values() if isinstance(parents, dict) else [])),
        *((line, key) for line in lines for key in FILES),
    ]:
        if isinstance(entry, dict) and isinstance(entry.get(key), str):
            entry[key] = str(locate(entry[key], file.parent).resolve())
    return validated(Screen, override(values, overrides, Screen, "screen"), str(file))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
