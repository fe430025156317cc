"""Who may ask, and how much: settings, tokens, origins, sizes, and what is told of errors."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clusterml.errors import ChargeError, OptionError, OutputError
from clusterml.io.shipped import shipped
from clusterml.server import refusals
from clusterml.server.refusals import Discretion, RefusalError, problem_of, raised_from, status_of
from clusterml.server.settings import Limits, Settings, is_loopback
from clusterml.training.catalogue import ReleaseError

from .conftest import wait_for  # noqa: F401  # skips where the extra is missing

from clusterml.server.guard import _bounded, check_request  # isort: skip

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host": "0.0.0.0"}, "other computers reach 0.0.0.0, and there is no token"),
        ({"host": "example.org"}, "CLUSTERML_TOKEN"),
        ({"host": "0.0.0.0", "token": "short"}, "too easy to guess"),
        ({"port": 70000}, "port is 70000"),
        ({"workers": 0}, "workers is 0"),
        ({"allow_origin": ("example.org",)}, "--allow-origin is 'example.org'"),
    ],
)
def test_settings_that_cannot_be_used(values, words):
    with pytest.raises(OptionError, match=words):
        Settings(**values)


def test_limits_are_numbers_above_zero():
    with pytest.raises(OptionError, match="atoms is 0"):
        Limits(atoms=0)
    with pytest.raises(OptionError, match="seconds is nan"):
        Limits(seconds=float("nan"))
    with pytest.raises(OptionError, match="upload_mb is 1000"):
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
        (OPEN, "/v1/jobs", {**BEARER, "origin": "https://good.org.evil.org"}, 403),
    ],
)
def test_who_may_ask(settings, path, headers, status):
    if status is None:
        check_request("POST", path, headers, settings)
        return
    with pytest.raises(RefusalError) as error:
        check_request("POST", path, headers, settings)
    assert error.value.status == status


def test_a_body_is_counted_even_where_its_size_is_not_said():
    async def receive():
        return {"type": "http.request", "body": b"x" * 600, "more_body": True}

    async def twice():
        receiving = _bounded(receive, {}, 1000)
        await receiving()
        await receiving()

    with pytest.raises(RefusalError, match="larger than"):
        asyncio.run(twice())
    with pytest.raises(RefusalError, match="larger than"):
        _bounded(receive, {"content-length": "1001"}, 1000)


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
    assert discretion(f"{shipped('checkpoints')}/ag-sr-v1") == "shipped:checkpoints/ag-sr-v1"
    assert discretion("400..600 nm, 3/4 of it") == "400..600 nm, 3/4 of it"
