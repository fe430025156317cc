"""What arrives together is predicted together, a bad structure costs only itself, and one thread uses the networks."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from clusterml.errors import StructureError
from clusterml.server.batching import Batcher
from clusterml.server.refusals import RefusalError


@dataclass(frozen=True)
class Structure:
    name: str
    edges: int = 10


class Networks:
    """Says of each structure its name and how many were predicted with it; ``bad`` ones fail, ``lock`` holds it up."""

    name = "fake"
    uncertainty = "known"

    def __init__(self) -> None:
        self.ensemble = SimpleNamespace(most_edges=100, first=lambda count: SimpleNamespace(most_edges=100))
        self.lock = threading.Lock()
        self.threads: set[int] = set()

    def predict(self, structures):
        self.threads.add(threading.get_ident())
        with self.lock:
            if any(structure.name == "bad" for structure in structures):
                raise StructureError("bad is bad")
            return [f"{structure.name} of {len(structures)}, {self.uncertainty}" for structure in structures]


@pytest.fixture
def batcher():
    """``sizes`` of its batches so far; ``begun``: one has."""
    sizes, begun = [], threading.Event()

    def told(size: int) -> None:
        sizes.append(size)
        begun.set()

    made = Batcher(Networks(), told)
    made.sizes, made.begun = sizes, begun
    yield made
    made.close()


def test_what_waits_is_predicted_together_and_quick_ones_apart(batcher):
    with batcher.predictor.lock:
        first = batcher.submit(Structure("first"))
        assert batcher.begun.wait(10)  # it is at work now, and others arrive
        others = [batcher.submit(Structure(name), quick=name == "quick") for name in ("a", "quick", "b")]
    assert first.result(10) == "first of 1, known"
    assert [other.result(10) for other in others] == ["a of 2, known", "quick of 1, None", "b of 2, known"]
    assert batcher.sizes == [1, 1, 2]


def test_a_batch_is_no_larger_than_the_memory_allows(batcher):
    with batcher.predictor.lock:
        batcher.submit(Structure("first"))
        assert batcher.begun.wait(10)
        large = [batcher.submit(Structure(name, 60)) for name in "abc"]
    assert [item.result(10) for item in large] == ["a of 2, known", "b of 2, known", "c of 1, known"]


def test_a_bad_structure_costs_only_itself(batcher):
    with batcher.predictor.lock:
        batcher.submit(Structure("first"))
        assert batcher.begun.wait(10)
        good, bad = batcher.submit(Structure("good")), batcher.submit(Structure("bad"))
    assert good.result(10) == "good of 1, known"
    with pytest.raises(StructureError, match="bad is bad"):
        bad.result(10)


def test_other_work_with_the_networks_is_done_by_the_same_thread(batcher):
    results = [batcher.submit(Structure("a")), batcher.call(lambda predictor: threading.get_ident())]
    results.append(batcher.submit(Structure("b")))
    assert {results[1].result(10)} == batcher.predictor.threads | {results[1].result(10)}
    assert results[2].result(10).startswith("b")
    with pytest.raises(KeyError):
        batcher.call(lambda predictor: {}["x"]).result(10)
    assert len(batcher.predictor.threads) == 1


def test_what_waits_is_finished_before_the_end():
    batcher = Batcher(Networks())
    with batcher.predictor.lock:
        waiting = [batcher.submit(Structure(name)) for name in "ab"]
    batcher.close()
    assert all(item.result(0).startswith(name) for item, name in zip(waiting, "ab", strict=True))


def test_what_comes_after_the_end_is_asked_to_come_again():
    batcher = Batcher(Networks())
    batcher.close()
    for late in (lambda: batcher.submit(Structure("a")), lambda: batcher.call(lambda predictor: 1)):
        with pytest.raises(RefusalError, match="fake has made room for other checkpoints") as error:
            late()
        assert (error.value.status, error.value.retry_s) == (503, 1)
