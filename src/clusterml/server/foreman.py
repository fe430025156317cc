"""The thread that keeps the workers busy: it hands jobs to processes, and ends those cancelled, late or idle."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection

from clusterml.errors import ClusterMLError
from clusterml.server.jobs import Job, Jobs
from clusterml.server.processes import LOST, Worker, hire
from clusterml.server.settings import Settings
from clusterml.server.worker import Tools, work

_SECONDS_BETWEEN_LOOKS = 5.0


def _has_finished(worker: Worker) -> bool:
    """Does a worker say that it is done with its job?"""
    try:
        return worker.line.poll() and bool(worker.line.recv_bytes())
    except (EOFError, OSError):
        return False


class Foreman:
    """Hands jobs to processes of their own, at most as many at a time as there are workers.

    ``meanwhile`` is called every few seconds.
    """

    def __init__(self, jobs: Jobs, settings: Settings, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._jobs, self._settings, self._meanwhile = jobs, settings, meanwhile
        self._workers: list[Worker] = []
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
                    self._end_idle()
                    self._meanwhile()
                except (ClusterMLError, OSError) as error:  # a full disk may be emptied, and processes may end
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

    def _end_idle(self) -> None:
        """End the workers that have not been needed for a while."""
        for worker in list(self._workers):
            if worker.job is None and worker.is_needless():
                self._dismiss(worker)

    def _give(self, job: Job) -> None:
        """Give a job to an idle worker, or to a new one where there is none, or it was killed.

        Raises OSError where no process can be started; the job waits then.
        """
        for worker in [worker for worker in self._workers if worker.job is None]:
            try:
                return self._hand_over(job, worker)
            except OSError:
                self._dismiss(worker)
        try:
            self._hand_over(job, self._hire())
        except OSError:
            self._jobs.put_back(job.id)
            raise

    def _hand_over(self, job: Job, worker: Worker) -> None:
        worker.line.send_bytes(str((self._jobs.folder / job.id).absolute()).encode())
        worker.job = job.id

    def _hire(self) -> Worker:
        settings = self._settings
        tools = Tools(settings.threads, settings.memory_gb, settings.device, settings.workers)
        self._workers.append(hire(work, tools))
        return self._workers[-1]

    def _dismiss(self, worker: Worker) -> None:
        worker.kill()
        self._workers.remove(worker)

    def _look_after(self, worker: Worker) -> None:
        """Note a job that has ended; end a worker whose job was cancelled or takes too long."""
        key = worker.job
        if key is None:
            if not worker.process.is_alive():
                self._dismiss(worker)
            return
        if _has_finished(worker):
            worker.rest()
            self._jobs.end(key, LOST)
            return
        if not worker.process.is_alive():
            self._dismiss(worker)
            self._jobs.end(key, LOST)
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
