"""The thread that keeps the workers busy: it hands jobs to processes, and ends those that are cancelled or late."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from clusterml.errors import ClusterMLError
from clusterml.server.jobs import Job, Jobs
from clusterml.server.settings import Settings
from clusterml.server.worker import Tools, work

_LOST = {
    "error": "MemoryLimitError",
    "problem": "the process that computed it was killed, most likely because memory ran out",
    "remedy": "ask for less: a smaller structure, a lower emax, single precision",
}
_SECONDS_BETWEEN_LOOKS = 5.0


@dataclass
class _Worker:
    """A process that does one job after the other; ``line``: to talk to it; ``job``: what it does, None: nothing."""

    process: SpawnProcess
    line: Connection
    job: str | None = None

    def has_finished(self) -> bool:
        """Does it say that it is done with its job?"""
        try:
            return self.line.poll() and bool(self.line.recv_bytes())
        except (EOFError, OSError):
            return False

    def kill(self) -> None:
        """End it with all that it has started, and wait for it."""
        if self.process.pid is not None and self.process.is_alive():
            with suppress(OSError):
                if os.getpgid(self.process.pid) == self.process.pid:  # it has made its own group by now
                    os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
        self.process.join(5.0)


class Foreman:
    """Hands jobs to processes of their own, at most as many at a time as there are workers."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self._jobs, self._settings = jobs, settings
        self._workers: list[_Worker] = []
        self._wake, self._woken = multiprocessing.Pipe()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="foreman", daemon=True)

    def start(self) -> None:
        """Begin with the jobs that wait."""
        self._thread.start()

    def look(self) -> None:
        """There is a new job, or one was cancelled."""
        with suppress(OSError):
            self._wake.send_bytes(b"look")

    def close(self) -> None:
        """End all processes.  What ran is started again by the next server."""
        self._closing = True
        self.look()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    for worker in list(self._workers):
                        self._look_after(worker)
                    self._hand_out()
                except ClusterMLError as error:  # a full disk may be emptied
                    print(f"error: jobs: {error}", file=sys.stderr, flush=True)
                signs: list[Connection | int] = [self._woken, *(worker.process.sentinel for worker in self._workers)]
                signs += [worker.line for worker in self._workers if worker.job is not None]
                if self._woken in connection.wait(signs, timeout=_SECONDS_BETWEEN_LOOKS):
                    self._woken.recv_bytes()
        finally:
            for worker in self._workers:
                worker.kill()

    def _hand_out(self) -> None:
        """Give jobs that wait to workers that have none."""
        while sum(worker.job is not None for worker in self._workers) < self._settings.workers:
            job = self._jobs.next()
            if job is None:
                return
            self._give(job)

    def _give(self, job: Job) -> None:
        """Give a job to an idle worker, or to a new one where there is none, or it has just left."""
        folder = str((self._jobs.folder / job.id).absolute()).encode()
        for worker in [worker for worker in self._workers if worker.job is None]:
            try:
                worker.line.send_bytes(folder)
                worker.job = job.id
                return
            except OSError:
                self._dismiss(worker)
        worker = self._hire()
        worker.line.send_bytes(folder)
        worker.job = job.id

    def _hire(self) -> _Worker:
        context = multiprocessing.get_context("spawn")  # a forked process inherits the locks of torch's threads
        settings = self._settings
        ours, theirs = context.Pipe()
        tools = Tools(settings.threads, settings.memory_gb, settings.device, settings.workers)
        process = context.Process(target=work, args=(theirs, tools), name="clusterml job")
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _dismiss(self, worker: _Worker) -> None:
        worker.kill()
        worker.line.close()
        self._workers.remove(worker)

    def _look_after(self, worker: _Worker) -> None:
        """Note a job that has ended; end a worker whose job was cancelled or takes too long."""
        key = worker.job
        if key is None:
            if not worker.process.is_alive():
                self._dismiss(worker)
            return
        if worker.has_finished():
            worker.job = None
            self._jobs.end(key, _LOST)
            return
        if not worker.process.is_alive():
            self._dismiss(worker)
            self._jobs.end(key, _LOST)
            return
        job, most = self._jobs.get(key), 3600.0 * self._settings.limits.job_hours
        late = job is not None and job.started is not None and time.time() - job.started > most
        if late or job is None or job.state != "running":
            self._dismiss(worker)
            self._jobs.end(key, self._too_late())

    def _too_late(self) -> dict[str, str]:
        hours = self._settings.limits.job_hours
        problem = f"the job took longer than {hours:g} h"
        return {"error": "ServerError", "problem": problem, "remedy": "ask for less, or use the command line"}
