"""Measures of the user's own: a function in a Python file or in an installed package.

The function receives copies of a :class:`~clusterml.spectrum.spectrum.Spectrum` and of an ``ase.Atoms`` (positions in
A, name and charge in ``info``), and returns a number.  Whatever it raises becomes a :class:`UserCodeError`
that names file, line and function.  Its derivatives are central differences by every value of the two curves and every
coordinate, as far as the number depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.config.registry import entries, load, package_of
from clusterml.config.usercode import Guard, function_of_file, hash_of_file
from clusterml.errors import OptionError, UserCodeError
from clusterml.screening.measures.measure import Gauge, Measure, Sample, Slope, Value
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from ase import Atoms

GROUP = "clusterml.measure_functions"
"""Group of entry points for such functions in installed packages."""
CURVE_STEP, POSITION_STEP_A = 1e-4, 1e-3
"""Steps of central differences: as a share of a curve's maximum, and in A."""

Function = Callable[[Spectrum, "Atoms"], float]


def own_measure(file: str | None, function: str, unit: str, step: float) -> Measure:
    """The measure ``function`` of a Python ``file`` (None: of an installed package) in ``unit``."""
    return Measure(function, unit, step, "a function of the user's own", partial(_gauge, file, function))


def load_function(file: str | None, function: str) -> Function:
    """Load the function; raises :class:`InputFileError`, :class:`OptionError` or :class:`UserCodeError`."""
    loaded = load(_entry(function)) if file is None else function_of_file(Path(file), function)
    if not callable(loaded):
        raise OptionError(
            f"{_function_name(file, function)} is not a function", "name a function of spectrum and atoms"
        )
    return loaded


def identity_of(file: str | None, function: str) -> str:
    """What must not change while a screen goes on: the hash of the file's content, or package and version.

    Raises :class:`InputFileError` and :class:`OptionError`.
    """
    if file is not None:
        return hash_of_file(file)
    return package_of(_entry(function))


def _gauge(file: str | None, function: str, text: str, energy_ev: FloatArray) -> Gauge:
    number = partial(_number, load_function(file, function), file, function)
    return Gauge(lambda sample: Value(number(sample.spectrum, sample.atoms)), partial(_slope, number))


def _number(measure: Function, file: str | None, function: str, spectrum: Spectrum, atoms: Atoms) -> float:
    name = _function_name(file, function)
    epsilon, delta_epsilon = spectrum.epsilon.copy(), spectrum.delta_epsilon.copy()
    with Guard(name, file):
        answer: Any = measure(replace(spectrum, epsilon=epsilon, delta_epsilon=delta_epsilon), atoms.copy())
        number = float(answer)
    if not math.isfinite(number):
        raise UserCodeError(f"{name}: gives {number}, which is not a finite number", "return a finite number")
    return number


def _slope(number: Callable[[Spectrum, Atoms], float], sample: Sample) -> Slope:
    """Central differences of the number by both curves and the positions."""
    spectrum, atoms = sample.spectrum, sample.atoms

    def of_epsilon(curve: FloatArray) -> float:
        return number(replace(spectrum, epsilon=curve), atoms)

    def of_cd(curve: FloatArray) -> float:
        return number(replace(spectrum, delta_epsilon=curve), atoms)

    def of_positions(positions: FloatArray) -> float:
        shifted = atoms.copy()
        shifted.positions = positions
        return number(spectrum, shifted)

    return Slope(
        _differences(of_epsilon, spectrum.epsilon, CURVE_STEP * _largest(spectrum.epsilon)),
        _differences(of_cd, spectrum.delta_epsilon, CURVE_STEP * _largest(spectrum.delta_epsilon)),
        _differences(of_positions, np.asarray(atoms.positions, dtype=np.float64), POSITION_STEP_A),
    )


def _differences(number: Callable[[FloatArray], float], at: FloatArray, step: float) -> FloatArray | None:
    """Derivatives of ``number`` by each entry of ``at``; None where it depends on none of them."""
    nudges = step * np.random.default_rng(0).standard_normal((2, *at.shape))
    if number(at + nudges[0]) == number(at + nudges[1]) == number(at):
        return None
    slopes = np.zeros(at.size)
    for k in range(at.size):
        nudge = (step * (np.arange(at.size) == k)).reshape(at.shape)
        slopes[k] = (number(at + nudge) - number(at - nudge)) / (2.0 * step)
    return slopes.reshape(at.shape)


def _largest(curve: FloatArray) -> float:
    return float(np.abs(curve).max()) or 1.0


def _function_name(file: str | None, function: str) -> str:
    return f"{'installed measure' if file is None else file} {function}"


def _entry(function: str) -> EntryPoint:
    from clusterml.errors import unknown

    installed = entries(GROUP)
    if function in installed:
        return installed[function]
    if installed:
        raise unknown("installed measure", function, installed)
    raise OptionError(f"no installed package offers the measure '{function}'", "give the file that it is in")
