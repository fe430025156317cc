"""Where a predicted CD comes from: contributions of atoms and parts of a cluster to its integral over a band.

The network makes the CD of products of an electric and a magnetic moment, each of a metal or donor atom; a product is
shared out half and half between its two atoms, and the shares of all atoms add up to the CD.  Other atoms carry no
moment: what they do, they do through the moments of the metals and donors near them, where it is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from clusterml.engine.contributions import ContributionPart, Contributions, check_band, exclusive_parts
from clusterml.errors import OptionError, check_kind
from clusterml.inference.ensemble import refine_grid
from clusterml.inference.predictor import STEP_EV, Predictor
from clusterml.io.shipped import QUICK_MODEL
from clusterml.model.graph import batched, cluster_graph
from clusterml.spectrum.curves import band_weights
from clusterml.spectrum.significance import Significance, has_no_cd, judge_sign
from clusterml.structure.check import check_structure
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import Prediction
    from clusterml.inference.ensemble import Ensemble
    from clusterml.model.graph import Graph


@dataclass(frozen=True, eq=False)
class Slopes:
    """Spectra of a geometry with the way back to it.

    ``epsilon``, ``delta_epsilon`` (m,): means over the networks on the predictor's energies, as in its spectra.
    """

    epsilon: FloatArray
    delta_epsilon: FloatArray
    _back: Callable[[FloatArray, FloatArray], FloatArray]

    def back(self, by_epsilon: FloatArray, by_delta_epsilon: FloatArray) -> FloatArray:
        """Derivative (n, 3) per A by the positions of a number whose derivatives by the curves (m,) are given."""
        return self._back(by_epsilon, by_delta_epsilon)


def contributions(ensemble: Ensemble, graph: Graph, weights: FloatArray) -> FloatArray:
    """What each atom adds to sum_E weights(E) delta_epsilon(E), of each network: (k, n).

    ``weights`` (m,) on the predictor's energies.
    """
    batch = batched([graph]).to(ensemble.device)
    on_grid = torch.as_tensor(_matrix(ensemble).T @ weights, dtype=graph.pos.dtype, device=ensemble.device)
    shares = [_to_numpy(call(batch, on_grid)) for call in _calls(ensemble, "contributions")]
    return np.stack(shares)


def slopes(ensemble: Ensemble, atoms: Atoms, charge: int) -> Slopes:
    """The mean spectra of ``atoms`` with total ``charge``, and how they depend on its positions.

    Raises what :func:`check_slopes` and :func:`clusterml.model.graph.cluster_graph` raise.
    """
    check_slopes(ensemble)
    positions = torch.tensor(np.asarray(atoms.positions), dtype=torch.float32, requires_grad=True)
    # edges are found anew for every geometry: what crosses a cutoff vanishes there with its derivative
    graph = cluster_graph(atoms.numbers, positions, charge, ensemble.spec.graph)
    batch = batched([graph]).to(ensemble.device)
    outputs = [call(batch) for call in _calls(ensemble, "forward")]
    raw = {name: torch.stack([output[name][0] for output in outputs]) for name in ("epsilon", "delta_epsilon")}
    matrix = _matrix(ensemble)
    epsilon, delta_epsilon = (_to_numpy(curves) @ matrix.T for curves in raw.values())
    positive = epsilon > 0.0  # a member's splines are cut off below zero

    def back(by_epsilon: FloatArray, by_delta_epsilon: FloatArray) -> FloatArray:
        by = (np.where(positive, by_epsilon, 0.0) @ matrix, np.tile(by_delta_epsilon @ matrix, (len(positive), 1)))
        incoming = [torch.as_tensor(curves / len(positive)).to(raw["epsilon"]) for curves in by]
        (gradient,) = torch.autograd.grad(list(raw.values()), positions, incoming, retain_graph=True)
        return _to_numpy(gradient)

    return Slopes(np.maximum(epsilon, 0.0).mean(axis=0), delta_epsilon.mean(axis=0), back)


def check_slopes(ensemble: Ensemble) -> None:
    """Raise :class:`OptionError` for networks whose spectra have no derivative by positions."""
    _check_start(ensemble, "no derivative by positions")


def _check_start(ensemble: Ensemble, lacks: str) -> None:
    if ensemble.spec.start != "zero":
        raise OptionError(
            f"the spectra of this network start from the response of the whole cluster, which has {lacks}",
            f"take a network that starts from zero, such as {QUICK_MODEL}",
        )


class _Method(nn.Module):
    """A method of a network as what functional_call calls."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self._name = network, name

    def forward(self, *arguments: Any) -> Any:
        """What the method gives."""
        return getattr(self.network, self._name)(*arguments)


