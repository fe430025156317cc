"""What a label will cost, from the number of atomic functions: measured on one core, and said before it begins."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from clusterml.errors import MemoryLimitError, counted, duration

if TYPE_CHECKING:
    from ase import Atoms

_SECONDS_PER_1000 = 3.3
"""CPU time of a cluster with 1,000 atomic functions, from 66 to 510 atoms (306 to 2162 functions) measured."""
_GROWTH = 3.3
"""Power of the number of functions with which time grows."""
_PARALLEL = 0.7
"""Power of the number of threads with which time shrinks."""
_FIRST_SECONDS, _RESPONSE_SECONDS, _RESPONSE_GROWTH = 0.06, 2.3, 3.0
"""The same of a rapid response, with what the smallest take: within a fifth of what was measured from 66 to 309 atoms
(306 to 1305 functions)."""
_SHARES_SECONDS, _SHARES_GROWTH = 2.6, 3.0
"""CPU time of the shares of all atoms in the CD of a label: within 27 % of what was measured from 93 to 510 atoms
(585 to 2162 functions)."""
_MATRICES_GB = 0.32
"""Memory in GB of matrices over atomic functions, and of those of the response, with 1,000 functions.  From 66 to 510
atoms what this gives with that of the program is at most 7 % above what was measured and 1 % below."""
_GROUND_STATE_MATRICES = 16
"""Square matrices over atomic functions that the ground state holds at a time."""
_BASE_GB = 0.4
"""Memory of the program itself."""


@dataclass(frozen=True)
class Cost:
    """Estimated ``seconds`` and memory in GB of a label; ``ground_state_gb``: of the ground state alone, which no
    setting lowers; ``functions``: of the basis."""

    seconds: float
    memory_gb: float
    ground_state_gb: float
    functions: int

    def __str__(self) -> str:
        """``about 40 s and 1.2 GB``."""
        return f"about {duration(self.seconds)} and {self.memory_gb:.1f} GB"


def label_cost(atoms: Atoms, threads: int = 1) -> Cost:
    """The cost of labelling ``atoms`` with GFN1 orbitals; raises UnsupportedElementError for what they lack."""
    functions = number_of_functions(atoms)
    seconds = 1.0 + _SECONDS_PER_1000 * (functions / 1000.0) ** _GROWTH / max(threads, 1) ** _PARALLEL
    ground_state = 8e-9 * _GROUND_STATE_MATRICES * functions**2
    memory = _BASE_GB + _MATRICES_GB * (functions / 1000.0) ** 2
    return Cost(seconds, memory, ground_state, functions)


def response_seconds(atoms: Atoms) -> float:
    """CPU time of the :mod:`rapid response <clusterml.engine.response.rapid>` of ``atoms``; raises
    UnsupportedElementError."""
    return _FIRST_SECONDS + _RESPONSE_SECONDS * (number_of_functions(atoms) / 1000.0) ** _RESPONSE_GROWTH


def shares_seconds(atoms: Atoms) -> float:
    """CPU time of :mod:`the shares of atoms <clusterml.engine.response.atoms>` in a CD, beside that of its label;
    raises UnsupportedElementError."""
    return _SHARES_SECONDS * (number_of_functions(atoms) / 1000.0) ** _SHARES_GROWTH


def busyness(threads: int) -> float:
    """How many times longer ``threads`` threads take than on an idle computer, from the load of the last minute."""
    import os

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1.0, (load + min(threads, cores)) / cores)


def number_of_functions(atoms: Atoms) -> int:
    """Atomic functions of the GFN1 basis; raises UnsupportedElementError."""
    return sum(
        count * number_of_functions_of(symbol) for symbol, count in Counter(atoms.get_chemical_symbols()).items()
    )


def check_ground_state(atoms: Atoms, cost: Cost, memory_gb: float, other_basis: bool = False) -> None:
    """Raise MemoryLimitError for a ground state that ``memory_gb`` cannot hold, before any of it is computed.

    ``other_basis``: is there a smaller basis to advise.
    """
    smaller = "take a smaller --basis, or " if other_basis else ""
    if cost.ground_state_gb > memory_gb:
        raise MemoryLimitError(
            f"the ground state of {counted(len(atoms), 'atom')} ({cost.functions} atomic functions) needs about "
            f"{cost.ground_state_gb:.3g} GB; {memory_gb:.2g} GB are allowed",
            f"raise --memory-gb on a larger computer, or {smaller}cut the structure down to one cluster",
        )


@lru_cache(maxsize=128)
def number_of_functions_of(symbol: str) -> int:
    """Atomic functions of an element in the GFN1 basis; raises UnsupportedElementError."""
    from clusterml.engine.basis import gfn_atom_shells

    return sum(2 * shell.l + 1 for shell in gfn_atom_shells(0, symbol, "gfn1"))
