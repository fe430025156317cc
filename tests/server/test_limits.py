"""Who may ask, and how much: settings, tokens, origins, sizes, and what is told of errors."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ase import Atoms

from clusterml.cli.serve import LimitOptions
from clusterml.cli.verbs import _Verbs
from clusterml.engine.protocol import Compute, Protocol
from clusterml.errors import ChargeError, OptionError, OutputError
from clusterml.inference.predictor import Predictor
from clusterml.io.shipped import QUICK_MODEL, shipped
from clusterml.server import answers, explained, refusals, requests
from clusterml.server.refusals import Discretion, RefusalError, problem_of, raised_from, status_of
from clusterml.server.settings import Limits, Settings, is_loopback
from clusterml.training.catalogue import ReleaseError

httpx = pytest.importorskip("httpx", reason="needs httpx")
bodies = pytest.importorskip("clusterml.server.bodies", reason="needs clusterml[server]")
app_module = pytest.importorskip("clusterml.server.app", reason="needs clusterml[server]")
guard = pytest.importorskip("clusterml.server.guard", reason="needs clusterml[server]")

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host": "0.0.0.0"}, "other computers reach 0.0.0.0, and there is no token"),
        ({"host": "example.org"}, "CLUSTERML_TOKEN"),
        ({"host": "0.0.0.0", "token": "short"}, "too easy to guess"),
        ({"port": 70000}, "--port is 70000"),
        ({"workers": 0}, "--workers is 0"),
        ({"allow_origin": ("example.org",)}, "--allow-origin is 'example.org'"),
    ],
)
def test_settings_that_cannot_be_used(values, words):
    with pytest.raises(OptionError, match=words):
        Settings(**values)


def test_limits_are_numbers_above_zero():
    with pytest.raises(OptionError, match="--most-atoms is 0"):
        Limits(most_atoms=0)
    with pytest.raises(OptionError, match="--seconds is nan"):
        Limits(seconds=float("nan"))
    with pytest.raises(OptionError, match="--upload-mb is 1000"):
        Limits(upload_mb=1000)


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("[::1]", True), ("0.0.0.0", False),
     ("127.0.0.1.example.org", False), ("", False)],
)  # fmt: skip
def test_which_hosts_are_this_computer(host, local):
    assert is_loopback(host) is local


LOCAL, OPEN = Settings(), Settings("0.0.0.0", token=TOKEN, allow_origin=("https://good.org",))
HERE = {"host": "127.0.0.1:8000"}
BEARER = {"host": "cluster.org", "authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("settings", "path", "headers", "status"),
    [
        (LOCAL, "/v1/predict", HERE, None),
        (LOCAL, "/v1/predict", {"host": "localhost"}, None),
        (LOCAL, "/v1/predict", {"host": "evil.org"}, 403),
        (LOCAL, "/v1/predict", {}, 403),
        (LOCAL, "/v1/predict", {"host": "["}, 403),
        (LOCAL, "/v1/predict", {**HERE, "origin": "http://["}, 403),
        (LOCAL, "/v1/predict", {**HERE, "origin": "http://127.0.0.1:8000"}, None),
        (LOCAL, "/v1/predict", {**HERE, "origin": "http://127.0.0.1:9000"}, 403),
        (LOCAL, "/v1/predict", {**HERE, "origin": "null"}, 403),
        (OPEN, "/v1/predict", BEARER, None),
        (OPEN, "/metrics", {"host": "cluster.org"}, 401),
        (OPEN, "/openapi.json", {"host": "cluster.org"}, 401),
        (OPEN, "/healthz", {"host": "cluster.org"}, None),
        (OPEN, "/", {"host": "cluster.org"}, None),
        (OPEN, "/v1/jobs", {**BEARER, "authorization": f"Bearer {TOKEN}x"}, 401),
        (OPEN, "/v1/jobs", {**BEARER, "authorization": TOKEN}, 401),
        (OPEN, "/v1/jobs", {**BEARER, "authorization": "Bearer é"}, 401),
        (OPEN, "/v1/jobs", {**BEARER, "origin": "https://good.org"}, None),
        (OPEN, "/v1/jobs", {**BEARER, "origin": "http://["}, 403),
        (OPEN, "/v1/jobs", {**BEARER, "origin": "https://good.org.evil.org"}, 403),
    ],
)
def test_who_may_ask(settings, path, headers, status):
    if status is None:
        guard.check_request("POST", path, headers, settings)
        return
    with pytest.raises(RefusalError) as error:
        guard.check_request("POST", path, headers, settings)
    assert error.value.status == status


def test_a_body_is_counted_even_where_its_size_is_not_said():
    async def receive():
        return {"type": "http.request", "body": b"x" * 600, "more_body": True}

    async def twice():
        receiving = guard._bounded(receive, {}, 1000)
        await receiving()
        await receiving()

    with pytest.raises(RefusalError, match="larger than"):
        asyncio.run(twice())
    with pytest.raises(RefusalError, match="larger than"):
        guard._bounded(receive, {"content-length": "1001"}, 1000)
    for digits in (20, 5000):
        with pytest.raises(RefusalError, match="larger than"):
            guard._bounded(receive, {"content-length": "9" * digits}, 1000)


@pytest.mark.parametrize("text", ["[1,", "[" * 100_000, '{"a":' * 100_000])
def test_a_field_of_a_form_that_is_no_json(text):
    with pytest.raises(OptionError, match="the request: distortions is not usable JSON"):
        bodies._value("distortions", text)


def test_errors_are_sent_by_the_name_that_the_client_knows():
    assert problem_of(ChargeError("a", "b")).model_dump() == {"error": "ChargeError", "problem": "a", "remedy": "b"}
    assert problem_of(RefusalError(401, "a")).error == "ServerError"
    assert problem_of(ReleaseError("a")).error == "ClusterMLError"
    assert [status_of(error) for error in (ChargeError(""), OutputError(""), RefusalError(413, ""))] == [422, 500, 413]
    for name, kind in (("ChargeError", "ChargeError"), ("os", "ServerError"), ("printable", "ServerError")):
        assert type(raised_from({"error": name, "problem": "p", "remedy": ""})).__name__ == kind
    assert refusals.UNEXPECTED.remedy


def test_paths_are_left_out_and_shipped_names_stay(tmp_path):
    discretion = Discretion(tmp_path / "jobs")
    assert discretion(f"{tmp_path}/jobs/ab/input/x.cif: damaged") == "ab/input/x.cif: damaged"
    assert discretion(f"read {Path.home() / 'model'}") == "read model"
    assert discretion(f"{shipped('checkpoints')}/ag-quick-v1") == "shipped:checkpoints/ag-quick-v1"
    assert discretion("400..600 nm, 3/4 of it") == "400..600 nm, 3/4 of it"


@pytest.fixture
def ask(tmp_path):
    """Answers of an application without a network to requests that come together; those to /v1/slow take a while."""

    def answers(*wanted, method="GET", headers=None, **limits):
        settings = Settings(jobs_folder=tmp_path, allow_origin=("https://good.org",), limits=Limits(**limits))
        app = app_module.make_app(settings)
        for path, handler in (("/v1/slow", slow), ("/v1/broken", broken)):
            app.add_api_route(path, handler)
            app.router.routes.insert(0, app.router.routes.pop())  # before the page, which takes what is left

        async def every():
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await asyncio.gather(*(client.request(method, path, headers=headers) for path in wanted))

        return asyncio.run(every())

    async def slow():
        await asyncio.sleep(0.5)

    async def broken():
        return 1 / 0

    return answers


def test_an_answer_that_takes_too_long_is_given_up(ask):
    (answer,) = ask("/v1/slow", seconds=0.05)
    assert answer.status_code == 504
    assert answer.json()["problem"] == "the answer takes longer than 0.05 s"
    assert ask("/v1/slow", seconds=5.0)[0].status_code == 200


def test_too_many_requests_are_asked_to_come_again(ask):
    answers = ask(*["/v1/slow"] * 6, "/healthz", queue=2)
    refused = [answer for answer in answers if answer.status_code == 503 and "retry-after" in answer.headers]
    assert len(refused) == 4
    assert [answer.status_code for answer in answers].count(200) == 2


def test_only_pages_that_are_named_may_ask(ask):
    good = {"Origin": "https://good.org", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET"):
        (answer,) = ask("/v1/modes", method=method, headers=good)
        assert answer.headers["access-control-allow-origin"] == "https://good.org"
    for method, status in (("OPTIONS", 400), ("GET", 403)):
        (answer,) = ask("/v1/modes", method=method, headers={**good, "Origin": "https://evil.org"})
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


def test_pages_that_are_named_can_read_why_they_are_refused(ask):
    good = {"Origin": "https://good.org"}
    refused = [
        *ask("/v1/slow", headers=good, seconds=0.05),
        *ask("/v1/broken", headers=good),
        *ask("/v1/predict", method="POST", headers={**good, "Content-Length": str(10**12)}),
        *ask("/v1/modes", headers={**good, "Host": "evil.org"}),
        *(answer for answer in ask(*["/v1/slow"] * 4, headers=good, queue=1) if "retry-after" in answer.headers),
    ]
    assert [answer.status_code for answer in refused] == [504, 500, 413, 403, 503, 503, 503]
    for answer in refused:
        assert answer.headers["access-control-allow-origin"] == "https://good.org"
        assert answer.headers["access-control-expose-headers"] == "Retry-After"


def test_what_is_not_expected_tells_nothing(ask):
    (answer,) = ask("/v1/broken")
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.status_code, answer.json()["problem"]) == (500, "the server failed, which it should not")


ELSEWHERE = {
    "predict": {"engine", "engine_limit", "device", "threads", "resume"},
    "label": {"device", "memory_gb", "threads", "jobs", "checkpoint", "molden", "resume"},
    "explain": {"device", "threads"},
    "distort": {"mode", "amount", "scan", "samples", "temperature", "factor", "weight", "show"},
    "substitute": {"series", "show"},
}
"""Options of commands that a request has not: what is computed with, and what several requests or other keys do."""
MORE = {
    "chirality": set(), "distort": {"parent", "distortions", "predict", "quick", "advise", "model", "fwhm", "charge"},
}  # fmt: skip
"""Keys that only a request has."""
OUTPUT = {"files", "file", "as_json", "output", "axis", "shown", "jcamp", "library"}


@pytest.mark.parametrize(
    ("verb", "model"),
    [
        ("inspect", requests.StructureRequest),
        ("predict", requests.PredictRequest),
        ("label", requests.LabelRequest),
        ("chirality", requests.ChiralityRequest),
        ("explain", requests.ExplainRequest),
        ("distort", requests.DistortRequest),
        ("substitute", requests.SubstituteRequest),
    ],
)
def test_the_keys_of_a_request_are_the_options_of_the_command(verb, model):
    options = {option.name: option for option in _Verbs()[verb].params if option.name != "help"}
    output = OUTPUT - ({"axis"} if verb == "distort" else set())
    expected = options.keys() - output - ELSEWHERE.get(verb, set())
    keys = model.model_fields.keys() - {"file", "shipped", "build"} - MORE.get(verb, set())
    assert keys == expected
    for name in keys - {"groups", "sites", "old", "band", "axis", "model"}:  # lists here, texts there; needed
        assert model.model_fields[name].default == options[name].default, name


def test_large_structures_have_fewer_snapshots():
    request = requests.PredictRequest(shipped="ag25_sch3", ensemble=40)
    quick, large = Predictor.load(QUICK_MODEL, "cpu"), Atoms("Ag1000")
    answers._check_work(request, Atoms("Ag115"), quick, Limits())
    with pytest.raises(OptionError, match=r"ensemble is 40 for 1000 atoms \(this server takes 12 snapshots"):
        answers._check_work(request, large, quick, Limits())
    single, slow = requests.PredictRequest(shipped="ag25_sch3"), Predictor.load(device="cpu")
    answers._check_work(single, Atoms("Ag115"), slow, Limits())
    answers._check_work(single, Atoms("U1000"), slow, Limits())  # the network refuses it
    answers._check_work(single, large, quick, Limits())
    with pytest.raises(
        OptionError, match=r"ag-response-v1 would take .*, and this server gives 60 s \(set model to ag-"
    ):
        answers._check_work(single, large, slow, Limits())


def test_what_the_engine_takes_too_long_for_is_refused_before_it_begins(monkeypatch):
    monkeypatch.setattr("clusterml.engine.label.label", None)  # it is not reached
    monkeypatch.setattr("clusterml.engine.cost.busyness", lambda threads: 4.0)  # whatever else runs here
    large = requests.ExplainRequest(shipped="ag70_sipr_tfa20_dmf3_M", band="2..3")
    with pytest.raises(OptionError, match=r"the engine would take about .* min, and this server gives 60 s") as error:
        explained.explain(large, Limits())
    assert error.value.remedy.startswith(f"set model to {QUICK_MODEL}, use the command line, or a server")
    kohn_sham = requests.ExplainRequest(shipped="ag12_sch3_hcoo", band="2..3", orbitals="dft")
    with pytest.raises(OptionError, match=r"the engine would take about .* (h|min)"):
        explained.explain(kohn_sham, Limits())


def test_a_busy_computer_takes_longer(monkeypatch):
    atoms, protocol, compute = Atoms("Ag60"), Protocol(), Compute(threads=1)
    monkeypatch.setattr("clusterml.engine.cost.busyness", lambda threads: 1.0)
    alone = explained.expected_seconds(atoms, protocol, compute)
    explained.check_time(atoms, protocol, compute, Limits(seconds=2.0 * alone))
    monkeypatch.setattr("clusterml.engine.cost.busyness", lambda threads: 3.0)
    with pytest.raises(OptionError, match="would take"):
        explained.check_time(atoms, protocol, compute, Limits(seconds=2.0 * alone))
    assert explained.expected_seconds(atoms, protocol.but(orbitals="molden"), compute) == 0.0


def test_the_limits_of_the_command_are_those_of_the_server():
    assert LimitOptions().limits() == Limits()
