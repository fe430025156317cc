"""Data that travel with the program: found from anywhere, by a path, a name or a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterml.dataset.campaign import load_campaign, source_of
from clusterml.errors import InputFileError
from clusterml.io.shipped import FOLDERS, PREFIX, locate, shipped, shipped_names, with_shipped_names
from clusterml.screening.config import load_screen
from clusterml.spectrum.measured import read_spectrum
from clusterml.structure.read import read
from clusterml.training.catalogue import find_release
from clusterml.training.config import load_config


def test_every_folder_is_there_and_is_absolute():
    for folder in FOLDERS:
        assert shipped(folder).is_absolute()
        assert shipped(folder).is_dir()
    assert "configs/screen/small.yaml" in shipped_names("configs", ".yaml")
    assert len(shipped_names("datasets", ".xyz")) > 40


def test_a_package_with_its_data_inside_is_asked_first(monkeypatch, tmp_path):
    (tmp_path / "clusterml" / "data" / "configs").mkdir(parents=True)
    (tmp_path.parent / "datasets").mkdir(exist_ok=True)
    monkeypatch.setattr("clusterml.io.shipped.files", lambda name: tmp_path / name)
    assert shipped("configs") == tmp_path / "clusterml" / "data" / "configs"
    assert shipped("datasets") == tmp_path.parent / "datasets"


def test_other_paths_stay_as_they_are():
    assert locate("a/b.xyz") == Path("a/b.xyz")
    assert locate("a/b.xyz", Path("/x")) == Path("/x/a/b.xyz")
    assert locate("/a/b.xyz", Path("/x")) == Path("/a/b.xyz")
    assert locate("./shipped:a") == Path("shipped:a")


def test_messages_name_shipped_files_as_users_do():
    atoms = locate("shipped:datasets/structures/ag25_sch3.xyz")
    assert read(atoms).info["source"] == "shipped:datasets/structures/ag25_sch3.xyz"
    text = f"{atoms} and {locate('shipped:configs/screen/small.yaml')} and /else/configs/screen/small.yaml"
    names = "shipped:datasets/structures/ag25_sch3.xyz and shipped:configs/screen/small.yaml"
    assert with_shipped_names(text) == f"{names} and /else/configs/screen/small.yaml"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("configs/screen/smal.yaml", r"did you mean shipped:configs/screen/small\.yaml\?"),
        ("ag29_model.cif", r"did you mean shipped:datasets/examples/ag29_model\.cif\?"),
        ("zzzz", "checkpoints, configs, datasets"),
        ("", "checkpoints, configs, datasets"),
        ("/etc/passwd", "checkpoints, configs, datasets"),
        ("configs/../../etc", "checkpoints, configs, datasets"),
        ("src/clusterml/units.py", "."),
    ],
)
def test_what_is_not_shipped_is_refused(name, remedy):
    with pytest.raises(InputFileError, match=remedy) as caught:
        locate(PREFIX + name)
    assert caught.value.problem == f"shipped:{name}: no such data travel with the program"


def test_configurations_may_name_shipped_data(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("reference.csv").touch()
    Path("screen.yaml").write_text(
        "name: x\nparents: {a: {file: 'shipped:datasets/structures/ag25_sch3.xyz'}}\nobjectives: [{strain: elastic}]\n"
    )
    assert load_screen("screen.yaml").parents["a"].file == str(shipped("datasets") / "structures" / "ag25_sch3.xyz")
    Path("train.yaml").write_text("name: x\ndata: {dataset: 'shipped:datasets/ag70-deracemisation'}\n")
    assert load_config("train.yaml").data.dataset == str(shipped("datasets") / "ag70-deracemisation")
    Path("campaign.yaml").write_text(
        "name: x\ntitle: x\nseed: 1\n"
        "parents: {a: {file: 'shipped:datasets/structures/ag25_sch3.xyz', family: a, counts: {reference: 1}}}\n"
    )
    parent = load_campaign("campaign.yaml").parents["a"]
    assert source_of(Path("campaign.yaml"), parent) == shipped("datasets") / "structures" / "ag25_sch3.xyz"
    Path("wrong.yaml").write_text("name: x\ndata: {dataset: 'shipped:datasets/ag-sr-v9'}\n")
    with pytest.raises(InputFileError, match="no such data travel"):
        load_config("wrong.yaml")


def test_python_takes_shipped_names_too(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    name = "shipped:datasets/examples/ag29_model.cif"
    atoms = read(name)
    assert len(atoms) == 93
    assert atoms.info["name"] == "ag29_model"
    assert atoms.info["source"] == name
    measured = read_spectrum("shipped:datasets/examples/ag29_invented_jasco.txt", concentration=1e-5, path_cm=0.5)
    assert len(measured.energy_ev) == 561
    assert load_screen("shipped:configs/screen/small.yaml").name == "small"
    for reader in (read, read_spectrum, load_screen):
        with pytest.raises(InputFileError, match="no such data travel"):
            reader("shipped:datasets/nothing.here")
        with pytest.raises(InputFileError, match=r"\(shipped:configs/train/small\.yaml travels with the program\)"):
            reader("configs/train/small.yaml")
        with pytest.raises(InputFileError, match=r"no such file \(check the path\)"):
            reader("../configs/train/small.yaml")


def test_the_checkpoint_is_found_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLUSTERML_CHECKPOINTS", raising=False)
    assert find_release("ag-quick-v1") == shipped("checkpoints") / "ag-quick-v1"
