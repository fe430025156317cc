"""The command itself: help, version, exit codes, tracebacks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clusterml import __version__
from clusterml.cli import main as main_module
from clusterml.cli.verbs import VERBS
from clusterml.errors import OptionError, SpectrumError
from clusterml.io.shipped import DEFAULT_MODEL, shipped

SCRIPT = [sys.executable, "-c", "from clusterml.cli.main import main; main()"]


def test_version_and_help(run):
    shown = run("--version")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[0] == f"clusterml {__version__}"
    spec = (shipped("checkpoints") / DEFAULT_MODEL / "spec.json").read_bytes()
    digits, writer = hashlib.sha256(spec).hexdigest()[:8], json.loads(spec)["version"]
    assert shown.out.splitlines()[1:] == [f"checkpoint {DEFAULT_MODEL} {digits}, of clusterml {writer}"]
    shown = run("--help")
    assert shown.code == 0
    assert "label" in shown.out
    assert "compare" in shown.out


def test_version_names_the_checkpoint_that_is_found(run, monkeypatch, tmp_path):
    (tmp_path / "mine" / DEFAULT_MODEL).mkdir(parents=True)
    (tmp_path / "mine" / DEFAULT_MODEL / "spec.json").write_text("{")
    monkeypatch.setenv("CLUSTERML_CHECKPOINTS", str(tmp_path / "mine"))
    assert run("--version").out.splitlines()[1].startswith(f"checkpoint {DEFAULT_MODEL}: missing or damaged")


@pytest.mark.parametrize("verb", ["label", "compare"])
def test_every_verb_explains_itself(run, verb):
    shown = run(verb, "--help")
    assert shown.code == 0
    assert "--json" in shown.out
    assert "--output" in shown.out


@pytest.mark.parametrize("verb", VERBS)
def test_the_list_of_verbs_names_what_is_there(run, verb):
    shown = run(verb, "--help")
    assert shown.code == 0
    assert shown.out.startswith(f"Usage: clusterml {verb} ")
    assert re.search(rf"^  {verb} +{re.escape(VERBS[verb])}$", run("--help").out, flags=re.MULTILINE)


def test_every_module_with_a_verb_is_in_the_list():
    folder = Path(main_module.__file__).parent
    texts = {path.stem: path.read_text() for path in folder.glob("*.py")}
    verbs = {name for name, text in texts.items() if f"\ndef {name}(\n" in text and "typer.Option(" in text}
    assert verbs | {"dataset"} == set(VERBS)


def test_a_mistyped_verb_is_corrected(run):
    done = run("predcit")
    assert done.code == 2
    assert "Did you mean 'predict'?" in done.err


def test_the_module_runs_as_the_command_does(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "clusterml", "--help"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: clusterml [OPTIONS] COMMAND")


def completed(*words: str, word: str = "") -> list[str]:
    """What bash offers after ``words`` for the beginning ``word``."""
    typed = {"COMP_WORDS": " ".join(["clusterml", *words, word]), "COMP_CWORD": str(len(words) + 1)}
    environment = {**os.environ, **typed, "_CLUSTERML_COMPLETE": "complete_bash"}
    done = subprocess.run(SCRIPT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "word", "offered"),
    [
        ((), "pre", ["predict"]),
        ((), "", list(VERBS)),
        (("predict",), "--all", ["--allow-several"]),
        (("dataset",), "gen", ["generate"]),
        (("dataset", "generate"), "--work", ["--workers"]),
    ],
    ids=str,
)
def test_shells_complete_verbs_and_options(words, word, offered):
    assert completed(*words, word=word) == offered


def test_the_completion_of_a_shell_is_shown(tmp_path):
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [*SCRIPT, "--show-completion", "bash"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "_CLUSTERML_COMPLETE=complete_bash" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["label"],
        ["label", "a.xyz", "--nonsense"],
        ["label", "a.xyz", "--mode", "rough"],
        ["label", "a.xyz", "--gauge", "coulomb"],
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


@pytest.mark.parametrize(
    ("raised", "code"), [(KeyboardInterrupt(), 130), (OptionError("a", "b"), 2), (SpectrumError("a", "b"), 1)]
)
def test_what_a_verb_raises_decides_the_exit_code(run, monkeypatch, raised, code):
    def stop(*_, **__):
        raise raised

    monkeypatch.setattr("clusterml.spectrum.measured.read_spectrum", stop)
    done = run("compare", "a", "b")
    assert done.code == code
    assert "Traceback" not in done.err


HEAVY = ("ase", "e3nn", "matplotlib", "numpy", "rdkit", "scipy", "sklearn", "tblite", "torch", "torch_geometric")
HEAVY += ("yaml", "pyscf", "h5py", "gemmi")


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS), ["dataset", "generate"]], ids=" ".join)
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


def test_the_version_with_that_of_the_checkpoint_loads_no_library_that_takes_time():
    code = (
        "import sys\nfrom clusterml.cli.main import main\ntry:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "checkpoint ag-response-v1 " in done.stdout
    assert {*HEAVY, "pydantic"} & set(done.stderr.split()) == set()


def test_main_is_the_entry_point():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="clusterml")
    assert script.load() is main_module.main


def test_a_wrong_choice_is_said_without_the_name_of_an_exception(run):
    for words in (("label", "x.xyz", "--gauge", "x"), ("predict", "x.xyz", "--engine", "x")):
        done = run(*words)
        assert done.code == 2
        assert f"Invalid value for '{words[2]}': 'x' is not one of" in done.err
