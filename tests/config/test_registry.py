"""What installed packages add: found, named where they fail, refused where two offer the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import clusterml.spectrum.formats.format as of_spectra
import clusterml.structure.formats.format as of_structures
from clusterml.cli.main import main
from clusterml.config.registry import Registry
from clusterml.errors import OptionError, PluginError, PluginWarning, UserCodeError
from clusterml.spectrum.measured import read_spectrum
from clusterml.structure.read import read

STRUCTURES, SPECTRA = "clusterml.structure_formats", "clusterml.spectrum_formats"
TURTLE = """
from ase import Atoms
from clusterml.structure.formats.format import StructureFormat

def parse(text, source):
    for word in text.split()[1:]:
        yield Atoms("Ag2", [[0, 0, 0], [0, 0, float(word)]])

FORMATS = (StructureFormat("turtle", "Turtle files", ("*.turtle",), parse, lambda text: text.startswith("turtle")),)
"""
NEWT = """
import numpy as np
from clusterml.spectrum.formats.format import SpectrumFormat
from clusterml.spectrum.spectrum import Spectrum

def parse(text, source, settings):
    energy, cd = np.array([line.split() for line in text.splitlines()[1:]], dtype=float).T
    return Spectrum(energy, np.full(len(cd), np.nan), cd)

NEWT = SpectrumFormat("newt", lambda text: text.startswith("newt"), parse)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution into a folder of sys.path: install(name, code, group, entry point's value)."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for module in (of_structures, of_spectra):
        monkeypatch.setattr(module, "REGISTRY", fresh(module.REGISTRY))

    def distribution(name: str, code: str, group: str, value: str, version: str = "1.0") -> None:
        info = tmp_path / "site" / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
        (tmp_path / "site" / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)

    yield distribution
    for file in (tmp_path / "site").glob("*.py"):
        sys.modules.pop(file.stem, None)


def fresh(registry: Registry[Any]) -> Registry[Any]:
    """The same registry, which has not looked yet."""
    return Registry(**{name: getattr(registry, name) for name in registry.__dataclass_fields__})


def test_a_structure_format_of_another_package(install, tmp_path):
    install("turtle_package", TURTLE, STRUCTURES, "turtle_package")
    (tmp_path / "a.turtle").write_text("turtle 2.75")
    atoms = read(tmp_path / "a.turtle")
    assert atoms.get_distance(0, 1) == pytest.approx(2.75)
    assert (atoms.info["name"], atoms.info["provenance"]["format"]) == ("a", "turtle")
    assert read(b"turtle 2.8 2.9", frame=2).get_distance(0, 1) == pytest.approx(2.9)
    assert "turtle (*.turtle)" in of_structures.readable()


def test_a_spectrum_format_of_another_package_is_tried_before_the_table(install):
    install("newt_package", NEWT, SPECTRA, "newt_package:NEWT")
    assert list(read_spectrum(b"newt\n2.0 5\n3.0 -7\n").delta_epsilon) == [5.0, -7.0]
    names = of_spectra.REGISTRY.names
    assert names.index("newt") < names.index("table") == len(names) - 1


def test_the_command_finds_them_too(install, tmp_path):
    install("turtle_package", TURTLE, STRUCTURES, "turtle_package:FORMATS")
    install("gone", "import nothing_like_it", STRUCTURES, "gone")
    (tmp_path / "a.turtle").write_text("turtle 2.75")
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "clusterml", "inspect", str(tmp_path / "a.turtle")],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert "Ag2" in done.stdout
    assert done.stderr.count("warning: structure formats of gone 1.0 are left out: ") == 1
    assert "registry.py" not in done.stderr


