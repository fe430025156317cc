"""A campaign: which geometries of which clusters are labelled, and how, as one YAML file.

Every job follows from the file alone: its random numbers come from the seed, the parent's name, the kind and the job's
number, so that the same file gives the same geometries whatever the number of workers and the order they work in.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from clusterml.errors import InputFileError
from clusterml.schema import Strict, load

SampledKind = Literal["reference", "mode", "thermal", "ensemble"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


class Protocol(Strict):
    """How spectra are computed; see ``clusterml label --help``."""

    orbitals: Literal["gfn1", "gfn2", "stda-xtb"] = Field("gfn1", description="gfn1, gfn2 or stda-xtb")
    emax_ev: float = Field(6.0, ge=5.5, le=15.0, description="highest excitation energy in eV, at least 5.5")
    dtype: Literal["float64", "float32"] = "float64"
    tolerance: float = Field(1e-3, gt=0.0, le=0.1, description="of the spectrum solver, of the maximum; up to 0.1")

    @property
    def name(self) -> str:
        """The protocol in one word, as records carry it."""
        return self.orbitals


class Amounts(Strict):
    """How far geometries are distorted."""

    temperatures_k: list[Positive] = Field([100.0, 200.0, 300.0, 400.0], min_length=1)
    """of thermal snapshots and ensembles: one is drawn for each job"""
    noise_a: float = Field(0.02, ge=0.0, le=0.2)
    """thermal noise (A rms) on top of the collective distortions"""
    most_modes: int = Field(3, ge=1, le=8)
    """collective distortions at a time: 1 to this many"""
    scale: Positive = 1.0
    """of the amounts, in units of each mode's typical amount: normal with this width"""
    strong: Share = 0.2
    """share of the jobs with one strong distortion: uniform up to ``strong_scale`` typical amounts"""
    strong_scale: Positive = 5.0
    snapshots: int = Field(16, ge=2, le=256)
    """geometries averaged over in one ensemble"""


class Exchange(Strict):
    """Ligands exchanged in a share of a parent's jobs: a random number of the ligands ``old`` becomes ``new``."""

    old: str
    new: str
    share: Share = 0.5
    most: int = Field(1000, ge=1, description="the largest number exchanged")


class Parent(Strict):
    """One cluster: a ``file``, or the arguments of ``build``; and how many geometries of each kind are made of it."""

    file: str | None = None
    build: dict[str, str] | None = None
    family: str
    hand: str = "0"
    charge: int | None = None
    counts: dict[SampledKind, Annotated[int, Field(ge=0)]]
    protocol: Protocol | None = None
    """how it is labelled, where not as the campaign says: a ground state may converge with one protocol only"""
    modes: list[str] | None = None
    """collective distortions to draw from; default: all that the cluster has"""
    exchanges: list[Exchange] = Field(default_factory=list)
    distorted_ensembles: bool = False
    """whether ensembles are averages about geometries distorted as those of kind ``mode``, not about the parent's"""
    undistorted: Share = 0.0
    """share of the jobs of kind ``mode`` in which ligands are exchanged and nothing is distorted"""
    mirrors: Share = 0.0
    """share of the records whose mirror image is stored too (computed by symmetry, exact)"""

    @model_validator(mode="after")
    def _one_source(self) -> Parent:
        if (self.file is None) == (self.build is None):
            raise ValueError("give either file or build")
        return self


class Campaign(Strict):
    """A labelling campaign."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="letters, digits, . _ -")
    title: str
    seed: int = Field(ge=0)
    protocol: Protocol = Protocol()
    second_protocol: Protocol | None = None
    second_every: int = Field(10, ge=1)
    """every so many jobs of a parent are labelled with the second protocol too"""
    smallest_gap_ev: float = Field(0.05, ge=0.0, le=5.0)
    """geometries whose ground state has a smaller HOMO-LUMO gap are rejected"""
    amounts: Amounts = Amounts()
    parents: dict[str, Parent] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> Campaign:
        for name in self.parents:
            if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
                raise ValueError(f"parent '{name}' is not made of letters, digits, . _ -")
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

    def rng(self, seed: int) -> np.random.Generator:
        """The job's own random numbers."""
        return np.random.default_rng([seed, zlib.crc32(self.name.encode())])


def load_campaign(path: str | Path) -> Campaign:
    """The campaign in a YAML file; raises :class:`~clusterml.errors.InputFileError` naming file and key."""
    return load(Campaign, Path(path))


def source_of(campaign_file: Path, parent: Parent) -> Path | None:
    """The parent's file, found beside the campaign file; None if it is built.  InputFileError if it is missing."""
    if parent.file is None:
        return None
    path = campaign_file.parent / parent.file
    if not path.is_file():
        raise InputFileError(f"{campaign_file}: there is no file {parent.file}", f"looked for {path}")
    return path


def plan(campaign: Campaign) -> Iterator[Job]:
    """Every job of a campaign: references first, then parents in turn, so that one stopped early holds some of each."""
    queues = [list(_jobs_of(campaign, name)) for name in campaign.parents]
    # each parent's jobs are spread evenly over the whole campaign
    spread = sorted(
        (job.kind != "reference", (k + 0.5) / len(queue), at, k)
        for at, queue in enumerate(queues)
        for k, job in enumerate(queue)
    )
    return (queues[at][k] for *_, at, k in spread)


def _jobs_of(campaign: Campaign, name: str) -> Iterator[Job]:
    parent = campaign.parents[name]
    counts, first = parent.counts, parent.protocol or campaign.protocol
    order = [((number + 0.5) / count, kind, number) for kind, count in counts.items() for number in range(count)]
    second = campaign.second_protocol
    for position, (_, kind, number) in enumerate(sorted(order)):
        extra = (second,) if second and position % campaign.second_every == 0 and kind != "ensemble" else ()
        yield Job(name, kind, number, (first, *(each for each in extra if each.name != first.name)))


_LATER = {"protocol": None, "distorted_ensembles": False, "undistorted": 0.0}
"""Options of parents that older campaigns did not have, with what these did."""


def fingerprint(campaign: Campaign, campaign_file: Path) -> dict[str, str]:
    """Hashes of what decides what records hold: of each parent by its name, files included, and of the rest (``""``).

    A campaign may get more jobs and more parents later, but not change otherwise.  Raises InputFileError for a missing
    file.
    """
    content = campaign.model_dump(mode="json", exclude={"title"})
    parts = {"": {key: value for key, value in content.items() if key != "parents"}}
    for name, parent in campaign.parents.items():
        source = source_of(campaign_file, parent)
        kept = {key: value for key, value in content["parents"][name].items() if key != "counts"}
        parts[name] = {key: value for key, value in kept.items() if key not in _LATER or value != _LATER[key]}
        if source is not None:
            parts[name]["file"] = hashlib.sha256(source.read_bytes()).hexdigest()
    return {name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for name, part in parts.items()}
