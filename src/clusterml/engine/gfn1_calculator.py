"""GFN1-xTB in vacuum as a calculator of ASE: our own ground states, an order of magnitude faster than tblite's."""

from __future__ import annotations

from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from clusterml.engine.orbitals.gfn1 import gfn1_hamiltonian
from clusterml.engine.orbitals.gfn1_energy import gfn1_energy
from clusterml.engine.orbitals.newton import self_consistent
from clusterml.errors import ElectronicStructureError
from clusterml.typing import FloatArray
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV

_TOLERANCE = 1e-4
"""Largest residual of a shell charge in e: forces are then right to about 1e-3 eV/A."""
_MOST_CYCLES = 500


class Gfn1Calculator(Calculator):  # type: ignore[misc]
    """Energy (eV) and forces (eV/A) of a molecule of total ``charge`` at the electronic temperature ``kelvin``.

    A ground state begins with the charges of the last one.  Raises ASE's CalculationFailed without convergence.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(self, charge: int, kelvin: float = 300.0) -> None:
        super().__init__()
        self._charge, self._kt = charge, kelvin * BOLTZMANN_HARTREE
        self._charges: FloatArray | None = None

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: list[str] = all_changes
    ) -> None:
        """Compute all of :attr:`implemented_properties`."""
        super().calculate(atoms, properties, system_changes)
        if "numbers" in system_changes:
            self._charges = None
        symbols, coords = tuple(self.atoms.get_chemical_symbols()), self.atoms.positions / BOHR_ANGSTROM
        parts = gfn1_hamiltonian(symbols, coords)
        try:
            state = self_consistent(parts, self._charge, self._kt, _TOLERANCE, _MOST_CYCLES, self._charges)
        except ElectronicStructureError as error:
            raise CalculationFailed(error.problem) from error
        self._charges = state.shell_charges
        energy, gradient = gfn1_energy(symbols, coords, parts, state, self._kt)
        energy *= HARTREE_EV
        forces = -gradient * HARTREE_EV / BOHR_ANGSTROM
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
