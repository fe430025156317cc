"""A training run in its folder, from configuration to a shipped network; and all members of an ensemble one by one.

FOLDER/config.yaml split.json spec.json     what the run is; a resumed run must be the same
FOLDER/log.csv log.jsonl curves.png         how it goes
FOLDER/checkpoints/ LATEST                  where it stands
FOLDER/responses/                           what spectra start from, where the network asks for it
FOLDER/release/                             the best averaged weights, once it is finished

FOLDER/member-0/ member-1/ ..    a run each, as above; all with the split of the first
FOLDER/release/                  the ensemble, once all of them are finished
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml

from clusterml.config.schema import read_yaml
from clusterml.dataset.split import SPLIT_FILE, Split, load_split, save_split
from clusterml.dataset.splits import make_split
from clusterml.dataset.store import Dataset
from clusterml.errors import OptionError
from clusterml.io.files import exclusive, make_folder, write_text
from clusterml.io.json import json_text, read_json
from clusterml.model.spec import NetworkSpec, read_spec
from clusterml.model.start import RESPONSE
from clusterml.model.upgrade import upgrade_network
from clusterml.run.resources import keep_freed_memory
from clusterml.training.catalogue import RELEASE, find_release
from clusterml.training.config import Config
from clusterml.training.loop import Trainer, Watch
from clusterml.training.material import LabelledSet, attach_scales, chosen, labelled, spreads
from clusterml.training.parallel import Group, joined
from clusterml.training.release import (
    Release,
    card,
    join_releases,
    members_card,
    open_release,
    write_release,
)
from clusterml.training.responses import KeptResponses
from clusterml.training.state import Checkpoints, State, TrainingError, averaged, load_weights
from clusterml.training.step import Loss, matrix_precision
from clusterml.training.targets import Wanted

if TYPE_CHECKING:
    from torch import nn

    from clusterml.dataset.record import Record
    from clusterml.model.graph import Graph


@dataclass(frozen=True)
class Architecture:
    """``spec``: the specification that a config's ``network`` mapping means; ``network``: the module of such a spec;
    ``graph``: the graph of (numbers, positions in A, charge, ``spec.graph``)."""

    spec: Callable[[Mapping[str, Any]], NetworkSpec]
    network: Callable[[NetworkSpec], nn.Module]
    graph: Callable[..., Graph]

    def graph_of(self, record: Record, spec: NetworkSpec) -> Graph:
        """The graph of a record's geometry."""
        return self.graph(record.numbers, record.positions, record.charge, spec.graph)

    def seeded(self, spec: NetworkSpec, seed: int) -> nn.Module:
        """A network whose first weights depend on ``seed`` alone."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.network(spec)


def shipped() -> Architecture:
    """The networks of :mod:`clusterml.model`."""
    from clusterml.model.graph import cluster_graph
    from clusterml.model.network import Network

    return Architecture(lambda wanted: read_spec(wanted, preset="S"), Network, cluster_graph)


MAY_CHANGE = ("most_skipped", "save_minutes", "tensorboard", "stop_after", "schedule.epochs")
"""Keys that a run may have different when it goes on."""


def check_claim(folder: Path, config: Config, resume: bool) -> None:
    """Is ``folder`` new or, with ``resume``, one that holds this very run?

    Raises :class:`TrainingError` naming the keys that differ.
    """
    path = folder / "config.yaml"
    if not path.exists():
        return
    if not resume:
        raise TrainingError(f"{folder}: holds a run already", "add --resume to go on, or choose another folder")
    changed = _differences(read_yaml(path), config.model_dump(mode="json"))
    if "data.split" in changed and _is_split_of(folder, config.data.split):
        changed.remove("data.split")
    if changed:
        raise TrainingError(
            f"{folder}: was begun with another {', '.join(changed)}", "choose another folder, or the old values"
        )


def _is_split_of(folder: Path, path: str | None) -> bool:
    """Does ``path`` hold the split that the run in ``folder`` keeps?  A run may be moved, its paths written anew."""
    kept = folder / SPLIT_FILE
    return path is not None and kept.exists() and load_split(kept).sha256 == load_split(Path(path)).sha256


def claim(folder: Path, config: Config) -> None:
    """Write the configuration into ``folder``: from now on it is this run's."""
    write_text(folder / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Dotted keys whose values differ and may not."""
    flat = [_flat(values) for values in (old, new)]
    keys = sorted({*flat[0], *flat[1]} - set(MAY_CHANGE))
    return [key for key in keys if flat[0].get(key) != flat[1].get(key)]


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


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
        data = config.data
        dataset = Dataset(data.dataset)
        base = None if config.init_from is None else open_release(find_release(config.init_from))
        wanted = _spec(config, makers, base)
        with _held(folder, group):
            if group.main:
                check_claim(folder, config, resume)
            split, spec = _inputs(folder, config, dataset, wanted, makers)
            kept = KeptResponses(folder / "responses" if data.responses is None else Path(data.responses), spec)
            parts = _material(config, dataset, split, makers, kept)
            network = _network(config, makers, spec, base)
            loss = Loss(config.loss, spec.grid.step_ev, spreads(parts[0]))
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


def _inputs(
    folder: Path, config: Config, dataset: Dataset, spec: NetworkSpec, makers: Architecture
) -> tuple[Split, NetworkSpec]:
    """Split and spec: those in ``folder``, which a run that was begun goes on with, or new ones."""
    data = config.data
    if (folder / SPLIT_FILE).exists():
        split = load_split(folder / SPLIT_FILE, dataset)
    elif data.split is not None:
        split = load_split(Path(data.split), dataset)
    else:
        shares = (data.validation, data.test)
        split = make_split(dataset, data.by, seed=data.split_seed, fractions=shares, held_out=data.held_out)
    kept = folder / _SPEC
    return split, makers.spec(upgrade_network(read_json(kept))) if kept.exists() else spec


def _keep_inputs(folder: Path, config: Config, split: Split, spec: NetworkSpec) -> None:
    """Write configuration, and split and spec where they are not there yet."""
    claim(folder, config)
    if not (folder / SPLIT_FILE).exists():
        save_split(split, folder / SPLIT_FILE)
    if not (folder / _SPEC).exists():
        write_text(folder / _SPEC, json_text(spec.to_dict(), indent=1))


def _spec(config: Config, makers: Architecture, base: Release | None) -> NetworkSpec:
    """The spec of the network, which is that of ``base`` where a run starts from one."""
    if base is None:
        return makers.spec(config.network)
    spec = makers.spec(base.network)
    if config.network and makers.spec(config.network) != spec:
        raise OptionError(
            f"network is not that of the checkpoint {config.init_from}", "leave network out, or give network={}"
        )
    if config.init_member >= len(base.weights):
        raise OptionError(
            f"init_member is {config.init_member}, but {config.init_from} has {len(base.weights)} members",
            "count from 0",
        )
    return spec


def _material(
    config: Config, dataset: Dataset, split: Split, makers: Architecture, kept: KeptResponses
) -> tuple[LabelledSet, LabelledSet]:
    spec = kept.spec
    wanted = Wanted.of(config.loss.model_dump(), config.data.absorption, config.data.cd)
    names = chosen(dataset, split, config.data, config.seed)
    if spec.start == RESPONSE:
        _check_start(config, spec, dataset.find(names[0][0]).method)

    def graph(record: Record) -> Graph:
        return kept.attached(makers.graph_of(record, spec), record)

    train, validation = (labelled(dataset, part, graph, wanted, spec) for part in names)
    dataset.close()
    attach_scales((train, validation), config.loss.floor)
    return train, validation


def _check_start(config: Config, spec: NetworkSpec, method: str) -> None:
    """Raise :class:`OptionError` where the labels, of ``method``, cannot be what the network's spectra start from, or
    where those of other orbitals are."""
    from clusterml.engine.response.rapid import RapidOrbitals

    if (config.data.absorption, config.data.cd) != ("length", "velocity"):
        raise OptionError(
            f"data.absorption is {config.data.absorption}, data.cd is {config.data.cd}",
            "a network that starts from a response has absorption in length, CD in velocity gauge",
        )
    if method != spec.start_orbitals and method in get_args(RapidOrbitals):
        raise OptionError(
            f"the labels are of {method}, but spectra of the network start from {spec.start_orbitals}",
            f"train a new network, without init_from and with network={{start: response, start_orbitals: {method}}}, "
            "which begins at these labels; or choose others with data.method",
        )


def _network(config: Config, makers: Architecture, spec: NetworkSpec, base: Release | None) -> nn.Module:
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
        "config": config.model_dump(
            mode="json", exclude={"data": {"dataset", "split", "responses"}, "init_from": True}
        ),
    }


def _finish(
    config: Config, folder: Path, state: State, group: Group, spec: NetworkSpec, about: dict[str, Any]
) -> Finished:
    """Write the best averaged weights as a checkpoint to ship."""
    row = state.history[state.best_epoch - 1]
    release = folder / RELEASE
    if group.main:
        make_folder(release, within=folder)
        weights = averaged(Checkpoints(folder).best(state))
        recipe = load_split(folder / SPLIT_FILE).recipe()
        write_release(release, [weights], spec, card(config, spec, about, row), {"validation": row}, about, recipe)
    return Finished(release, row, state.epoch, len(state.skipped))


def train_members(
    config: Config,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    architecture: Architecture | None = None,
    watch: Watch = lambda progress: None,
) -> tuple[Path, Sequence[Finished]]:
    """Fine-tune every member of ``config.init_from`` and join them; returns the ensemble's folder and the runs.

    Member k is seeded with ``config.seed`` + k.  Arguments and errors are those of
    :func:`~clusterml.training.run.train`; with ``resume`` members that are finished are not trained again.  Raises
    :class:`~clusterml.errors.OptionError` for a configuration without ``init_from``.
    """
    if config.init_from is None:
        raise OptionError("init_from is not given", "name the checkpoint whose members are to be fine-tuned")
    folder = Path(folder)
    done: list[Finished] = []
    for member in range(len(open_release(find_release(config.init_from)).weights)):
        changed = {"name": f"{config.name}-{member}", "seed": config.seed + member, "init_member": member}
        if done:
            changed["data"] = config.data.model_copy(update={"split": str(folder / "member-0" / SPLIT_FILE)})
        own = config.model_copy(update=changed)
        place = folder / f"member-{member}"
        done.append(train(own, place, resume=resume, device=device, architecture=architecture, watch=watch))
    release = folder / RELEASE
    if os.environ.get("RANK", "0") == "0":
        rows = [run.row for run in done]
        card = members_card(config, open_release(done[0].release).card, rows)
        join_releases([run.release for run in done], release, card, {"members": rows}, name=config.name)
    return release, done
