"""What one server is told when it starts: where it listens, what it computes with, and what it does at most."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields
from pathlib import Path

from clusterml.errors import OptionError

SHORTEST_TOKEN = 16
"""Characters of a token that cannot be guessed in the time that anybody has."""
_LARGEST_UPLOAD_MB = 512.0


@dataclass(frozen=True)
class Limits:
    """What a server does at most.  Raises :class:`OptionError` for a limit that nothing fits into.

    upload_mb         size of a request, in MB (10^6 bytes)
    most_atoms        of a structure
    most_snapshots    of one thermal ensemble
    most_candidates   of a screen
    seconds           that a request may take; what takes longer is a job
    queue             requests that are computed or wait; what comes on top is asked to come again
    job_queue         jobs that wait
    job_hours         time that a job may take
    keep, keep_days   results of jobs that are kept, and how long
    """

    upload_mb: float = 16.0
    most_atoms: int = 1000
    most_snapshots: int = 64
    most_candidates: int = 20_000
    seconds: float = 60.0
    queue: int = 128
    job_queue: int = 100
    job_hours: float = 24.0
    keep: int = 500
    keep_days: float = 30.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not 0 < value < 1e9:
                raise OptionError(f"--{entry.name.replace('_', '-')} is {value:g}", "give a number above 0")
        if self.upload_mb > _LARGEST_UPLOAD_MB:
            raise OptionError(f"--upload-mb is {self.upload_mb:g}", f"at most {_LARGEST_UPLOAD_MB:g} are read")

    @property
    def upload_bytes(self) -> int:
        """Most bytes of a request."""
        return int(1e6 * self.upload_mb)


@dataclass(frozen=True)
class Settings:
    """How a server works.  Raises :class:`OptionError` for a port that there is not, and where a token is missing.

    ``model``: checkpoint of requests that name none, None: see :data:`clusterml.server.networks.MODELS`; ``device``: of
    the network.  ``workers``: processes for jobs; ``threads``: CPU threads of the network, and of each job;
    ``memory_gb``: of all jobs together, None: 70 % of what is free.  ``jobs_folder``: where jobs are kept.  ``token``:
    the secret that requests must show; needed unless ``host`` is an address of this computer alone.  ``allow_origin``:
    pages of other servers that may use this one.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: str | None = None
    device: str = "auto"
    workers: int = 1
    threads: int = 1
    memory_gb: float | None = None
    jobs_folder: Path = Path("clusterml-jobs")
    token: str | None = None
    allow_origin: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise OptionError(f"--port is {self.port}", "give a number between 0 (any free one) and 65535")
        if self.workers < 1:
            raise OptionError(f"--workers is {self.workers}", "give at least 1")
        if self.token is None and not self.is_local:
            raise OptionError(
                f"other computers reach {self.host}, and there is no token",
                "set the environment variable CLUSTERML_TOKEN or give --token; or use --host 127.0.0.1",
            )
        if self.token is not None and (len(self.token) < SHORTEST_TOKEN or not self.token.isascii()):
            raise OptionError("the token is too easy to guess", f"give at least {SHORTEST_TOKEN} letters and digits")
        for origin in self.allow_origin:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise OptionError(f"--allow-origin is {origin!r}", "give one such as https://example.org, or *")

    @property
    def is_local(self) -> bool:
        """Is the host an address that only this computer reaches?"""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Is ``host`` this computer, seen from itself: ``localhost``, ``127.0.0.1``, ``::1``?"""
    name = host.strip("[]").casefold()
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