@pytest.mark.parametrize(
    ("code", "value", "reason"),
    [
        ("import nothing_like_it", "bad", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("raise SystemExit(3)", "bad", "SystemExit: 3"),
        ("def f(:", "bad", "SyntaxError"),
        ("x = 3", "bad:y", "AttributeError"),
        ("x = 3", "bad:x", r"is no clusterml\.structure\.formats\.format\.StructureFormat"),
        ("x = 3", "bad", "no module with FORMATS"),
        ("FORMATS = ()", "bad", "no module with FORMATS"),
    ],
)
def test_a_package_that_fails_is_named_and_leaves_the_others(install, code, value, reason):
    install("bad", code, STRUCTURES, value)
    install("turtle_package", TURTLE, STRUCTURES, "turtle_package")
    with pytest.warns(PluginWarning, match=rf"structure formats of bad 1\.0 are left out: .*{reason}") as caught:
        names = [kind.name for kind in of_structures.REGISTRY.all()]
    assert {"xyz", "cif", "turtle"} < set(names)
    assert len(caught) == 1
    assert [kind.name for kind in of_structures.REGISTRY.all()] == names  # told once


@pytest.mark.parametrize(
    ("change", "claim"),
    [(('"turtle"', '"xyz"'), "xyz"), (("*.turtle", "*.xyz"), r"\*\.xyz")],
    ids=["name", "pattern"],
)
def test_one_name_for_two_formats_is_an_error_that_names_both(install, change, claim):
    install("turtle_package", TURTLE.replace(*change), STRUCTURES, "turtle_package")
    both = r"clusterml\.structure\.formats\.xyz and turtle_package 1\.0"
    with pytest.raises(PluginError, match=rf"the structure format '{claim}' is that of both {both}"):
        of_structures.format_of_name("a.xyz")


def test_one_name_from_two_packages(install):
    for name in ("first", "second"):
        install(name, NEWT, SPECTRA, f"{name}:NEWT")
    with pytest.raises(PluginError, match=r"'newt' is that of both first 1\.0 and second 1\.0"):
        read_spectrum(b"newt\n2.0 5\n3.0 -7\n")


def test_what_a_format_of_another_package_raises_names_it(install, tmp_path, capsys):
    install("turtle_package", TURTLE, STRUCTURES, "turtle_package")
    (tmp_path / "a.turtle").write_text("turtle two")
    with pytest.raises(UserCodeError, match=r"a\.turtle: turtle \(turtle_package 1\.0\): ValueError: could not"):
        read(tmp_path / "a.turtle")
    with pytest.raises(SystemExit, match="1"):
        main(["inspect", str(tmp_path / "a.turtle")])
    assert "turtle (turtle_package 1.0): ValueError" in capsys.readouterr().err
    install("newt_package", NEWT.replace("return Spectrum", "return list"), SPECTRA, "newt_package:NEWT")
    with pytest.raises(UserCodeError, match=r"newt \(newt_package 1\.0\)"):
        read_spectrum(b"newt\n2.0 5\n3.0 -7\n")


def test_a_new_module_is_a_new_format(tmp_path, monkeypatch):
    package = tmp_path / "shelf"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, words in {"one": ("b", "a"), "two": ("c",)}.items():
        (package / f"{name}.py").write_text(f"from {__name__} import Thing\nTHINGS = tuple(map(Thing, {words}))\n")
    (package / "helper.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    shelf = Registry("things", Thing, "shelf", name=lambda thing: thing.word)
    assert [thing.word for thing in shelf.all()] == ["a", "b", "c"]
    (package / "three.py").write_text((package / "two.py").read_text())
    with pytest.raises(PluginError, match=r"the thing 'c' is that of both shelf\.three and shelf\.two"):
        fresh(shelf).all()


@dataclass(frozen=True)
class Thing:
    """A toy."""

    word: str


@dataclass(frozen=True)
class Tool:
    """A toy with a function."""

    name: str
    use: Callable[[int], float]


def test_functions_of_another_package_fail_with_its_name(install, tmp_path):
    code = f"from {__name__} import Tool\nTOOLS = (Tool('saw', lambda n: 1 / n), Tool('axe', float))\n"
    (tmp_path / "site" / "shed").mkdir(parents=True)
    (tmp_path / "site" / "shed" / "__init__.py").touch()
    install("toolbox", code, "clusterml.tools", "toolbox", version="2.1")
    tools = Registry("tools", Tool, "shed")
    assert tools.names == ("axe", "saw")
    assert tools.packages == {"saw": "toolbox 2.1", "axe": "toolbox 2.1"}
    assert tools.named("saw").use(4) == 0.25
    with pytest.raises(UserCodeError, match=r"tool saw \(toolbox 2\.1\): ZeroDivisionError"):
        tools.named("saw").use(0)
    with pytest.raises(OptionError, match=r"tool is 'sav' \(did you mean 'saw'\?\)"):
        tools.named("sav")
    with pytest.raises(OptionError, match=r"best tool is 'drill' \(choose one of axe, saw\)"):
        tools.named("drill", "best tool")
