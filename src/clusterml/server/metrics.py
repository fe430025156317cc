"""What ``/metrics`` tells Prometheus: requests, their time, what waits, sizes of batches, jobs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client import Counter as Total

from clusterml.server.jobs import STATES

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        where: dict[str, Any] = {"registry": self._registry, "namespace": "clusterml"}
        self._requests = Total("requests", "answers by path and status", ("path", "status"), **where)
        self._seconds = Histogram("request_seconds", "time of answers", ("path",), buckets=_SECONDS, **where)
        self._batches = Histogram("batch_size", "structures that one batch predicts", buckets=_SIZES, **where)
        self.waiting = Gauge("waiting_requests", "requests that are computed or wait", **where)
        self._jobs = Gauge("jobs", "jobs by state", ("state",), **where)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request was answered; ``path``: that of the route, without names in it."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, size: int) -> None:
        """A batch was predicted."""
        self._batches.observe(size)

    def count_jobs(self, states: Counter[str]) -> None:
        """So many jobs are in each state."""
        for state in STATES:
            self._jobs.labels(state).set(states[state])

    def text(self) -> bytes:
        """All of them as Prometheus reads them."""
        return generate_latest(self._registry)
