"""Where a run stands (weights, averaged weights, moments), written so that a crash leaves something to go on from.

    FOLDER/checkpoints/00012-0000/state.json           counters, history, what was skipped
    FOLDER/checkpoints/00012-0000/tensors.safetensors  weights, averaged weights, moments of the optimizer
    FOLDER/LATEST                                      the name of the last of them

A checkpoint is written under a temporary name, fsynced and renamed, then LATEST is replaced.  The last and the best
(which the last one names) are kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from clusterml.errors import ClusterMLError, InputFileError, OutputError
from clusterml.io.files import check_regular, decode, make_folder, read_bounded, write_bytes, write_text
from clusterml.io.json import json_text

_NETWORK, _AVERAGE, _OPTIMIZER = "network/", "average/", "optimizer/"


def gathered(network: nn.Module, average: Average, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """``network/NAME``, ``average/NAME`` and ``optimizer/NUMBER/NAME``."""
    tensors = {f"{_NETWORK}{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"{_AVERAGE}{name}": value for name, value in average.weights.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{number}/{name}": value for name, value in moments.items()}
    return tensors


def restore(
    tensors: Mapping[str, Tensor], network: nn.Module, average: Average, optimizer: torch.optim.Optimizer
) -> None:
    """Put ``tensors`` back where :func:`gathered` took them from.

    Raises :class:`TrainingError` if they are of another network.
    """
    load_weights(network, _part(tensors, _NETWORK))
    average.load(_part(tensors, _AVERAGE))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, _OPTIMIZER).items():
        number, _, name = key.partition("/")
        moments.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def averaged(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of the network with averaged weights in place of the last ones."""
    return _part(tensors, _NETWORK) | _part(tensors, _AVERAGE)


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Set a network's state to ``weights``; raises :class:`TrainingError` if names or shapes do not fit."""
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise TrainingError(f"the weights are not of this network: {error}", "use the clusterml they are of") from error


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class Average:
    """The moving average of a network's parameters: a <- d a + (1 - d) w after every step.

    d = min(``decay``, (1 + n) / (10 + n)) after n steps, so that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self.weights: dict[str, Tensor] = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the network's parameters after ``step`` steps."""
        decay = min(self._decay, (1.0 + step) / (10.0 + step))
        for name, parameter in self._network.named_parameters():
            self.weights[name].lerp_(parameter, 1.0 - decay)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Set the average to ``weights``."""
        for name, value in self.weights.items():
            value.copy_(weights[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context the network has the averaged weights."""
        parameters = dict(self._network.named_parameters())
        kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        self._copy(self.weights, parameters)
        try:
            yield
        finally:
            self._copy(kept, parameters)

    @staticmethod
    @torch.no_grad()
    def _copy(source: Mapping[str, Tensor], target: Mapping[str, nn.Parameter]) -> None:
        for name, parameter in target.items():
            parameter.copy_(source[name])


SCHEMA_VERSION = 1
"""Version of the checkpoints of a run; another one cannot be resumed."""
_UNFINISHED = ".unfinished-"
_LARGEST_STATE = 256 * 1024**2  # bytes
_ANEW = "start the run anew in another folder"


class TrainingError(ClusterMLError):
    """A run cannot start, go on, or come to an end."""


@dataclass
class State:
    """Counters of a run: the next ``batch`` of ``epoch`` is to be done, after ``step`` steps.

    ``sums`` of the terms over the ``counted`` structures of this epoch; ``history``: one row for each finished epoch;
    ``skipped``: batches that were skipped; ``best``: checkpoint, epoch and validation loss; ``seconds``: time spent.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counted: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    best: str | None = None
    best_epoch: int = 0
    best_loss: float | None = None
    seconds: float = 0.0


_STATE = TypeAdapter(State)


class Checkpoints:
    """The checkpoints of the run in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._pointer = folder / "LATEST"
        self._folder = folder / "checkpoints"

    def save(self, state: State, tensors: Mapping[str, Tensor], *, best: bool = False) -> None:
        """Keep ``state`` and ``tensors``; with ``best`` they become the best so far, which ``state`` then says."""
        name = self._free_name(f"{state.epoch:05d}-{state.batch:05d}")
        if best:
            state.best = name
        unfinished = make_folder(self._folder / f"{_UNFINISHED}{name}", within=self._folder.parent)
        write_bytes(unfinished / "tensors.safetensors", as_bytes(tensors))
        write_text(unfinished / "state.json", json_text({"schema_version": SCHEMA_VERSION, **asdict(state)}))
        try:
            _sync(unfinished)
            unfinished.rename(self._folder / name)
            _sync(self._folder)
        except OSError as error:
            raise OutputError(f"{self._folder / name} cannot be written: {error}", "check the disk") from error
        write_text(self._pointer, f"{name}\n")
        self._sweep({name, state.best})

    def latest(self) -> tuple[State, dict[str, Tensor]] | None:
        """The last state and its tensors; None if nothing has been kept yet.

        Raises :class:`TrainingError` naming the file if it is damaged or of another version.
        """
        if not self._pointer.exists():
            return None
        folder = self._inside(decode(self._read(self._pointer, 1000), str(self._pointer)).strip())
        try:
            content = json.loads(self._read(folder / "state.json", _LARGEST_STATE))
            version = content.pop("schema_version")
            if version != SCHEMA_VERSION:
                raise TrainingError(f"{folder}: has schema version {version}", "use the clusterml it was written with")
            state = _STATE.validate_python({f.name: content[f.name] for f in fields(State)})
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(f"{folder}: cannot be read ({error})", _ANEW) from error
        return state, self._tensors(folder)

    def best(self, state: State) -> dict[str, Tensor]:
        """The tensors of the best checkpoint of ``state``; raises :class:`TrainingError` if there is none."""
        if state.best is None:
            raise TrainingError(f"{self._folder}: no epoch has been finished", "let the run go on")
        return self._tensors(self._inside(state.best))

    def _tensors(self, folder: Path) -> dict[str, Tensor]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = folder / "tensors.safetensors"
        try:
            check_regular(path, links=False)
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise TrainingError(f"{path}: cannot be read ({error})", _ANEW) from error
        except InputFileError as error:
            raise TrainingError(f"{path}: cannot be read ({error.problem})", _ANEW) from error

    def _inside(self, name: str) -> Path:
        """The folder of the checkpoint ``name``, which is a name only; it may not be a link."""
        folder = self._folder / name
        if not re.fullmatch(r"[0-9][0-9-]*", name) or folder.is_symlink() or self._folder.is_symlink():
            raise TrainingError(f"{self._pointer}: '{name[:80]}' is no checkpoint of this run", _ANEW)
        return folder

    def _read(self, path: Path, most: int) -> bytes:
        try:
            return read_bounded(path, most, links=False)
        except InputFileError as error:
            raise TrainingError(f"{path}: cannot be read ({error.problem})", _ANEW) from error

    def _free_name(self, name: str) -> str:
        """``name``, or with a suffix where a crash left one that LATEST does not know."""
        number, free = 1, name
        while (self._folder / free).exists():
            number, free = number + 1, f"{name}-{number + 1}"
        return free

    def _sweep(self, keep: set[str | None]) -> None:
        for path in self._folder.iterdir():
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)


def as_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """``tensors`` as the content of a safetensors file."""
    from safetensors.torch import save

    return bytes(save({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}))


def _sync(folder: Path) -> None:
    """Wait until the names in ``folder`` are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
