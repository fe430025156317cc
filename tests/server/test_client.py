"""The client of Python where what it asks is no server of ours, or one that falls silent."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress

import pytest

import clusterml as cm
from clusterml.errors import OptionError, ServerError


@pytest.fixture
def answering():
    """A client of something that sends given bytes for each request, and then waits ``stays`` seconds or breaks off."""
    listeners = []

    def start(content, stays=0.0, timeout=5.0):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve():
            with suppress(OSError):  # the test has ended
                while True:
                    line, _ = listener.accept()
                    with line:
                        line.recv(65536)
                        line.sendall(content)
                        time.sleep(max(stays, 0.0))
                        if stays < 0.0:  # a reset, not an end
                            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        threading.Thread(target=serve, daemon=True).start()
        return cm.Client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=timeout)

    yield start
    for listener in listeners:
        listener.close()


def http(content, status="200 OK", length=None):
    size = len(content) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + content


HALF = http(b'{"ready"', length=1000)


@pytest.mark.parametrize(
    ("content", "how", "problem", "remedy"),
    [
        (http(b"<html>Welcome</html>"), {}, "answers, but not in JSON", "is it a clusterml server?"),
        (http(b"[" * 100_000), {}, "answers, but not in JSON", "is it a clusterml server?"),
        (http(b"\xff\xfe\xfd"), {}, "answers, but not in JSON", "is it a clusterml server?"),
        (HALF, {}, "broke off: IncompleteRead", "ask again"),
        (HALF, {"stays": -1.0}, "broke off: .*reset", "ask again"),
        (HALF, {"stays": 1.0, "timeout": 0.2}, "broke off: timed out", "longer timeout"),
        (b"", {"stays": 1.0, "timeout": 0.2}, "no answer from .*: timed out", "longer timeout"),
        (b"", {}, "no answer from ", "is the server running?"),
        (b"SSH-2.0-OpenSSH\r\n", {}, "no answer from ", "is the server running?"),
        (http(b"{", "500 Oh", 1000), {}, "the server answers 500 Oh", "is it a clusterml server?"),
    ],
)
def test_what_is_no_answer_of_ours_is_an_error_with_a_remedy(answering, content, how, problem, remedy):
    with pytest.raises(ServerError, match=problem) as error:
        answering(content, **how).health()
    assert remedy in error.value.remedy


@pytest.mark.parametrize(
    ("content", "how", "problem"),
    [
        (http(b"data: <html>\n\n"), {}, "answers, but not in JSON"),
        (http(b'data: {"state": "running"}\n', length=1000), {"stays": -1.0}, "broke off: .*reset"),
        (http(b'data: {"state": "running"}\n', length=1000), {"stays": 1.0, "timeout": 0.2}, "broke off: timed out"),
    ],
)
def test_events_that_break_off_are_an_error_with_a_remedy(answering, content, how, problem):
    with pytest.raises(ServerError, match=problem) as error:
        list(answering(content, **how).events("a"))
    assert error.value.remedy


def test_what_has_not_ended_is_to_be_sent_again(answering):
    client = answering(http(b'{"state": "running", "problem": null}'))
    with pytest.raises(ServerError, match="job a is running") as error:
        client.wait("a")
    assert error.value.remedy == "send it again"


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http://", "http://:8000", "http://host:99999", "http://host:port", "http://host:0", "http://a..b",
     "ftp://host", "127.0.0.1:8000", ""],
)  # fmt: skip
def test_an_address_that_is_none(url):
    with pytest.raises(OptionError, match="the address is") as error:
        cm.Client(url)
    assert error.value.remedy == "give one such as http://127.0.0.1:8000"


@pytest.mark.parametrize("url", ["http://[::1]:8000", "https://cluster.example.org/clusterml/", "http://localhost"])
def test_addresses(url):
    assert cm.Client(url).url == url.rstrip("/")
