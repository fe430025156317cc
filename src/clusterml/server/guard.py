"""What every request passes first: its size, where it comes from, its token, its time; and the count of answers."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clusterml.errors import ClusterMLError
from clusterml.io.words import is_whole
from clusterml.server.desk import Desk
from clusterml.server.refusals import UNEXPECTED, RefusalError, problem_of, status_of
from clusterml.server.settings import Settings, is_loopback

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; "
        b"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


def needs_token(path: str) -> bool:
    """Is ``path`` part of the API?  The page itself and ``/healthz`` need no token."""
    return path.startswith("/v1/") or path in ("/metrics", "/openapi.json")


class Guard:
    """Refuses requests before anything is read of them, ends those that take too long, and counts all."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app, self._desk, self._settings = app, desk, desk.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                kept = (
                    b"no-store" if needs_token(scope["path"]) else b"no-cache"
                )  # the page: asked for again, by its ETag
                message["headers"] = [*message.get("headers", ()), *_SECURITY, (b"cache-control", kept)]
            await send(message)

        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            check_request(scope["method"], scope["path"], headers, self._settings)
            bounded = _bounded(receive, headers, self._settings.limits.upload_bytes)
            await self._within_limits(scope, bounded, sending)
        except ClusterMLError as error:
            await refuse(error, self._desk)(scope, receive, sending)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "") or ("page" if status < 400 else "none")
            self._desk.metrics.answered(path, status, time.perf_counter() - start)

    async def _within_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer; raises :class:`RefusalError` where too many wait (503), or it takes too long (504).

        Events may take as long as a job, and the page costs nothing.
        """
        path, seconds = scope["path"], self._settings.limits.seconds
        if path.endswith("/events") or not path.startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        try:
            with self._desk.admitted():
                async with asyncio.timeout(seconds):
                    await self._app(scope, receive, send)
        except TimeoutError as error:
            problem = f"the answer takes longer than {seconds:g} s"
            raise RefusalError(504, problem, "ask for less, or use the command line") from error


def refuse(error: ClusterMLError, desk: Desk) -> JSONResponse:
    """The answer that an error is."""
    told = problem_of(error)
    body = {key: desk.discretion(value) for key, value in told.model_dump().items()}
    retry = error.retry_s if isinstance(error, RefusalError) else None
    headers = {} if retry is None else {"Retry-After": str(retry)}
    if status_of(error) == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status_of(error), headers)


def failed(origin: str | None, settings: Settings) -> JSONResponse:
    """The answer where the server failed, made around the guard: a page of an allowed ``origin`` can read it."""
    headers = {name.decode(): value.decode() for name, value in _SECURITY} | {"Cache-Control": "no-store"}
    if origin is not None and ("*" in settings.allow_origin or origin in settings.allow_origin):
        headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After"}
    return JSONResponse(UNEXPECTED.model_dump(), 500, headers)


def check_request(method: str, path: str, headers: Mapping[str, str], settings: Settings) -> None:
    """Raise :class:`RefusalError` for a request without the token, or that a page of another server has sent.

    Without a token only this computer is listened to, under a name of its own: a page of another server whose name was
    made to lead here must not read answers.  CORS requests (OPTIONS) carry no token.
    """
    host = headers.get("host", "")
    if settings.token is None and not is_loopback(_host_name(host)):
        raise RefusalError(403, f"the request is for {host[:80]!r}, not for this computer", "use http://127.0.0.1")
    origin = headers.get("origin")
    if origin is not None and not _may_ask(origin, host, settings):
        raise RefusalError(403, f"pages of {origin[:80]} may not use this server", "start it with --allow-origin")
    if settings.token is not None and needs_token(path) and method != "OPTIONS":
        words = headers.get("authorization", "").split()
        given = words[1] if len(words) == 2 and words[0].lower() == "bearer" else ""
        if not hmac.compare_digest(given.encode(), settings.token.encode()):
            raise RefusalError(401, "the token is missing or wrong", "send the header Authorization: Bearer TOKEN")


def _may_ask(origin: str, host: str, settings: Settings) -> bool:
    """Is ``origin`` this server's own page, or one that is allowed?"""
    parts = _split(origin)
    is_own = parts is not None and parts.netloc == host
    return is_own or "*" in settings.allow_origin or origin in settings.allow_origin


def _host_name(host: str) -> str:
    parts = _split(f"//{host}")
    return (parts and parts.hostname) or ""


def _split(address: str) -> SplitResult | None:
    """The parts of an address; None for what is none, such as ``http://[``."""
    try:
        return urlsplit(address)
    except ValueError:
        return None


def _bounded(receive: Receive, headers: Mapping[str, str], most: int) -> Receive:
    """``receive`` that raises :class:`RefusalError` (413) for a body of more than ``most`` bytes."""
    size = headers.get("content-length", "0")
    if size.isdecimal() and not (is_whole(size) and int(size) <= most):
        raise _too_large(most)
    total = 0

    async def receiving() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise _too_large(most)
        return message

    return receiving


def _too_large(most: int) -> RefusalError:
    return RefusalError(413, f"the request is larger than {most / 1e6:g} MB", "send less, or see --upload-mb")
