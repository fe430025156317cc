"""Running a campaign: workers do the jobs, finished records are kept at once, and the ledger makes it resumable."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from clusterml.dataset.campaign import Campaign, Job, Parent, load_campaign, plan, source_of
from clusterml.dataset.check import check_names
from clusterml.dataset.fingerprint import LIBRARY, SPECTRA, fingerprint, library_file, library_text
from clusterml.dataset.geometry import geometries
from clusterml.dataset.labelling import Identity, RejectedError, mean_of, opposite_hand, record_of, with_chirality
from clusterml.dataset.parents import ParentSource
from clusterml.dataset.record import Kind, Name, Record
from clusterml.dataset.shards import Shard, write_shard
from clusterml.dataset.store import Store
from clusterml.engine.protocol import Compute
from clusterml.errors import UNEXPECTED, ClusterMLError, DatasetError, InputFileError, OptionError, StructureError
from clusterml.io.files import make_folder, read_text, write_text
from clusterml.io.json import read_json
from clusterml.io.log import Log
from clusterml.io.trouble import concerns_all
from clusterml.run.launcher import Launcher, Lost, Ray
from clusterml.run.progress import SILENT, Reporter, State
from clusterml.structure.anatomy.library import load_library, using_library

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.protocol import Protocol


JobState = Literal["planned", "done", "failed", "rejected", "withdrawn"]
"""What a job has come to; ``planned`` is said by ledgers of earlier versions."""


@dataclass(frozen=True)
class Event:
    """``job`` is now in ``state``; ``reason``: why it failed or was rejected; ``seconds``: of a processor."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    job: Name
    state: JobState
    reason: str = ""
    seconds: float = 0.0


_EVENT = TypeAdapter(Event)
_NOT_BEGUN = ("planned", "withdrawn")


class Ledger:
    """An append-only file of events; the last event of a job counts.

    Raises :class:`DatasetError` naming a line that is no event, and what :class:`Log` raises; a line that a crash cut
    short is dropped.
    """

    def __init__(self, path: Path) -> None:
        self._log = Log(path)
        self._last: dict[str, Event] = {}
        for number, entry in enumerate(self._log, start=1):
            try:
                event = _EVENT.validate_python(entry)
            except ValidationError as error:
                first_error = error.errors()[0]
                key = ".".join(map(str, first_error["loc"]))
                problem = f"{path}: line {number} is not an event ({key}: {first_error['msg']})"
                raise DatasetError(problem, "restore the file, or start a new folder") from error
            self._last[event.job] = event

    def states(self) -> Mapping[str, Event]:
        """The last event of each job, in the order in which they came up."""
        return self._last

    def add(self, *events: Event) -> None:
        """Append ``events`` and wait until they are on disk; raises :class:`OutputError` naming the file."""
        self._log.add(*(asdict(event) for event in events))
        self._last |= {event.job: event for event in events}


_CLAIM = "campaign.json"
_PACK_EVERY = 64
"""Finished jobs between two packings."""


@dataclass(frozen=True)
class CampaignSetting:
    """What every worker needs to know besides the job; ``checkpoints``: of ground states that take long; ``parents``:
    where relaxed forms are kept; ``snapshots``: those of ensembles that are not finished."""

    campaign: Campaign
    campaign_file: Path
    staging: Path
    checkpoints: Path
    parents: Path
    snapshots: Path
    device: str
    memory_gb: float


@dataclass(frozen=True)
class Tally:
    """How far a campaign has come: ``counts`` of states, ``total`` jobs, jobs done in this run and its ``seconds``."""

    counts: dict[str, int]
    total: int
    done_now: int
    seconds: float


