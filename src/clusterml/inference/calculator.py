"""The network as an ASE calculator: ``atoms.calc = SpectrumCalculator()``, then ``atoms.calc.get_spectrum(atoms)``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes, all_properties

from clusterml.errors import ClusterMLError
from clusterml.inference.predictor import Predictor
from clusterml.io.shipped import DEFAULT_MODEL

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import Prediction
    from clusterml.spectrum.spectrum import Spectrum


class NoEnergyError(ClusterMLError, PropertyNotImplementedError):  # type: ignore[misc]  # ase has no types
    """An energy, forces, or another mechanical property is asked of a calculator that gives spectra."""


class SpectrumCalculator(Calculator):  # type: ignore[misc]  # ase has no types
    """Computes again only when atoms, positions or charge have changed.

    ``results``: ``prediction`` (all of it), ``spectrum``, ``chirality``, ``gap_ev``, ``in_domain``.  ``charge``: total
    charge, default ``atoms.info["charge"]``, else proposed.  It has no energy and no forces: asking for them raises
    :class:`NoEnergyError`, which is ASE's ``PropertyNotImplementedError`` too, so that trajectories can be written.

    Examples:
        >>> import clusterml as cm
        >>> atoms = cm.build("ag3", thiolate="SH")
        >>> atoms.calc = cm.SpectrumCalculator(cm.Predictor.load())
    """

    implemented_properties: ClassVar[list[str]] = ["prediction", "spectrum", "chirality", "gap_ev", "in_domain"]

    def __init__(
        self, model: str | Path | Predictor = DEFAULT_MODEL, *, charge: int | None = None, device: str = "auto"
    ) -> None:
        super().__init__()
        self.predictor = model if isinstance(model, Predictor) else Predictor.load(model, device)
        self.charge = charge
        self._stated: Any = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results`` for ``atoms``; raises what :class:`~clusterml.inference.predictor.Predictor` raises."""
        super().calculate(atoms, properties or ["prediction"], system_changes)
        prediction = self.predictor(self.atoms, self.charge)
        self._stated = self.atoms.info.get("charge")
        self.results = {
            "prediction": prediction,
            **{key: getattr(prediction, key) for key in self.implemented_properties[1:]},
        }

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """One of the ``results``, computed where ``atoms`` have changed; raises :class:`NoEnergyError` for others."""
        if name not in self.implemented_properties:
            problem = f"{type(self).__name__} has no {name}"
            if name in all_properties:
                raise NoEnergyError(problem, "use clusterml.Gfn1Calculator for energies and forces")
            raise NoEnergyError(problem, f"it has {', '.join(self.implemented_properties)}")
        return super().get_property(name, atoms, allow_calculation)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation; a charge stated in ``atoms.info`` counts too."""
        changes: list[str] = super().check_state(atoms, tol)
        if self.results and atoms.info.get("charge") != self._stated:
            changes.append("initial_charges")
        return changes

    def get_spectrum(self, atoms: Atoms | None = None) -> Spectrum:
        """The predicted spectrum of ``atoms``, by default those of the last calculation."""
        return self.get_property("spectrum", atoms)

    def get_prediction(self, atoms: Atoms | None = None) -> Prediction:
        """The whole prediction for ``atoms``, by default those of the last calculation."""
        return self.get_property("prediction", atoms)
