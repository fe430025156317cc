"""A training run in its folder: configuration, split and spec are kept there, then the loop, then the checkpoint.

FOLDER/config.yaml split.json spec.json     what the run is; a resumed run must be the same
FOLDER/log.csv log.jsonl curves.png         how it goes
FOLDER/checkpoints/ LATEST                  where it stands
FOLDER/release/                             the best averaged weights, once it is finished
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.dataset.reader import Dataset
from clusterml.dataset.splits import Split, load_split, make_split, save_split
from clusterml.errors import OptionError
from clusterml.io.bounded import read_bounded
from clusterml.locks import exclusive
from clusterml.memory import keep_freed_memory
from clusterml.spectrum.files import make_folder, write_bytes, write_text
from clusterml.spectrum.jsonio import json_text, parse_json, read_json
from clusterml.training.architecture import Architecture, shipped
from clusterml.training.card import card
from clusterml.training.claim import check_claim, claim
from clusterml.training.config import Config
from clusterml.training.forward import matrix_precision
from clusterml.training.library import find_release
from clusterml.training.loop import Trainer, Watch
from clusterml.training.losses import Loss
from clusterml.training.material import LabelledSet, attach_scales, chosen, labelled, spreads
from clusterml.training.parallel import Group, joined
from clusterml.training.release import SPLIT, Release, open_release, write_release
from clusterml.training.state import Checkpoints, State
from clusterml.training.targets import Wanted
from clusterml.training.tensors import averaged, load_weights

if TYPE_CHECKING:
    from torch import nn


_SPEC = "spec.json"


@dataclass(frozen=True)
class Finished:
    """``release``: folder of the checkpoint; ``row``: numbers of its epoch; ``epochs``: how many were done."""

    release: Path
    row: dict[str, Any]
    epochs: int
    skipped: int


def train(
    config: Config,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    architecture: Architecture | None = None,
    watch: Watch = lambda progress: None,
) -> Finished:
    """Train as ``config`` says, in ``folder``; returns where the checkpoint is and how good it is.

    With ``resume`` a run that was begun goes on where its last checkpoint stands; without one it begins.  Under
    torchrun all processes share the work.  Raises :class:`~clusterml.training.state.TrainingError` for a folder that
    holds another run, :class:`~clusterml.errors.FolderInUseError` for one that is being trained in,
    :class:`~clusterml.errors.DatasetError` for missing records or labels, and what the loop raises.
    """
    keep_freed_memory()
    folder = Path(folder)
    makers = architecture or shipped()
    with joined(device) as group, matrix_precision(config.precision, group.device):
        dataset = Dataset(config.data.dataset)
        base = None if config.init_from is None else open_release(find_release(config.init_from))
        wanted = _spec(config, makers, base)
        with _held(folder, group):
            if group.main:
                check_claim(folder, config, resume)
            split, spec = _inputs(folder, config, dataset, wanted)
            parts = _material(config, dataset, split, makers, spec)
            network = _network(config, makers, spec, base)
            loss = Loss(config.loss, spec["grid"]["step_ev"], spreads(parts[0]))
            if group.main:  # nothing is written before all of it has proved sound
                _keep_inputs(folder, config, split, spec)
            group.wait()
            trainer = Trainer(config, network, loss, *parts, group, folder, watch)
            trainer.run()
            return _finish(config, folder, trainer.state, group, spec, _about(dataset, config, parts, base))


def _held(folder: Path, group: Group) -> AbstractContextManager[None]:
    """The folder, new or not, held by the main process."""
    if not group.main:
        return nullcontext()
    make_folder(folder)
    return exclusive(folder)


def _inputs(folder: Path, config: Config, dataset: Dataset, spec: dict[str, Any]) -> tuple[Split, dict[str, Any]]:
    """Split and spec: those in ``folder``, which a run that was begun goes on with, or new ones."""
    data = config.data
    if (folder / SPLIT).exists():
        split = load_split(folder / SPLIT)
    elif data.split is not None:
        split = load_split(Path(data.split))
    else:
        shares = (data.validation, data.test)
        split = make_split(dataset, data.by, seed=data.split_seed, fractions=shares, held_out=data.held_out)
    kept = folder / _SPEC
    return split, read_json(kept) if kept.exists() else parse_json(json_text(spec), str(kept))


def _keep_inputs(folder: Path, config: Config, split: Split, spec: dict[str, Any]) -> None:
    """Write configuration, and split and spec where they are not there yet."""
    claim(folder, config)
    if not (folder / SPLIT).exists():
        save_split(split, folder / SPLIT)
    if not (folder / _SPEC).exists():
        write_text(folder / _SPEC, json_text(spec, indent=1))


def _spec(config: Config, makers: Architecture, base: Release | None) -> dict[str, Any]:
    """The spec of the network, which is that of ``base`` where a run starts from one."""
    if base is None:
        return makers.spec(config.network)
    if config.network and makers.spec(config.network) != base.spec:
        raise OptionError(
            f"network is not that of the checkpoint {config.init_from}", "leave network out, or give network={}"
        )
    if config.init_member >= len(base.networks):
        raise OptionError(
            f"init_member is {config.init_member}, but {config.init_from} has {len(base.networks)} members",
            "count from 0",
        )
    return base.spec


def _material(
    config: Config, dataset: Dataset, split: Split, makers: Architecture, spec: dict[str, Any]
) -> tuple[LabelledSet, LabelledSet]:
    wanted = Wanted.of(config.loss.model_dump(), config.data.absorption, config.data.cd)
    names = chosen(dataset, split, config.data, config.seed)
    train, validation = (
        labelled(dataset, part, lambda record: makers.graph_of(record, spec), wanted, spec) for part in names
    )
    dataset.close()
    attach_scales((train, validation), config.loss.floor)
    return train, validation


def _network(config: Config, makers: Architecture, spec: dict[str, Any], base: Release | None) -> nn.Module:
    network = makers.seeded(spec, config.seed)
    if base is not None:
        load_weights(network, base.networks[config.init_member])
    return network


def _about(dataset: Dataset, config: Config, parts: Sequence[LabelledSet], base: Release | None) -> dict[str, Any]:
    """What the checkpoint says of its training."""
    train, validation = parts
    method = config.data.method or dataset.find(train.ids[0]).method
    return {
        "name": config.name,
        "started_from": None if base is None else base.about.get("name", base.folder.name),
        "data": {
            "name": dataset.about.get("name", dataset.folder.name),
            "method": method,
            "train": len(train),
            "validation": len(validation),
            "parents": sorted({group.rpartition("/")[0] for group in train.groups}),
        },
        "config": config.model_dump(mode="json", exclude={"data": {"dataset", "split"}, "init_from": True}),
    }


def _finish(
    config: Config, folder: Path, state: State, group: Group, spec: dict[str, Any], about: dict[str, Any]
) -> Finished:
    """Write the best averaged weights as a checkpoint to ship."""
    row = state.history[state.best_epoch - 1]
    release = folder / "release"
    if group.main:
        make_folder(release, within=folder)
        weights = averaged(Checkpoints(folder).best(state))
        write_release(release, [weights], spec, card(config, spec, about, row), {"validation": row}, about)
        write_bytes(release / SPLIT, read_bounded(folder / SPLIT, links=False))
    return Finished(release, row, state.epoch, len(state.skipped))
