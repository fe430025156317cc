"""What every response solver gives, whether it has states or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal
from typing import Protocol as Contract

from clusterml.engine.response.active import ActiveSpace
from clusterml.errors import OptionError
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    import torch

BandKind = Literal["absorption", "cd"]
PlacedBand = tuple[BandKind, float]
"""A band's kind and its energy in eV."""
AtomShares = tuple[FloatArray, FloatArray]
TAIL_EV = 1.0
"""Responses reach this far above emax, so that bands near emax keep their upper half."""
_SAME_EV = 1e-6


class Response(Contract):
    """What a solver gives: spectra at the protocol's width or a larger one, and where in the cluster bands are."""

    @property
    def counts(self) -> dict[str, int]:
        """Sizes worth reporting."""

    @property
    def converged(self) -> bool:
        """Did the spectrum meet the tolerance?"""

    @property
    def timings_s(self) -> dict[str, float]:
        """Seconds of its parts."""

    @property
    def dark(self) -> bool:
        """Is there no excitation in the range that was asked for?"""

    def broaden(
        self,
        grid: FloatArray | None = None,
        fwhm_ev: float = 0.2,
        *,
        gauge: str = "velocity",
        absorption_gauge: str = "length",
    ) -> Spectrum:
        """The spectrum, see :meth:`clusterml.spectrum.transitions.Transitions.broaden`."""

    def broaden_tensors(self, grid: FloatArray | None = None, fwhm_ev: float = 0.2) -> tuple[FloatArray, FloatArray]:
        """Oriented absorption and CD, see :meth:`clusterml.spectrum.transitions.Transitions.broaden_tensors`."""

    def shares(self, bands: Sequence[PlacedBand], spectrum: Spectrum) -> AtomShares | None:
        """Shares of atoms in hole and electron of what absorbs, or gives the CD, at each of the b ``bands`` of
        ``spectrum``, at least one: two arrays (b, n_atoms); None where they are not known."""


def check_reach(axis: FloatArray, emax_ev: float) -> None:
    """Raise OptionError for energies ``axis`` (m,), ascending, that end above ``emax_ev``: their bands are missing."""
    if axis[-1] > emax_ev + _SAME_EV:
        problem = f"grid ends at {axis[-1]:g} eV, and excitations are computed to emax_ev, {emax_ev:g} eV"
        raise OptionError(problem, "end the grid there, or raise emax_ev")


def atom_shares(space: ActiveSpace, amplitudes: torch.Tensor) -> AtomShares:
    """Löwdin shares of every atom in hole and electron, each (k, n_atoms), for amplitudes (k, n_o, n_v)."""
    import torch

    shares: list[FloatArray] = []
    for left in (lambda x: space.l_o @ x, lambda x: space.l_v @ x.T):
        rows = torch.stack([space.atom_sum((left(x) ** 2).sum(1)) for x in amplitudes])
        shares.append((rows / rows.sum(1, keepdim=True)).double().cpu().numpy())
    return shares[0], shares[1]
