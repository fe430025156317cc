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

from clusterml.errors import OptionError
from clusterml.inference.ensemble import refine_grid
from clusterml.inference.predictor import STEP_EV
from clusterml.io.display import card, small_table, wrapped
from clusterml.io.shipped import QUICK_MODEL
from clusterml.model.graph import batched, cluster_graph
from clusterml.spectrum.curves import band_weights
from clusterml.spectrum.picture import spectra_picture
from clusterml.spectrum.significance import Significance, has_no_cd, judge_sign
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.picture import signed_colours, structure_picture
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import Prediction
    from clusterml.inference.ensemble import Ensemble
    from clusterml.inference.predictor import Predictor
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
    if ensemble.spec.start != "zero":
        raise OptionError(
            "the spectra of this network start from a response, which has no derivative by positions",
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


UNIT = "L mol-1 cm-1 eV"
"""Unit of contributions: that of the integral of delta epsilon over energy."""


@dataclass(frozen=True)
class ContributionPart:
    """A part of a cluster: indices of its ``atoms`` and its contribution with the members' standard deviation (None
    with a single network)."""

    atoms: IntArray
    value: float
    std: float | None


@dataclass(frozen=True, repr=False, eq=False)
class Contributions:
    """Contributions to the integral of delta epsilon from ``low_ev`` to ``high_ev``, in L mol-1 cm-1 eV.

    ``prediction``: the whole prediction.  ``per_atom`` (n,) and ``per_atom_std`` (n,), None with a single network;
    ``parts``: by name, each atom in exactly one; ``total``: of all atoms, the integral itself.  Standard deviations are
    those of the ensemble's members, without calibration.
    """

    prediction: Prediction
    low_ev: float
    high_ev: float
    per_atom: FloatArray
    per_atom_std: FloatArray | None
    parts: dict[str, ContributionPart]
    total: ContributionPart

    @cached_property
    def significance(self) -> Significance:
        """Whether the sign of the total is sure; ``unknown`` out of the domain.

        Its standard deviation is the calibrated one, with the errors at all energies of the band fully correlated: an
        upper bound; without calibration it is that of the members.  The sign is as certain as that of the strongest CD
        would be with this standard deviation.
        """
        if has_no_cd(self.prediction.spectrum):
            return Significance("no CD")
        deviations, std = self.prediction.spectrum.delta_epsilon_std, self.total.std
        if deviations is not None:
            weights = np.abs(band_weights(self.prediction.spectrum.energy_ev, self.low_ev, self.high_ev))
            # where nothing absorbs no deviation is known, and nothing is missing
            measured = (weights > 0.0) & np.isfinite(deviations)
            std = float(weights[measured] @ deviations[measured]) if measured.any() else None
        trusted = None if std is None or self.prediction.in_domain is False else self.prediction.sign_error * std
        verdict, probability = judge_sign(self.total.value, trusted)
        known_std = None if probability is None else std
        return Significance(verdict, None, self.total.value, known_std, probability)

    def __repr__(self) -> str:
        """Band, total and the largest parts."""
        largest = sorted(self.parts.items(), key=lambda item: -abs(item[1].value))[:4]
        parts = ", ".join(f"{name} {part.value:+.3g}" for name, part in largest)
        band = f"{self.low_ev:.2f} to {self.high_ev:.2f} eV"
        return wrapped(f"Contributions({band}: {self.total.value:+.3g} {UNIT}, {self.verdict}; {parts})")

    def _repr_html_(self) -> str:
        """Atoms by what they contribute (blue negative, red positive), spectrum and parts, for notebooks."""
        colours = signed_colours(self.per_atom, float(np.abs(self.per_atom).max(initial=0.0)))
        rows = [(name, f"{part.value:+.3g}") for name, part in self.parts.items()]
        atoms, spectrum = self.prediction.atoms, self.prediction.spectrum
        table = small_table(rows, ("part", UNIT))
        return card(repr(self), [structure_picture(atoms, colours), table, spectra_picture([spectrum])])

    @property
    def verdict(self) -> str:
        """A sentence about the total."""
        if self.prediction.in_domain is False:
            return "not significant: the structure is out of the network's domain"
        words = self.significance.words
        return "significance unknown" if words == "unknown" else words

    def to_dict(self) -> dict[str, Any]:
        """The JSON of the prediction with the block ``contributions``; indices of atoms are from 0."""
        parts = {
            name: {"value": part.value, "std": part.std, "atoms": part.atoms.tolist()}
            for name, part in self.parts.items()
        }
        block = {
            "band_ev": [self.low_ev, self.high_ev],
            "unit": UNIT,
            "total": {"value": self.total.value, "std": self.total.std},
            "significance": self.significance.to_dict(),
            "parts": parts,
            "per_atom": self.per_atom.tolist(),
            "per_atom_std": None if self.per_atom_std is None else self.per_atom_std.tolist(),
        }
        return {**self.prediction.to_dict(), "contributions": block}


def explain(
    predictor: Predictor,
    atoms: Atoms,
    low_ev: float,
    high_ev: float,
    charge: int | None = None,
    allow_several: bool = False,
) -> Contributions:
    """The contributions of all atoms and parts of ``atoms`` to its CD from ``low_ev`` to ``high_ev``.

    Raises :class:`OptionError` for a band that is not within the predicted spectrum and for a network that starts from
    a response (as the default one does), and what :meth:`Predictor.prepare` raises.

    Examples:
        >>> import clusterml as cm
        >>> atoms = cm.distort(cm.build("ag4", thiolate="SH"), "shear", 5.0)
        >>> shares = cm.explain(cm.Predictor.load("ag-sr-v1"), atoms, 4.0, 5.0)
        >>> bool(abs(shares.per_atom.sum() - shares.total.value) < 1e-6)
        True
    """
    energy = predictor.energy_ev
    if not energy[0] <= low_ev < high_ev <= energy[-1]:
        raise OptionError(
            f"the band is {low_ev:g} to {high_ev:g} eV", f"choose one within {energy[0]:.2f} to {energy[-1]:.2f} eV"
        )
    prepared = predictor.prepare(atoms, charge, allow_several=allow_several)
    (prediction,) = predictor.predict([prepared])
    members = contributions(predictor.ensemble, prepared.graphs[0], band_weights(energy, low_ev, high_ev))
    parts = {name: _part(members, indices) for name, indices in exclusive_parts(atoms).items()}
    spread = members.std(axis=0, ddof=1) if len(members) > 1 else None
    total = _part(members, np.arange(len(atoms)))
    return Contributions(prediction, low_ev, high_ev, members.mean(axis=0), spread, parts, total)


def exclusive_parts(atoms: Atoms) -> dict[str, IntArray]:
    """Parts of a cluster that share no atom and leave none out: ``kernel``, ``shell 1`` .. inside out, the ligands by
    name, and ``not bonded`` for solvent and counter-ions."""
    structure = anatomy(atoms)
    parts: dict[str, list[IntArray]] = {"kernel": [structure.kernel]}
    parts |= {f"shell {number}": [shell] for number, shell in enumerate(structure.shells, start=1)}
    for ligand in structure.ligands:
        parts.setdefault(ligand.name, []).append(ligand.atoms)
    joined = {name: np.sort(np.concatenate(indices)) for name, indices in parts.items()}
    rest = np.setdiff1d(np.arange(len(atoms)), np.concatenate(list(joined.values())))
    return {name: indices for name, indices in (joined | {"not bonded": rest}).items() if len(indices)}


def _part(members: FloatArray, atoms: IntArray) -> ContributionPart:
    sums = members[:, atoms].sum(axis=1)
    return ContributionPart(atoms, float(sums.mean()), float(sums.std(ddof=1)) if len(sums) > 1 else None)
