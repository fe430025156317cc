"""Wheel and sdist, built from this checkout, and the program as a stranger has it: installed, far from any checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = "shipped:datasets/examples/ag29_model.xyz"
MODELS = ("ag-response-v1", "ag-quick-v1")


def run(*command: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in ``folder`` that knows nothing of this checkout."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "CLUSTERML_CHECKPOINTS")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**kept, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheel and sdist."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, folder=ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.fixture(scope="module")
def clusterml(built, tmp_path_factory):
    """``clusterml`` of the wheel in an environment of its own, which sees only the libraries of the running one."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder)
    python = folder / "bin" / "python"
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index",
        "--disable-pip-version-check", built["wheel"], folder=folder,
    )  # fmt: skip
    (packages,) = folder.glob("lib/python*/site-packages")
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "libraries.pth").write_text("\n".join(paths))  # the .pth files in there are not read: no checkout
    work = tmp_path_factory.mktemp("work")
    where = run(python, "-c", "import clusterml; print(clusterml.__file__)", folder=work).stdout.strip()
    assert Path(where).is_relative_to(packages)

    def command(*arguments: object, at: Path = work) -> str:
        return run(folder / "bin" / "clusterml", *arguments, folder=at).stdout

    command.python, command.folder, command.packages = python, work, packages
    return command


def members(path: Path) -> set[str]:
    if path.suffix == ".whl":
        return set(zipfile.ZipFile(path).namelist())
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_holds_what_is_needed_and_no_more(built):
    names = members(built["wheel"])
    data = {name.removeprefix("clusterml/data/") for name in names if name.startswith("clusterml/data/")}
    checkpoint = {name for name in data if name.startswith("checkpoints/")}
    assert {Path(name).parts[1] for name in checkpoint} == set(MODELS)
    for model in (ROOT / "checkpoints" / name for name in MODELS):
        weights = json.loads((model / "spec.json").read_text())["members"]
        files = {path.name for path in model.iterdir()}
        assert {Path(name).name for name in checkpoint if Path(name).parts[1] == model.name} == files
        assert {member["file"] for member in weights} <= files
    parents = ("datasets/parents", "datasets/ag-foreign-v2/parents", "datasets/dft-v1/parents")
    for folder in ("configs", "datasets/structures", "datasets/examples", *parents):
        inside = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert inside <= data
    assert not [name for name in data if "ag-sr-v2/shards" in name or "evaluation" in name]
    assert "clusterml/py.typed" in names
    page = ROOT / "src" / "clusterml" / "server" / "page"
    assert {f"clusterml/server/page/{path.relative_to(page)}" for path in page.rglob("*.*")} <= names
    licences = {name.partition("/licenses/")[2] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "CITATION.cff", "datasets/CC-BY-4.0.txt"}
    assert not [name for name in names if name.startswith("tests")]
    assert built["wheel"].stat().st_size < 8e6


def test_the_sdist_makes_the_same_wheel(built, tmp_path):
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", folder=source)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert members(wheel) == members(built["wheel"])
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    assert tests <= members(built["sdist"])


def test_a_stranger_predicts_and_starts(clusterml):
    assert "ag-response-v1 " in clusterml("--version").splitlines()[1]
    assert str(clusterml.packages) in clusterml("models", "--json")
    result = json.loads(clusterml("predict", EXAMPLE, "--json"))
    assert result["charge"] == -3
    clusterml("init", "screen")
    assert "dataset: shipped:" in (clusterml.folder / clusterml("init", "train").split()[2].strip(";")).read_text()
    clusterml("build", "ag2")
    assert (clusterml.folder / "ag2.xyz").is_file()


def test_configurations_find_their_files_inside_the_package(clusterml):
    code = (
        "from clusterml.dataset.campaign import load_campaign, source_of\n"
        "from clusterml.io.shipped import locate\n"
        "for name in ('ag-sr-v2', 'ag-foreign-v2', 'dft-v1'):\n"
        "    file = locate(f'shipped:configs/campaigns/{name}.yaml')\n"
        "    for parent in load_campaign(file).parents.values(): print(source_of(file, parent))\n"
        "from clusterml.training.config import load_config\n"
        "print(load_config(locate('shipped:configs/train/fine-tuned.yaml')).data.dataset)\n"
    )
    found = set(run(clusterml.python, "-c", code, folder=clusterml.folder).stdout.split()) - {"None"}
    assert len(found) > 5
    assert all(Path(path).exists() for path in found)
    assert all(Path(path).resolve().is_relative_to(clusterml.packages / "clusterml" / "data") for path in found)


@pytest.mark.slow
def test_a_stranger_uses_every_verb(clusterml, tmp_path):
    def here(*arguments: object) -> str:
        return clusterml(*arguments, at=tmp_path)

    here("build", "ag3", "-o", "ag3.xyz")
    here("inspect", "ag3.xyz")
    here("label", "ag3.xyz", "-o", "labels")
    here("predict", "ag3.xyz", "-o", "results")
    here("compare", "results/ag3.json", "labels/ag3.json", "--no-fit-shift")
    here("compare", "labels/ag3.json", "bands:Ag29-BDT", "-o", "compared")
    here("chirality", "ag3.xyz", "-o", "results")
    here("explain", EXAMPLE, "--band", "2..3", "-o", "explained")
    here("distort", "ag3.xyz", "--mode", "breathing", "--amount", "1", "-o", "distorted.xyz")
    for kind in ("screen", "campaign", "train"):
        here("init", kind)
    here("screen", "screen.yaml", "most=4", "verify=1", "verify_random=0", "-o", "screened")
    here("design", "screen.yaml", "design.starts=2", "design.climbs=1", "design.steps=2", "-o", "designed")
    here("dataset", "generate", "campaign.yaml", "-o", "data", "--limit", "2")
    here("dataset", "info", "data")
    here("train", "train.yaml", "data.fraction=0.2", "schedule.epochs=1", "-o", "trained")
    here("models", "trained/release")
    for name in ("ranked.csv", "report.html"):
        assert (tmp_path / "screened" / name).is_file()


@pytest.mark.slow
def test_the_tests_of_the_sdist_run(built, tmp_path):
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    chosen = ["tests/test_house.py", "tests/io/test_shipped.py", "tests/test_public.py", "tests/spectrum"]
    run(
        sys.executable, "-m", "pytest", "-q", "-m", "not slow", *chosen,
        folder=source, PYTHONPATH=str(source / "src"),
    )  # fmt: skip
