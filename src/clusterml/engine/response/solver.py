"""What a response solver is, and all there are: a new one is a module beside this, or an installed package's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterml.config.registry import Registry
from clusterml.errors import OptionError

if TYPE_CHECKING:
    from clusterml.engine.orbitals.orbitals import Orbitals
    from clusterml.engine.protocol import Compute, Protocol
    from clusterml.engine.response.response import Response

Progress = Callable[[int], None] | None


@dataclass(frozen=True)
class ResponseSolver:
    """A way to the excited states of some orbitals.

    name    of this solver among all
    solver  as protocols may call it: ``spectrum`` or ``states`` where it is a way to these, and last its own name
    suits   can it take these orbitals under this protocol
    solve   (orbitals, protocol, compute, progress) -> the response up to the protocol's ``emax_ev``; raises
            OptionError, ElectronicStructureError, MemoryLimitError.  ``progress`` is None or told the blocks done
    """

    name: str
    solver: tuple[str, ...]
    suits: Callable[[Orbitals, Protocol], bool]
    solve: Callable[[Orbitals, Protocol, Compute, Progress], Response]


SOLVERS: Registry[ResponseSolver] = Registry("response solvers", ResponseSolver, "clusterml.engine.response")
"""Every solver, by name."""


def find_solver(orbitals: Orbitals, protocol: Protocol) -> ResponseSolver:
    """The solver for ``orbitals`` under ``protocol``; raises OptionError where none suits."""
    suitable = [solver for solver in SOLVERS.all() if solver.suits(orbitals, protocol)]
    for solver in suitable:
        if protocol.solver in solver.solver:
            return solver
    if not suitable:
        problem = f"mode {protocol.mode} has no meaning for {orbitals.method} orbitals"
        raise OptionError(problem, "use --orbitals stda-xtb")
    names = sorted({name for solver in suitable for name in solver.solver})
    remedy = f"choose one of {', '.join(names)} for {orbitals.method} orbitals"
    raise OptionError(f"solver is {protocol.solver!r}", remedy)
