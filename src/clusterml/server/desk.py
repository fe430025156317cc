"""What a running server holds, and how its answers are computed: threads, networks, parents, limits, numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from clusterml.errors import OutsideNetworkError
from clusterml.io.files import exclusive, make_folder
from clusterml.io.json import json_text
from clusterml.run.resources import available_cores
from clusterml.server import answers, distortion, explained
from clusterml.server.batching import Batcher
from clusterml.server.distortion import Parent, Parents
from clusterml.server.foreman import Foreman
from clusterml.server.hands import Hands
from clusterml.server.jobs import Jobs
from clusterml.server.metrics import Metrics
from clusterml.server.networks import Networks
from clusterml.server.refusals import Discretion, RefusalError, problem_of
from clusterml.server.requests import DistortRequest, ExplainRequest, PredictRequest
from clusterml.server.settings import Settings

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.predictor import Predictor
    from clusterml.inference.preparation import PreparedStructure

T = TypeVar("T")


class Desk:
    """Computes answers in threads, a few at a time; others wait, and what is too much is asked to come again."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.metrics = Metrics()
        self.networks = Networks(settings.model, settings.device, self.metrics.batch)
        self.parents = Parents(self.limits)
        folders = [Path(settings.model).parent] if settings.model and Path(settings.model).is_dir() else []
        self.discretion = Discretion(settings.jobs_folder, *folders)
        self.jobs = Jobs(settings.jobs_folder, self.limits)
        self._hands = Hands(self.limits)
        self.foreman = Foreman(self.jobs, settings, self._hands.end_idle)
        self.ready = False
        self._held = ExitStack()
        self._quick = ThreadPoolExecutor(available_cores() + 1, thread_name_prefix="quick")
        self._slow = ThreadPoolExecutor(available_cores(), thread_name_prefix="slow")
        self._waiting = 0

    def close(self) -> None:
        """Answer nothing more, and end what works on jobs."""
        self.foreman.close()
        for pool in (self._quick, self._slow):
            pool.shutdown(wait=False, cancel_futures=True)
        self._hands.close()
        self.networks.close()
        self._held.close()

    def load(self) -> None:
        """Load the networks, and go on with the jobs; raises what loading raises."""
        for what in self.networks.names():
            self.networks.find(what)
        make_folder(self.settings.jobs_folder)
        self._held.enter_context(exclusive(self.settings.jobs_folder))
        self.jobs.load()
        self.foreman.start()
        self._hands.prepare()
        self.ready = True

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Room for a request, until its answer is there.

        Raises :class:`RefusalError` (503) where too many are computed or wait.
        """
        if self._waiting >= self.limits.queue:
            raise RefusalError(503, f"{self._waiting} requests are waiting already", "ask again in a moment", 2)
        self._waiting += 1
        self.metrics.waiting.set(self._waiting)
        try:
            yield
        finally:
            self._waiting -= 1
            self.metrics.waiting.set(self._waiting)

    async def run(self, work: Callable[..., T], *arguments: Any, slow: bool = False) -> T:
        """``work`` in a thread; raises what it raises.  It is left out if it has not begun when nobody waits for it.

        ``slow``: it may take seconds, so that what is quick must not wait behind it.
        """
        pool = self._slow if slow else self._quick
        return await asyncio.wrap_future(pool.submit(work, *arguments))

    async def answer(self, work: Callable[..., Any], *arguments: Any, slow: bool = False) -> bytes:
        """The JSON of what ``work`` gives."""
        return await self.run(lambda: self.encode(work(*arguments)), slow=slow)

    async def make(self, name: str, request: BaseModel) -> bytes:
        """The answer ``name`` of :data:`clusterml.server.hands.WORKS`, made in a process."""
        return self.discretion(await self.run(self._hands.make, name, request, slow=True)).encode()

    def encode(self, value: Any) -> bytes:
        """Strict JSON, without paths of this computer."""
        return self.discretion(json_text(value)).encode()

    async def predict(self, request: PredictRequest) -> bytes:
        """The prediction for a structure, in a batch with others that arrive at the same time."""

        def prepare() -> tuple[Batcher, PreparedStructure]:
            network = self.networks.find("predict", request.model)
            return network, answers.prepare(request, network.predictor, self.limits)

        network, ready = await self.run(prepare)
        prediction = await asyncio.wrap_future(network.submit(ready))
        return await self.answer(answers.prediction_json, prediction, request.fwhm)

    async def explain(self, request: ExplainRequest) -> bytes:
        """Which atoms a CD comes from: that of the engine, or of the network that is named."""
        if request.model is None:
            return await self.make("explain", request)
        from clusterml.inference.explain import PredictedContributions, explain

        def prepare() -> tuple[Batcher, Atoms]:
            return self.networks.named(model), answers.read_structure(request, self.limits)

        def contributions(predictor: Predictor) -> PredictedContributions:
            return explain(predictor, atoms, low, high, request.charge, request.allow_several)

        model = request.model
        explained.refuse_method(request)
        low, high = explained.band_of(request)
        network, atoms = await self.run(prepare)
        result = await asyncio.wrap_future(network.call(contributions))
        return await self.answer(result.to_dict)

    async def distort(self, request: DistortRequest) -> bytes:
        """Geometry and prediction of a distorted structure."""

        def prepare() -> tuple[str, Parent, Atoms]:
            key, parent = self.parents.find(request)
            return key, parent, distortion.distorted(parent, request)

        def prepare_prediction() -> tuple[Batcher, PreparedStructure]:
            network = self.networks.find("distort", request.model)
            network.predictor.at_width(request.fwhm)
            return network, parent.prepare(atoms, request.charge, network.predictor)

        def described() -> dict[str, Any]:
            said = answers.prediction_json(prediction, request.fwhm, quick=request.quick)
            return {**distortion.describe(parent, key, atoms, request), "prediction": said, **advice()}

        def advice() -> dict[str, Any]:
            if not request.advise:
                return {}
            return {"engine": answers.advice(prediction, self.settings.threads)}

        def refused(error: OutsideNetworkError) -> dict[str, Any]:
            engine = answers.advice_alone(atoms, request.charge, error, self.settings.threads)
            refusal = {"prediction": None, "problem": problem_of(error).model_dump(), "engine": engine}
            return {**distortion.describe(parent, key, atoms, request), **refusal}

        key, parent, atoms = await self.run(prepare)
        if not request.predict:
            return await self.answer(distortion.describe, parent, key, atoms, request)
        try:
            network, ready = await self.run(prepare_prediction)
        except OutsideNetworkError as error:
            if not request.advise:
                raise
            return await self.answer(refused, error, slow=True)
        prediction = await asyncio.wrap_future(network.submit(ready, quick=request.quick))
        return await self.answer(described)
