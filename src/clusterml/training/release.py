"""Trained networks as they are shipped: one folder, plain data, with a card, checked when it is read, found by name.

    NAME/spec.json           schema version, the network's spec, and of every file of weights its size and SHA-256
    NAME/model.safetensors   weights; of an ensemble model-0.safetensors, model-1.safetensors, ..
    NAME/card.md             what it is, what it was trained on, how good it is
    NAME/metrics.json        numbers

``spec.json`` is written last: a folder without it is no checkpoint yet.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from clusterml.config.schema import Strict, validated
from clusterml.dataset.split import SPLIT_FILE, SplitRecipe, load_split
from clusterml.errors import InputFileError, OptionError
from clusterml.io.files import check_regular, decode, make_folder, read_bounded, sha256, write_bytes, write_text
from clusterml.io.json import json_text, read_json
from clusterml.model.spec import Grid, NetworkSpec, read_spec
from clusterml.model.upgrade import MANIFEST
from clusterml.training.catalogue import SPEC, ReleaseError
from clusterml.training.config import Config

if TYPE_CHECKING:
    from torch import Tensor


_ROWS = {
    "epoch": "epoch of these weights",
    "validation_loss": "validation loss",
    "absorption_cosine": "absorption: median cosine",
    "absorption_r2": "absorption: R2 against the training mean",
    "cd_cosine": "CD: median cosine",
    "cd_r2": "CD: R2 against the training mean",
}


_NUMBERED = re.compile(r"(.+)-\d{5}")


def _series(parents: Sequence[str]) -> list[str]:
    """The names of ``parents``; of those with numbers, which are hypothetical clusters, how many there are."""
    numbered = Counter(match[1] for name in parents if (match := _NUMBERED.fullmatch(name)))
    plain = [name for name in parents if not _NUMBERED.fullmatch(name)]
    return plain + [f"{count} x {name}" for name, count in sorted(numbered.items())]


def card(config: Config, spec: NetworkSpec, about: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown for ``config``; ``about``: see :func:`clusterml.training.run.train`; ``metrics``: of the best epoch."""
    grid = spec.grid
    data = about["data"]
    lines = [
        f"# {config.name}",
        "",
        "Predicts absorption and circular-dichroism spectra of ligand-protected silver clusters from their geometry:",
        f"{grid.low_ev:g} to {grid.high_ev:g} eV in steps of {grid.step_ev:g} eV, fwhm {spec.fwhm_ev:g} eV,",
        f"absorption in the {config.data.absorption} gauge, CD in the {config.data.cd} gauge.",
        "",
        "## Trained on",
        "",
        f"* data set: {data['name']}, method {data['method']}",
        f"* records: {data['train']} for training, {data['validation']} for validation",
        f"* parents: {', '.join(_series(data['parents']))}",
        f"* kinds of geometry: {', '.join(config.data.kinds)}",
        *([f"* started from: {about['started_from']}"] if about["started_from"] else []),
        "",
        "## On the validation set",
        "",
        "The epoch was chosen by these same structures: a test set says more.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {words} | {_number(metrics[key])} |" for key, words in _ROWS.items() if key in metrics),
        "",
    ]
    return "\n".join(lines)


def members_card(config: Config, first: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown for an ensemble whose members were trained alike: the ``first`` one's card, and the ``rows`` of all."""
    body, _, _ = first.partition("## On the validation set")
    _, _, body = body.partition("\n")
    keys = [key for key in _ROWS if all(key in row for row in rows)]
    lines = [
        f"# {config.name}",
        f"{body.rstrip()}",
        f"* members: {len(rows)}, each from one of the checkpoint it started from",
        "",
        "## On the validation set",
        "",
        "The epochs were chosen by these same structures: a test set says more.",
        "",
        f"| member | {' | '.join(_ROWS[key] for key in keys)} |",
        f"|---|{'---|' * len(keys)}",
        *(f"| {k} | {' | '.join(_number(row[key]) for key in keys)} |" for k, row in enumerate(rows)),
        "",
    ]
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "none"


_LARGEST_SPEC = 16 * 1024**2  # bytes
_LARGEST_WEIGHTS = 1024**3  # bytes of one network
_LARGEST_ENSEMBLE = 4 * 1024**3
_MOST_MEMBERS = 64


class Member(Strict):
    """One network of a checkpoint: its file, and what the file must be."""

    file: str = Field(pattern=r"^model(-[0-9]+)?\.safetensors$", description="model.safetensors or model-N.safetensors")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="64 hexadecimal digits")
    bytes: int = Field(ge=1, le=_LARGEST_WEIGHTS, description="a size in bytes, at most 1 GiB")


