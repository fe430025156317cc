"""Rules of the house that no linter checks: what source may not contain, and what importing it may not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "clusterml"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST_MODULE = 400
SAFE_YAML = {"yaml.safe_load", "yaml.safe_load_all"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def offences(tree: ast.AST) -> Iterator[str]:
    """What in a syntax tree breaks the rules, with its line."""
    for node in ast.walk(tree):
        for problem in _of_node(node):
            yield f"line {getattr(node, 'lineno', 0)}: {problem}"


def _of_node(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assert):
        yield "assert (raise a typed error)"
    elif isinstance(node, ast.Import):
        yield from (f"import {a.name}" for a in node.names if a.name.split(".")[0] in PICKLES)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
        yield f"import from {node.module}"
    elif isinstance(node, ast.ExceptHandler):
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if any(c is None or (isinstance(c, ast.Name) and c.id in ("Exception", "BaseException")) for c in caught):
            yield "broad except"
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    literals = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
    if name in ("eval", "exec", "builtins.eval", "builtins.exec"):
        yield name
    elif name.endswith("torch.load") and literals.get("weights_only") is not True:
        yield "torch.load without a literal weights_only=True"
    elif name.startswith("yaml.") and "load" in name and name not in SAFE_YAML:
        yield f"{name} (use yaml.safe_load)"
    elif name in ("np.load", "numpy.load") and literals.get("allow_pickle"):
        yield "numpy.load with allow_pickle"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_source_keeps_the_rules(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert list(offences(tree)) == []
    assert ast.get_docstring(tree), "a module says in its docstring what it is for"
    assert len(text.splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "exec('x = 1')",
        "assert x",
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept (ValueError, BaseException):\n    pass",
        "try:\n    f()\nexcept:\n    pass",
        "torch.load(p)",
        "torch.load(p, weights_only=flag)",
        "torch.load(p, weights_only=False)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
        "np.load(p, allow_pickle=True)",
    ],
)
def test_the_rules_catch_offences(code):
    assert len(list(offences(ast.parse(code)))) == 1


def test_the_rules_allow_the_safe_forms():
    code = "torch.load(p, weights_only=True)\nyaml.safe_load(t)\nmodel.eval()\ntry:\n    f()\nexcept OSError:\n    pass"
    assert list(offences(ast.parse(code))) == []


def test_importing_the_package_loads_nothing_heavy():
    names = [
        "clusterml",
        "clusterml.structure.read",
        "clusterml.structure.anatomy.superatom",
        "clusterml.engine.fragments",
        "clusterml.cli.main",
    ]
    code = (
        f"import sys\nfor name in {names}: __import__(name)\n"
        "print([m for m in ('torch', 'pyscf', 'tblite', 'matplotlib', 'ase', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_no_message_names_a_page_that_an_installed_package_lacks():
    """Pages of docs/ are not in the wheel; docstrings of modules and of what is not a verb may name them."""
    for path in MODULES:
        tree = ast.parse(path.read_text())
        scopes = (ast.Module,) if path.parent.name == "cli" else (ast.Module, ast.ClassDef, ast.FunctionDef)
        quiet = {
            id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, scopes) and is_text(node.body[0])
        }
        quiet |= {id(node.value) for node in tree.body if is_text(node)}  # what a constant is
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in quiet:
                assert "docs/" not in node.value, f"{path}: line {node.lineno}"


def is_text(node: ast.stmt) -> bool:
    """Is a statement a string alone?"""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


FLUENT = {"clusterml.spectrum.spectrum"}
"""Modules whose classes read and write themselves through functions that make or take them: ``Spectrum.to_csv``."""


def test_no_module_imports_itself_through_others():
    names = {_module_name(path): path for path in MODULES}
    imported = {name: _imports(path, names) for name, path in names.items() if name not in FLUENT}
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(imported.get(name, ())):
                walk(other, (*way, name))
            done.add(name)

    for name in names:
        walk(name, ())


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path, names: dict[str, Path]) -> set[str]:
    """Modules of the package that a module imports when it runs, at its top or in its functions."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in names:
            found |= {
                f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in names else node.module for a in node.names
            }
    return found


def test_scripts_are_tools_of_the_project_and_no_studies():
    scripts = [path.name for path in (SOURCE.parents[1] / "scripts").iterdir() if path.name != "__pycache__"]
    kinds = re.compile(r"setup|test|demo|refit|check_gpu|(bench|check|fit|make)_[a-z0-9_]+\.py")
    assert [name for name in scripts if not kinds.fullmatch(name)] == []
