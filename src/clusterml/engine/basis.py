"""Contracted Gaussian shells, and the Slater basis sets of sTDA-xTB, GFN1-xTB and GFN2-xTB expanded in them.

Sources: S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017); C. Bannwarth, S. Ehlert,
S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019); R. F. Stewart, J. Chem. Phys. 52, 431 (1970).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np

from clusterml.engine.parameters import data_tables, element, stage_globals, sto_expansion
from clusterml.errors import ElectronicStructureError, UnsupportedElementError
from clusterml.structure.solvents import GfnMethod
from clusterml.typing import FloatArray, IntArray

Kind = Literal["valence", "polarisation", "rydberg"]

SHELL_LETTERS = "spdfghi"
"""The letter of each angular momentum."""


@dataclass(frozen=True)
class Shell:
    """One contracted shell: ``coefficients`` (n,) of *normalised* primitives, ``exponents`` (n,) in bohr^-2."""

    atom: int
    l: int
    exponents: FloatArray
    coefficients: FloatArray
    kind: Kind = "valence"
    level_ev: float = 0.0


@dataclass(frozen=True)
class Basis:
    """Shells on atoms. Atomic orbitals: real spherical functions in libcint's order.

    That is x y z for p, and m = -l ... l from d on (d: xy yz z2 xz x2-y2), for any l up to that of i functions.

    ``coords_bohr`` (n_atoms, 3); ``shells`` in atomic-orbital order.
    """

    coords_bohr: FloatArray
    shells: tuple[Shell, ...]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.coords_bohr)

    @cached_property
    def shell_sizes(self) -> IntArray:
        """Number of spherical functions of each shell, shape (n_shells,)."""
        return np.array([2 * s.l + 1 for s in self.shells])

    @property
    def n_ao(self) -> int:
        """Number of spherical atomic orbitals."""
        return int(self.shell_sizes.sum())

    def translated(self, shift_bohr: FloatArray) -> Basis:
        """The same basis with every atom moved by ``shift_bohr`` (3,)."""
        return Basis(self.coords_bohr + shift_bohr, self.shells)

    def expand(self, per_shell: Sequence[float] | FloatArray | IntArray) -> Any:
        """Repeat one value per shell to one per atomic orbital, shape (n_ao,)."""
        return np.repeat(np.asarray(per_shell), self.shell_sizes)

    @cached_property
    def atom_of_ao(self) -> IntArray:
        """Atom index of each atomic orbital, shape (n_ao,)."""
        return np.asarray(self.expand([s.atom for s in self.shells]), dtype=np.int64)


def primitive_overlap(l: int, a: FloatArray, b: FloatArray) -> FloatArray:
    """Overlap of concentric normalised primitives of equal l, shape (len(a), len(b))."""
    s = 2.0 * np.sqrt(np.outer(a, b)) / np.add.outer(a, b)
    return np.asarray(s ** (l + 1.5))


def molden_order(l: int) -> IntArray:
    """Molden's order of the spherical functions of a shell in terms of libcint's, shape (2 l + 1,).

    From d on m = 0, +1, -1, .. +l, -l against -l ... l; s and p are the same.
    """
    if l < 2:
        return np.arange(2 * l + 1)
    return np.array([l, *(l + sign * m for m in range(1, l + 1) for sign in (1, -1))])


def contracted_shells(atom: int, l: int, exponents: FloatArray, coefficients: FloatArray) -> list[Shell]:
    """The shells of a general contraction: one for each column of ``coefficients`` (n, n_shells).

    ``exponents`` (n,) in bohr^-2; coefficients are those of normalised primitives.  Each shell is scaled to norm 1, and
    has the primitives alone that it uses.  Raises ElectronicStructureError for a column that has no norm.
    """
    shells = []
    for column in np.asarray(coefficients, dtype=np.float64).T:
        used = np.flatnonzero(column)
        a, c = np.asarray(exponents, dtype=np.float64)[used], column[used]
        norm = float(c @ primitive_overlap(l, a, a) @ c)
        if not (np.isfinite(norm) and norm > 0.0):
            problem = f"the {SHELL_LETTERS[l]} shell of atom {atom + 1} has no norm: {len(used)} primitives"
            raise ElectronicStructureError(problem, "check its exponents and contraction coefficients")
        shells.append(Shell(atom, l, a, c / np.sqrt(norm)))
    return shells


def orthogonalised(l: int, rydberg: tuple[FloatArray, FloatArray], valence: Shell) -> tuple[FloatArray, FloatArray]:
    """Schmidt-orthogonalise a Rydberg contraction on the valence of its atom and l (stda-xtb.md, section 5)."""
    a, c = rydberg
    s = float(c @ primitive_overlap(l, a, valence.exponents) @ valence.coefficients)
    exponents = np.concatenate([a, valence.exponents])
    coefficients = np.concatenate([c, -s * valence.coefficients])
    norm = float(coefficients @ primitive_overlap(l, exponents, exponents) @ coefficients)
    return exponents, coefficients / np.sqrt(norm)


def _rydberg_shells(atom: int, z: int, entry: dict[str, Any], split: float, valence: dict[int, Shell]) -> list[Shell]:
    """The s and p shells of one Rydberg ``sp`` entry; the hydrogen 2p has no valence p and stays as it is."""
    shells = []
    split = split if z > 2 else 0.0
    for l, key, sign in ((0, "sto_s", -1.0), (1, "sto_p", 1.0)):
        alpha, coef = sto_expansion(entry[key])
        contraction = (alpha * entry["zeta"] ** 2, coef)
        if l in valence:
            contraction = orthogonalised(l, contraction, valence[l])
        shells.append(Shell(atom, l, *contraction, kind="rydberg", level_ev=entry["level_eV"] + sign * split))
    return shells


def atom_shells(atom: int, symbol: str, cn: float, stage: int) -> list[Shell]:
    """Shells of one atom in tight-binding stage 1 or 2; valence exponents scale with the coordination number."""
    g = stage_globals(stage)
    entry = element(symbol)
    scale = 1.0 + g.exponent_cn * cn
    shells: list[Shell] = []
    for item in entry[f"stage{stage}"]["shells"]:
        if item["type"] == "sp":
            valence = {s.l: s for s in shells if s.kind == "valence"}
            shells += _rydberg_shells(atom, entry["Z"], item, g.rydberg_split_ev, valence)
            continue
        alpha, coef = sto_expansion(item["sto"])
        exponents = alpha * (item["zeta"] * scale) ** 2
        shells.append(Shell(atom, "spd".index(item["type"]), exponents, coef, item["kind"], item["level_eV"]))
    return shells


def stage_basis(symbols: Sequence[str], coords_bohr: FloatArray, cn: FloatArray, stage: int) -> Basis:
    """The basis of tight-binding stage 1 (minimal, for charges) or 2 (valence + Rydberg, for orbitals).

    ``coords_bohr`` (n_atoms, 3), ``cn`` (n_atoms,). Raises UnsupportedElementError.
    """
    shells = [s for a, symbol in enumerate(symbols) for s in atom_shells(a, symbol, float(cn[a]), stage)]
    return Basis(np.asarray(coords_bohr, dtype=np.float64), tuple(shells))


_TBLITE_ORDER = {0: (0,), 1: (1, 2, 0), 2: (0, 1, 2, 3, 4)}
"""For every function of a tblite shell (magnetic number -l ... l) its position in our shell (p: x y z)."""


def _contraction(entry: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    expansion = data_tables("gfn_basis")["sto_ng"][f"{entry['n_gauss']}:{entry['label']}"]
    return np.array(expansion["alpha"]) * entry["zeta"] ** 2, np.array(expansion["coef"])


def gfn_atom_shells(atom: int, symbol: str, method: GfnMethod) -> list[Shell]:
    """Shells of one atom in the method's own order.

    The second s shell of hydrogen in GFN1 is Schmidt-orthogonalised on the first. Raises UnsupportedElementError for
    elements beyond radon.
    """
    return [Shell(atom, shell.l, shell.exponents, shell.coefficients) for shell in _gfn_shells(symbol, method)]


@lru_cache(maxsize=256)
def _gfn_shells(symbol: str, method: GfnMethod) -> tuple[Shell, ...]:
    """Those of atom 0."""
    entries = data_tables("gfn_basis")["methods"][method].get(symbol)
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
        shells.setdefault(l, Shell(0, l, exponents, coefficients))
        result.append(Shell(0, l, exponents, coefficients))
    return tuple(result)


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
