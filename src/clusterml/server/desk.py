"""What a running server holds, and how its answers are computed: threads, networks, parents, limits, numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from clusterml.io.files import exclusive, make_folder
from clusterml.io.json import json_text
from clusterml.run.resources import available_cores
from clusterml.server import answers, distortion
from clusterml.server.distortion import Parents
from clusterml.server.foreman import Foreman
from clusterml.server.jobs import Jobs
from clusterml.server.metrics import Metrics
from clusterml.server.networks import Networks
from clusterml.server.refusals import Discretion, RefusalError
from clusterml.server.requests import DistortRequest, PredictRequest
from clusterml.server.settings import Settings

T = TypeVar("T")


class Desk:
    """Computes answers in threads, a few at a time; others wait, and what is too much is asked to come again."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.metrics = Metrics()
        self.networks = Networks(settings.model, settings.device, self.metrics.batch)
        self.parents = Parents(self.limits)
        places = [settings.jobs_folder, Path(settings.model).parent] if Path(settings.model).is_dir() else []
        self.discretion = Discretion(*(places or [settings.jobs_folder]))
        self.jobs = Jobs(settings.jobs_folder, self.limits)
        self.foreman = Foreman(self.jobs, settings)
        self.ready = False
        self._held = ExitStack()
        self._pool = ThreadPoolExecutor(available_cores() + 1, thread_name_prefix="answer")
        self._waiting = 0

    def close(self) -> None:
        """Answer nothing more, and end what works on jobs."""
        self.foreman.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.networks.close()
        self._held.close()

    def load(self) -> None:
        """Load the network, and go on with the jobs; raises what loading raises."""
        self.networks.find()
        make_folder(self.settings.jobs_folder)
        self._held.enter_context(exclusive(self.settings.jobs_folder))
        self.jobs.load()
        self.foreman.start()
        self.ready = True

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """``work`` in a thread.  Raises what it raises, and :class:`RefusalError` (503) where too much waits."""
        if self._waiting >= self.limits.waiting:
            raise RefusalError(503, f"{self._waiting} requests are waiting already", "ask again in a moment", 2)
        self._waiting += 1
        self.metrics.waiting.set(self._waiting)
        future: Future[T] = self._pool.submit(work, *arguments)
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._waiting -= 1
            self.metrics.waiting.set(self._waiting)

    async def answer(self, work: Callable[..., Any], *arguments: Any) -> bytes:
        """The JSON of what ``work`` gives."""
        return await self.run(lambda: self.encode(work(*arguments)))

    def encode(self, value: Any) -> bytes:
        """Strict JSON, without paths of this computer."""
        return self.discretion(json_text(value)).encode()

    async def predict(self, request: PredictRequest) -> bytes:
        """The prediction for a structure, in a batch with others that arrive at the same time."""
        network = await self.run(self.networks.find, request.model)
        ready = await self.run(answers.prepare, request, network.predictor, self.limits)
        prediction = await asyncio.wrap_future(network.submit(ready))
        return await self.answer(answers.prediction_json, prediction, request.fwhm)

    async def distort(self, request: DistortRequest) -> bytes:
        """Geometry and prediction of a distorted structure."""
        key, parent = await self.run(self.parents.find, request)
        atoms = await self.run(distortion.distorted, parent, request)
        if not request.predict:
            return await self.answer(distortion.describe, parent, key, atoms, request)
        network = await self.run(self.networks.find, request.model)
        network.predictor.at_width(request.fwhm)
        ready = await self.run(parent.prepare, atoms, request.charge, network.predictor, request.allow_several)
        prediction = await asyncio.wrap_future(network.submit(ready, quick=request.quick))

        def described() -> dict[str, Any]:
            result = distortion.describe(parent, key, atoms, request)
            return {**result, "prediction": answers.prediction_json(prediction, request.fwhm)}

        return await self.answer(described)
