"""The routes: what each path of the API answers, its description for OpenAPI, and the files of the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from clusterml.errors import ClusterMLError
from clusterml.server import answers
from clusterml.server.bodies import read_body
from clusterml.server.desk import Desk
from clusterml.server.guard import Guard, failed, refuse
from clusterml.server.hands import WORKS
from clusterml.server.job_routes import job_router, submit_label, submit_screen
from clusterml.server.jobs import Job
from clusterml.server.refusals import Problem, RefusalError
from clusterml.server.requests import (
    DistortRequest,
    ExplainRequest,
    LabelRequest,
    PredictRequest,
)
from clusterml.server.screens import ScreenRequest
from clusterml.server.settings import Settings

M = TypeVar("M", bound=BaseModel)
_SUMMARIES = {
    "inspect": "What a structure file holds",
    "chirality": "Chirality and symmetry, part by part",
    "compare": "How alike two spectra are",
    "spectrum": "A spectrum read from a file, or written",
    "substitute": "A structure with other ligands",
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    422: {"model": Problem, "description": "the structure or an option cannot be used"},
    "4XX": {"model": Problem, "description": "refused: no token, too large, too many"},
}
_WORDS = """Absorption and circular dichroism of ligand-protected metal clusters, and their chirality.

Structures are sent as JSON (`file` with name and text, `shipped`, `build`) or as a form with the part `file`; the other
keys are the options of the command of the same name. Answers are the JSON of the command line."""


def page_folder() -> Path:
    """Where the files of the page are."""
    return Path(str(files("clusterml.server"))) / "page"


def make_app(settings: Settings) -> FastAPI:
    """The application of a server, whose desk (``app.state.desk``) must be loaded before it answers."""
    desk = Desk(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    app = FastAPI(
        title="clusterml", version=version("clusterml"), description=_WORDS, lifespan=lifespan,
        docs_url=None, redoc_url=None,  # their pages are fetched from elsewhere
    )  # fmt: skip
    app.state.desk, app.state.bodies = desk, []
    _add_errors(app, desk)
    _add_answers(app, desk)
    _add_jobs(app, desk)
    _add_lists(app, desk)
    _describe_bodies(app)
    if page_folder().is_dir():
        app.mount("/", StaticFiles(directory=page_folder(), html=True), name="page")
    app.add_middleware(Guard, desk=desk)
    if settings.allow_origin:  # around the guard, so that pages of those origins can read why they are refused
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.allow_origin, allow_methods=["*"], allow_headers=["*"],
            expose_headers=["Retry-After"],
        )  # fmt: skip
    return app


def _add_errors(app: FastAPI, desk: Desk) -> None:
    @app.exception_handler(ClusterMLError)
    async def refused(_: Request, error: ClusterMLError) -> Response:
        return refuse(error, desk)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, _: Exception) -> Response:
        return failed(request.headers.get("origin"), desk.settings)

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: HTTPException) -> Response:
        words = "there is no such path" if error.status_code == 404 else str(error.detail)
        problem = f"{request.method} {request.url.path}: {words}"
        return refuse(RefusalError(error.status_code, problem, "see /openapi.json"), desk)


def _add_answers(app: FastAPI, desk: Desk) -> None:
    """What is computed at once."""

    for name, summary in _SUMMARIES.items():
        _post(app, f"/v1/{name}", WORKS[name][0], partial(desk.make, name), summary)
    _post(app, "/v1/predict", PredictRequest, desk.predict, "Absorption and CD by the network, with uncertainty")
    _post(app, "/v1/explain", ExplainRequest, desk.explain, "Which atoms and ligands a CD comes from")
    _post(app, "/v1/distort", DistortRequest, desk.distort, "A distorted structure and its spectrum")


def _add_jobs(app: FastAPI, desk: Desk) -> None:
    """What takes longer, in processes of its own."""

    def as_job(submit: Callable[[Any, Desk], tuple[Job, bool]]) -> Callable[[Any], Awaitable[bytes]]:
        async def work(body: Any) -> bytes:
            job, is_new = await desk.run(submit, body, desk, slow=True)
            if is_new:
                desk.foreman.look()
            return await desk.answer(lambda: {**desk.jobs.describe(job), "new": is_new})

        return work

    _post(app, "/v1/label", LabelRequest, as_job(submit_label), "Absorption and CD by the engine: a job", 202)
    _post(app, "/v1/screens", ScreenRequest, as_job(submit_screen), "A screen: a job", 202)
    app.include_router(job_router(desk))


def _post(
    app: FastAPI, path: str, model: type[M], work: Callable[[M], Awaitable[bytes]], summary: str, status: int = 200
) -> None:
    """A route that takes a body."""
    desk: Desk = app.state.desk
    app.state.bodies.append(model)

    @app.post(
        path, summary=summary, status_code=status, responses=_ERRORS, response_class=JSONResponse,
        openapi_extra={"requestBody": _body(model)}, name=path.rpartition("/")[2],
    )  # fmt: skip
    async def handle(request: Request) -> Response:
        body = await read_body(request, model, desk.limits)
        return Response(await work(body), status, media_type="application/json")


def _add_lists(app: FastAPI, desk: Desk) -> None:
    """What there is to choose from, and how the server is."""
    lists: dict[str, tuple[Callable[[], Any], str]] = {
        "/v1/models": (desk.networks.rows, "The checkpoints"),
        "/v1/ligands": (answers.ligands, "The ligands of the library"),
        "/v1/blueprints": (answers.blueprints, "The models that can be built"),
        "/v1/bands": (answers.bands, "The clusters with published bands"),
        "/v1/modes": (answers.modes, "The distortions"),
        "/v1/orbitals": (answers.orbitals, "The sources of orbitals of labels"),
        "/v1/structures": (answers.structures, "The structures that travel with the program"),
    }
    for path, (work, summary) in lists.items():
        _get(app, path, work, summary)

    @app.get("/healthz", summary="Is the server ready, and with what?", response_class=JSONResponse)
    async def healthz() -> Response:
        models = {what: Path(name).name for what, name in desk.networks.names().items()}
        state = {"ready": desk.ready, "version": version("clusterml"), "models": models}
        return JSONResponse(state, 200 if desk.ready else 503)

    @app.get("/metrics", summary="Numbers for Prometheus")
    async def metrics() -> Response:
        desk.metrics.count_jobs(desk.jobs.count())
        return Response(desk.metrics.text(), media_type="text/plain; version=0.0.4")


def _get(app: FastAPI, path: str, work: Callable[[], Any], summary: str) -> None:
    desk: Desk = app.state.desk

    @app.get(path, summary=summary, response_class=JSONResponse, name=path.rpartition("/")[2])
    async def handle() -> Response:
        return Response(await desk.answer(work), media_type="application/json")


def _body(model: type[BaseModel]) -> dict[str, Any]:
    """The body of a request for OpenAPI: JSON, and where it holds a file also a form."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if "file" in model.model_fields:
        part = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
        content["multipart/form-data"] = {"schema": {**part, "additionalProperties": {"type": "string"}}}
    return {"required": True, "content": content}


def _describe_bodies(app: FastAPI) -> None:
    """Add the schemas of the bodies, which the routes read themselves, to those that FastAPI knows of."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            _, schemas = models_json_schema(
                [(model, "validation") for model in app.state.bodies], ref_template="#/components/schemas/{model}"
            )
            make()["components"]["schemas"].update(schemas["$defs"])
        return make()

    app.openapi = openapi  # type: ignore[method-assign]
