"""Numbers of a record as small whole numbers: what compresses, and back, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clusterml.dataset.record import STEPS, Record, SpectralGrid
from clusterml.errors import DatasetError
from clusterml.typing import FloatArray, IntArray
from clusterml.units import FWHM_PER_SIGMA

_CURVES = ("epsilon", "epsilon_velocity", "delta_epsilon", "delta_epsilon_length", "epsilon_std", "delta_epsilon_std")
_UPPER = np.triu_indices(3)
_ABOVE = np.triu_indices(3, k=1)
CHANNELS = {name: slice(k, k + 1) for k, name in enumerate(_CURVES)}
CHANNELS |= {"absorption_tensor": slice(6, 12), "symmetric": slice(12, 18), "antisymmetric": slice(18, 21)}
"""Which of the 21 curves of a record belong together: they have one scale."""
ORDER, _PARTS = 4, 4096


def thousandths(values: FloatArray, dtype: str) -> Any:
    """Thousandths; DatasetError where they do not fit into ``dtype``."""
    whole = np.rint(np.asarray(values, dtype=np.float64) * STEPS)
    if whole.size and np.abs(whole).max() > np.iinfo(dtype).max:
        raise DatasetError(f"a number of {np.abs(values).max():.3g} cannot be stored", "label the geometry again")
    return whole.astype(dtype)


def zigzag(values: Any) -> Any:
    """Signed to unsigned whole numbers, small ones to small ones: 0, -1, 1, -2 .. are 0, 1, 2, 3 .."""
    bits = 8 * values.dtype.itemsize
    return ((values << 1) ^ (values >> (bits - 1))).view(f"u{values.dtype.itemsize}")


def unzigzag(values: Any) -> Any:
    """The inverse of :func:`zigzag`."""
    return ((values >> 1) ^ (~(values & 1) + 1)).view(f"i{values.dtype.itemsize}")


def differences(values: Any) -> Any:
    """Differences of rows (n, 3), the first from 0."""
    return zigzag(np.diff(values, axis=0, prepend=np.zeros_like(values[:1])))


def sums(values: Any) -> Any:
    """The inverse of :func:`differences`."""
    steps = unzigzag(values)
    return np.cumsum(steps, axis=0, dtype=steps.dtype)


def predictor_of(grid: SpectralGrid) -> IntArray:
    """Parts of 1/4096 by which a value of a curve follows from the four before it, the last one first.

    Curves of Gaussian bands go together over a distance d as exp(-d^2 / (4 sigma^2)); linear prediction: J. Makhoul,
    Proc. IEEE 63, 561 (1975).  Rounding to ``grid.levels`` is the noise.
    """
    apart = grid.step_ev * np.arange(ORDER + 1) / (grid.fwhm_ev / FWHM_PER_SIGMA)
    together = np.exp(-0.25 * apart**2)
    places = np.arange(ORDER)
    matrix = together[np.abs(places[:, None] - places)] + np.eye(ORDER) * (8.0 / grid.levels) ** 2
    return np.rint(_PARTS * np.linalg.solve(matrix, together[1:])).astype("i4")


def _predicted(before: Sequence[Any], predictor: IntArray) -> Any:
    """The next value after those ``before``, the last one first, in whole numbers: the same on every machine."""
    total = sum(int(part) * values.astype("i8") for part, values in zip(predictor, before, strict=False))
    return total // _PARTS if len(before) else 0


def residuals(values: Any, predictor: IntArray) -> Any:
    """What predictions of curves ``values`` (n, c, m) miss, modulo the range of their type."""
    columns = [values[..., k] for k in range(values.shape[-1])]
    missed = [
        (column - _predicted(columns[max(0, k - len(predictor)) : k][::-1], predictor)).astype("i2")
        for k, column in enumerate(columns)
    ]
    return zigzag(np.stack(missed, axis=-1))


def curves_of(missed_by: Any, predictor: IntArray) -> Any:
    """The inverse of :func:`residuals`."""
    missed, columns = unzigzag(missed_by), list[Any]()
    for k in range(missed.shape[-1]):
        before = columns[max(0, k - len(predictor)) : k][::-1]
        columns.append((missed[..., k] + _predicted(before, predictor)).astype("i2"))
    return np.stack(columns, axis=-1)


def whole_curves(record: Record) -> tuple[IntArray, FloatArray]:
    """All curves (21, m) in units of their scales (groups,); a tensor has a fourth of the levels.

    The absorption in velocity gauge is kept as what it has beyond the trace of the tensor: nothing in our own labels.
    """
    symmetric = 0.5 * (record.rotatory_tensor + record.rotatory_tensor.swapaxes(1, 2))
    values = {name: getattr(record, name)[None] for name in _CURVES}
    values["absorption_tensor"] = record.absorption_tensor[:, *_UPPER].T
    values["symmetric"] = symmetric[:, *_UPPER].T
    values["antisymmetric"] = (record.rotatory_tensor - symmetric)[:, *_ABOVE].T
    values["epsilon_velocity"] = values["epsilon_velocity"] - np.trace(record.absorption_tensor, axis1=1, axis2=2)
    levels = record.grid.levels
    scales = {name: _scale(curves, levels if name in _CURVES else levels // 4) for name, curves in values.items()}
    scales["epsilon_velocity"] = max(scales["epsilon_velocity"], scales["epsilon"])
    whole = np.concatenate([_in_units(curves, scales[name]) for name, curves in values.items()])
    return whole.astype("i2"), np.array(list(scales.values()), dtype="f4")


def _scale(curves: FloatArray, levels: int) -> float:
    """The largest value / ``levels``, rounded up to eight binary digits, which compress; 0 for nothing."""
    largest = float(np.abs(curves).max()) / levels
    if largest < float(np.finfo("f4").tiny):
        return 0.0
    mantissa, exponent = np.frexp(largest)
    return float(np.ldexp(np.ceil(mantissa * 256.0) / 256.0, int(exponent)))


def _in_units(curves: FloatArray, scale: float) -> FloatArray:
    return np.rint(curves / scale) if scale > 0.0 else np.zeros_like(curves)


def curve_of(name: str, steps: IntArray, scales: Sequence[float]) -> FloatArray:
    """Curve (m,) or tensor (m, 3, 3) of that name from the curves (21, m) in ``steps`` and their ``scales``."""
    scale = dict(zip(CHANNELS, scales, strict=True))

    def of(part: str) -> FloatArray:
        return np.asarray(steps[CHANNELS[part]] * scale[part])

    if name == "absorption_tensor":
        return _tensor(of(name), _UPPER, 1.0)
    if name == "rotatory_tensor":
        return _tensor(of("symmetric"), _UPPER, 1.0) + _tensor(of("antisymmetric"), _ABOVE, -1.0)
    if name == "epsilon_velocity":
        return np.asarray(of(name)[0] + of("absorption_tensor")[[0, 3, 5]].sum(axis=0))
    return np.asarray(of(name)[0])


def _tensor(parts: FloatArray, places: tuple[IntArray, ...], sign: float) -> FloatArray:
    """(m, 3, 3) from its independent ``parts`` (k, m) at ``places``, with ``sign`` below the diagonal."""
    tensor = np.zeros((parts.shape[1], 3, 3))
    rows, columns = places
    tensor[:, columns, rows] = sign * parts.T
    tensor[:, rows, columns] = parts.T
    return tensor