def _calls(ensemble: Ensemble, name: str) -> Iterator[Callable[..., Any]]:
    """The method ``name`` of each network."""
    method = _Method(ensemble._network, name)
    for state in ensemble._states:
        weights = {f"network.{key}": value for key, value in state.items()}
        yield lambda *arguments, weights=weights: functional_call(method, weights, arguments)


def _matrix(ensemble: Ensemble) -> FloatArray:
    """From the networks' grid to the predictor's energies (n, m)."""
    return refine_grid(ensemble.energy_ev, STEP_EV)[1]


def _to_numpy(tensor: Tensor) -> FloatArray:
    return tensor.detach().double().cpu().numpy()


@dataclass(frozen=True, repr=False, eq=False)
class PredictedContributions(Contributions):
    """Contributions to the CD of a ``prediction``, means over the networks."""

    prediction: Prediction

    @property
    def result(self) -> Prediction:
        """The prediction."""
        return self.prediction

    @property
    def method(self) -> str:
        """The network."""
        return self.prediction.model

    @cached_property
    def significance(self) -> Significance:
        """Whether the sign of the total is sure; ``unknown`` out of the domain.

        Its standard deviation is the calibrated one, with the errors at all energies of the band fully correlated: an
        upper bound; without calibration it is that of the members.  The sign is as certain as that of the strongest CD
        would be with this standard deviation.
        """
        if has_no_cd(self.spectrum):
            return Significance("no CD")
        deviations, std = self.spectrum.delta_epsilon_std, self.total.std
        if deviations is not None:
            weights = np.abs(band_weights(self.spectrum.energy_ev, self.low_ev, self.high_ev))
            # where nothing absorbs no deviation is known, and nothing is missing
            measured = (weights > 0.0) & np.isfinite(deviations)
            std = float(weights[measured] @ deviations[measured]) if measured.any() else None
        trusted = None if std is None or self.prediction.in_domain is False else self.prediction.sign_error * std
        verdict, probability = judge_sign(self.total.value, trusted)
        known_std = None if probability is None else std
        return Significance(verdict, None, self.total.value, known_std, probability)

    @property
    def verdict(self) -> str:
        """A sentence about the total."""
        if self.prediction.in_domain is False:
            return "not significant: the structure is out of the network's domain"
        words = self.significance.words
        return "significance unknown" if words == "unknown" else words

    def result_dict(self) -> dict[str, Any]:
        """The prediction's JSON."""
        return self.prediction.to_dict()


def explain(
    predictor: Predictor,
    atoms: Atoms,
    low_ev: float,
    high_ev: float,
    charge: int | None = None,
    allow_several: bool = False,
) -> PredictedContributions:
    """The contributions of all atoms and parts of ``atoms`` to its predicted CD from ``low_ev`` to ``high_ev``.

    Raises :class:`OptionError` for a band that is not within the predicted spectrum and for a network that starts from
    a response, as the default one does (its CD: :func:`~clusterml.engine.contributions.label_contributions`),
    and what :meth:`Predictor.prepare` raises.

    Examples:
        >>> import clusterml as cm
        >>> atoms = cm.distort(cm.build("ag4", thiolate="SH"), "shear", 5.0)
        >>> shares = cm.explain(cm.Predictor.load("ag-quick-v1"), atoms, 4.0, 5.0)
        >>> bool(abs(shares.per_atom.sum() - shares.total.value) < 1e-6)
        True
    """
    check_kind(predictor, Predictor, "a Predictor", "give Predictor.load(NAME)")
    check_structure(atoms)
    energy = predictor.energy_ev
    _check_start(predictor.ensemble, "no shares of atoms")
    check_band(energy, low_ev, high_ev)
    prepared = predictor.prepare(atoms, charge, allow_several=allow_several)
    (prediction,) = predictor.predict([prepared])
    members = contributions(predictor.ensemble, prepared.graphs[0], band_weights(energy, low_ev, high_ev))
    parts = {name: _part(members, indices) for name, indices in exclusive_parts(atoms).items()}
    spread = members.std(axis=0, ddof=1) if len(members) > 1 else None
    total = _part(members, np.arange(len(atoms)))
    return PredictedContributions(low_ev, high_ev, members.mean(axis=0), spread, parts, total, prediction)


def _part(members: FloatArray, atoms: IntArray) -> ContributionPart:
    sums = members[:, atoms].sum(axis=1)
    return ContributionPart(atoms, float(sums.mean()), float(sums.std(ddof=1)) if len(sums) > 1 else None)
