"""The client of a server: the calls of the API from Python, with the errors that they raise here.  Needs no extra."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from clusterml.errors import OptionError, ServerError
from clusterml.io.files import decode, read_bounded
from clusterml.io.shipped import locate
from clusterml.server.jobs import ENDED
from clusterml.server.refusals import raised_from

if TYPE_CHECKING:
    from ase import Atoms

Structure: TypeAlias = "str | Path | Atoms | Mapping[str, Any]"
"""A file, a structure, or keys of the API such as ``{"build": {"name": "ag3"}}``."""

_OTHER_SERVER = "is it a clusterml server?"


class _NoRedirect(HTTPRedirectHandler):
    """The token goes to nobody else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


class Client:
    """Asks the server at ``url``; ``token``: the secret it was started with; ``timeout``: in seconds, of one answer.

    Keywords are the options of the command of the same name.  Answers are its JSON.  Every call raises the error that
    the command raises, and :class:`~clusterml.errors.ServerError` where the server refuses or is not there.

    Examples:
        >>> import clusterml as cm
        >>> client = cm.Client("http://127.0.0.1:9")
        >>> try:
        ...     client.predict("shipped:datasets/structures/ag25_sch3.xyz", fwhm=0.3)
        ... except cm.ClusterMLError as error:  # nobody serves there
        ...     print(error.remedy)
        is the server running? clusterml serve
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", token: str | None = None, timeout: float = 300.0) -> None:
        if not _is_address(url):
            raise OptionError(f"the address is {url!r}", "give one such as http://127.0.0.1:8000")
        self.url, self.timeout = url.rstrip("/"), timeout
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._opener = build_opener(_NoRedirect)

    def __repr__(self) -> str:
        """The address."""
        return f"Client({self.url})"

    def inspect(self, what: Structure, **options: Any) -> dict[str, Any]:
        """What a structure file holds."""
        return self._ask("/v1/inspect", {**_structure(what), **options})

    def predict(self, what: Structure, **options: Any) -> dict[str, Any]:
        """Absorption and CD by the network."""
        return self._ask("/v1/predict", {**_structure(what), **options})

    def chirality(self, what: Structure, **options: Any) -> dict[str, Any]:
        """Chirality and symmetry measures."""
        return self._ask("/v1/chirality", {**_structure(what), **options})

    def compare(self, a: str | Path | Mapping[str, Any], b: str | Path | Mapping[str, Any], **options: Any) -> Any:
        """How alike two spectra are: files, ``bands:SYSTEM`` for ``b``, or results of other calls."""
        reference = b if isinstance(b, str) and b.lower().startswith("bands:") else _spectrum(b)
        return self._ask("/v1/compare", {"a": _spectrum(a), "b": reference, **options})

    def spectrum(self, file: str | Path | Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """The spectrum in a file, measured or computed; with ``export="jcamp"`` or ``"csv"`` also as such a text."""
        return self._ask("/v1/spectrum", {**_spectrum(file), **options})

    def distort(self, what: Structure, distortions: Mapping[str, float], **options: Any) -> dict[str, Any]:
        """The structure distorted by amounts of modes, and its spectrum."""
        steps = [{"mode": mode, "amount": amount} for mode, amount in distortions.items()]
        return self._ask("/v1/distort", {**_structure(what), "distortions": steps, **options})

    def explain(self, what: Structure, band: str, **options: Any) -> dict[str, Any]:
        """Which atoms and ligands the CD in a ``band`` such as ``2.5..3.2`` eV comes from, by engine or ``model``."""
        return self._ask("/v1/explain", {**_structure(what), "band": band, **options})

    def substitute(self, what: Structure, old: str, new: str | None = None, **options: Any) -> dict[str, Any]:
        """The structure with ``new`` ligands in place of ``old`` ones, and the sites of these."""
        return self._ask("/v1/substitute", {**_structure(what), "old": old, "new": new, **options})

    def label(
        self, what: Structure, *, progress: Callable[[dict[str, Any]], None] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Absorption and CD by the engine; waits until the job is done, and tells ``progress`` of it."""
        return self.wait(self.start_label(what, **options)["id"], progress)

    def start_label(self, what: Structure, **options: Any) -> dict[str, Any]:
        """The job of a label, which may be done already."""
        return self._ask("/v1/label", {**_structure(what), **options})

    def start_screen(self, config: Mapping[str, Any], files: Sequence[str | Path] = ()) -> dict[str, Any]:
        """The job of a screen; ``config``: its keys, ``files``: those that keys name."""
        return self._ask("/v1/screens", {"config": dict(config), "files": [_file(path) for path in files]})

    def wait(self, job: str, progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """The result of a job once it is done.  Raises the error that it ended with."""
        for state in self.events(job):
            if progress is not None:
                progress(state)
        ended = self.job(job)
        if ended["state"] != "done":
            problem = {"error": "ServerError", "problem": f"job {job} is {ended['state']}", "remedy": "send it again"}
            raise raised_from(ended["problem"] or problem)
        return dict(ended["result"])

    def events(self, job: str) -> Iterator[dict[str, Any]]:
        """The states of a job as they change, until it has ended."""
        with self._answer(f"/v1/jobs/{quote(job)}/events", None, "GET") as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    state = self._parsed(line.removeprefix(b"data: "))
                    yield state
                    if state["state"] in ENDED:
                        return

    def job(self, job: str) -> dict[str, Any]:
        """State, progress and result of a job."""
        return self._ask(f"/v1/jobs/{quote(job)}")

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, the newest first."""
        return self._ask("/v1/jobs")

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancel a job, or remove one that has ended."""
        return self._ask(f"/v1/jobs/{quote(job)}", method="DELETE")

    def models(self) -> list[dict[str, Any]]:
        """The checkpoints."""
        return self._ask("/v1/models")

    def ligands(self) -> list[dict[str, Any]]:
        """The ligands of the library."""
        return self._ask("/v1/ligands")

    def blueprints(self) -> list[dict[str, Any]]:
        """The models that can be built."""
        return self._ask("/v1/blueprints")

    def health(self) -> dict[str, Any]:
        """Version and model of the server."""
        return self._ask("/healthz")

    def _ask(self, path: str, body: Mapping[str, Any] | None = None, method: str = "") -> Any:
        with self._answer(path, body, method or ("GET" if body is None else "POST")) as answer:
            return self._parsed(answer.read())

    @contextmanager
    def _answer(self, path: str, body: Mapping[str, Any] | None, method: str) -> Iterator[HTTPResponse]:
        """The answer, to read its body; raises the error that it is, and :class:`ServerError` where it breaks off."""
        with self._open(path, body, method) as answer:
            try:
                yield answer
            except (HTTPException, OSError) as error:
                raise _silence(f"the answer of {self.url} broke off", error, "ask again") from error

    def _parsed(self, text: bytes) -> Any:
        """What an answer holds; raises :class:`ServerError` for a page of another server."""
        try:
            return json.loads(text)
        except (RecursionError, ValueError) as error:
            raise ServerError(f"{self.url} answers, but not in JSON", _OTHER_SERVER) from error

    def _open(self, path: str, body: Mapping[str, Any] | None, method: str) -> HTTPResponse:
        """The answer, whose body is still to be read; raises the error that it is."""
        content = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json"}
        request = Request(f"{self.url}{path}", content, headers, method=method)
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=self.timeout)
            return answer
        except HTTPError as error:
            raise raised_from(_problem(error)) from error
        except (URLError, HTTPException, OSError) as error:
            remedy = "is the server running? clusterml serve"
            raise _silence(f"no answer from {self.url}", error, remedy) from error


