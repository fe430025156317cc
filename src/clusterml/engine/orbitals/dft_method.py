"""What Kohn-Sham orbitals are computed with, and how large that is: functional, basis, fit, time and memory.

Source of the auxiliary basis: F. Weigend, Phys. Chem. Chem. Phys. 8, 1057 (2006).
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from clusterml.engine.choices import check_kelvin
from clusterml.engine.integrals import import_pyscf
from clusterml.engine.orbitals.functional import (
    DEFAULT_BASIS,
    DEFAULT_XC,
    BasisChoice,
    Functional,
    element_basis,
    read_basis,
    read_functional,
)

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.protocol import Compute, Protocol

GRID_LEVEL = 1
"""pyscf's level of the integration grid: valence levels hold to 1 meV, see docs/science/dft.md."""
"""Largest electronic temperature in K."""
_CYCLES = 12
"""Cycles that a cluster needs: 7 to 20."""
_HEAVY = 36
"""Elements beyond need an effective core potential: nothing else here knows of relativity."""


@dataclass(frozen=True)
class Method:
    """What orbitals are computed with: ``functional``, ``basis``, ``density_fit`` and the electronic ``kelvin``."""

    functional: Functional
    basis: BasisChoice
    density_fit: bool = True
    kelvin: float | None = None

    @classmethod
    def of(cls, protocol: Protocol) -> Method:
        """That of a protocol; raises OptionError for a functional, basis or temperature that cannot be."""
        kelvin = protocol.electronic_temperature_k
        if kelvin is not None:
            check_kelvin("electronic_temperature_k", kelvin)
        return cls(
            read_functional(protocol.xc or DEFAULT_XC),
            read_basis(protocol.basis or DEFAULT_BASIS),
            protocol.density_fit is not False,
            kelvin,
        )

    @property
    def name(self) -> str:
        """``PBE/def2-svp``."""
        return f"{self.functional.name.upper()}/{self.basis.name}"


@dataclass(frozen=True)
class Size:
    """How large a calculation is: ``functions`` of the basis and of the ``fitting`` set, explicit ``electrons``, and
    ``points`` of the integration grid before it is pruned."""

    functions: int
    fitting: int
    electrons: int
    points: int

    @classmethod
    def of(cls, atoms: Atoms, charge: int, method: Method) -> Size:
        """That of a molecule; raises UnsupportedElementError for an element that the basis does not have."""
        functions = fitting = electrons = points = 0
        for symbol, count in Counter(atoms.get_chemical_symbols()).items():
            element = element_basis(symbol, method.basis.of(symbol))
            functions += count * element.functions
            electrons += count * (_number(symbol) - element.core)
            fitting += count * _fitting_functions(symbol, method)
            points += count * _grid_points(_number(symbol))
        return cls(functions, fitting, electrons - charge, points)

    @property
    def stored_gb(self) -> float:
        """Memory of all three-centre integrals of density fitting, and of making them."""
        return 1.6 * 4e-9 * self.fitting * self.functions * (self.functions + 1)

    @property
    def least_gb(self) -> float:
        """Memory without those: some forty matrices over the basis (with DIIS), and blocks of the grid."""
        return 0.5 + 8e-9 * 40 * self.functions**2

    def seconds(self, method: Method, stored: bool) -> float:
        """CPU time of a ground state, ``stored``: with the three-centre integrals in memory; see docs/science/dft.md.

        The exchange-correlation part grows with the grid and the functions on it, the fit with the auxiliary functions
        and pairs of functions, fitted Fock exchange with these and the occupied orbitals.
        """
        n, fitted = float(self.functions), 4.2e-8 * self.fitting * self.functions**2
        once, cycle = (fitted, 0.0) if stored else (0.0, fitted)
        cycle += 5.5e-9 * self.points * n**1.5
        direct = not method.density_fit or (method.functional.ax > 0.0 and not stored)
        if method.functional.ax and stored:
            copies = 2 if method.functional.range_separated else 1
            cycle += copies * 2.9e-10 * self.fitting * n**2 * self.electrons / 2
        return once + _CYCLES * (cycle + (1.5e-6 * n**3 if direct else 0.0))


def _grid_points(number: int) -> int:
    """Grid points of an element, before those far from all electrons are left out."""
    grid = import_pyscf("dft.gen_grid")
    return int(grid._default_rad(number, GRID_LEVEL) * grid._default_ang(number, GRID_LEVEL))


def _number(symbol: str) -> int:
    from ase.data import atomic_numbers

    return int(atomic_numbers[symbol])


def _fitting_set(method: Method) -> str:
    return "def2-universal-jkfit" if method.functional.ax else "def2-universal-jfit"


@lru_cache(maxsize=128)
def _fitting_shells(symbol: str, name: str) -> Any:
    """Shells of an auxiliary basis, None where the set does not have the element."""
    basis = import_pyscf("gto.basis")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return basis.load(name, symbol)
        except (basis.BasisNotFoundError, KeyError, RuntimeError):
            return None


def _fitting_functions(symbol: str, method: Method) -> int:
    shells = _fitting_shells(symbol, _fitting_set(method)) or ()
    return sum((2 * shell[0] + 1) * (len(shell[1]) - 1) for shell in shells)


def auxiliary_basis(mol: Any, method: Method) -> dict[str, Any]:
    """Auxiliary shells of each element: the universal set, and even-tempered ones for what that is not made for."""
    symbols = {atom[0] for atom in mol._atom}
    shells = {s: None if is_bare(s, method) else _fitting_shells(s, _fitting_set(method)) for s in symbols}
    if all(part is not None for part in shells.values()):
        return shells
    even_tempered = import_pyscf("df.addons").aug_etb(mol)
    return {symbol: even_tempered[symbol] if part is None else part for symbol, part in shells.items()}


def is_bare(symbol: str, method: Method) -> bool:
    """Is it a heavy element with all its electrons, without a potential?"""
    return _number(symbol) > _HEAVY and not element_basis(symbol, method.basis.of(symbol)).core


def fit_is_stored(method: Method, size: Size, compute: Compute) -> bool:
    """Are the three-centre integrals kept in memory; those of range-separated exchange are another set."""
    copies = 2 if method.functional.range_separated else 1
    return method.density_fit and copies * size.stored_gb < 0.8 * (compute.memory - size.least_gb)
