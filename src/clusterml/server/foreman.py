"""The thread that keeps the workers busy: it starts a process for each job, and ends those cancelled or late."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.context import SpawnProcess

from clusterml.server.jobs import Jobs
from clusterml.server.settings import Settings
from clusterml.server.worker import Order, work

_LOST = {
    "error": "MemoryLimitError",
    "problem": "the process that computed it was killed, most likely because memory ran out",
    "remedy": "ask for less: a smaller structure, a lower emax, single precision",
}
_SECONDS_BETWEEN_LOOKS = 5.0


class Foreman:
    """Starts jobs in processes of their own, at most as many as there are workers."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self._jobs, self._settings = jobs, settings
        self._processes: dict[str, SpawnProcess] = {}
        self._late: set[str] = set()
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
        self._thread.join(10.0)

    def _run(self) -> None:
        try:
            while not self._closing:
                self._end_processes()
                self._start_processes()
                sentinels = [process.sentinel for process in self._processes.values()]
                for ready in connection.wait([self._woken, *sentinels], timeout=_SECONDS_BETWEEN_LOOKS):
                    if ready is self._woken:
                        self._woken.recv_bytes()
        finally:
            for process in self._processes.values():
                _kill(process)

    def _start_processes(self) -> None:
        context = multiprocessing.get_context("spawn")  # a forked process inherits the locks of torch's threads
        while len(self._processes) < self._settings.workers and (job := self._jobs.next()) is not None:
            if (former := self._processes.pop(job.id, None)) is not None:  # cancelled, and asked for again at once
                _kill(former)
            folder = (self._jobs.folder / job.id).absolute()
            settings = self._settings
            order = Order(folder, settings.threads, settings.memory_gb, settings.device, settings.workers)
            process = context.Process(target=work, args=(order,), name=f"job {job.id}")
            process.start()
            self._processes[job.id] = process

    def _end_processes(self) -> None:
        """Kill those whose jobs were cancelled or take too long, and note which have ended."""
        most = 3600.0 * self._settings.limits.job_hours
        for key, process in list(self._processes.items()):
            job = next((job for job in self._jobs.all() if job.id == key), None)
            late = job is not None and job.started is not None and time.time() - job.started > most
            if late:
                self._late.add(key)
            if process.is_alive() and (late or job is None or job.state != "running"):
                _kill(process)
            if not process.is_alive():
                process.join()
                del self._processes[key]
                self._jobs.end(key, self._too_late() if key in self._late else _LOST)
                self._late.discard(key)

    def _too_late(self) -> dict[str, str]:
        hours = self._settings.limits.job_hours
        problem = f"the job took longer than {hours:g} h"
        return {"error": "ServerError", "problem": problem, "remedy": "ask for less, or use the command line"}


def _kill(process: SpawnProcess) -> None:
    """End a worker with all that it has started, and wait for it."""
    if process.pid is not None and process.is_alive():
        with suppress(OSError):
            if os.getpgid(process.pid) == process.pid:  # it has made its own group by now
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.join(5.0)