def generate(
    campaign_file: str | Path,
    folder: str | Path,
    launcher: Launcher,
    *,
    resume: bool = False,
    device: str = "cpu",
    memory_gb: float = 0.0,
    limit: int | None = None,
    reporter: Reporter = SILENT,
) -> Tally:
    """Label what a campaign asks for into the dataset ``folder``; returns how far it came.

    With ``resume`` a folder that was begun is continued: jobs whose records are there are not done again, failed ones
    are tried once more, rejected ones are not.  The file may have grown (more jobs, more parents); anything else that
    changed is refused.  ``limit``: most jobs in this run.  ``memory_gb``: of each worker (0: a share of what is free).

    Raises :class:`DatasetError` for a folder that was begun (without ``resume``) or belongs to another campaign,
    :class:`OptionError` for names that are not there and a device that this computer lacks,
    :class:`~clusterml.errors.FolderInUseError` while another process labels into it, and
    :class:`~clusterml.errors.OutputError` once the disk is full: what was finished is kept.
    """
    file = Path(campaign_file)
    campaign = load_campaign(file)
    fingerprints = fingerprint(campaign, file)
    for parent in campaign.parents.values():
        opposite_hand(parent.hand)
    if limit is not None and limit < 0:
        raise OptionError(f"limit is {limit}", "give a number of jobs from 0")
    ligand_file = library_file(campaign, file)
    library = None if ligand_file is None else load_library(ligand_file)
    begun = (Path(folder) / _CLAIM).exists()
    with using_library(library):
        if not begun:  # nothing is written before names have proved sound
            check_names(campaign)
    Compute("cpu" if isinstance(launcher, Ray) else device, memory_gb=memory_gb or None)  # Ray has other devices
    jobs = list(plan(campaign))
    start, count = time.perf_counter(), 0
    with Store.held(folder, campaign.spectra) as store, using_library(library):
        kept = store.folder / "checkpoints", store.folder / "parents", store.folder / "snapshots"
        setting = CampaignSetting(campaign, file, store.staging, *kept, device, memory_gb)
        ledger = Ledger(store.folder / "ledger.jsonl")
        _claim(store.folder, campaign.name, fingerprints, resume, ledger, library_text(campaign, file))
        jobs_to_do = _outstanding(jobs, store, ledger)[:limit]
        if begun:  # it may have grown
            check_names(campaign)
        counts = _counts(jobs, ledger)
        reporter.show(_state(counts, len(jobs)))
        for job, outcome in launcher.run(partial(work, setting), iter(jobs_to_do)):
            event = Event(job.name, "failed", outcome.reason) if isinstance(outcome, Lost) else outcome
            last = ledger.states().get(job.name)
            counts.subtract([] if last is None else [last.state])
            counts[event.state] += 1
            ledger.add(event)
            count += 1
            if count % _PACK_EVERY == 0:
                store.pack_full()
            reporter.show(_state(counts, len(jobs)))
        store.pack({"name": campaign.name, "title": campaign.title, "fingerprint": fingerprints})
    return Tally(dict(+counts), len(jobs), count, time.perf_counter() - start)


def work(setting: CampaignSetting, job: Job) -> Event:
    """Do one job and write its records; returns what the ledger should say of it.  Runs in a worker.

    Raises :class:`OutputError` for records that cannot be written, nor could those of other jobs.
    """
    start = time.process_time()
    try:
        records, without = _records_of(setting, job)
        write_shard(setting.staging / f"{job.name}.h5", records)
        event = Event(job.name, "done", without, seconds=_since(start))
    except (RejectedError, StructureError) as error:
        event = Event(job.name, "rejected", str(error), _since(start))
    except (ClusterMLError, *UNEXPECTED) as error:  # snapshots stay: it is tried again
        if concerns_all(error):
            raise
        return Event(job.name, "failed", f"{type(error).__name__}: {error}", _since(start))
    shutil.rmtree(setting.snapshots / job.name, ignore_errors=True)
    return event


def _records_of(setting: CampaignSetting, job: Job) -> tuple[list[Record], str]:
    """The records of a job, the one with its name first, and why further protocols gave none."""
    campaign, parent = setting.campaign, setting.campaign.parent(job.parent)
    source = ParentSource(parent, source_of(setting.campaign_file, parent), setting.parents)
    members, details = geometries(campaign, job, source)
    changed = details["exchanges"] or "dopant" in details
    near = source.atoms(source.form_of(job)) if not changed else members[0] if len(members) > 1 else None
    labels = _JobLabels(setting, job, parent, details, near)
    records, without = labels.of(members[0])
    snapshots: list[Record] = []
    if job.kind == "ensemble":
        snapshots = labels.snapshots(members[1:])
        said = details["ensemble"] | {"lost": len(members) - 1 - len(snapshots)}
        records[0] = mean_of(records[0], snapshots, {"ensemble": said})
    records = [with_chirality(record) for record in records]
    if _draws_mirror(campaign, job):
        records += [record.mirrored(f"{record.id}-mirror", opposite_hand(parent.hand)) for record in records]
    return records + [with_chirality(record) for record in snapshots[: campaign.amounts.snapshots_kept]], without


