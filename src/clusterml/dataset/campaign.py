"""A campaign: which geometries of which clusters are labelled, and how, as one YAML file.

``clusterml dataset generate --keys`` prints every key with its default and meaning.

Every job follows from the file alone: its random numbers come from the seed, the parent's name, the kind and the job's
number.  The same file gives the same geometries, whatever the number of workers and their order.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from clusterml.config.schema import Strict, load
from clusterml.dataset.record import FINE, SpectralGrid
from clusterml.engine.protocol import Protocol
from clusterml.engine.relax import Fixed
from clusterml.errors import InputFileError, OptionError
from clusterml.io.shipped import locate
from clusterml.structure.build.dopants import DOPANTS, Dopant
from clusterml.structure.build.hypothetical import Hypothetical
from clusterml.structure.solvents import GfnMethod, SolventModel, find_solvent

ANY = "any"
"""In an exchange: any ligand of the library that can take the place."""
SampledKind = Literal["reference", "mode", "thermal", "ensemble", "conformer"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Percent = Annotated[float, Field(ge=-10.0, le=10.0)]


def _check_storable(protocol: Protocol) -> Protocol:
    """Raises ValueError for a protocol whose spectra a record cannot hold."""
    if protocol.emax_ev < LEAST_EMAX_EV:
        raise ValueError(
            f"emax_ev is {protocol.emax_ev:g}; records need excitations up to at least {LEAST_EMAX_EV:g} eV"
        )
    default = Protocol()
    for key in ("fwhm_ev", "gauge", "solver", "ensemble", "smallest_gap_ev"):
        if getattr(protocol, key) != getattr(default, key):
            raise ValueError(f"{key} has no effect on what is stored; leave it out")
    return protocol


LEAST_EMAX_EV = 5.5
"""Records hold spectra up to this energy, eV."""
StoredProtocol = Annotated[Protocol, AfterValidator(_check_storable)]
"""A protocol whose labels are stored as records, which have a width and gauges of their own."""


class Amounts(Strict):
    """How far geometries are distorted."""

    temperatures_k: list[Positive] = Field(
        [100.0, 200.0, 300.0, 400.0],
        min_length=1,
        description="a list of temperatures in K; each job of snapshots or ensembles draws one",
    )
    noise_a: float = Field(
        0.02, ge=0.0, le=0.2, description="thermal noise on top of the distortions, rms in A, up to 0.2"
    )
    most_modes: int = Field(3, ge=1, le=8, description="a whole number, 1 to 8: distortions at a time, at most")
    scale: Positive = Field(
        1.0, description="a number above 0: standard deviation of the amounts, in typical amounts of each mode"
    )
    strong: Share = Field(0.2, description="a share of the jobs: these get one strong distortion")
    strong_scale: Positive = Field(
        5.0, description="a number above 0: largest strong distortion, in typical amounts; drawn uniformly"
    )
    snapshots: int = Field(16, ge=2, le=256, description="a whole number, 2 to 256: geometries in an ensemble")
    snapshots_kept: int = Field(
        0, ge=0, le=256, description="a whole number: how many of them are stored as records of their own, too"
    )
    frame_percent: tuple[Percent, Percent] = Field(
        (-4.0, 4.0),
        description="a list of two numbers, in %: jobs of kind conformer scale the frame by an amount between them",
    )


class CampaignExchange(Strict):
    """Ligands exchanged in a share of a parent's jobs: a random number of the ligands ``old`` becomes ``new``."""

    old: str = Field(description="name or formula of the ligand that leaves; any: one kind of those present, drawn")
    new: str = Field(
        description="name of the ligand that takes its place; any: one that binds alike, drawn from the library"
    )
    share: Share = Field(0.5, description="a share of the parent's jobs: these exchange ligands")
    most: int = Field(1000, ge=1, description="a whole number: ligands exchanged, at most")