class Manifest(Strict):
    """The content of ``spec.json``; ``about``: whatever else belongs to the checkpoint, as plain JSON."""

    schema_version: int
    program: str
    version: str
    network: dict[str, Any]
    members: list[Member] = Field(min_length=1, max_length=_MOST_MEMBERS, description=f"1 to {_MOST_MEMBERS} networks")
    split: SplitRecipe | None = Field(None, description="a mapping: how the split it was trained with is made again")
    about: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Release:
    """A checkpoint that was read and checked.

    ``network``: what its networks are, as written; ``weights``: the safetensors of each member; ``split``: what it was
    trained with, where that is known; ``about``, ``metrics``: plain JSON; ``card``: Markdown.
    """

    folder: Path
    network: dict[str, Any]
    weights: tuple[bytes, ...]
    split: SplitRecipe | None
    about: dict[str, Any]
    card: str
    metrics: dict[str, Any]

    @cached_property
    def spec(self) -> NetworkSpec:
        """What its networks are; raises :class:`ReleaseError` for what this program cannot build."""
        try:
            return read_spec(self.network)
        except OptionError as error:
            remedy = "get the checkpoint again, or install the package that has its head"
            raise ReleaseError(f"{self.folder / SPEC}: {error.problem}", remedy) from error

    @cached_property
    def networks(self) -> list[dict[str, Tensor]]:
        """A state (name -> tensor) for each member."""
        from safetensors.torch import load

        return [load(content) for content in self.weights]

    @property
    def head(self) -> str:
        """The name of its head, which need not be installed."""
        return str(self.network.get("head", NetworkSpec.model_fields["head"].default))

    @property
    def grid(self) -> Grid:
        """The energies at which it gives spectra; raises :class:`ReleaseError`."""
        try:
            return validated(Grid, self.network.get("grid", {}), f"{self.folder / SPEC}: network.grid")
        except InputFileError as error:
            raise ReleaseError(error.problem, "get the checkpoint again") from error

    @property
    def n_parameters(self) -> int:
        """Number of parameters of one of its networks, constants included."""
        return sum(math.prod(shape) for shape in _shapes(self.weights[0]).values())

    def row(self, name: str) -> dict[str, Any]:
        """What a list of checkpoints says of this one, which is called ``name``: plain values for JSON."""
        grid, data = self.grid, self.about.get("data", {})
        return {
            "name": name,
            "folder": str(self.folder),
            "members": len(self.weights),
            "parameters": self.n_parameters,
            "head": self.head,
            "energy_ev": [grid.low_ev, grid.high_ev],
            "data": data.get("name"),
            "records": data.get("train"),
        }


def write_release(
    folder: str | Path,
    networks: Sequence[Mapping[str, Tensor]],
    spec: NetworkSpec | Mapping[str, Any],
    card: str,
    metrics: Mapping[str, Any],
    about: Mapping[str, Any] | None = None,
    split: SplitRecipe | None = None,
) -> Path:
    """Write a checkpoint of ``networks`` (states, one or the members of an ensemble) that share ``spec``.

    ``card``: Markdown; ``metrics``, ``about``: plain JSON; ``split``: what they were trained with.  A checkpoint that
    is there is replaced.  Raises
    :class:`ReleaseError` if there is no network or their tensors differ in name or shape.
    """
    from clusterml.training.state import as_bytes

    folder = make_folder(folder)
    contents = [as_bytes(state) for state in networks]
    _check_alike(contents, str(folder))
    (folder / SPEC).unlink(missing_ok=True)
    for old in folder.glob("model*.safetensors"):
        old.unlink()
    members = []
    for number, content in enumerate(contents):
        name = "model.safetensors" if len(contents) == 1 else f"model-{number}.safetensors"
        write_bytes(folder / name, content)
        members.append(Member(file=name, sha256=sha256(content), bytes=len(content)))
    write_text(folder / "card.md", card)
    write_text(folder / "metrics.json", json_text(metrics, indent=1))
    manifest = Manifest(
        schema_version=MANIFEST.newest,
        program="clusterml",
        version=version("clusterml"),
        network=spec.to_dict() if isinstance(spec, NetworkSpec) else dict(spec),
        members=members,
        split=split,
        about=dict(about or {}),
    )
    write_text(folder / SPEC, json_text(manifest.model_dump(mode="json"), indent=1))
    return folder


