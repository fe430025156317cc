"""Orbital sources and response solvers of other packages: the examples of docs/dev, used through ``label``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from clusterml.config.registry import Registry
from clusterml.engine.label import label
from clusterml.engine.orbitals import source
from clusterml.engine.response import solver
from clusterml.errors import OptionError

DOCS = Path(__file__).resolve().parents[2] / "docs" / "dev"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install the example of a page under docs/dev as a package, with the entry point that the page gives."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def distribution(page: str) -> None:
        text = (DOCS / page).read_text()
        code = re.search(r"```python\n(.*?)```", text, flags=re.S)[1]
        points = re.search(r'```toml\n\[project\.entry-points\."(.*?)"\]\n(.*?) = "my_clusters\.(\w+)"\n```', text)
        package = tmp_path / "site" / "my_clusters"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / f"{points[3]}.py").write_text(code)
        info = tmp_path / "site" / "my_clusters-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_clusters\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{points[1]}]\n{points[2]} = my_clusters.{points[3]}\n")

    yield distribution
    for name in [name for name in sys.modules if name.split(".")[0] == "my_clusters"]:
        del sys.modules[name]


def fresh(registry: Registry) -> Registry:
    """The same registry, which has not looked yet."""
    return Registry(**{name: getattr(registry, name) for name in registry.__dataclass_fields__})


def test_the_orbital_source_of_the_docs(install, molecule, monkeypatch):
    install("adding-an-orbital-source.md")
    monkeypatch.setattr(source, "SOURCES", fresh(source.SOURCES))
    ours = label(molecule("agsch3"), orbitals="hot-gfn1")
    same = label(molecule("agsch3"), orbitals="gfn1", electronic_temperature_k=1000.0)
    assert ours.protocol.name == "hot-gfn1"
    np.testing.assert_allclose(ours.spectrum.delta_epsilon, same.spectrum.delta_epsilon, atol=1e-9)
    with pytest.raises(OptionError, match="no effect on hot-gfn1"):
        label(molecule("agsch3"), orbitals="hot-gfn1", solvent="water")


def test_the_response_solver_of_the_docs(install, molecule, monkeypatch):
    install("adding-a-response-solver.md")
    monkeypatch.setattr(solver, "SOLVERS", fresh(solver.SOLVERS))
    ours, casida = (label(molecule("agsch3"), solver=name) for name in ("tda", "states"))
    assert ours.transitions.energy_ev[0] > casida.transitions.energy_ev[0]  # Tamm-Dancoff energies are upper bounds
    with pytest.raises(OptionError, match=r"solver is 'quantum' .*spectrum, states, tda for GFN1-PBE"):
        label(molecule("agsch3"), solver="quantum")


def test_the_reference_mode_is_not_for_orbitals_without_exchange(molecule):
    with pytest.raises(OptionError, match="mode reference has no meaning for GFN1-xTB"):
        label(molecule("agsch3"), orbitals="gfn1", mode="reference")
