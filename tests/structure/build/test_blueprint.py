"""Blueprints are well-formed data, and a damaged one is explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from clusterml.errors import InputFileError, OptionError
from clusterml.structure.build import data
from clusterml.structure.build.blueprint import blueprint, blueprints, read_blueprint
from clusterml.structure.build.operations import find_orbit, group

FOLDER = Path(str(data.__file__)).parent
METALS = {"ag1": 1, "ag2": 2, "ag3": 3, "ag3s": 3, "ag4": 4, "ag4x4": 4, "ag6": 6, "ag8x": 8, "ag12": 12, "ag14": 14,
          "ag21": 21, "ag24au": 24, "ag24pt": 24, "ag25": 25, "ag28pt": 28, "ag29": 29, "ag32": 32, "ag33": 33,
          "ag44": 44, "ag70": 70, "ag70-t": 70, "au12ag32": 32}  # fmt: skip
"""Silver atoms."""


def test_all_are_there():
    assert set(blueprints()) == set(METALS)
    assert all(plan.name == name for name, plan in blueprints().items())


@pytest.mark.parametrize("name", sorted(METALS))
def test_the_frame_has_its_metals_and_no_clash(name):
    plan = blueprint(name)
    operations = group(plan.groups[plan.point_group])
    atoms = np.concatenate([find_orbit(np.array([a.at]), operations).operations @ a.at for a in plan.frame])
    elements = [a.element for a in plan.frame for _ in find_orbit(np.array([a.at]), operations).operations]
    assert elements.count("Ag") == METALS[name]
    if len(atoms) > 1:
        gap = np.linalg.norm(atoms[:, None] - atoms[None], axis=-1)[np.triu_indices(len(atoms), 1)]
        assert gap.min() > 2.4


@pytest.mark.parametrize("name", sorted(METALS))
def test_groups_shrink_and_end_without_symmetry(name):
    sizes = [len(group(generators)) for generators in blueprint(name).groups.values()]
    assert sizes[0] == max(sizes)
    assert sizes[-1] == 1


def test_names_and_aliases():
    assert blueprint("AG29-BDT").name == "ag29"
    assert blueprint("ag70-chiral").name == "ag70-t"
    with pytest.raises(OptionError, match="ag25"):
        blueprint("au25")


def test_a_blueprint_of_ones_own(tmp_path):
    plan = yaml.safe_load((FOLDER / "ag2.yaml").read_text())
    plan["name"] = "mine"
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(plan))
    assert blueprint(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": None}, "frame"),
        ({"colour": "red"}, "colour"),
        ({"electrons": "few"}, "electrons"),
        ({"shells": {"other": "HCOO"}}, "unknown shell"),
        ({"hands": {"R": "mirrored", "S": "mirrored"}}, "two hands"),
        ({"sites": [{"label": "x", "kind": "carboxylate", "shell": "carboxylate"}]}, "donors or metals"),
        ({"sites": [{"label": "x", "kind": "glue", "shell": "carboxylate", "donors": [[0, 0, 0]]}]}, "kind"),
        ({"sites": [{"label": "x", "kind": "solvent", "shell": "carboxylate", "metals": [[0, 0, 0]]}]}, "outward"),
    ],
)
def test_damaged_blueprints(tmp_path, change, message):
    plan = yaml.safe_load((FOLDER / "ag2.yaml").read_text()) | change
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(plan))
    with pytest.raises(InputFileError, match=message):
        read_blueprint(path)


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "\x00"])
def test_files_that_are_no_blueprints(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputFileError):
        read_blueprint(path)
    with pytest.raises(InputFileError, match="no such file"):
        read_blueprint(tmp_path / "none.yaml")
