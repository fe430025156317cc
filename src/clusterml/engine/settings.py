"""What can be chosen about an excited-state calculation, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from clusterml.errors import OptionError

Mode = Literal["smooth", "reference"]
Solver = Literal["spectrum", "states"]
OrbitalSource = Literal["stda-xtb", "gfn1", "gfn2"]
Dtype = Literal["float64", "float32"]


SMOOTH_WINDOW_EV = 16.8
"""Default window of the smooth mode: that of the reference method for states up to 6 eV (2.8 emax)."""

_SHARE_OF_FREE_MEMORY = 0.7


def default_orbitals(mode: Mode) -> OrbitalSource:
    """The orbital source when none is named: gfn1, the label protocol; stda-xtb where the reference is wanted."""
    return "stda-xtb" if mode == "reference" else "gfn1"


def default_memory_gb() -> float:
    """The share of the currently free main memory that a calculation may use, in GB."""
    import psutil

    return float(_SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available / 1e9)


@dataclass(frozen=True)
class ExcitedSettings:
    """Settings of an excited-state calculation; every value is checked on construction (OptionError).

    emax_ev            highest excitation energy of interest, 1 to 15 eV
    fwhm_ev            width (eV) at which the spectrum must be converged by the ``spectrum`` solver
    mode               ``smooth`` (invariant, continuous) or ``reference`` (as the programs xtb4stda and std2)
    solver             ``spectrum`` (pseudo-states, no eigenpairs) or ``states`` (all eigenpairs up to emax)
    dtype, device      precision and place of the linear algebra
    memory_gb          upper bound of the solver's own memory; default 70 % of what is free
    k_shift_width_ev   smooth mode: energy width over which the K-shift's exchange integral is averaged
    window_ev          smooth mode: largest orbital energy difference; default 16.8 eV (2.8 emax above 6 eV)
    tolerance          spectrum solver: largest change, relative to the maximum, between two convergence checks
    """

    emax_ev: float = 6.0
    fwhm_ev: float = 0.2
    mode: Mode = "smooth"
    solver: Solver = "spectrum"
    dtype: Dtype = "float64"
    device: str = "cpu"
    memory_gb: float = 0.0
    k_shift_width_ev: float = 0.005
    window_ev: float = 0.0
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        _choice("mode", self.mode, get_args(Mode))
        _choice("solver", self.solver, get_args(Solver))
        _choice("dtype", self.dtype, get_args(Dtype))
        _within("emax_ev", self.emax_ev, 1.0, 15.0)
        _within("fwhm_ev", self.fwhm_ev, 0.01, 5.0)
        _within("k_shift_width_ev", self.k_shift_width_ev, 1e-6, 1.0)
        _within("tolerance", self.tolerance, 1e-10, 0.1)
        if self.memory_gb == 0.0:
            object.__setattr__(self, "memory_gb", default_memory_gb())
        if self.window_ev == 0.0:
            object.__setattr__(self, "window_ev", max(SMOOTH_WINDOW_EV, 2.8 * self.emax_ev))
        _within("memory_gb", self.memory_gb, 1e-3, 1e6)
        _within("window_ev", self.window_ev, 2.0, 100.0)
        check_device(self.device)


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(f"{name} is {value!r}", f"choose one of {', '.join(allowed)}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise OptionError(f"{name} is {value!r}", "give a number")
    if not low <= value <= high:
        raise OptionError(f"{name} is {value:g}", f"give a number between {low:g} and {high:g}")


def check_device(device: str) -> None:
    """Raise OptionError unless ``device`` names one that torch can compute on here."""
    if device == "cpu":
        return
    import torch

    if device.split(":")[0] != "cuda":
        raise OptionError(f"device is {device!r}", "choose cpu or cuda")
    if not torch.cuda.is_available():
        raise OptionError(f"device is {device!r} but torch finds no CUDA GPU", "use --device cpu")
