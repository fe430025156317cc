"""What the pages for extenders show works: a package of their examples is installed, and each is used as a user would.

The package has one of each kind: what stands in the pages ``adding-a..`` under a first line with the name of its file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from helpers import random_release

PAGES = sorted((Path(__file__).resolve().parents[1] / "docs" / "dev").glob("adding-*.md"))
USE = """
from pathlib import Path
import numpy as np
import clusterml as cm

atoms = cm.read("ring.atoms")
assert str(atoms.symbols) == "Ag2" and atoms.info["provenance"]["format"] == "columns", atoms.info
assert abs(cm.read(b"#atoms\\nAg 0 0 0\\nAg 0 0 2.9").get_distance(0, 1) - 2.9) < 1e-9

spectrum = cm.read_spectrum("sample.log")
assert np.allclose(spectrum.wavelength_nm, [500.0, 450.0, 400.0]) and list(spectrum.delta_epsilon) == [3.0, -2.0, 1.0]

built = cm.build("AG5", thiolate="pentanethiolate")
assert built.info["name"] == "[Ag5(SPent)5]" and built.info["charge"] == 0, built.info
assert cm.anatomy(built).ligand_counts() == {"SPent": 5}
assert cm.build(Path("mine.yaml")).info["name"] == "[Ag5(SCH3)5]"

def refused(words, do, *arguments, **options):
    try:
        do(*arguments, **options)
    except cm.ClusterMLError as error:
        assert words in str(error), error
    else:
        raise SystemExit(f"taken, not refused: {words}")

hot = cm.label(atoms, orbitals="hot-gfn1", emax_ev=4.0)
assert hot.protocol.name == "hot-gfn1"
refused("no effect on hot-gfn1", cm.label, atoms, orbitals="hot-gfn1", solvent="water")
same = cm.label(atoms, orbitals="gfn1", electronic_temperature_k=1000.0, emax_ev=4.0)
assert np.allclose(hot.spectrum.epsilon, same.spectrum.epsilon) and hot.spectrum.epsilon.max() > 100.0
damped = cm.label(atoms, solver="tda", emax_ev=4.0).transitions.energy_ev[0]
assert damped > cm.label(atoms, solver="states", emax_ev=4.0).transitions.energy_ev[0]  # Tamm-Dancoff: from above
refused("spectrum, states, tda for GFN1-PBE", cm.label, atoms, solver="quantum", emax_ev=4.0)

chosen = cm.Screen.model_validate({
    "name": "toy",
    "seed": 1,
    "parents": {"ring": {"build": {"name": "ag5", "thiolate": "SH"}}},
    "distortions": [{"modes": {"breathing": "-2..2 by 2 %"}}],
    "objectives": [{"centroid": "3..5 eV", "goal": "minimise"}],
})
ranked = cm.screen(chosen, "out", model="model").board.ranked
values = [entry.row.values[0].value for entry in ranked]
assert len(values) == 3 and values == sorted(values) and all(3.0 < value < 5.0 for value in values), values
try:
    chosen.model_validate(chosen.model_dump() | {"objectives": [{"centroid": "blue"}]})
except ValueError as error:
    assert "LOW..HIGH UNIT" in str(error)
else:
    raise SystemExit("a band that is none was taken")

import torch
from clusterml.model.network import Network
from clusterml.model.spec import read_spec
from clusterml.training.release import write_release

torch.manual_seed(0)
network = Network(read_spec({"head": "pairs", "head_options": {"strength": 50.0}, "channels": 4}))
write_release("pairs", [network.state_dict()], network.spec, "", {})
mirrored = built.copy()
mirrored.positions *= -1.0
hands = [cm.Predictor.load("pairs", device="cpu")(each).spectrum for each in (built, mirrored)]
assert hands[0].epsilon.max() > 1e-3 and abs(hands[0].delta_epsilon).max() > 1e-12
assert np.allclose(hands[0].epsilon, hands[1].epsilon, rtol=1e-3)
assert np.allclose(hands[0].delta_epsilon, -hands[1].delta_epsilon, atol=1e-3 * abs(hands[0].delta_epsilon).max())
refused("did you mean 'strength'", read_spec, {"head": "pairs", "head_options": {"strenght": 1.0}})
"""


def examples(page: Path) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Files of a page by their path (the first line of a block names it), and its entry points by group."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    named = [(re.match(r"# (\w[\w/]+\.\w+)\n", text), text) for language, text in blocks if language != "toml"]
    entries: dict[str, dict[str, str]] = {}
    for text in (text for language, text in blocks if language == "toml"):
        entries |= tomllib.loads(text)["project"]["entry-points"]
    return {match[1]: text for match, text in named if match}, entries


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder of sys.path with the package that all pages together describe."""
    folder = tmp_path / "site"
    info = folder / "my_clusters-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_clusters\nVersion: 1.0\n")
    groups = ""
    for page in PAGES:
        files, entries = examples(page)
        for group, names in entries.items():
            groups += f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items())
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(text)
    (info / "entry_points.txt").write_text(groups)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_short_and_complete(page):
    files, entries = examples(page)
    assert files
    assert all(group.startswith("clusterml.") for group in entries)
    assert len(entries) == 1
    assert 20 <= len(page.read_text().splitlines()) <= 45


def test_one_of_each_is_installed_and_used(site, tmp_path):
    (tmp_path / "ring.atoms").write_text("#atoms\nAg 0 0 0\nAg 0 0 2.8\n")
    (tmp_path / "sample.log").write_text("CHIROLOG 1\n400 1\n450 -2\n500 3\n")
    blueprint = (site / "my_clusters" / "blueprints" / "ag5.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(blueprint.replace("name: ag5", "name: mine"))
    random_release(tmp_path / "model")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_ligand_of_two_packages_and_a_file_that_is_wrong(site, tmp_path):
    """One name for two is an error that names both; a package whose file is wrong is left out, and that is said."""
    library = site / "my_clusters" / "ligands" / "long_thiols.yaml"
    code = "import clusterml as cm\nprint('SPent' in cm.load_library().names)\n"
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])

    def run(text: str) -> subprocess.CompletedProcess[str]:
        library.write_text(text)
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=60
        )

    good = library.read_text()
    assert run(good).stdout == "True\n"
    taken = run(good.replace("SPent:", "SCH3:"))
    assert "the ligand 'SCH3' is that of both ligands.yaml and my_clusters 1.0" in taken.stderr
    wrong = run(good.replace("charge: 1", "charge: 2"))
    assert wrong.stdout == "False\n"
    assert "ligands of my_clusters 1.0 are left out" in wrong.stderr
    assert "entry 'SPent': charge is 2 but the SMILES" in wrong.stderr
