"""The definition of a measure: its name, unit and step, its possible values in a screen, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import PredictedChirality


class Origin(Protocol):
    """Where a candidate comes from."""

    def spectrum(self) -> Spectrum:
        """The parent's own spectrum, from the same source as the candidate's."""
        ...

    def rest(self) -> Atoms:
        """The same atoms, undistorted."""
        ...


@dataclass(frozen=True)
class Sample:
    """A candidate with its spectrum; ``chirality`` as predicted, None where the engine made the spectrum."""

    atoms: Atoms
    charge: int
    spectrum: Spectrum
    fwhm_ev: float
    origin: Origin
    chirality: PredictedChirality | None = None


@dataclass(frozen=True)
class Value:
    """A number and its standard deviation (None: not known)."""

    value: float
    std: float | None = None


@dataclass(frozen=True, eq=False)
class Slope:
    """Derivatives of a number by ``epsilon`` and ``delta_epsilon`` (m,) and by the positions (n, 3); None is zero."""

    by_epsilon: FloatArray | None = None
    by_delta_epsilon: FloatArray | None = None
    by_positions: FloatArray | None = None


@dataclass(frozen=True)
class Gauge:
    """A measure prepared for a line of a screen: its ``value`` and, where it has one, its ``slope``."""

    value: Callable[[Sample], Value]
    slope: Callable[[Sample], Slope] | None = None


def accept(text: str) -> object:
    """Accept any text as the value of a measure; errors appear when it is used."""
    return text


@dataclass(frozen=True)
class Measure:
    """A kind of number.

    ``key``: its name in a screen's file; ``unit``; ``step``: the change that counts 1 in the score; ``means``: the
    meaning of its value in the file, for people; ``parse`` raises ValueError for a wrong value; ``gauge`` prepares it
    for a value and for spectra on energies (m,) in eV, and raises typed errors.  ``choices``: the only possible values;
    ``is_file``: the value is a path; ``needs_reference``: it compares with a candidate's origin; ``goal``: the default
    goal; ``package``: name and version of the package that provides it, empty for our own.
    """

    key: str
    unit: str
    step: float
    means: str
    gauge: Callable[[str, FloatArray], Gauge]
    parse: Callable[[str], object] = accept
    choices: tuple[str, ...] = ()
    is_file: bool = False
    needs_reference: bool = False
    goal: Literal["maximise", "minimise"] = "maximise"
    package: str = ""
