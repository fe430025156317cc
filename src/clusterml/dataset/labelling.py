"""From geometries to records: the engine's spectra on the stored grid, and what else a record keeps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clusterml.dataset.record import FWHM_EV, GRID_EV, N_LOWEST, Kind, Record
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.spectrum.spectrum import mean_and_spread
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.label import Label
    from clusterml.engine.protocol import Compute, Protocol

_SPECTRA = (
    "epsilon",
    "epsilon_velocity",
    "delta_epsilon",
    "delta_epsilon_length",
    "absorption_tensor",
    "rotatory_tensor",
)


class RejectedError(Exception):
    """A geometry that is not worth a label; the message says why."""


@dataclass(frozen=True)
class Identity:
    """What a record is beside its geometry and label; the fields are those of :class:`Record`.

    ``provenance``: where it comes from, to which the engine's is added; ``details``: how the geometry was made, with
    the ``ligands`` (name -> number).
    """

    id: str
    kind: Kind
    parent: str
    family: str
    hand: str
    pair: str
    provenance: dict[str, Any]
    details: dict[str, Any]

    @property
    def shell(self) -> str:
        """The ligands in one word."""
        return "+".join(f"{count}{ligand}" for ligand, count in sorted(self.details["ligands"].items()))


def record_of(
    identity: Identity,
    members: Sequence[Atoms],
    protocol: Protocol,
    compute: Compute,
    start_from: Atoms | None = None,
) -> Record:
    """The record of a geometry, or of an ensemble ``members`` (mean geometry first), averaged.

    ``start_from``: where the ground states' self-consistent cycles begin, see :func:`clusterml.engine.label.label`.
    Raises :class:`RejectedError` for a geometry without a ground state or gap, and the engine's errors otherwise.
    """
    start = time.perf_counter()
    protocol = protocol.but(fwhm_ev=FWHM_EV, solver="krylov")  # records hold lowest excitations too
    central = _label(members[0], protocol, compute, start_from)
    # one label at a time: each holds the vectors of its states
    snapshots = (_label(atoms, protocol, compute, start_from) for atoms in members[1:])
    spectra = [stored_spectra(label) for label in snapshots] or [stored_spectra(central)]
    averages = {name: mean_and_spread(np.stack([spectrum[name] for spectrum in spectra])) for name in _SPECTRA}
    spread = {f"{name}_std": averages[name][1] for name in ("epsilon", "delta_epsilon")}
    return Record(
        id=identity.id,
        kind=identity.kind,
        parent=identity.parent,
        family=identity.family,
        shell=identity.shell,
        hand=identity.hand,
        pair=identity.pair,
        method=protocol.name,
        charge=central.charge,
        numbers=np.asarray(members[0].numbers, dtype=np.int64),
        positions=np.asarray(members[0].positions),
        gap_ev=float(central.orbitals.raw_gap_ev),
        n_snapshots=len(spectra),
        **{name: mean for name, (mean, _) in averages.items()},
        **(spread if len(spectra) > 1 else {}),
        **_lowest(central),
        details={
            **identity.details,
            "chirality": chirality_measures(members[0]),
            "provenance": {**identity.provenance, "engine": central.provenance},
            "warnings": list(central.warnings),
            "seconds": round(time.perf_counter() - start, 2),
        },
    )


def _label(atoms: Atoms, protocol: Protocol, compute: Compute, start_from: Atoms | None) -> Label:
    from clusterml.engine.label import label

    try:
        result = label(atoms, None, protocol, compute, groups={}, start_from=start_from)
    except ElectronicStructureError as error:
        raise RejectedError(error.problem) from error
    if not result.response.converged:
        raise RejectedError("the spectrum did not converge")
    return result


def stored_spectra(label: Label) -> dict[str, FloatArray]:
    """Spectra and tensors of a label on the stored grid, by the names of the record's columns."""
    transitions = label.transitions
    velocity = transitions.broaden(GRID_EV, FWHM_EV, gauge="velocity", absorption_gauge="velocity")
    length = transitions.broaden(GRID_EV, FWHM_EV, gauge="length", absorption_gauge="length")
    absorption, rotatory = transitions.broaden_tensors(GRID_EV, FWHM_EV)
    return {
        "epsilon": length.epsilon,
        "epsilon_velocity": velocity.epsilon,
        "delta_epsilon": velocity.delta_epsilon,
        "delta_epsilon_length": length.delta_epsilon,
        "absorption_tensor": absorption,
        "rotatory_tensor": rotatory,
    }


def chirality_measures(atoms: Atoms) -> dict[str, float]:
    """Chirality of a geometry as records keep it: the signed indices ``opd*``, which change sign in a mirror, and more.

    ``opd``, ``opd_local``: of all atoms, see :mod:`clusterml.chirality.measures`; with ``_frame``: of metals and
    donors only; ``ccm_frame``: continuous chirality measure (0 to 100) and ``misfit_frame``: root-mean-square misfit to
    the mirror image (A), both of metals and donors.
    """
    from clusterml.chirality.measures import opd_index
    from clusterml.chirality.part import REACH, FrameChirality

    frame, whole = FrameChirality(atoms), np.asarray(atoms.positions)
    return {
        "opd": float(opd_index(whole)),
        "opd_local": float(opd_index(whole, reach=REACH)),
        "opd_frame": frame.opd,
        "opd_local_frame": frame.opd_local,
        "ccm_frame": frame.ccm,
        "misfit_frame": frame.misfit,
    }


def _lowest(label: Label) -> dict[str, FloatArray]:
    """The lowest excitations that carry intensity, padded with zeros."""
    t = label.transitions
    order = np.argsort(t.energy_ev)[:N_LOWEST]
    padded = {name: np.zeros(N_LOWEST) for name in ("lowest_ev", "lowest_f", "lowest_r_cgs")}
    for name, values in (("lowest_ev", t.energy_ev), ("lowest_f", t.f_length), ("lowest_r_cgs", t.r_velocity_cgs)):
        padded[name][: len(order)] = values[order]
    return padded


def opposite_hand(hand: str) -> str:
    """Name of the other hand; raises :class:`~clusterml.errors.OptionError` for an unknown one."""
    pairs: dict[str, Literal["R", "S", "P", "M", "0"]] = {"R": "S", "S": "R", "P": "M", "M": "P", "0": "0"}
    if hand not in pairs:
        raise OptionError(f"hand is {hand!r}", "choose R, S, P, M or 0")
    return pairs[hand]
