"""No option is silently ignored: one that has no effect is refused, by name, with what would give it one."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from clusterml.batch.needs import NEEDS
from clusterml.cli.label import MethodOptions
from clusterml.cli.verbs import ENDS, VERBS, _Verbs
from clusterml.engine.orbitals.gfn import _failed

OTHERS = {"--no-python", "--nproc-per-node"}
"""Options of torchrun."""

VAIN = {
    "label x.xyz --temperature 77": "--temperature has no effect without --ensemble (add --ensemble N",
    "label x.xyz --seed 3": "--seed has no effect without --ensemble",
    "label x.xyz --json --jcamp": "--jcamp has no effect with --json and without --output",
    "label x.xyz --mode smooth": "--mode has no effect on GFN orbitals (add --orbitals stda-xtb",
    "label x.xyz --xc pbe0": "--xc has no effect without --orbitals dft (add --orbitals dft",
    "label x.molden --orbitals gfn1 --xc pbe0": "--xc has no effect without --orbitals dft",
    "label x.molden --basis def2-svp": "--basis has no effect without --orbitals dft",
    "label x.xyz --ax 0.3": "--ax has no effect without a Molden file (give one, or leave --ax out)",
    "label x.xyz --orbitals gfn2 --basis def2-svp": "--basis has no effect without --orbitals dft",
    "label x.xyz --no-density-fit": "--density-fit has no effect without --orbitals dft",
    "label x.xyz --orbitals gfn1 --checkpoint d": "--checkpoint has no effect without --orbitals dft",
    "explain x.xyz --band 2..3 --mode smooth": "--mode has no effect on GFN orbitals (use it with label",
    "explain x.xyz --band 2..3 --model ag-quick-v1 --emax 6": "--emax has no effect with --model",
    "explain x.xyz --band 2..3 --solvation gbsa": "--solvation has no effect without --solvent",
    "explain x.xyz --band 2..3 --xc pbe": "--xc has no effect without --orbitals dft",
    "explain x.xyz --band 2..3 --ax 0": "--ax has no effect without a Molden file",
    "explain x.xyz --band 2..3 --no-density-fit": "--density-fit has no effect without --orbitals dft",
    "label x.xyz --solvation gbsa": "--solvation has no effect without --solvent (add --solvent NAME",
    "label x.xyz --consensus gfn1,gfn2 --states": "--states has no effect with --consensus (leave it out",
    "label x.xyz --consensus gfn1,gfn2 --orbitals gfn2": "--orbitals has no effect with --consensus",
    "evaluate m d --split s.json --unseen x": "--unseen has no effect without --calibrate (add --calibrate",
    "evaluate m d --split s.json --foreign x": "--foreign has no effect without --calibrate",
    "predict x.xyz --temperature 77": "--temperature has no effect without --ensemble",
    "predict x.xyz --seed 0": "--seed has no effect without --ensemble",
    "predict x.xyz --engine never --engine-limit 3": "--engine-limit has no effect with --engine never",
    "predict x.xyz --json --jcamp": "--jcamp has no effect",
    "complete x.xyz --thiolate SMe --carboxylate HCOO --allow-several": (
        "--allow-several has no effect on a bare core (cores in several pieces are taken"
    ),
    "relax x.xyz --solvation gbsa": "--solvation has no effect without --solvent",
    "distort x.xyz --mode breathing --amount 1 --axis 0,0,1": "--axis has no effect on this mode",
    "distort x.xyz --mode breathing --amount 1 --index 2": "--index has no effect on this mode",
    "distort x.xyz --mode breathing --amount 1 --weight shear=1": "--weight has no effect on this mode",
    "distort x.xyz --mode mixture --amount 1 --weight shear=1 --seed 2": "--seed has no effect where nothing is random",
    "distort x.xyz --mode breathing --amount 1 --seed 2": "--seed has no effect where nothing is random",
    "distort --list --amount 3": "--amount has no effect with --list (leave --amount out)",
    "substitute x.xyz --from PH3 --list --to PMe3": "--to has no effect with --list",
    "build --list --seed 2": "--seed has no effect with --list",
    "screen x.yaml --dataset d": "--dataset has no effect without --label-uncertain",
    "screen x.yaml --gpus 1": "--gpus has no effect without --cluster",
    "screen --keys --workers 2": "--workers has no effect with --keys",
    "screen --report d --resume": "--resume has no effect with --report",
    "train --keys --resume": "--resume has no effect with --keys",
    "dataset generate --keys --workers 2": "--workers has no effect with --keys",
}


@pytest.mark.parametrize("command", VAIN)
def test_an_option_without_effect_is_refused(run, command):
    done = run(*command.split())
    assert done.code == 2
    assert done.err.startswith(f"error: {VAIN[command]}")


@pytest.mark.parametrize("command", ["distort --list", "build --list", "train --keys", "screen --keys"])
def test_what_has_an_effect_is_not_refused(run, command):
    assert run(*command.split()).code == 0


def test_the_rules_name_parameters_that_exist():
    commands = {name: _Verbs()[name] for name in VERBS}
    commands["generate"] = commands["dataset"].commands["generate"]
    for verb, rules in NEEDS.items():
        names = {p.name for p in commands[verb].params}
        assert names >= {name for rule in rules for name in rule.parameters}
    for verb, ends in ENDS.items():
        names = {p.name for p in commands[verb].params}
        assert names >= {name for end, useful in ends.items() for name in (end, *useful)}


def test_no_option_of_the_engine_is_ignored_by_a_network():
    (rule,) = (rule for rule in NEEDS["explain"] if rule.otherwise == "with --model")
    assert set(rule.parameters) == {field.name for field in fields(MethodOptions)}


def test_options_named_in_messages_exist():
    """Advice such as "raise the temperature with --x" must name an option of some verb."""
    commands = [_Verbs()[name] for name in VERBS]
    commands += list(_Verbs()["dataset"].commands.values())
    known = {option for command in commands for p in command.params for option in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "--version", "--debug", "--install-completion", "--show-completion"}
    source = Path(__file__).resolve().parents[2] / "src" / "clusterml"
    for path in sorted(source.rglob("*.py")):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+[a-z]", path.read_text(encoding="utf-8")))
        unknown = {o for o in named - OTHERS if not any(k == o or k.startswith(f"{o}-") for k in known)}
        assert unknown == set(), path


def test_a_failed_ground_state_names_what_the_label_has(run, xyz):
    Path("far.xyz").write_text("2\ncharge=0\nAg 0 0 0\nH 0 0 1.6\n")
    hot = run("label", "far.xyz", "--emax", "4", "--electronic-temperature", "1000", "--json")
    assert hot.code == 0, hot.err
    other = run("label", "far.xyz", "--orbitals", "stda-xtb", "--electronic-temperature", "1000")
    assert "has no effect on stda-xtb orbitals (use --orbitals gfn1)" in other.err
    assert "--electronic-temperature 1000" in str(_failed("gfn2", 300.0, 500, "SCF not converged"))


@pytest.mark.parametrize(
    ("command", "suggested"),
    [
        ("predict x.xyz --solvent water", []),
        ("predict x.xyz --theads 2", ["--threads"]),
        ("label x.xyz --Solvant water", ["--solvation", "--solvent"]),
        ("label x.xyz --Electronic-temp 300", ["--electronic-temperature"]),
        ("label x.xyz --no-hydrogen", ["--hydrogens", "--no-hydrogens"]),
        ("screen x.yaml --worker 2", ["--workers"]),
        ("chirality x.xyz -q", []),
    ],
)
def test_only_options_that_are_near_are_suggested(run, command, suggested):
    done = run(*command.split())
    assert done.code == 2
    line = done.err.splitlines()[-1]
    assert re.findall(r"--[\w-]+", line.partition("(")[2]) == suggested


@pytest.mark.parametrize(
    "command",
    [
        "label x.xyz --orbitals pbe",
        "label x.xyz --emax 99",
        "label x.xyz --mode smoth",
        "label x.xyz --ensemble 1",
        "label x.xyz --range 3",
        "predict x.xyz --fwhm 0.001",
        "predict x.xyz --charge one",
        "predict x.xyz --engine-limit -1",
        "chirality x.xyz --groups Q9",
        "chirality x.xyz --nothing",
        "explain x.xyz --band blue",
        "inspect x.xyz --cluster 0",
        "build nothing",
        "build ag3 --thiolate Nothing",
        "relax x.xyz --solvation alpb",
        "screen",
        "screen x.yaml --cluster local --gpus -1",
        "nothing",
    ],
)
def test_a_wrong_option_is_exit_code_2_whatever_the_verb(run, xyz, command):
    xyz("agh", to="x.xyz")
    done = run(*command.split())
    assert done.code == 2, done.err
    assert done.out == ""
