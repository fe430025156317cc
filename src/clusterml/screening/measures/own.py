"""Measures of the user's own: a function in a Python file, or one that an installed package offers.

The function gets a :class:`~clusterml.spectrum.spectrum.Spectrum` and an ``ase.Atoms`` (positions in A, name and charge
in ``info``), both copies, and returns a number.  Whatever it raises becomes a :class:`UserCodeError` that names file,
line and function.  Its derivatives are central differences: by every value of the two curves and every coordinate, as
far as the number depends on them at all.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError, OptionError, UserCodeError
from clusterml.io.bounded import read_bounded
from clusterml.screening.measures.measure import Gauge, Measure, Sample, Slope, Value
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

GROUP = "clusterml.measures"
"""Entry points of installed packages that are measures."""
CURVE_STEP, POSITION_STEP_A = 1e-4, 1e-3
"""Steps of central differences: as a share of a curve's maximum, and in A."""
_LARGEST_BYTES = 10_000_000

Function = Callable[[Spectrum, "Atoms"], float]


def own_measure(file: str | None, function: str, unit: str, step: float) -> Measure:
    """The measure ``function`` of a Python ``file`` (None: of an installed package) in ``unit``."""
    return Measure(function, unit, step, "a function of the user's own", partial(_gauge, file, function))


def load_function(file: str | None, function: str) -> Function:
    """The function; raises :class:`InputFileError`, :class:`OptionError` or :class:`UserCodeError` saying why not."""
    found = _installed(function) if file is None else _from_file(Path(file), function)
    if not callable(found):
        raise OptionError(f"{_called(file, function)} is no function", "name a function of spectrum and atoms")
    return found


def identity_of(file: str | None, function: str) -> str:
    """What must be the same for a screen to go on: hash of the file's content, or package and version.

    Raises :class:`InputFileError` and :class:`OptionError`.
    """
    if file is not None:
        return hashlib.sha256(read_bounded(file, _LARGEST_BYTES)).hexdigest()
    package = _entry(function).dist
    return "" if package is None else f"{package.name} {package.version}"


class Guard:
    """A block of the user's code, called ``what``: all that it raises becomes a :class:`UserCodeError`."""

    def __init__(self, what: str, file: str | None) -> None:
        self._what, self._file = what, file

    def __enter__(self) -> Guard:
        """The block itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Raise :class:`UserCodeError` from an error; an interruption by the user passes."""
        if isinstance(error, Exception | SystemExit):
            raise UserCodeError(
                f"{self._what}: {_place(error, self._file)}{type(error).__name__}: {error}", "correct it there"
            ) from error


def _gauge(file: str | None, function: str, text: str, energy_ev: FloatArray) -> Gauge:
    number = partial(_number, load_function(file, function), file, function)
    return Gauge(lambda sample: Value(number(sample.spectrum, sample.atoms)), partial(_slope, number))


def _number(called: Function, file: str | None, function: str, spectrum: Spectrum, atoms: Atoms) -> float:
    what = _called(file, function)
    epsilon, delta_epsilon = spectrum.epsilon.copy(), spectrum.delta_epsilon.copy()
    with Guard(what, file):
        answer: Any = called(replace(spectrum, epsilon=epsilon, delta_epsilon=delta_epsilon), atoms.copy())
        number = float(answer)
    if not math.isfinite(number):
        raise UserCodeError(f"{what}: gives {number}, which is no finite number", "return a finite number")
    return number


def _slope(number: Callable[[Spectrum, Atoms], float], sample: Sample) -> Slope:
    """Central differences of the number by both curves and the positions."""
    spectrum, atoms = sample.spectrum, sample.atoms

    def of_epsilon(curve: FloatArray) -> float:
        return number(replace(spectrum, epsilon=curve), atoms)

    def of_cd(curve: FloatArray) -> float:
        return number(replace(spectrum, delta_epsilon=curve), atoms)

    def of_positions(positions: FloatArray) -> float:
        moved = atoms.copy()
        moved.positions = positions
        return number(spectrum, moved)

    return Slope(
        _differences(of_epsilon, spectrum.epsilon, CURVE_STEP * _largest(spectrum.epsilon)),
        _differences(of_cd, spectrum.delta_epsilon, CURVE_STEP * _largest(spectrum.delta_epsilon)),
        _differences(of_positions, np.asarray(atoms.positions, dtype=np.float64), POSITION_STEP_A),
    )


def _differences(number: Callable[[FloatArray], float], at: FloatArray, step: float) -> FloatArray | None:
    """Derivatives of ``number`` by each entry of ``at``; None where it does not depend on any."""
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


def _called(file: str | None, function: str) -> str:
    return f"{'installed measure' if file is None else file} {function}"


def _from_file(file: Path, function: str) -> Any:
    if not file.is_file():
        raise InputFileError(f"{file}: there is no such file", "paths are seen from the YAML file")
    text = f"{file} {identity_of(str(file), function)}"
    name = f"clusterml_own_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        _import(file, name)
    known = vars(sys.modules[name])
    if function not in known:
        there = ", ".join(key for key, value in known.items() if callable(value) and not key.startswith("_"))
        raise OptionError(f"{file}: there is no function '{function}'", f"it has {there or 'none'}")
    return known[function]


def _import(file: Path, name: str) -> None:
    """Import a file as the module ``name``; modules beside it can be imported by it."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputFileError(f"{file}: is no Python file", "let its name end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as import does: dataclasses look their module up
    sys.path.insert(0, str(file.parent))
    done = False
    try:
        with Guard(str(file), str(file)):
            spec.loader.exec_module(module)
        done = True
    finally:
        sys.path.remove(str(file.parent))
        if not done:
            del sys.modules[name]


def _installed(function: str) -> Any:
    entry = _entry(function)
    with Guard(_called(None, function), None):
        return entry.load()


def _entry(function: str) -> Any:
    from importlib.metadata import entry_points

    from clusterml.screening.names import unknown

    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if function in known:
        return known[function]
    if known:
        raise unknown("installed measure", function, known)
    raise OptionError(f"no installed package offers the measure '{function}'", "give the file that it is in")


def _place(error: BaseException, file: str | None) -> str:
    """``line 12: `` of the file where the error came from."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"line {error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"line {lines[-1]}: " if lines else ""
