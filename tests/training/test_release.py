from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from clusterml.dataset.split import Split
from clusterml.training.catalogue import ReleaseError, find_release
from clusterml.training.release import join_releases, open_release, write_release

OLD = Path(__file__).parent / "data" / "release-v1"
SPEC = {"head": "resolvent", "graph": {"cutoff": 6.0}}


def states(count: int) -> list[dict[str, torch.Tensor]]:
    return [{"a": torch.full((2, 3), float(k)), "b": torch.tensor(k)} for k in range(count)]


def write(folder: Path, count: int = 1) -> Path:
    return write_release(folder, states(count), SPEC, "# card\n", {"cd_cosine": 0.9}, {"data": "tiny"})


@pytest.mark.parametrize("count", [1, 3])
def test_a_checkpoint_gives_back_what_was_written(tmp_path, count):
    folder = write(tmp_path / "net", count)
    release = open_release(folder)
    assert release.network == SPEC
    networks = release.networks
    assert len(networks) == count
    for got, expected in zip(networks, states(count), strict=True):
        torch.testing.assert_close(got, expected)
    assert (release.card, release.metrics, release.about) == ("# card\n", {"cd_cosine": 0.9}, {"data": "tiny"})
    content = json.loads((folder / "spec.json").read_text())
    assert content["members"][0]["bytes"] == (folder / content["members"][0]["file"]).stat().st_size


def test_writing_again_replaces_all_members(tmp_path):
    write(tmp_path, 3)
    write(tmp_path, 1)
    assert [path.name for path in sorted(tmp_path.glob("model*"))] == ["model.safetensors"]
    assert len(open_release(tmp_path).networks) == 1


def test_an_interrupted_writing_leaves_no_checkpoint(tmp_path, monkeypatch):
    write(tmp_path, 1)

    def fail(*arguments, **options):
        raise OSError("no space")

    monkeypatch.setattr("clusterml.training.release.write_bytes", fail)
    with pytest.raises(OSError, match="no space"):
        write(tmp_path, 1)
    with pytest.raises(ReleaseError, match="is not a checkpoint"):
        open_release(tmp_path)


def edited(**changes):
    def edit(folder: Path) -> None:
        path = folder / "spec.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def member(**changes):
    def edit(folder: Path) -> None:
        path = folder / "spec.json"
        content = json.loads(path.read_text())
        content["members"][0] |= changes
        path.write_text(json.dumps(content))

    return edit


def flip(folder: Path) -> None:
    path = folder / "model-0.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def linked(name):
    def damage(folder):
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)

    return damage


def no_tensors(folder: Path) -> None:
    import hashlib

    (folder / "model-0.safetensors").write_bytes(b"hello")
    member(bytes=5, sha256=hashlib.sha256(b"hello").hexdigest())(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, r"model-0\.safetensors: has changed since it was written"),
        (lambda folder: (folder / "model-0.safetensors").write_bytes(b"x"), "has 1 bytes, not"),
        (lambda folder: (folder / "model-0.safetensors").unlink(), r"model-0\.safetensors: cannot be read"),
        (no_tensors, "holds no tensors"),
        (lambda folder: (folder / "spec.json").unlink(), r"is not a checkpoint \(no spec\.json\)"),
        (lambda folder: (folder / "spec.json").write_text("{"), r"spec\.json: cannot be read"),
        (lambda folder: (folder / "spec.json").write_text("[1]"), "holds a JSON"),
        (lambda folder: (folder / "spec.json").write_text('{"irreps": "3x0e"}'), "not of a clusterml checkpoint"),
        (edited(schema_version=99), "schema version 99.*update clusterml"),
        (edited(members=[]), "members"),
        (edited(colour="red"), "unknown key 'colour'"),
        (member(file="../../etc/passwd"), "file"),
        (member(sha256="1"), "64 hexadecimal digits"),
        (member(bytes=10**15), "a size in bytes"),
        (edited(members=[{"file": "model-0.safetensors", "sha256": "0" * 64, "bytes": 1}] * 9000), "1 to 64 networks"),
        (linked("model-0.safetensors"), "symbolic link"),
        (linked("spec.json"), "symbolic link"),
        (linked("card.md"), "symbolic link"),
        (linked("metrics.json"), "symbolic link"),
        (lambda folder: (folder / "metrics.json").write_text("{"), r"metrics\.json: cannot be read"),
    ],
)
def test_damaged_and_foreign_checkpoints_are_refused(tmp_path, damage, message):
    folder = write(tmp_path / "net", 2)
    damage(folder)
    with pytest.raises(ReleaseError, match=message) as raised:
        open_release(folder)
    assert raised.value.remedy


def test_networks_that_differ_are_no_ensemble(tmp_path):
    with pytest.raises(ReleaseError, match="not of one shape"):
        write_release(tmp_path, [{"a": torch.zeros(2)}, {"a": torch.zeros(3)}], SPEC, "", {})
    with pytest.raises(ReleaseError, match="0 networks"):
        write_release(tmp_path, [], SPEC, "", {})


def test_the_first_schema_still_loads(tmp_path):
    release = open_release(OLD)
    assert release.head == "resolvent"
    networks = release.networks
    torch.testing.assert_close(networks[0]["weight"], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    shutil.copytree(OLD, tmp_path / "old")
    path = tmp_path / "old" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ReleaseError, match="has changed"):
        open_release(tmp_path / "old")


def test_a_checkpoint_is_found_by_path_and_by_name(tmp_path, monkeypatch):
    write(tmp_path / "mine" / "net")
    write(tmp_path / "checkpoints" / "other")
    monkeypatch.chdir(tmp_path)
    assert find_release("mine/net") == Path("mine/net")
    assert find_release("other") == Path("checkpoints/other")
    with pytest.raises(ReleaseError, match=r"no checkpoint 'net'.*other"):
        find_release("net")
    write(tmp_path / "run" / "release")
    with pytest.raises(ReleaseError, match=r"the folder 'run' holds no spec.json \(did you mean run/release\?\)"):
        find_release("run")
    monkeypatch.setenv("CLUSTERML_CHECKPOINTS", str(tmp_path / "mine"))
    assert find_release("net") == tmp_path / "mine" / "net"


def test_checkpoints_become_an_ensemble(tmp_path):
    parts = [write(tmp_path / f"net{k}", 2) for k in range(2)]
    recipe = Split("random", 1, ("a1",), ("a2",), ()).recipe()
    for part in parts:
        release = open_release(part)
        write_release(part, release.networks, SPEC, release.card, release.metrics, release.about, recipe)
    join_releases(parts, tmp_path / "all", "# all\n", {"members": 4}, made="here")
    release = open_release(tmp_path / "all")
    assert len(release.networks) == 4
    assert release.about == open_release(parts[0]).about | {"made": "here"}
    assert release.split == recipe
    write(parts[1], 2)
    with pytest.raises(ReleaseError, match="another split"):
        join_releases(parts, tmp_path / "all", "", {})
    write_release(tmp_path / "odd", states(1), SPEC | {"head": "atomic"}, "", {})
    with pytest.raises(ReleaseError, match="another spec"):
        join_releases([parts[0], tmp_path / "odd"], tmp_path / "all", "", {})