def _is_address(url: str) -> bool:
    """Is ``url`` an address of HTTP, with a host and, where it has one, a port that can be?"""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        return parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:
        return False


def _silence(problem: str, error: Exception, remedy: str) -> ServerError:
    """The error for an ``error`` of the network; one that took too long has a ``remedy`` of its own."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        remedy = "give the Client a longer timeout, or ask again later"
    return ServerError(f"{problem}: {reason}", remedy)


def _problem(answer: HTTPError) -> dict[str, Any]:
    """What an answer says of an error; one that is none of ours is named by its status."""
    try:
        problem = json.loads(answer.read())
    except (RecursionError, ValueError, HTTPException, OSError):
        problem = None
    if isinstance(problem, dict) and "problem" in problem:
        return problem
    return {"problem": f"the server answers {answer.code} {answer.reason}", "remedy": _OTHER_SERVER}


def _structure(what: Structure) -> dict[str, Any]:
    if isinstance(what, Mapping):
        return dict(what)
    if isinstance(what, str | Path):
        return {"file": _file(what)}
    from clusterml.structure.write import extxyz

    name = str(what.info.get("name") or "structure").replace("/", "_")
    return {"file": {"name": f"{name}.xyz", "text": extxyz(what)}}


def _spectrum(what: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(what, Mapping):
        return _file(what)
    if "text" in what:
        return dict(what)
    return {"name": f"{what.get('name') or 'spectrum'}.json", "text": json.dumps(what)}


def _file(path: str | Path) -> dict[str, str]:
    place = locate(path)
    return {"name": place.name, "text": decode(read_bounded(place), str(path))}
