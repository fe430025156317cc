"""From geometries to records: the engine's spectra on the stored grid, and what else a record keeps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clusterml.dataset.campaign import Campaign, Job, Parent, Protocol
from clusterml.dataset.record import FWHM_EV, GRID_EV, N_LOWEST, Record
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.label import Label

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


def record_of(
    campaign: Campaign,
    job: Job,
    protocol: Protocol,
    parent: Parent,
    members: Sequence[Atoms],
    details: dict[str, Any],
    start_from: Atoms | None = None,
    device: str = "cpu",
    memory_gb: float = 0.0,
) -> Record:
    """The record of a job: of its geometry, or of an ensemble ``members`` (mean geometry first), averaged.

    ``start_from``: where the ground states' self-consistent cycles begin, see :func:`clusterml.engine.label.label`.
    Raises :class:`RejectedError` for a geometry without a ground state or gap, and the engine's errors otherwise.
    """
    start = time.perf_counter()
    options: dict[str, Any] = {"device": device, "memory_gb": memory_gb, "start_from": start_from}
    central = _label(members[0], protocol, campaign.smallest_gap_ev, options)
    # one label at a time: each holds the vectors of its states
    snapshots = (_label(atoms, protocol, campaign.smallest_gap_ev, options) for atoms in members[1:])
    spectra = [stored_spectra(each) for each in snapshots] or [stored_spectra(central)]
    mean = {name: np.mean([s[name] for s in spectra], axis=0) for name in _SPECTRA}
    spread = {f"{name}_std": np.std([s[name] for s in spectra], axis=0) for name in ("epsilon", "delta_epsilon")}
    name = job.name if protocol == job.protocols[0] else f"{job.name}-{protocol.name}"
    provenance = {"campaign": campaign.name, "job": job.name, "seed": campaign.seed, "engine": central.provenance}
    return Record(
        id=name,
        kind=job.kind,
        parent=job.parent,
        family=parent.family,
        shell="+".join(f"{count}{ligand}" for ligand, count in sorted(details["ligands"].items())),
        hand=parent.hand,
        pair=job.name,
        method=protocol.name,
        charge=central.charge,
        numbers=np.asarray(members[0].numbers, dtype=np.int64),
        positions=np.asarray(members[0].positions),
        gap_ev=float(central.orbitals.raw_gap_ev),
        n_snapshots=len(spectra),
        **mean,
        **(spread if len(spectra) > 1 else {}),
        **_lowest(central),
        details={
            **details,
            "chirality": chirality_measures(members[0]),
            "provenance": provenance,
            "warnings": list(central.warnings),
            "seconds": round(time.perf_counter() - start, 2),
        },
    )


def _label(atoms: Atoms, protocol: Protocol, smallest_gap_ev: float, options: dict[str, Any]) -> Label:
    from clusterml.engine.label import label

    try:
        result = label(
            atoms,
            orbitals=protocol.orbitals,
            emax_ev=protocol.emax_ev,
            fwhm_ev=FWHM_EV,
            dtype=protocol.dtype,
            tolerance=protocol.tolerance,
            groups={},
            smallest_gap_ev=smallest_gap_ev,
            **options,
        )
    except ElectronicStructureError as error:
        raise RejectedError(error.problem) from error
    if not result.states.converged:
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
    from clusterml.chirality.measures import continuous_chirality, opd_index
    from clusterml.chirality.part import REACH
    from clusterml.chirality.symmetry import SymmetrySearch
    from clusterml.structure.distort.subject import Subject
    from clusterml.structure.superpose import Kinds, superpose

    subject = Subject(atoms)
    frame = np.concatenate([np.flatnonzero(subject.metal), subject.donors])
    whole, part = np.asarray(atoms.positions), np.asarray(atoms.positions)[frame]
    numbers = np.asarray(atoms.numbers)[frame]
    part = part - part.mean(axis=0)
    return {
        "opd": float(opd_index(whole)),
        "opd_local": float(opd_index(whole, reach=REACH)),
        "opd_frame": float(opd_index(part)),
        "opd_local_frame": float(opd_index(part, reach=REACH)),
        "ccm_frame": float(continuous_chirality(SymmetrySearch(Kinds.of(numbers), part)).value),
        "misfit_frame": float(superpose(numbers, part, part, improper=True).rmsd),
    }


def _lowest(label: Label) -> dict[str, FloatArray]:
    """The lowest excitations that carry intensity, padded with zeros."""
    t = label.transitions
    order = np.argsort(t.energy_ev)[:N_LOWEST]
    padded = {name: np.zeros(N_LOWEST) for name in ("lowest_ev", "lowest_f", "lowest_r_cgs")}
    for name, values in (("lowest_ev", t.energy_ev), ("lowest_f", t.f_length), ("lowest_r_cgs", t.r_velocity_cgs)):
        padded[name][: len(order)] = values[order]
    return padded


def opposite(hand: str) -> str:
    """Name of the other hand; raises :class:`~clusterml.errors.OptionError` for an unknown one."""
    pairs: dict[str, Literal["R", "S", "P", "M", "0"]] = {"R": "S", "S": "R", "P": "M", "M": "P", "0": "0"}
    if hand not in pairs:
        raise OptionError(f"hand is {hand!r}", "one of R, S, P, M, 0")
    return pairs[hand]
