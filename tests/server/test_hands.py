"""Answers made in processes: right ones, refused ones, those that take too long, and a process that is killed."""

from __future__ import annotations

import errno
import json
import os

import pytest

from clusterml.errors import InputFileError, MemoryLimitError
from clusterml.server.hands import Hands
from clusterml.server.processes import IDLE_S
from clusterml.server.refusals import RefusalError
from clusterml.server.requests import BuildOptions, ChiralityRequest, NamedText, StructureRequest
from clusterml.server.settings import Limits

RING = BuildOptions(name="ag3", thiolate="SH")


@pytest.fixture
def hands():
    made = Hands(Limits(seconds=100.0))
    yield made
    made.close()


def test_a_process_answers_refuses_and_is_replaced_when_it_is_killed(hands):
    hands.prepare()
    answer = json.loads(hands.make("inspect", StructureRequest(build=RING)))
    assert answer["formula"] == "Ag3H3S3"
    with pytest.raises(InputFileError, match=r"x\.cif"):
        hands.make("inspect", StructureRequest(file=NamedText(name="x.cif", text="data_x\n")))
    (worker,) = hands._idle
    worker.process.kill()
    worker.process.join()
    assert json.loads(hands.make("chirality", ChiralityRequest(build=RING, groups=["Cs"])))["formula"] == "Ag3H3S3"
    (other,) = hands._idle
    assert other.process.pid != worker.process.pid


def test_a_process_that_nobody_needs_is_ended(hands):
    hands.prepare()
    (worker,) = hands._idle
    hands.end_idle()
    assert worker.process.is_alive()
    worker.since -= 2.0 * IDLE_S
    hands.end_idle()
    assert not worker.process.is_alive()
    assert hands._idle == []


def test_an_answer_that_no_process_can_make_is_refused_for_now(hands, monkeypatch):
    def lack(*_):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("clusterml.server.hands.hire", lack)
    with pytest.raises(RefusalError, match="no process can be started: ") as error:
        hands.make("inspect", StructureRequest(build=RING))
    assert (error.value.status, error.value.retry_s) == (503, 10)


def test_an_answer_that_takes_too_long_ends_with_its_process():
    hands = Hands(Limits(seconds=0.05))
    with pytest.raises(RefusalError, match=r"takes longer than 0\.05 s") as error:
        hands.make("chirality", ChiralityRequest(build=RING))
    assert error.value.status == 504
    assert not hands._idle
    assert not hands._busy
    hands.close()


def test_what_is_at_work_when_the_server_ends_says_so(hands):
    from threading import Timer

    Timer(0.2, hands.close).start()
    with pytest.raises(MemoryLimitError, match="was killed"):
        hands.make("chirality", ChiralityRequest(build=RING))
