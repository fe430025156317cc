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
    from clusterml.engine.response.excited import ExcitedStates

Progress = Callable[[int], None] | None


@dataclass(frozen=True)
class ResponseSolver:
    """A way to the excited states of some orbitals.

    name    of this solver, for messages
    solver  as protocols call it: ``spectrum``, ``states``, or a name of its own
    suits   can it take these orbitals under this protocol
    solve   (orbitals, protocol, compute, progress) -> states or pseudo-states up to the protocol's ``emax_ev``; raises
            OptionError, ElectronicStructureError, MemoryLimitError.  ``progress`` is None or told the blocks done
    """

    name: str
    solver: str
    suits: Callable[[Orbitals, Protocol], bool]
    solve: Callable[[Orbitals, Protocol, Compute, Progress], ExcitedStates]


SOLVERS: Registry[ResponseSolver] = Registry(
    what="response solver",
    kind=ResponseSolver,
    package="clusterml.engine.response",
    attribute="RESPONSE_SOLVERS",
    group="clusterml.response_solvers",
    name=lambda solver: solver.name,
)
"""Every solver, by name."""


def excite(orbitals: Orbitals, protocol: Protocol, compute: Compute, progress: Progress = None) -> ExcitedStates:
    """Excited states of ``orbitals``: what they are and the protocol decide which solver takes them.

    Raises OptionError where no solver suits, and what the solver raises.
    """
    for solver in SOLVERS.all():
        if solver.solver == protocol.solver and solver.suits(orbitals, protocol):
            return solver.solve(orbitals, protocol, compute, progress)
    known = sorted({solver.solver for solver in SOLVERS.all() if solver.suits(orbitals, protocol)})
    if not known:
        problem = f"mode {protocol.mode} has no meaning for {orbitals.method} orbitals"
        raise OptionError(problem, "use --orbitals stda-xtb")
    remedy = f"choose one of {', '.join(known)} for {orbitals.method} orbitals"
    raise OptionError(f"solver is {protocol.solver!r}", remedy)