class Form(Strict):
    """A form of a parent: as it is given, or relaxed, or scaled, or first one and then the other."""

    method: GfnMethod | None = Field(None, description="gfn1 or gfn2: relax with it; null: do not relax")
    solvent: str | None = Field(None, description="an implicit solvent of the relaxation; null: vacuum")
    solvation: SolventModel = Field("alpb", description="alpb or gbsa: model of the solvent")
    fix: Fixed = Field("none", description="none, metals or frame (metals and donors): what does not move")
    symmetry: bool = Field(False, description="true or false: does it keep the point group that the structure has?")
    steps: int = Field(60, ge=1, le=10_000, description="a whole number: steps of the relaxation, at most")
    fmax: Positive = Field(0.1, description="a number above 0: largest force (eV/A) at which it ends sooner")
    temperature_k: Positive = Field(300.0, description="a number above 0: electronic temperature (K)")
    frame_percent: Percent = Field(0.0, description="a number, in %: the frame is scaled by it at the end")
    smallest_gap_ev: float = Field(
        0.0, ge=0.0, le=5.0, description="a number from 0 to 5: a form with a smaller GFN1 gap (eV) is rejected"
    )

    @model_validator(mode="after")
    def _relaxed(self) -> Form:
        if self.method is None and self.model_fields_set & _OF_RELAXATION:
            keys = ", ".join(sorted(self.model_fields_set & _OF_RELAXATION))
            raise ValueError(f"{keys} without method has no effect: give method, or leave it out")
        if self.method is not None and self.solvent is not None:
            try:
                find_solvent(self.solvent, self.solvation, self.method)
            except OptionError as error:
                raise ValueError(f"{error.problem}; {error.remedy}") from error
        return self

    @property
    def words(self) -> str:
        """``gfn1, methanol, +2 %``; ``as given`` for a form that is neither relaxed nor scaled."""
        parts = [self.method, self.solvent, f"{self.fix} fixed" if self.fix != "none" else None]
        parts.append("symmetric" if self.symmetry else None)
        parts.append(f"{self.frame_percent:+g} %" if self.frame_percent else None)
        return ", ".join(part for part in parts if part) or "as given"


_OF_RELAXATION = {"solvent", "solvation", "fix", "symmetry", "steps", "fmax", "temperature_k"}


class HypotheticalCluster(Hypothetical):
    """One hypothetical cluster."""

    number: int = Field(0, ge=0, description="a whole number from 0: which of them")


