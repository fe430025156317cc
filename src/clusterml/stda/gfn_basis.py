"""The Slater basis sets of GFN1-xTB and GFN2-xTB, expanded in Gaussians as tblite does (data/gfn_basis.json).

Sources: S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017); C. Bannwarth, S. Ehlert,
S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019); R. F. Stewart, J. Chem. Phys. 52, 431 (1970).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from clusterml.errors import UnsupportedElementError
from clusterml.stda.basis import Basis, Shell, orthogonalised
from clusterml.typing import FloatArray, IntArray

GfnMethod = Literal["gfn1", "gfn2"]

_TBLITE_ORDER = {0: (0,), 1: (1, 2, 0), 2: (0, 1, 2, 3, 4)}
"""For every function of a tblite shell (magnetic number -l ... l) its position in our shell (p: x y z)."""


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    text = files("clusterml.stda").joinpath("data/gfn_basis.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def _contraction(entry: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    expansion = _tables()["sto_ng"][f"{entry['n_gauss']}:{entry['label']}"]
    return np.array(expansion["alpha"]) * entry["zeta"] ** 2, np.array(expansion["coef"])


def gfn_atom_shells(atom: int, symbol: str, method: GfnMethod) -> list[Shell]:
    """Shells of one atom in the method's own order.

    The second s shell of hydrogen in GFN1 is Schmidt-orthogonalised on the first. Raises UnsupportedElementError for
    elements beyond radon.
    """
    entries = _tables()["methods"][method].get(symbol)
    if entries is None:
        raise UnsupportedElementError(
            f"element {symbol!r} has no {method.upper()}-xTB parameters",
            "the method covers hydrogen to radon; remove or replace the atom",
        )
    shells: dict[int, Shell] = {}
    result: list[Shell] = []
    for entry in entries:
        l = "spd".index(entry["label"][1])
        exponents, coefficients = _contraction(entry)
        if l in shells:
            exponents, coefficients = orthogonalised(l, (exponents, coefficients), shells[l])
        shells.setdefault(l, Shell(atom, l, exponents, coefficients))
        result.append(Shell(atom, l, exponents, coefficients))
    return result


def gfn_basis(symbols: Sequence[str], coords_bohr: FloatArray, method: GfnMethod) -> Basis:
    """The valence basis of GFN1-xTB or GFN2-xTB for a molecule; ``coords_bohr`` (n_atoms, 3).

    Raises UnsupportedElementError.
    """
    shells = [s for a, symbol in enumerate(symbols) for s in gfn_atom_shells(a, symbol, method)]
    return Basis(np.asarray(coords_bohr, dtype=np.float64), tuple(shells))


def tblite_positions(basis: Basis) -> IntArray:
    """Where every atomic orbital of tblite's ordering stands in ours, shape (n_ao,).

    With ``p`` the result and ``T`` a matrix over tblite's orbitals, ``ours[np.ix_(p, p)] = T``.
    """
    starts = np.concatenate([[0], np.cumsum(basis.shell_sizes)[:-1]])
    return np.concatenate([start + np.array(_TBLITE_ORDER[s.l]) for start, s in zip(starts, basis.shells, strict=True)])
