"""Which structures go into a batch, and several processes that train one network, each with its part of every batch.

A batch is planned for all processes together and then divided among them, so that n processes with batches of b edges
take the same steps as one process with batches of n b edges.

Gradients are added up here, in one message, rather than by DistributedDataParallel: the parts of a batch need not be
equally large (each structure weighs the same), a part may be empty, and a batch is skipped by all processes or by none.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from clusterml.engine.protocol import check_device
from clusterml.errors import OptionError


def plan(
    sizes: Sequence[int], edges: int, structures: int, *, processes: int = 1, order: Sequence[int] | None = None
) -> list[list[int]]:
    """Batches of positions in ``sizes`` (edges of each graph), each position in one batch.

    A batch holds at most ``edges`` edges and ``structures`` structures for each of ``processes``; a larger graph is a
    batch of its own.  Positions are taken in ``order`` (default: as they stand).
    """
    made: list[list[int]] = []
    load = 0
    for position in range(len(sizes)) if order is None else order:
        full = not made or load + sizes[position] > edges * processes or len(made[-1]) >= structures * processes
        if full:
            made.append([])
            load = 0
        made[-1].append(position)
        load += sizes[position]
    return made


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """The order of ``count`` structures in an epoch; the same for the same ``seed`` and ``epoch``."""
    return [int(position) for position in np.random.default_rng([seed, 2, epoch]).permutation(count)]


def share(batch: Sequence[int], sizes: Sequence[int], processes: int, rank: int) -> list[int]:
    """The part of ``batch`` that process ``rank`` works on: the largest graphs first, each to who has least to do."""
    if processes == 1:
        return list(batch)
    loads = [(0, process) for process in range(processes)]
    mine = []
    for position in sorted(batch, key=lambda p: (-sizes[p], p)):
        load, process = heapq.heappop(loads)
        heapq.heappush(loads, (load + sizes[position], process))
        if process == rank:
            mine.append(position)
    return mine


@dataclass(frozen=True)
class Group:
    """``size`` processes, of which this is number ``rank``, computing on ``device``."""

    rank: int
    size: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Does this process write the files?"""
        return self.rank == 0

    def add(self, values: Tensor) -> Tensor:
        """``values`` summed over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Sum the gradients of ``parameters`` over the processes; a parameter without one gets zeros."""
        with_gradient = list(parameters)
        for parameter in with_gradient:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in with_gradient if parameter.grad is not None]
        flat = self.add(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: str = "auto") -> Iterator[Group]:
    """The group that torchrun started this process in, or a group of one.

    ``device``: cpu, cuda, or auto (cuda where there is one).  Raises :class:`OptionError` if it cannot be used.
    """
    if device != "auto":
        check_device(device, "auto, cpu or cuda")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and ":" in device:
        raise OptionError(f"device is {device!r} for {size} processes", "use --device cuda: each takes its own")
    local = int(device.partition(":")[2] or os.environ.get("LOCAL_RANK", "0"))
    where = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if size == 1:
        yield Group(0, 1, where)
        return
    if on_gpu:
        torch.cuda.set_device(where)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Group(dist.get_rank(), size, where)
    finally:
        dist.destroy_process_group()
