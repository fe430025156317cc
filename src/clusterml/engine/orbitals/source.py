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
    exchange                 do its orbitals have Fock exchange, whatever the protocol says
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
    exchange: bool = False
    kohn_sham: bool = False
    checkpoints: bool = False
    cost: Callable[[Atoms, Protocol, Compute], Cost] | None = None


SOURCES: Registry[OrbitalSource] = Registry("orbital sources", OrbitalSource, "clusterml.engine.orbitals")
"""Every source of orbitals, by name."""


def vain_options(source: OrbitalSource) -> tuple[str, ...]:
    """What of a protocol has no effect on the orbitals of ``source``, but for the solvent and the mode."""
    known = {
        "electronic_temperature_k": source.electronic_temperature,
        "charge_tolerance": source.charge_tolerance,
        "ax": source.from_file,
        "xc": source.kohn_sham or source.from_file,
        "basis": source.kohn_sham,
        "density_fit": source.kohn_sham,
    }
    return tuple(key for key, has_effect in known.items() if not has_effect)


_REMEDIES = {
    "electronic_temperature_k": "use --orbitals gfn1",
    "charge_tolerance": "leave it out: it is for gfn1",
    "ax": "it is for those of Molden files",
}


def find_source(protocol: Protocol) -> OrbitalSource:
    """The source that ``protocol`` names; raises OptionError if there is none, or for what it does not know."""
    source = SOURCES.named(protocol.orbitals, "orbitals")
    if protocol.solvent is not None and not source.solvents:
        problem = f"solvent {protocol.solvent!r} has no effect on {source.name} orbitals"
        raise OptionError(problem, "use --orbitals gfn1")
    for key in vain_options(source):
        if (value := getattr(protocol, key)) is not None:
            remedy = _REMEDIES.get(key, "use --orbitals dft, or leave it out")
            raise OptionError(f"{key} {value!r} has no effect on {source.name} orbitals", remedy)
    if protocol.mode == "reference" and source.kohn_sham:
        raise OptionError(f"mode reference has no meaning for {source.name} orbitals", "use --orbitals stda-xtb")
    return source