def open_release(folder: str | Path) -> Release:
    """The checkpoint in ``folder``, with every file of weights checked before it is used.

    Raises :class:`ReleaseError` naming the file for a folder that is no checkpoint, has a newer schema, lacks a file,
    or holds one of another size or checksum.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    total = sum(member.bytes for member in manifest.members)
    if total > _LARGEST_ENSEMBLE:
        raise ReleaseError(f"{folder / SPEC}: its weights would take {total:,} bytes", "get the checkpoint again")
    weights = tuple(_weights(folder, member) for member in manifest.members)
    _check_alike(weights, str(folder))
    card, metrics = folder / "card.md", folder / "metrics.json"
    return Release(
        folder,
        manifest.network,
        weights,
        manifest.split or _split_of_0_1(folder),
        manifest.about,
        _card(card) if card.exists() else "",
        _json(metrics) if metrics.exists() else {},
    )


def _split_of_0_1(folder: Path) -> SplitRecipe | None:
    """Checkpoints of version 0.1 had their split in a file of their own."""
    path = folder / SPLIT_FILE
    return load_split(path).recipe() if path.is_file() else None


def _manifest(folder: Path) -> Manifest:
    path = folder / SPEC
    if not path.is_file():
        raise ReleaseError(f"{folder}: is not a checkpoint (no {SPEC})", "give the folder of a trained network")
    content = _json(path)
    if "network" not in content:
        raise ReleaseError(f"{path}: is not of a clusterml checkpoint", "give the folder of a trained network")
    try:
        content = MANIFEST.apply(content, str(path))
    except InputFileError as error:
        raise ReleaseError(error.problem, error.remedy) from error
    try:
        return validated(Manifest, content, str(path))
    except InputFileError as error:
        raise ReleaseError(error.problem, "get the checkpoint again") from error


def _weights(folder: Path, member: Member) -> bytes:
    """The file of a member, checked; nothing of it is computed with."""
    from safetensors import SafetensorError

    path = folder / member.file
    try:
        check_regular(path, links=False)
        size = path.stat().st_size
        if size != member.bytes:
            raise ReleaseError(f"{path}: has {size} bytes, not {member.bytes}", "get the checkpoint again")
        content = read_bounded(path, member.bytes, links=False)
    except InputFileError as error:
        raise _unreadable(path, error) from error
    if sha256(content) != member.sha256:
        raise ReleaseError(f"{path}: has changed since it was written (checksum)", "get the checkpoint again")
    try:
        _shapes(content)
    except SafetensorError as error:
        raise ReleaseError(f"{path}: holds no tensors ({error})", "get the checkpoint again") from error
    return content


def _shapes(content: bytes) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors in a safetensors file; raises SafetensorError."""
    from safetensors import deserialize

    return {name: tuple(tensor["shape"]) for name, tensor in deserialize(content)}


def _check_alike(weights: Sequence[bytes], where: str) -> None:
    shapes = [_shapes(content) for content in weights]
    if not shapes or any(shape != shapes[0] for shape in shapes):
        raise ReleaseError(f"{where}: {len(shapes)} networks, not of one shape", "give states of the same spec")


def _card(path: Path) -> str:
    try:
        return decode(read_bounded(path, _LARGEST_SPEC, links=False), str(path))
    except InputFileError as error:
        raise _unreadable(path, error) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, _LARGEST_SPEC)
    except InputFileError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: InputFileError) -> ReleaseError:
    reason = error.problem.removeprefix(str(path)).lstrip(": ")
    return ReleaseError(f"{path}: cannot be read ({reason})", "get the checkpoint again")


def join_releases(
    folders: Sequence[str | Path], folder: str | Path, card: str, metrics: Mapping[str, Any], **about: Any
) -> Path:
    """Write the members of several checkpoints as one ensemble, with what the first says of its training and ``about``.

    Raises :class:`ReleaseError` if their specs differ or they were trained with different splits.
    """
    parts = [open_release(part) for part in folders]
    for part in parts[1:]:
        if part.network != parts[0].network:
            raise ReleaseError(f"{part.folder}: has another spec than {parts[0].folder}", "join networks of one spec")
        if part.split != parts[0].split:
            raise ReleaseError(f"{part.folder}: has another split than {parts[0].folder}", "train with one split")
    networks = [state for part in parts for state in part.networks]
    if not parts:
        return write_release(folder, networks, {}, card, metrics, about)
    return write_release(folder, networks, parts[0].network, card, metrics, parts[0].about | about, parts[0].split)
