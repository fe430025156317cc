"""From a structure to what networks read: its charge and composition, and its graph or those of snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterml.engine.charge import resolve_charge
from clusterml.engine.orbitals.newton import StuckError
from clusterml.engine.protocol import ThermalEnsemble
from clusterml.errors import (
    ElectronicStructureError,
    MemoryLimitError,
    OutsideNetworkError,
    StructureError,
    UnsupportedElementError,
    duration,
)
from clusterml.inference.domain import Composition, composition
from clusterml.inference.ensemble import edges_of
from clusterml.io.shipped import QUICK_MODEL
from clusterml.structure.charge import ChargeDecision
from clusterml.structure.check import check_geometry, check_one_molecule, check_size

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.model.graph import Graph
    from clusterml.model.spec import NetworkSpec


@dataclass(frozen=True, eq=False)
class Molecule:
    """What holds of a molecule in every geometry: the ``decision`` on its charge, its composition, ``warnings``."""

    decision: ChargeDecision
    composition: Composition
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PreparedStructure:
    """A checked structure of a ``molecule``, ready for the network; the seconds that took.

    ``graphs``: its own, or those of the ``thermal`` snapshots over which is averaged.
    """

    atoms: Atoms
    molecule: Molecule
    graphs: tuple[Graph, ...]
    seconds: float
    thermal: ThermalEnsemble | None = None

    @property
    def charge(self) -> int:
        """Total charge, in units of e."""
        return self.molecule.decision.charge

    @property
    def edges(self) -> int:
        """What it costs in a batch."""
        return sum(edges_of(graph) for graph in self.graphs)


def examine(
    atoms: Atoms, charge: int | None = None, *, allow_several: bool = False, check_charge: bool = False
) -> Molecule:
    """Check a structure, and find what holds of its molecule in every geometry.

    ``check_charge``: ask ground states about a stated charge that the superatom count leaves open (seconds).  Raises
    StructureError for a geometry that is not physical or too large, SeveralMoleculesError (unless ``allow_several``)
    and ChargeError.
    """
    check_size(atoms)
    check_geometry(atoms)
    if not allow_several:
        check_one_molecule(atoms)
    decision = resolve_charge(atoms, charge, check=check_charge)
    warnings = (*atoms.info.get("provenance", {}).get("warnings", []), *decision.notes)
    return Molecule(decision, composition(atoms, decision.charge), warnings)


def make_graphs(
    geometries: Sequence[Atoms], charge: int, spec: NetworkSpec, model: str, progress: Callable[[str], None]
) -> tuple[Graph, ...]:
    """The graphs of ``geometries`` of one molecule for networks of ``spec``, called ``model`` in errors.

    ``progress`` is told in words, where there are several.  Raises OutsideNetworkError for what such networks cannot
    take in, and for a molecule without the orbitals that they start from.
    """
    start = time.perf_counter()
    graphs: list[Graph] = []
    for geometry in geometries:
        if len(geometries) > 1:
            left = (time.perf_counter() - start) / max(len(graphs), 1) * (len(geometries) - len(graphs))
            ahead = f", {duration(left)} left" if graphs else ""
            progress(f"snapshot {len(graphs) + 1} of {len(geometries)}{ahead}")
        graphs.append(_graph(geometry, charge, spec, model))
    return tuple(graphs)


def _graph(atoms: Atoms, charge: int, spec: NetworkSpec, model: str) -> Graph:
    from clusterml.model.start import network_graph

    try:
        return network_graph(atoms.numbers, atoms.positions, charge, spec)
    except (UnsupportedElementError, StructureError) as error:
        remedy = f"{error.remedy}; clusterml label can compute others"
        raise OutsideNetworkError(f"out of the domain of {model}: {error.problem}", remedy) from error
    except (ElectronicStructureError, MemoryLimitError) as error:
        problem, remedy = f"{model} has no orbitals to start from: {error.problem}", f"predict --model {QUICK_MODEL}"
        first = f"{error.remedy}; or " if isinstance(error, StuckError) else ""
        raise OutsideNetworkError(problem, f"{first}{remedy}, which needs none") from error
