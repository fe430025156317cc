"""GFN1-xTB in vacuum as a calculator of ASE: our own ground states, an order of magnitude faster than tblite's."""

from __future__ import annotations

from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from clusterml.engine.charge import resolve_charge
from clusterml.engine.choices import check_kelvin
from clusterml.engine.orbitals.gfn1 import gfn1_hamiltonian
from clusterml.engine.orbitals.gfn1_energy import gfn1_energy
from clusterml.engine.orbitals.newton import self_consistent
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.typing import FloatArray
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV

_TOLERANCE = 1e-4
"""Largest residual of a shell charge in e: forces are then right to about 1e-3 eV/A."""
_MOST_CYCLES = 500


class Gfn1Calculator(Calculator):  # type: ignore[misc]
    """Energy (eV) and forces (eV/A) of a molecule with GFN1-xTB in vacuum at the electronic temperature ``kelvin``.

    ``charge``: total charge, default ``atoms.info["charge"]``, else proposed from the first geometry.  A ground state
    begins with the charges of the last one.  Raises ASE's CalculationFailed without convergence, OptionError for what
    is periodic, and UnsupportedElementError.

    Examples:
        >>> import clusterml as cm
        >>> atoms = cm.build("ag3", thiolate="SH")
        >>> atoms.calc = cm.Gfn1Calculator()
        >>> atoms.get_forces().shape
        (9, 3)
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(self, charge: int | None = None, kelvin: float = 300.0) -> None:
        super().__init__()
        check_kelvin("kelvin", kelvin)
        self.charge, self._kt = charge, kelvin * BOLTZMANN_HARTREE
        self._decided: int | None = None
        self._charges: FloatArray | None = None

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: list[str] = all_changes
    ) -> None:
        """Compute all of :attr:`implemented_properties`."""
        super().calculate(atoms, properties, system_changes)
        self._check(self.atoms)
        if "numbers" in system_changes or self._decided is None:
            self._charges = self._decided = None  # a refused charge is asked again
            self._decided = resolve_charge(self.atoms, self.charge).charge
        symbols, coords = tuple(self.atoms.get_chemical_symbols()), self.atoms.positions / BOHR_ANGSTROM
        parts = gfn1_hamiltonian(symbols, coords)
        try:
            state = self_consistent(parts, self._decided, self._kt, _TOLERANCE, _MOST_CYCLES, self._charges)
        except ElectronicStructureError as error:
            raise CalculationFailed(error.problem) from error
        self._charges = state.shell_charges
        energy, gradient = gfn1_energy(symbols, coords, parts, state, self._kt)
        energy *= HARTREE_EV
        forces = -gradient * HARTREE_EV / BOHR_ANGSTROM
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation; a charge stated in ``atoms.info`` counts as other atoms."""
        changes: list[str] = super().check_state(atoms, tol)
        if self.charge is None and self.atoms is not None and self.atoms.info.get("charge") != atoms.info.get("charge"):
            changes.append("numbers")
        return changes

    @staticmethod
    def _check(atoms: Atoms) -> None:
        """Raise :class:`OptionError` for what this is not right for."""
        if atoms.pbc.any():
            problem = "Gfn1Calculator computes molecules, and this structure is periodic"
            raise OptionError(problem, "use tblite.ase.TBLite(method='GFN1-xTB')")
