from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clusterml.training.config import ScheduleConfig
from clusterml.training.loop import plateau_steps, share_of_rate
from clusterml.training.parallel import plan, share, shuffled

sizes = st.lists(st.integers(1, 200), min_size=1, max_size=40)


@given(sizes, st.integers(1, 300), st.integers(1, 8), st.integers(1, 4), st.integers(0, 9))
def test_every_structure_is_in_one_batch_of_one_process(sizes, edges, structures, processes, epoch):
    order = shuffled(len(sizes), 1, epoch)
    batches = plan(sizes, edges, structures, processes=processes, order=order)
    assert [position for batch in batches for position in batch] == order
    for batch in batches:
        assert len(batch) <= structures * processes
        assert len(batch) == 1 or sum(sizes[k] for k in batch) <= edges * processes
        parts = [share(batch, sizes, processes, rank) for rank in range(processes)]
        assert sorted(k for part in parts for k in part) == sorted(batch)
        loads = [sum(sizes[k] for k in part) for part in parts]
        assert max(loads) - min(loads) <= max(sizes[k] for k in batch)


@given(sizes, st.integers(1, 300), st.integers(1, 8))
def test_two_processes_take_the_steps_of_one_with_twice_the_batch(sizes, edges, structures):
    assert plan(sizes, edges, structures, processes=2) == plan(sizes, 2 * edges, 2 * structures)


def test_the_order_depends_on_seed_and_epoch_alone():
    assert shuffled(20, 1, 0) == shuffled(20, 1, 0)
    assert shuffled(20, 1, 0) != shuffled(20, 1, 1) != shuffled(20, 2, 1)


def test_the_cosine_rises_falls_and_ends_at_its_floor():
    config = ScheduleConfig(epochs=10, warmup_epochs=2, floor=0.1)
    rates = [share_of_rate(config, epoch, 0) for epoch in np.linspace(0, 10, 101)]
    assert rates[0] == 0.0
    assert rates[20] == max(rates) == 1.0
    assert np.all(np.diff(rates[20:]) < 0)
    assert math.isclose(rates[-1], 0.1)


def test_a_plateau_steps_down_after_patience_and_not_below_its_floor():
    config = ScheduleConfig(kind="plateau", epochs=50, warmup_epochs=0, patience=2, factor=0.5, floor=0.2)
    assert plateau_steps(config, [3.0, 2.0, 2.1]) == 0
    assert plateau_steps(config, [3.0, 2.0, 2.1, 2.2]) == 1
    assert plateau_steps(config, [3.0, 2.0, 2.1, 2.2, 2.3, 1.0, 1.1, 1.2]) == 2
    assert [share_of_rate(config, 5.0, steps) for steps in (0, 1, 2, 3)] == [1.0, 0.5, 0.25, 0.2]
