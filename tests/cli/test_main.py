"""The command itself: help, version, exit codes, tracebacks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clusterml import __version__
from clusterml.cli import main as main_module
from clusterml.errors import OptionError

SCRIPT = [sys.executable, "-c", "from clusterml.cli.main import main; main()"]


def test_version_and_help(run):
    assert run("--version") == (0, f"clusterml {__version__}\n", "")
    shown = run("--help")
    assert shown.code == 0
    assert "label" in shown.out
    assert "compare" in shown.out


@pytest.mark.parametrize("verb", ["label", "compare"])
def test_every_verb_explains_itself(run, verb):
    shown = run(verb, "--help")
    assert shown.code == 0
    assert "--json" in shown.out
    assert "--output" in shown.out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["label"],
        ["label", "a.xyz", "--nonsense"],
        ["label", "a.xyz", "--mode", "rough"],
        ["label", "a.xyz", "--gauge", "coulomb"],
        ["label", "a.xyz", "--orbitals", "b3lyp"],
        ["label", "a.xyz", "--dtype", "float16"],
        ["label", "a.xyz", "--emax", "six"],
        ["label", "a.xyz", "--charge", "1.5"],
    ],
    ids=" ".join,
)
def test_usage_errors_exit_with_2(run, arguments):
    done = run(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_typed_errors_are_one_line_and_exit_with_1(run):
    done = run("compare", "missing.csv", "bands:Ag29-BDT")
    assert done.code == 1
    assert done.err.startswith("error: missing.csv")
    assert done.err.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path):
    command = [*SCRIPT, "--debug", "compare", "missing.csv", "bands:Ag29-BDT"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "InputFileError" in done.stderr


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (OptionError("a", "b"), 1)])
def test_what_a_verb_raises_decides_the_exit_code(run, monkeypatch, raised, code):
    def stop(*_):
        raise raised

    monkeypatch.setattr("clusterml.spectrum.measured.read_spectrum", stop)
    done = run("compare", "a", "b")
    assert done.code == code
    assert "Traceback" not in done.err


HEAVY = ("ase", "e3nn", "matplotlib", "numpy", "rdkit", "scipy", "sklearn", "tblite", "torch", "torch_geometric")


@pytest.mark.parametrize("verb", [[], ["label"], ["predict"], ["screen"], ["evaluate"]])
def test_help_loads_no_library_that_takes_time(verb):
    code = (
        "import sys\nfrom clusterml.cli.main import main\n"
        f"try:\n    main([*{verb!r}, '--help'])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "Usage" in done.stdout
    assert "clusterml.cli.main" in done.stderr.split()
    assert set(HEAVY) & set(done.stderr.split()) == set()


def test_main_is_the_entry_point():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="clusterml")
    assert script.load() is main_module.main
