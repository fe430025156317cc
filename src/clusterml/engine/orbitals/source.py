"""What a source of orbitals is, and all there are: a new one is a module beside this, or an installed package's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterml.config.registry import Registry
from clusterml.errors import OptionError

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.cost import Cost
    from clusterml.engine.orbitals.orbitals import Orbitals
    from clusterml.engine.protocol import Compute, Protocol


@dataclass(frozen=True)
class OrbitalSource:
    """A method that gives the orbitals of a closed-shell ground state.

    name                     as protocols and ``--orbitals`` call it
    compute                  (atoms, charge, protocol, compute, start_from) -> orbitals with their kernels; raises
                             UnsupportedElementError, ChargeError, OptionError, ElectronicStructureError.
                             ``start_from``: None, or a geometry of the same atoms for the first guess
    solvents                 does it know implicit solvents
    electronic_temperature   does it smear the occupation
    charge_tolerance         does it cycle until its shell charges are those of their field
    from_file                are its orbitals those of a finished calculation, with a charge and a functional of which
                             the protocol may tell the name or the Fock exchange
    kohn_sham                does it take a functional and a basis set
    checkpoints              does it keep ground states in the folder ``compute.checkpoint``
    cost                     (atoms, protocol, compute) -> seconds and memory of the ground state, told and checked
                             before it begins; None: a matter of seconds
    check_memory             does it hold matrices as GFN1-xTB does, so that their memory is checked beforehand
    """

    name: str
    compute: Callable[[Atoms, int, Protocol, Compute, Atoms | None], Orbitals]
    solvents: bool = False
    electronic_temperature: bool = False
    charge_tolerance: bool = False
    from_file: bool = False
    check_memory: bool = False
    kohn_sham: bool = False
    checkpoints: bool = False
    cost: Callable[[Atoms, Protocol, Compute], Cost] | None = None


SOURCES: Registry[OrbitalSource] = Registry("orbital sources", OrbitalSource, "clusterml.engine.orbitals")
"""Every source of orbitals, by name."""


def find_source(protocol: Protocol) -> OrbitalSource:
    """The source that ``protocol`` names; raises OptionError if there is none, or for what it does not know."""
    source = SOURCES.named(protocol.orbitals, "orbitals")
    if protocol.solvent is not None and not source.solvents:
        problem = f"solvent {protocol.solvent!r} has no effect on {source.name} orbitals"
        raise OptionError(problem, "use --orbitals gfn1")
    if protocol.electronic_temperature_k is not None and not source.electronic_temperature:
        raise OptionError(f"{source.name} orbitals have no electronic temperature", "use --orbitals gfn1")
    if protocol.charge_tolerance is not None and not source.charge_tolerance:
        raise OptionError(f"charge_tolerance has no effect on {source.name} orbitals", "leave it out: it is for gfn1")
    if protocol.ax is not None and not source.from_file:
        raise OptionError(f"ax has no effect on {source.name} orbitals", "it is for those of Molden files")
    if protocol.mode == "reference" and source.kohn_sham:
        raise OptionError(f"mode reference has no meaning for {source.name} orbitals", "use --orbitals stda-xtb")
    keys = ("basis", "density_fit") if source.from_file else ("xc", "basis", "density_fit")
    vain = next((f"{key} {value!r}" for key in keys if (value := getattr(protocol, key)) is not None), None)
    if vain is not None and not source.kohn_sham:
        raise OptionError(f"{vain} has no effect on {source.name} orbitals", "use --orbitals dft, or leave it out")
    return source
