"""Running a server until it is told to end, and saying where it listens."""

from __future__ import annotations

import socket
import sys

import uvicorn

from clusterml.errors import OptionError
from clusterml.server.app import make_app
from clusterml.server.settings import Settings
from clusterml.training.catalogue import find_release


def run(settings: Settings) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises :class:`~clusterml.errors.OptionError` for a host or port that cannot be listened at,
    :class:`~clusterml.errors.FolderInUseError` for a folder of jobs that another server works in, and what loading the
    network raises.
    """
    if settings.model is not None:
        find_release(settings.model)
    listener = _listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    app = make_app(settings)
    app.state.desk.load()
    listener.listen()
    shown = f"[{host}]" if ":" in host else host
    print(f"clusterml serves http://{shown}:{port} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,  # who listens to a job does not keep the server from ending
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises OptionError naming host and port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise OptionError(
            f"cannot listen at {host} port {port}: {error.strerror or error}", "choose another --host or --port"
        ) from error
    return listener
