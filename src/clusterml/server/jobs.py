"""Jobs on disk: a folder each with the request, the state, the progress and the result, all written atomically.

A job is named by the hash of what it is asked, so that the same request finds what is already there.  After a restart
all folders are read again: what was finished stays so, what ran or waited is started again.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from clusterml.errors import ClusterMLError, InputFileError, OutputError
from clusterml.io.files import make_folder, sha256
from clusterml.io.json import json_text, read_json, write_json
from clusterml.server.refusals import RefusalError
from clusterml.server.settings import Limits

Kind = Literal["label", "screen"]
State = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]
STATES: tuple[State, ...] = ("waiting", "running", "done", "failed", "cancelled", "interrupted")
ENDED: tuple[State, ...] = ("done", "failed", "cancelled", "interrupted")
"""States that do not change any more."""
REQUEST, STATE, PROGRESS, RESULT, PROBLEM = (
    f"{name}.json" for name in ("request", "state", "progress", "result", "problem")
)
"""Files of a job."""
INPUT, RESULTS = "input", "results"
"""Folders of a job: what was sent, in which it works, and files besides the JSON."""
MOST_ATTEMPTS = 3
"""So often a job is begun when the server goes down while it runs; then it is called interrupted."""
INTERRUPTED = {
    "error": "ServerError",
    "problem": f"the server went down {MOST_ATTEMPTS} times while this job ran",
    "remedy": "send it again, or compute it with the command line",
}


@dataclass(frozen=True)
class Job:
    """What is known of a job; ``created``, ``started``, ``ended`` in seconds since 1970; ``attempts``: times it was
    begun; ``problem``: why it failed."""

    id: str
    kind: Kind
    name: str
    created: float
    state: State = "waiting"
    started: float | None = None
    ended: float | None = None
    attempts: int = 0
    problem: dict[str, str] | None = None


class Jobs:
    """The jobs of one folder; every method may be called from any thread."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self._limits = folder, limits
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}

    def load(self) -> None:
        """Read the folder, which is there: jobs that were running wait again, unless they were begun too often."""
        with self._lock:
            for place in sorted(self.folder.iterdir()):
                if not place.name.startswith(".") and (job := _read(place)) is not None:
                    self._jobs[job.id] = job
            for job in list(self._jobs.values()):
                if job.state == "running":
                    self._take_up(job)
            self.prune()

    def add(self, kind: Kind, name: str, request: dict[str, Any], identity: dict[str, Any]) -> tuple[Job, bool]:
        """The job of a ``request``, and whether it is new; ``identity``: what else decides its result.

        Raises :class:`RefusalError` (503) where too many wait, :class:`~clusterml.errors.OutputError` for a full disk.
        """
        key = sha256(json_text({"kind": kind, "request": request, **identity}))[:24]
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.state in ("waiting", "running", "done"):
                return job, False
            if self.count()["waiting"] >= self._limits.job_queue:
                raise RefusalError(503, f"{self._limits.job_queue} jobs wait already", "send it again later", 60)
            place = self.folder / key
            _clear(place)
            make_folder(place)
            write_json({"kind": kind, "request": request}, place / REQUEST)
            return self._keep(Job(key, kind, name, time.time())), True

    def get(self, key: str) -> Job | None:
        """The job ``key``, if there is one."""
        with self._lock:
            return self._jobs.get(key)

    def find(self, key: str) -> Job:
        """The job ``key``; raises :class:`RefusalError` (404)."""
        job = self.get(key)
        if job is None:
            raise RefusalError(404, f"there is no job {key[:80]!r}", "see GET /v1/jobs; old results are removed")
        return job

    def all(self) -> list[Job]:
        """Every job, the newest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: -job.created)

    def next(self) -> Job | None:
        """The job whose turn it is, now running."""
        with self._lock:
            waiting = [job for job in self._jobs.values() if job.state == "waiting"]
            if not waiting:
                return None
            job = min(waiting, key=lambda job: job.created)
            return self._keep(replace(job, state="running", started=time.time(), attempts=job.attempts + 1))

    def put_back(self, key: str) -> None:
        """A job that was not begun after all waits again."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.state == "running":
                self._jobs[key] = job = replace(job, state="waiting", started=None, attempts=job.attempts - 1)
                self._keep(job)  # on a full disk it waits all the same, and the next server takes it up

    def end(self, key: str, lost: dict[str, str]) -> None:
        """The process of a job has ended: it is done if there is a result, else it failed; ``lost``: if nothing says
        why."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.state == "running":
                self._jobs[key] = ended = _ended(job, self.folder / key, lost)
                self._keep(ended)  # on a full disk the next server sees by the result that it is done
                self.prune()

    def cancel(self, key: str) -> Job:
        """Cancel a job that has not ended, or remove one that has.  Its process is not this class's to end."""
        with self._lock:
            job = self.find(key)
            if job.state in ENDED:
                self._remove(job)
                return job
            return self._keep(replace(job, state="cancelled", ended=time.time()))

    def describe(self, job: Job, *, result: bool = False) -> dict[str, Any]:
        """What is said of a job: its state and progress, and its ``result``."""
        place = self.folder / job.id
        said: dict[str, Any] = {**asdict(job), "progress": _json(place / PROGRESS)}
        if job.state == "done":
            said["files"] = [path.name for path in self.files(job)]
        if result:
            said["result"] = read_json(place / RESULT) if job.state == "done" else None
        return said

    def files(self, job: Job) -> Iterator[Path]:
        """Files of results besides the JSON, such as the report of a screen."""
        place = self.folder / job.id / RESULTS
        return (
            (path for path in sorted(place.iterdir()) if path.is_file() and not path.name.startswith("."))
            if place.is_dir()
            else iter(())
        )

    def count(self) -> Counter[str]:
        """Jobs by state."""
        with self._lock:
            return Counter(job.state for job in self._jobs.values())

    def prune(self) -> None:
        """Remove results that are too old or too many."""
        with self._lock:
            ended = sorted((job for job in self._jobs.values() if job.ended), key=lambda job: -(job.ended or 0.0))
            oldest = time.time() - 86400.0 * self._limits.keep_days
            for number, job in enumerate(ended):
                if number >= self._limits.keep or (job.ended or 0.0) < oldest:
                    self._remove(job)

    def _take_up(self, job: Job) -> None:
        """A job that ran when the server went down: it may have ended all the same."""
        place = self.folder / job.id
        if (place / RESULT).is_file() or (place / PROBLEM).is_file():
            self._keep(_ended(job, place, INTERRUPTED))
        elif job.attempts >= MOST_ATTEMPTS:
            self._keep(replace(job, state="interrupted", ended=time.time(), problem=INTERRUPTED))
        else:
            self._keep(replace(job, state="waiting", started=None))

    def _keep(self, job: Job) -> Job:
        write_json(asdict(job), self.folder / job.id / STATE)
        self._jobs[job.id] = job
        return job

    def _remove(self, job: Job) -> None:
        _clear(self.folder / job.id)
        self._jobs.pop(job.id, None)


def _ended(job: Job, place: Path, lost: dict[str, str]) -> Job:
    if (place / RESULT).is_file():
        return replace(job, state="done", ended=time.time())
    return replace(job, state="failed", ended=time.time(), problem=_json(place / PROBLEM) or lost)


def _read(place: Path) -> Job | None:
    """The job in a folder; None for one that was not written to its end, or is no job's."""
    try:
        values = read_json(place / STATE)
        job = Job(**values)
    except (ClusterMLError, TypeError):
        return None
    return job if job.id == place.name and job.state in STATES and (place / REQUEST).is_file() else None


def _json(path: Path) -> dict[str, Any] | None:
    """The object in a file that may not be there yet."""
    try:
        return read_json(path) if path.is_file() else None
    except InputFileError:
        return None


def _clear(place: Path) -> None:
    try:
        if place.is_symlink():
            place.unlink()
        elif place.exists():
            shutil.rmtree(place)
    except OSError as error:
        raise OutputError(f"{place} cannot be removed: {error.strerror}", "remove it by hand") from error
