"""What a training run is told: every key, its default and what it means, in one place.

``clusterml train --keys`` prints them.  :func:`load_config` reads the YAML file and the ``key=value`` overrides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

from clusterml.config.schema import Strict, keys, override, read_yaml, validated
from clusterml.dataset.record import Kind
from clusterml.dataset.split import Question
from clusterml.io.shipped import locate
from clusterml.model.heads.registry import REGISTRY
from clusterml.model.spec import NetworkSpec

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
_PATHS = (("data", "dataset"), ("data", "split"), ("init_from",))


class DataConfig(Strict):
    """What is learnt from."""

    dataset: str = Field(description="a dataset folder, seen from the YAML file or from the current folder")
    split: str | None = Field(None, description="a file of clusterml dataset split; null: one is drawn and kept")
    by: Question = Field("random", description="random, foreign, shell, parent or core: what the drawn split holds out")
    held_out: list[str] = Field([], description="a list of groups to test on, of the drawn split")
    validation: Share = Field(0.1, description="a share of the records for validation, of the drawn split")
    test: Share = Field(0.1, description="a share of the records for the test, of the drawn split")
    split_seed: int = Field(0, ge=0, description="a whole number: seed of the drawn split")
    kinds: list[Kind] = Field(
        ["reference", "mode", "thermal", "imported"],
        min_length=1,
        description="a list of kinds of records: reference, mode, thermal, ensemble, imported",
    )
    method: str | None = Field(None, description="the protocol of the labels, needed where the dataset has several")
    parents: list[str] = Field([], description="a list of parents; empty: all")
    hypothetical: bool = Field(True, description="true or false: learn from hypothetical clusters, too")
    responses: str | None = Field(
        None, description="a folder of responses that spectra start from, shared by runs; null: in the run's folder"
    )
    fraction: float = Field(1.0, gt=0.0, le=1.0, description="a share of the training set, for learning curves")
    absorption: Literal["length", "velocity"] = Field("length", description="length or velocity: gauge of absorption")
    cd: Literal["velocity", "length"] = Field("velocity", description="velocity or length: gauge of the CD")


class LossConfig(Strict):
    """Weights of the terms, see :mod:`clusterml.training.step`; 0 leaves a term out, and its label need not exist."""

    huber: float | None = Field(
        1.0, gt=0.0, description="where Huber's loss turns linear, in units of the scale; null: squares"
    )
    floor: Weight = Field(
        0.3, description="a smallest scale of a spectrum, as a share of its parent's median; 0 or more"
    )
    epsilon: Weight = Field(1.0, description="a weight: absorption, energy by energy")
    epsilon_cumulative: Weight = Field(0.3, description="a weight: integral of the absorption up to each energy")
    epsilon_sid: Weight = Field(0.0, description="a weight: spectral information divergence of the absorption")
    delta_epsilon: Weight = Field(1.0, description="a weight: CD, energy by energy")
    delta_epsilon_cumulative: Weight = Field(0.3, description="a weight: integral of the CD up to each energy")
    absorption_tensor: Weight = Field(0.0, description="a weight: absorption resolved by orientation")
    rotatory_tensor: Weight = Field(0.0, description="a weight: CD resolved by orientation")
    gap_ev: Weight = Field(0.1, description="a weight: HOMO-LUMO gap")
    opd: Weight = Field(0.1, description="a weight: signed chirality index of the frame")
    ccm: Weight = Field(0.1, description="a weight: continuous chirality measure of the frame")
    shell_charges: Weight = Field(
        0.0, description="a weight: charges of the shells of metals and donors; needs network.ground_state"
    )
    level_histogram: Weight = Field(
        0.0, description="a weight: orbital levels in each 0.2 eV; needs network.ground_state"
    )


class OptimizerConfig(Strict):
    """AdamW."""

    lr: float = Field(2e-3, gt=0.0, le=1.0, description="a learning rate after warm-up, above 0")
    weight_decay: Weight = Field(1e-4, description="a decoupled weight decay, 0 or more")
    betas: tuple[Share, Share] = Field((0.9, 0.99), description="two decay rates of the moments, 0 to 1")
    clip: float = Field(5.0, gt=0.0, description="a largest norm of the gradient, above 0")


class ScheduleConfig(Strict):
    """How long, and how the learning rate falls."""

    kind: Literal["cosine", "plateau"] = Field("cosine", description="cosine or plateau")
    epochs: int = Field(200, ge=1, description="a whole number of passes over the training set, at least 1")
    warmup_epochs: Weight = Field(1.0, description="a number of epochs in which the learning rate rises from 0")
    floor: Share = Field(0.01, description="a smallest learning rate, as a share of the first, 0 to 1")
    patience: int = Field(10, ge=1, description="a number of epochs without improvement before a step (plateau)")
    factor: float = Field(0.5, gt=0.0, lt=1.0, description="a factor of one step, between 0 and 1 (plateau)")


class BatchConfig(Strict):
    """Batches of similar work."""

    edges: int = Field(40000, ge=1, description="a whole number: at most so many edges in a batch of a process")
    structures: int = Field(32, ge=1, description="a whole number: at most so many structures in a batch of a process")


class Config(Strict):
    """A training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="a name of letters, digits, . _ -")
    seed: int = Field(0, ge=0, description="a whole number: of the first weights and of the order of batches")
    init_from: str | None = Field(None, description="a shipped checkpoint or its folder, to start from (fine-tuning)")
    init_member: int = Field(0, ge=0, description="a member of that checkpoint, from 0, where it is an ensemble")
    network: dict[str, Any] = Field(
        {},
        description="a mapping: preset (S, M, L), and keys of the network's spec",
        json_schema_extra={"keys": ["preset", *NetworkSpec.model_fields]},
    )
    data: DataConfig
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    batches: BatchConfig = BatchConfig()
    ema: float = Field(0.999, ge=0.0, lt=1.0, description="a decay of the averaged weights, 0 (none) to below 1")
    stop_after: int | None = Field(
        None, ge=1, description="a number of epochs without improvement before stopping; null: never"
    )
    precision: Literal["float32", "tf32", "bf16"] = Field(
        "float32", description="float32, tf32 or bf16; on a GPU only, a CPU always computes in float32"
    )
    most_skipped: int = Field(20, ge=0, description="a whole number: at most so many batches may be skipped for NaN")
    save_minutes: Weight = Field(10.0, description="a number of minutes between checkpoints within an epoch")
    tensorboard: bool = Field(False, description="true or false: write TensorBoard events too")


def network_keys() -> Iterator[tuple[str, FieldInfo]]:
    """Every key of the network with its field; options of a head are followed by its name."""
    yield from keys(NetworkSpec, "network.")
    for kind in REGISTRY.all():
        for key, field in keys(kind.options, "network.head_options."):
            yield f"{key} ({kind.name})", field


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration in a YAML file, with ``overrides`` such as ``optimizer.lr=0.001`` (values are YAML).

    Paths in the file may be seen from the file's folder.  Raises :class:`~clusterml.errors.InputFileError` or
    :class:`~clusterml.errors.OptionError` naming the key, and the nearest that exists.
    """
    path = Path(path)
    values = read_yaml(path)
    for steps in _PATHS:
        _resolve(values, steps, path.parent)
    return validated(Config, override(values, overrides, Config, "train"), str(path))


def _resolve(values: Any, steps: tuple[str, ...], base: Path) -> None:
    """Make the path at ``steps`` absolute if it exists beside the file."""
    for step in steps[:-1]:
        values = values.get(step) if isinstance(values, dict) else None
    given = values.get(steps[-1]) if isinstance(values, dict) else None
    if isinstance(given, str) and (target := locate(given, base)).exists():
        values[steps[-1]] = str(target.resolve())
