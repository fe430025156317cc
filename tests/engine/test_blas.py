"""tblite with torch's linear algebra: the same numbers, and other libraries load beside it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from clusterml.engine import blas

LEVELS = """
import sys
import numpy as np
if sys.argv[1] == "lent":
    from clusterml.engine.blas import lend_blas
    assert lend_blas()
from tblite.interface import Calculator
places = 2.0 * np.array([[0.0, 0, 0], [0, 0, 2.4], [0.9, 0, -0.9], [0.9, 0, 3.3]])
calculator = Calculator("GFN2-xTB", np.array([16, 16, 1, 1]), places)
calculator.set("verbosity", 0)
if sys.argv[1] == "lent":
    import torch, h5py, rdkit.Chem, pyscf.gto, scipy.linalg, matplotlib.pyplot, gemmi, sklearn.linear_model
    x = torch.eye(3, dtype=torch.float64) * 2.0
    assert torch.linalg.eigh(x)[0].tolist() == [2.0] * 3
    np.testing.assert_allclose(scipy.linalg.eigh(np.diag([1.0, 2.0]), np.diag([1.0, 4.0]))[0], [0.5, 1.0])
    np.testing.assert_allclose(pyscf.gto.M(atom="H 0 0 0; H 0 0 1", basis="sto-3g").intor("int1e_ovlp")[0, 0], 1.0)
print(*(calculator.singlepoint().get("orbital-energies")))
"""


@pytest.fixture(autouse=True)
def anew():
    blas.lend_blas.cache_clear()
    yield
    blas.lend_blas.cache_clear()


def levels(how: str) -> np.ndarray:
    done = subprocess.run([sys.executable, "-c", LEVELS, how], capture_output=True, text=True, check=True)
    return np.array([float(word) for word in done.stdout.split()])


def test_the_numbers_are_the_same_and_other_libraries_load_beside_it():
    if not blas.lend_blas():
        pytest.skip("this torch does not show its linear algebra")
    lent = levels("lent")
    assert len(lent) == 20
    np.testing.assert_allclose(lent, levels("own"), atol=1e-9)


def test_elsewhere_tblite_keeps_its_own(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert blas.lend_blas() is False


def test_a_torch_of_another_layout_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(blas, "find_spec", lambda name: type("Spec", (), {"origin": str(tmp_path / "__init__.py")}))
    assert blas.lend_blas() is False
    blas.lend_blas.cache_clear()
    monkeypatch.setattr(blas, "find_spec", lambda name: None)
    assert blas.lend_blas() is False