class Parent(Strict):
    """A cluster: a ``file``, options of ``build``, or a ``hypothetical`` one, and the number of geometries of each kind
    to make from it."""

    file: str | None = Field(None, description="an xyz, extxyz or cif file, relative to the YAML file")
    build: dict[str, str] | None = Field(None, description="options of clusterml build")
    hypothetical: HypotheticalCluster | None = Field(None, description="a cluster drawn at random")
    family: str = Field(description="a word for the cluster, whatever its ligands; splits by parent hold out families")
    hand: str = Field("0", description="its hand: R, S, P or M; 0 for none")
    charge: int | None = Field(None, description="a whole number: total charge; default: that of the file or blueprint")
    counts: dict[SampledKind, Annotated[int, Field(ge=0)]] = Field(
        description="KIND: NUMBER of jobs, for the kinds reference, mode, thermal, ensemble and conformer"
    )
    forms: list[Form] = Field(
        default_factory=list,
        description="a list of forms, relaxed or scaled: jobs of each kind begin from them in turn; default: as given",
    )
    turns: int = Field(
        1, ge=1, description="a whole number: so many jobs of a kind begin from a form before the next one takes over"
    )
    protocol: StoredProtocol | None = Field(
        None, description="how this parent is labelled; default: as the campaign says"
    )
    modes: list[str] | None = Field(
        None, description="a list of distortions to draw from; default: all that the cluster has"
    )
    exchanges: list[CampaignExchange] = Field(
        default_factory=list, description="a list of ligand exchanges, applied one after another"
    )
    dopants: Share = Field(
        0.0,
        description="a share of the jobs but references: the metal where most metals meet becomes a dopant",
    )
    dopant_elements: tuple[Dopant, ...] = Field(
        DOPANTS, min_length=1, description="a list of dopants to draw from: Au, Cu, Pd and Pt (buried in a superatom)"
    )
    distorted_ensembles: bool = Field(
        False, description="true or false: are ensembles averages about distorted geometries, not about the parent's?"
    )
    undistorted: Share = Field(
        0.0, description="a share of the jobs of kind mode with exchanged ligands: these are not distorted"
    )
    mirrors: Share = Field(
        0.0, description="a share of the jobs: the mirror images of their records are stored too, exact by symmetry"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Parent:
        if sum(source is not None for source in (self.file, self.build, self.hypothetical)) != 1:
            raise ValueError("give one of file, build and hypothetical")
        return self


class HypotheticalParents(Strict):
    """Hypothetical clusters, each a parent and a family of its own, so that splits can hold out unseen cores."""

    cores: int = Field(ge=1, le=100_000, description="a whole number: how many, NAME-00000 and so on")
    draw: Hypothetical = Field(Hypothetical(), description="from what they are drawn")
    forms: list[Form] = Field(
        [Form(method="gfn1", steps=30, smallest_gap_ev=0.3)],
        min_length=1,
        description="a list of forms, as for parents",
    )
    counts: dict[SampledKind, Annotated[int, Field(ge=0)]] = Field(
        {"reference": 1, "conformer": 1, "thermal": 1}, description="KIND: NUMBER of jobs of each cluster"
    )
    exchanges: list[CampaignExchange] = Field(default_factory=list, description="a list of exchanges, as for parents")
    protocol: StoredProtocol | None = Field(None, description="how they are labelled; default: as the campaign says")

    def names(self, name: str) -> list[str]:
        """The names of the clusters, where that of the whole is ``name``."""
        return [f"{name}-{number:05d}" for number in range(self.cores)]

    def parent(self, word: str) -> Parent:
        """The cluster called ``word`` as a parent."""
        shared = {key: getattr(self, key) for key in ("forms", "counts", "exchanges", "protocol")}
        cluster = HypotheticalCluster(**self.draw.model_dump(), number=int(word.rpartition("-")[2]))
        return Parent(hypothetical=cluster, family=word, **shared)


class SecondLabel(Strict):
    """Labels of a share of the geometries with other orbitals, too."""

    orbitals: str = Field(description="other orbitals; all else is as the first protocol has it")
    share: Share = Field(0.1, description="a share of the jobs but ensembles, drawn from the seed")

    def of(self, first: Protocol) -> Protocol:
        """The second protocol where the first is ``first``."""
        return first.but(orbitals=self.orbitals)


class Campaign(Strict):
    """A labelling campaign."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="a name of letters, digits and . _ -")
    title: str = Field(description="heading of the dataset's card")
    seed: int = Field(ge=0, description="a whole number from 0: seed of everything random")
    protocol: StoredProtocol = Field(Protocol(), description="how spectra are computed")
    second: SecondLabel | None = Field(None, description="other orbitals for some of the geometries; null: none")
    spectra: SpectralGrid = Field(FINE, description="energies at which spectra are stored, and their width")
    smallest_gap_ev: float = Field(
        0.05,
        ge=0.0,
        le=5.0,
        description="a number from 0 to 5: geometries with a smaller HOMO-LUMO gap (eV) are rejected",
    )
    amounts: Amounts = Field(Amounts(), description="how far geometries are distorted")
    library: str | None = Field(
        None, description="a YAML file of further ligands, relative to the campaign's file; null: none"
    )
    parents: dict[str, Parent] = Field(default_factory=dict, description="the clusters, by name")
    hypothetical: dict[str, HypotheticalParents] = Field(
        default_factory=dict, description="NAME: clusters drawn at random, many at a time"
    )

    @property
    def names(self) -> list[str]:
        """The names of all clusters, hypothetical ones last."""
        return [*self.parents, *(word for name, group in self.hypothetical.items() for word in group.names(name))]

    def parent(self, word: str) -> Parent:
        """The cluster called ``word``."""
        return self.parents[word] if word in self.parents else self.hypothetical[word.rpartition("-")[0]].parent(word)

    def _protocols(self) -> Iterator[tuple[str, Protocol]]:
        """Each protocol, and where it stands in the file."""
        yield "", self.protocol
        groups = {f"parents.{name}.": parent.protocol for name, parent in self.parents.items()}
        groups |= {f"hypothetical.{name}.": group.protocol for name, group in self.hypothetical.items()}
        yield from ((place, protocol) for place, protocol in groups.items() if protocol is not None)

    @model_validator(mode="after")
    def _names(self) -> Campaign:
        if not self.parents and not self.hypothetical:
            raise ValueError("there are no clusters: give parents or hypothetical")
        if len(set(self.names)) < len(self.names):
            raise ValueError("a parent is named as a hypothetical cluster: rename it")
        for name in (*self.parents, *self.hypothetical):
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
                raise ValueError(f"parent '{name}' is no name: give up to 100 of a-z, A-Z, 0-9, . _ -, no . or - first")
        top = self.spectra.energy_ev[-1]
        for place, protocol in self._protocols():
            if protocol.emax_ev < top:
                raise ValueError(f"spectra go to {top:g} eV: give {place}protocol.emax_ev {top:g} or more")
        if self.second is not None:
            try:
                self.second.of(self.protocol)
            except OptionError as error:
                raise ValueError(f"second: {error.problem}; {error.remedy}") from error
        return self


@dataclass(frozen=True)
class Job:
    """One geometry to make and label: number ``number`` of its ``parent`` and ``kind``, with ``protocols`` to use."""

    parent: str
    kind: SampledKind
    number: int
    protocols: tuple[Protocol, ...]

    @property
    def name(self) -> str:
        """Name of the job, unique in its campaign."""
        return f"{self.parent}-{self.kind}-{self.number:05d}"

    @property
    def is_first(self) -> bool:
        """Is it the parent's first reference?"""
        return self.kind == "reference" and self.number == 0

    def rng(self, seed: int) -> np.random.Generator:
        """The random number generator of the job."""
        return np.random.default_rng([seed, zlib.crc32(self.name.encode())])


def load_campaign(path: str | Path) -> Campaign:
    """The campaign in a YAML file; raises :class:`~clusterml.errors.InputFileError` naming file and key."""
    return load(Campaign, Path(path))


def source_of(campaign_file: Path, parent: Parent) -> Path | None:
    """The parent's file, found beside the campaign file; None if it is built.  InputFileError if it is missing."""
    if parent.file is None:
        return None
    path = locate(parent.file, campaign_file.parent)
    if not path.is_file():
        raise InputFileError(f"{campaign_file}: there is no file {parent.file}", f"looked for {path}")
    return path


def plan(campaign: Campaign) -> Iterator[Job]:
    """Every job of a campaign, in an order of which any beginning holds some of everything.

    The first reference of each parent comes first; its other jobs are spread evenly over the whole campaign.
    Hypothetical clusters are as many more families: they come one after the other, each with all its jobs.
    """
    places: list[tuple[bool, float, int, Job]] = []
    for at, name in enumerate(campaign.parents):
        jobs = list(_jobs_of(campaign, name))
        places += [(not job.is_first, (k + 0.5) / len(jobs), at, job) for k, job in enumerate(jobs)]
    for at, (name, group) in enumerate(campaign.hypothetical.items(), start=len(campaign.parents)):
        for number, word in enumerate(group.names(name)):
            jobs = list(_jobs_of(campaign, word))
            places += [(True, (number + k / len(jobs)) / group.cores, at, job) for k, job in enumerate(jobs)]
    return (job for *_, job in sorted(places, key=lambda place: place[:3]))


def _jobs_of(campaign: Campaign, name: str) -> Iterator[Job]:
    parent = campaign.parent(name)
    first = parent.protocol or campaign.protocol
    order = [
        ((number + 0.5 * (kind != "reference")) / count, kind, number)
        for kind, count in parent.counts.items()
        for number in range(count)
    ]
    for _, kind, number in sorted(order):
        job, second = Job(name, kind, number, (first,)), campaign.second
        if second is None or kind == "ensemble" or second.orbitals == first.orbitals:
            yield job
        else:
            twice = job.rng(campaign.seed + 2).random() < second.share
            yield replace(job, protocols=(first, second.of(first))) if twice else job
