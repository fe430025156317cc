"""Screens with ligands of the user's own: in every process, on --resume, in the manifest, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterml.errors import InputFileError, OptionError, ScreeningError
from clusterml.run.launcher import Processes
from clusterml.screening.config import load_screen
from clusterml.screening.run import screen
from clusterml.structure.anatomy import library
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.library import load_library, using_library
from clusterml.structure.build import blueprint
from clusterml.structure.read import read_all

EXAMPLE = Path(__file__).parents[2] / "configs" / "screen" / "own" / "ligands-screen.yaml"
LIGANDS = (
    'ligands:\n  SCH2Cl: {smiles: "[S-]CCl", donors: S, charge: 1}\n  SCH2F: {smiles: "[S-]CF", donors: S, charge: 1}\n'
)
SCREEN = """
name: own
library: ligands.yaml
parents: {ag3: {build: {name: ag3, thiolate: SCH2Cl}}}
exchanges: [{old: SCH2Cl, new: SCH2F, counts: 0..2 by 1}]
objectives: [{integrated_cd: 3..5 eV, goal: magnitude}]
block: 1
"""


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / "ligands.yaml").write_text(LIGANDS)
    (tmp_path / "screen.yaml").write_text(SCREEN)
    return tmp_path / "screen.yaml"


def test_workers_know_the_ligands_and_the_manifest_holds_them(config, checkpoint, tmp_path):
    done = screen(config, tmp_path / "out", model=checkpoint, launcher=Processes(1))
    assert (done.board.valid, dict(done.board.rejections.counts)) == (3, {})
    run = json.loads((done.folder / "run.json").read_text())
    assert run["library"] == LIGANDS
    assert "library ligands.yaml" in run["inputs"]
    with using_library(load_library(config.parent / "ligands.yaml")):
        named = [anatomy(atoms).ligand_counts() for atoms in read_all(done.folder / "top.extxyz")]
    assert sorted(counts.get("SCH2F", 0) for counts in named) == [0, 1, 2]
    assert "SCH2F" not in load_library().names  # what was used in the screen ends with it


def test_a_library_that_has_changed_is_named(config, checkpoint, tmp_path):
    screen(config, tmp_path / "out", model=checkpoint)
    assert screen(config, tmp_path / "out", model=checkpoint, resume=True).run.evaluated_now == 0
    (tmp_path / "ligands.yaml").write_text(LIGANDS.replace("CCl", "CBr").replace("SCH2Cl", "SCH2Br"))
    changed = load_screen(config)
    with pytest.raises(OptionError, match="SCH2Cl"):
        screen(changed, tmp_path / "out", model=checkpoint, resume=True)
    (tmp_path / "ligands.yaml").write_text(LIGANDS + '  SCH2I: {smiles: "[S-]CI", donors: S, charge: 1}\n')
    with pytest.raises(ScreeningError, match=r"library ligands\.yaml has changed"):
        screen(changed, tmp_path / "out", model=checkpoint, resume=True)


@pytest.mark.parametrize(
    ("ligands", "told"),
    [
        (None, r"ligands\.yaml.*no such file"),
        ('ligands: {X: {smiles: "[S-]C", donors: S, charge: 2}}', r"ligands\.yaml: entry 'X': charge is 2"),
        ('ligands: {X: {smile: "[S-]C", donors: S, charge: 1}}', r"entry 'X': .*did you mean 'smiles'"),
        ('ligans: {X: {smiles: "[S-]C", donors: S, charge: 1}}', r"unknown section 'ligans'"),
        (f'ligands: {{X: {{smiles: "[S-]{"C" * 2000}", donors: S, charge: 1}}}}', r"entry 'X': smiles is"),
        ("ligands:\n  X: {donors: S}\n  X: {donors: S}\n", r"'X' is given twice \(line 3\)"),
    ],
)
def test_what_is_wrong_with_a_library_is_said_before_anything_is_written(config, checkpoint, tmp_path, ligands, told):
    file = tmp_path / "ligands.yaml"
    file.unlink() if ligands is None else file.write_text(ligands)
    with pytest.raises(InputFileError, match=told):
        screen(config, tmp_path / "out", model=checkpoint)
    assert not (tmp_path / "out").exists()


def test_a_library_within_build_is_told_where_it_belongs(make_screen, checkpoint, tmp_path):
    wrong = make_screen(parents={"ag3": {"build": {"name": "ag3", "library": "ligands.yaml"}}})
    with pytest.raises(OptionError, match="library is a key of the file"):
        screen(wrong, tmp_path / "out", model=checkpoint)


def test_the_example_names_its_ligands():
    example = load_screen(EXAMPLE)
    names = load_library(example.library).names
    assert {example.exchanges[0].old, *example.exchanges[0].ligands} <= set(names)


def from_package(monkeypatch, registry, name, package):
    """Let an object of ours be one of an installed package."""
    registry.all()
    items, packages = registry.__dict__["_all"]
    monkeypatch.setitem(registry.__dict__, "_all", (items, {**packages, name: package}))


def test_a_package_of_ligands_or_blueprints_that_has_changed_is_named(config, checkpoint, tmp_path, monkeypatch):
    ligands, blueprints = library.REGISTRY, blueprint.REGISTRY
    used = load_screen(config, ["parents.ag3.build.thiolate=SH", "exchanges=[{old: SH, new: SCH3, counts: 1}]"])
    from_package(monkeypatch, ligands, "SPh", "thiols 1.0")  # which the screen does not use
    from_package(monkeypatch, ligands, "SCH3", "thiols 1.0")
    from_package(monkeypatch, blueprints, "ag3", "cores 1.0")
    screen(used, tmp_path / "out", model=checkpoint)
    inputs = json.loads((tmp_path / "out" / "run.json").read_text())["inputs"]
    assert (inputs["ligand SCH3"], inputs["blueprint ag3"]) == ("thiols 1.0", "cores 1.0")
    assert "ligand SPh" not in inputs
    from_package(monkeypatch, ligands, "SPh", "thiols 1.1")
    assert screen(used, tmp_path / "out", model=checkpoint, resume=True).run.evaluated_now == 0
    from_package(monkeypatch, ligands, "SCH3", "thiols 1.1")
    with pytest.raises(ScreeningError, match=r"ligand SCH3 has changed \(choose"):
        screen(used, tmp_path / "out", model=checkpoint, resume=True)
    from_package(monkeypatch, ligands, "SCH3", "thiols 1.0")
    from_package(monkeypatch, blueprints, "ag3", "cores 2.0")
    with pytest.raises(ScreeningError, match=r"blueprint ag3 has changed \(choose"):
        screen(used, tmp_path / "out", model=checkpoint, resume=True)
