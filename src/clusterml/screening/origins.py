"""Where candidates come from: the parent's spectrum and the undistorted geometry that measures compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterml.errors import OptionError, StructureError
from clusterml.screening.making import Dropped, Maker
from clusterml.screening.space import Recipe
from clusterml.spectrum.spectrum import Spectrum

if TYPE_CHECKING:
    from ase import Atoms

SpectrumOf = Callable[["Atoms"], Spectrum]


@dataclass(frozen=True)
class OfRecipe:
    """The origin of a candidate of a space; ``spectrum_of`` a parent's geometry gives its spectrum."""

    maker: Maker
    recipe: Recipe
    spectrum_of: SpectrumOf

    def spectrum(self) -> Spectrum:
        """The spectrum of the parent as it is, with its own ligands."""
        return self.spectrum_of(_made(self.maker.parent(self.recipe.variant)))

    def rest(self) -> Atoms:
        """The parent with the candidate's ligands, without snapshot and distortions."""
        return _made(self.maker.shell(self.recipe.variant, self.recipe.steps))


@dataclass(frozen=True)
class OfReference:
    """The origin of a candidate that the user made: the reference given with them, or none."""

    reference: Atoms | None
    spectrum_of: SpectrumOf

    def spectrum(self) -> Spectrum:
        """The reference's spectrum; raises :class:`OptionError` without one."""
        return self.spectrum_of(self.rest())

    def rest(self) -> Atoms:
        """The reference; raises :class:`OptionError` without one."""
        if self.reference is None:
            raise OptionError("a measure compares with a reference", "give reference=ATOMS")
        return self.reference


def _made(found: Atoms | Dropped) -> Atoms:
    if isinstance(found, Dropped):
        raise StructureError(f"{found.reason}: {found.example}")
    return found
