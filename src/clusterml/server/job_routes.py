"""The routes of jobs: asking for one, how far it is, its result and files, its end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from clusterml.io.files import sha256_of_file
from clusterml.io.shipped import DEFAULT_MODEL
from clusterml.server.answers import check_snapshots, read_structure
from clusterml.server.desk import Desk
from clusterml.server.jobs import ENDED, Job
from clusterml.server.refusals import RefusalError, of_request
from clusterml.server.requests import LabelRequest
from clusterml.server.screens import ScreenRequest
from clusterml.server.settings import Limits

_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_BETWEEN_SIGNS = 15.0
"""After so long without an event a comment is sent, so that nothing between takes the connection for dead."""
_MOST_LISTENERS = 100
_SECONDS_TO_LEAVE = 1.0
"""So long after a follower has gone its connection is known to be closed."""


def check_label(request: LabelRequest, limits: Limits) -> str:
    """The name of the structure to label; raises what is wrong with the request, before it becomes a job."""
    from clusterml.batch.label import check_groups
    from clusterml.engine.consensus import parse_protocols

    request.refuse_ignored("label", output=None, as_json=True, molden=None, checkpoint=None, jcamp=False)
    protocol = request.protocol()
    if request.consensus is not None:
        parse_protocols(request.consensus, protocol)
    check_snapshots(request, limits)
    if request.groups is not None:
        with of_request():
            check_groups(request.groups, "groups")
    return str(read_structure(request, limits).info["name"])


def submit_label(request: LabelRequest, desk: Desk) -> tuple[Job, bool]:
    """The job of a label, and whether it is new."""
    from clusterml.engine.protocol import RESULTS

    name = check_label(request, desk.limits)
    identity = {"version": version("clusterml"), "results": RESULTS}
    return desk.jobs.add("label", name, request.model_dump(mode="json"), identity)


def submit_screen(request: ScreenRequest, desk: Desk) -> tuple[Job, bool]:
    """The job of a screen, and whether it is new."""
    from clusterml.engine.protocol import RESULTS
    from clusterml.training.catalogue import SPEC, find_release

    with tempfile.TemporaryDirectory() as folder:
        screen = request.screen(Path(folder))
        request.check(screen, desk.limits)
    model = sha256_of_file(find_release(screen.model or DEFAULT_MODEL) / SPEC)
    identity = {"version": version("clusterml"), "results": RESULTS, "model": model}
    return desk.jobs.add("screen", screen.name, request.model_dump(mode="json"), identity)


def job_router(desk: Desk) -> APIRouter:
    """The routes that look at jobs."""
    router = APIRouter(tags=["jobs"])
    listeners: Counter[str] = Counter()  # connections that follow a job, by its id

    @router.get("/v1/jobs", summary="All jobs, the newest first", response_class=JSONResponse)
    async def list_jobs() -> Response:
        return _json(await desk.answer(lambda: [desk.jobs.describe(job) for job in desk.jobs.all()]))

    @router.get("/v1/jobs/{key}", summary="State and progress of a job, and its result", response_class=JSONResponse)
    async def job(key: str) -> Response:
        return _json(await desk.answer(lambda: desk.jobs.describe(desk.jobs.find(key), result=True)))

    @router.delete("/v1/jobs/{key}", summary="Cancel a job, or remove one that has ended", response_class=JSONResponse)
    async def cancel(key: str, unless_followed: bool = False) -> Response:
        """``unless_followed``: leave a job alone that has ended or whose events somebody else follows."""
        job = desk.jobs.find(key)
        if unless_followed and (job.state in ENDED or await _is_followed(listeners, key)):
            return _json(desk.encode({"id": job.id, "state": job.state}))
        job = await desk.run(desk.jobs.cancel, key)
        desk.foreman.look()
        return _json(desk.encode({"id": job.id, "state": "cancelled" if desk.jobs.get(job.id) else "removed"}))

    @router.get("/v1/jobs/{key}/events", summary="Progress as server-sent events, until the job has ended")
    async def events(key: str) -> Response:
        desk.jobs.find(key)
        if (count := listeners.total()) >= _MOST_LISTENERS:
            raise RefusalError(503, f"{count} listen to jobs already", "ask for the state now and then", 10)

        async def stream() -> AsyncIterator[bytes]:
            listeners[key] += 1
            try:
                async for event in job_events(desk, key):
                    yield event
            finally:
                listeners[key] -= 1
                if not listeners[key]:
                    del listeners[key]

        return StreamingResponse(stream(), media_type="text/event-stream")

    @router.get("/v1/jobs/{key}/files/{name}", summary="A file of the results, such as the report of a screen")
    async def file(key: str, name: str) -> Response:
        known = await desk.run(lambda: {path.name: path for path in desk.jobs.files(desk.jobs.find(key))})
        if name not in known:
            raise RefusalError(404, f"the job has no file {name[:80]!r}", f"it has {', '.join(known) or 'none'}")
        # as an attachment: what a browser shows from here could use the API in the user's name
        return FileResponse(known[name], filename=name, content_disposition_type="attachment")

    return router


async def _is_followed(listeners: Counter[str], key: str) -> bool:
    """Does anybody follow the job, but for the one who has just left it?"""
    end = time.monotonic() + _SECONDS_TO_LEAVE
    while listeners[key] and time.monotonic() < end:
        await asyncio.sleep(0.05)
    return bool(listeners[key])


async def job_events(desk: Desk, key: str) -> AsyncIterator[bytes]:
    """An event ``progress`` whenever state or progress change, and a last one called by the state that it ended in."""
    before, last = b"", time.monotonic()
    while True:
        job = desk.jobs.get(key)
        if job is None:  # ended and removed meanwhile
            return
        text = desk.encode(desk.jobs.describe(job)).strip()
        if text != before:
            name = job.state if job.state in ENDED else "progress"
            before, last = text, time.monotonic()
            yield b"event: " + name.encode() + b"\ndata: " + text + b"\n\n"
        if job.state in ENDED:
            return
        if time.monotonic() - last > _SECONDS_BETWEEN_SIGNS:
            last = time.monotonic()
            yield b": still there\n\n"
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")
