"""``clusterml serve``: the server, with the limits of what it does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import NetworkDevice, with_groups
from clusterml.io.shipped import QUICK_MODEL
from clusterml.run.resources import choose_threads, use_threads

if TYPE_CHECKING:
    from clusterml.server.settings import Limits


@dataclass(frozen=True)
class LimitOptions:
    """Options of what a server does at most."""

    upload_mb: Annotated[float, typer.Option(metavar="MB", help="Largest request.")] = 16.0
    most_atoms: Annotated[int, typer.Option(help="Atoms of a structure.")] = 1000
    most_snapshots: Annotated[int, typer.Option(help="Snapshots of a thermal ensemble.")] = 64
    most_candidates: Annotated[int, typer.Option(help="Candidates of a screen.")] = 20_000
    seconds: Annotated[float, typer.Option(metavar="S", help="Time of a request; what takes longer is a job.")] = 60.0
    queue: Annotated[int, typer.Option(help="Requests that may wait.")] = 128
    job_queue: Annotated[int, typer.Option(help="Jobs that may wait.")] = 100
    job_hours: Annotated[float, typer.Option(metavar="H", help="Time of a job.")] = 24.0
    keep: Annotated[int, typer.Option(help="Results of jobs that are kept.")] = 500
    keep_days: Annotated[float, typer.Option(metavar="DAYS", help="How long they are kept.")] = 30.0

    def limits(self) -> Limits:
        """What they say together; raises OptionError."""
        from clusterml.server.settings import Limits

        return Limits(**asdict(self))


@with_groups
def serve(
    host: Annotated[str, typer.Option(help="Address to listen at; others than this computer need a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Checkpoint of everything, see clusterml models, or the folder of one [default: that of each command, "
            f"and {QUICK_MODEL} for the page].",
        ),
    ] = None,
    device: NetworkDevice = "auto",
    workers: Annotated[int, typer.Option(help="Processes that work on jobs.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of the network, and of each job [default: OMP_NUM_THREADS or all].")
    ] = None,
    memory_gb: Annotated[
        float | None, typer.Option(metavar="GB", help="Memory of all jobs together; default 70 % of what is free.")
    ] = None,
    jobs_folder: Annotated[Path, typer.Option(metavar="DIR", help="Where jobs and their results are kept.")] = Path(
        "clusterml-jobs"
    ),
    token: Annotated[
        str | None,
        typer.Option(envvar="CLUSTERML_TOKEN", help="Secret that requests must show, as a Bearer token."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Pages of another server that may ask this one; repeatable.")
    ] = None,
    limits: LimitOptions,
) -> None:
    """Serve spectra over HTTP: the API of /openapi.json, and a page for the browser.

    It listens on this computer only, unless another --host is given, which needs a token (better in CLUSTERML_TOKEN
    than on the command line, which other users see). Labels and screens are jobs: they run in processes of their own,
    and their results are found again after a restart. Needs the extra: pip install 'clusterml[server]'.
    """
    use_threads(count := choose_threads(threads))  # before anything imports numpy

    from clusterml.errors import OptionError
    from clusterml.server.settings import Settings

    settings = Settings(
        host,
        port,
        model,
        device,
        workers,
        count,
        memory_gb,
        jobs_folder,
        token,
        tuple(allow_origin or ()),
        limits.limits(),
    )
    try:
        from clusterml.server.run import run
    except ImportError as error:
        raise OptionError("serve needs FastAPI and uvicorn", "pip install 'clusterml[server]'") from error
    run(settings)