@dataclass(frozen=True)
class _JobLabels:
    """Labels of a job's geometries; ``near``: one that other jobs start from as well."""

    setting: CampaignSetting
    job: Job
    parent: Parent
    details: dict[str, Any]
    near: Atoms | None

    def of(self, atoms: Atoms) -> tuple[list[Record], str]:
        """The records of the geometry, one for each protocol, and why further ones gave none: only the first must."""
        records, without = list[Record](), []
        for protocol in self.job.protocols:
            try:
                name = self.job.name if not records else f"{self.job.name}-{protocol.name}"
                records.append(self._record(name, self.job.kind, atoms, protocol, self.details))
            except RejectedError as error:
                if not records:
                    raise
                without.append(f"no {protocol.name} label: {error}")
        return records, "; ".join(without)

    def snapshots(self, members: Sequence[Atoms]) -> list[Record]:
        """The records of an ensemble's snapshots that have a ground state.

        Each is on disk before the next is begun: after an interruption none is labelled twice.  Raises
        :class:`RejectedError` if half of them or more have none.
        """
        folder = self.setting.snapshots / self.job.name
        make_folder(folder, within=self.setting.snapshots.parent)
        lost: list[str] = []
        records = []
        for number, atoms in enumerate(members):
            path, refusal = folder / f"{number:03d}.h5", folder / f"{number:03d}.txt"
            if not path.exists() and not refusal.exists():
                self._keep_snapshot(f"{self.job.name}-{number:03d}", atoms, path, refusal)
            if path.exists():
                shard = Shard(path)
                records.append(shard.record(0))
                shard.close()
            else:
                lost.append(read_text(refusal))
        if 2 * len(lost) >= len(members):
            raise RejectedError(f"{len(lost)} of {len(members)} snapshots have no label, the last: {lost[-1]}")
        return records

    def _keep_snapshot(self, name: str, atoms: Atoms, path: Path, refusal: Path) -> None:
        kelvin = self.details["ensemble"]["temperature_k"]
        details = {key: value for key, value in self.details.items() if key != "ensemble"}
        details |= {"snapshot_of": self.job.name, "temperature_k": kelvin}
        try:
            write_shard(path, [self._record(name, "thermal", atoms, self.job.protocols[0], details)])
        except RejectedError as error:
            write_text(refusal, str(error))

    def _record(self, name: str, kind: Kind, atoms: Atoms, protocol: Protocol, details: dict[str, Any]) -> Record:
        job, parent, campaign, setting = self.job, self.parent, self.setting.campaign, self.setting
        compute = Compute(setting.device, memory_gb=setting.memory_gb or None, checkpoint=str(setting.checkpoints))
        provenance = {"campaign": campaign.name, "job": job.name, "seed": campaign.seed}
        identity = Identity(name, kind, job.parent, parent.family, parent.hand, job.name, provenance, details)
        protocol = protocol.but(smallest_gap_ev=campaign.smallest_gap_ev)
        return record_of(identity, atoms, protocol, compute, campaign.spectra, self.near)


def _draws_mirror(campaign: Campaign, job: Job) -> bool:
    """A draw of its own, so that the share of mirror images does not change the geometries."""
    return bool(job.rng(campaign.seed + 1).random() < campaign.parent(job.parent).mirrors)


def _since(start: float) -> float:
    return round(time.process_time() - start, 2)


def _claim(folder: Path, name: str, current: dict[str, str], resume: bool, ledger: Ledger, library: str | None) -> None:
    """Check that the folder is new or belongs to this campaign; raises :class:`DatasetError` otherwise."""
    path = folder / _CLAIM
    if not path.exists():
        _write_claim(path, name, current, library)
        return
    try:
        earlier = read_json(path)["fingerprint"]
        if not isinstance(earlier, dict):
            raise ValueError("it was begun with an earlier version, which kept one fingerprint for all parents")
    except (InputFileError, ValueError, KeyError) as error:
        raise DatasetError(f"{path}: cannot be used ({error})", "choose another folder") from error
    changed = [part for part in dict.fromkeys((*earlier, LIBRARY, SPECTRA)) if current.get(part) != earlier.get(part)]
    if changed:
        parts = ", ".join(_part_words(part) for part in changed)
        raise DatasetError(
            f"{folder}: was begun with another campaign, or this one has changed since ({parts})",
            "choose another folder; only jobs and parents may be added",
        )
    if not resume and ledger.states():
        raise DatasetError(f"{folder}: holds labels already", "add --resume to go on, or choose another folder")
    if current != earlier:
        _write_claim(path, name, current, library)


def _part_words(part: str) -> str:
    """A part of a fingerprint in words."""
    if part == LIBRARY:
        return "the ligand file 'library'"
    if part == SPECTRA:
        return "this version computes other spectra"
    return f"parent {part}" if part else "what all parents share"


def _write_claim(path: Path, name: str, fingerprints: dict[str, str], library: str | None) -> None:
    content = {"name": name, "fingerprint": fingerprints} | ({} if library is None else {"library": library})
    write_text(path, json.dumps(content, indent=1) + "\n")


def _outstanding(jobs: list[Job], store: Store, ledger: Ledger) -> list[Job]:
    """Jobs that are neither finished nor rejected; adds to the ledger what a crash or a new campaign left out."""
    states, finished = ledger.states(), store.finished()
    outstanding: list[Job] = []
    events: list[Event] = []
    for job in jobs:
        last = states.get(job.name)
        if job.name in finished:
            if last is None or last.state != "done":
                events.append(Event(job.name, "done"))
        elif last is None or last.state != "rejected":
            outstanding.append(job)
    asked = {job.name for job in jobs}
    events += [
        Event(name, "withdrawn", "the campaign no longer asks for it")
        for name, last in states.items()
        if name not in asked and last.state in ("planned", "failed")
    ]
    if events:
        ledger.add(*events)
    return outstanding


def _counts(jobs: list[Job], ledger: Ledger) -> Counter[str]:
    """Jobs in each state."""
    states = ledger.states()
    return Counter(str(states[job.name].state) for job in jobs if job.name in states)


def _state(counts: Counter[str], total: int) -> State:
    """What is shown of a campaign."""
    finished = {name: count for name, count in sorted(counts.items()) if count and name not in _NOT_BEGUN}
    words = ", ".join(f"{count} {name}" for name, count in finished.items())
    return State("jobs", sum(finished.values()), total, words)


def outcomes(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(job, state, reason) of every job that the ledger of a dataset folder knows."""
    for event in Ledger(folder / "ledger.jsonl").states().values():
        yield event.job, event.state, event.reason
