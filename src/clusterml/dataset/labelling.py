"""From geometries to records: the engine's spectra on the stored grid, and what else a record keeps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clusterml.dataset.exchange import to_atoms
from clusterml.dataset.record import FINE, HISTOGRAM_EV, N_FRONTIER, N_LOWEST, Kind, Record, SpectralGrid
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.spectrum.spectrum import mean_and_spread

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.label import Label
    from clusterml.engine.orbitals.orbitals import Orbitals
    from clusterml.engine.protocol import Compute, Protocol

SPECTRA = (
    "epsilon",
    "epsilon_velocity",
    "delta_epsilon",
    "delta_epsilon_length",
    "absorption_tensor",
    "rotatory_tensor",
)
"""Columns that are averaged over an ensemble."""
LOWEST = ("lowest_ev", "lowest_f", "lowest_r_cgs")
_NOTHING = 1e-12


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
    atoms: Atoms,
    protocol: Protocol,
    compute: Compute,
    grid: SpectralGrid = FINE,
    start_from: Atoms | None = None,
) -> Record:
    """The record of a geometry, with spectra on ``grid``; without its chirality (:func:`with_chirality`).

    ``start_from``: where the ground state's self-consistent cycles begin, see :func:`clusterml.engine.label.label`.
    Raises :class:`RejectedError` for a geometry without a ground state or gap, :class:`OptionError` for a ``grid`` that
    goes above the protocol's excitations, and the engine's errors otherwise.
    """
    from clusterml.engine.response.response import check_reach

    start = time.process_time()
    check_reach(grid.energy_ev, protocol.emax_ev)
    # lowest excitations take the solver that has them
    protocol = protocol.but(fwhm_ev=grid.fwhm_ev, solver="krylov" if grid.lowest else "spectrum")
    result = _label(atoms, protocol, compute, start_from)
    details = {
        **identity.details,
        "provenance": {
            **identity.provenance,
            "engine": _engine_provenance(result),
            "protocol": protocol.model_dump(mode="json", exclude_defaults=True),
        },
        "warnings": list(result.warnings),
        **({} if grid.lowest else {"missing": list(LOWEST)}),
        "seconds": round(time.process_time() - start, 3),
    }
    return Record(
        id=identity.id,
        kind=identity.kind,
        parent=identity.parent,
        family=identity.family,
        shell=identity.shell,
        hand=identity.hand,
        pair=identity.pair,
        method=protocol.name,
        charge=result.charge,
        numbers=np.asarray(atoms.numbers, dtype=np.int64),
        positions=np.asarray(atoms.positions),
        gap_ev=float(result.orbitals.raw_gap_ev),
        grid=grid,
        **stored_spectra(result, grid),
        **(_lowest(result) if grid.lowest else dict.fromkeys(LOWEST, np.zeros(N_LOWEST))),
        **_ground_state(result.orbitals),
        details=_rounded(details),
    )


def with_chirality(record: Record) -> Record:
    """The record with the :func:`chirality_measures` of its geometry in its details."""
    measures = chirality_measures(to_atoms(record))
    return replace(record, details={**record.details, "chirality": _rounded(measures)})


def mean_of(central: Record, snapshots: Sequence[Record], details: dict[str, Any]) -> Record:
    """The record of an ensemble: of the geometry and ground state ``central``, with mean and spread of ``snapshots``.

    ``details``: what is said of the ensemble.
    """
    averages = {name: mean_and_spread(np.stack([getattr(s, name) for s in snapshots])) for name in SPECTRA}
    columns: dict[str, Any] = {name: mean for name, (mean, _) in averages.items()}
    columns |= {f"{name}_std": averages[name][1] for name in ("epsilon", "delta_epsilon")}
    details = {**central.details, **details}
    return replace(central, kind="ensemble", n_snapshots=len(snapshots), details=details, **columns)


def _label(atoms: Atoms, protocol: Protocol, compute: Compute, start_from: Atoms | None) -> Label:
    from clusterml.engine.label import label

    try:
        result = label(atoms, None, protocol, compute, groups={}, start_from=start_from)
    except ElectronicStructureError as error:
        raise RejectedError(error.problem) from error
    if not result.response.converged:
        raise RejectedError("the spectrum did not converge")
    return result


def _engine_provenance(result: Label) -> dict[str, Any]:
    """What the engine says of a label, without what records have anyway."""
    return {key: value for key, value in result.provenance.items() if key not in ("raw_gap_ev", "counts")}


def stored_spectra(label: Label, grid: SpectralGrid) -> dict[str, Any]:
    """Spectra and tensors of a label on ``grid``, by the names of the record's columns."""
    energies, width, response = grid.energy_ev, grid.fwhm_ev, label.response
    velocity = response.broaden(energies, width, gauge="velocity", absorption_gauge="velocity")
    length = response.broaden(energies, width, gauge="length", absorption_gauge="length")
    absorption, rotatory = response.broaden_tensors(energies, width)
    return {
        "epsilon": length.epsilon,
        "epsilon_velocity": velocity.epsilon,
        "delta_epsilon": velocity.delta_epsilon,
        "delta_epsilon_length": length.delta_epsilon,
        "absorption_tensor": absorption,
        "rotatory_tensor": rotatory,
    }


def _ground_state(orbitals: Orbitals) -> dict[str, Any]:
    """Charges of the shells, orbital levels next to the gap, and how many levels there are where."""
    energies, n = orbitals.energies_ev, orbitals.n_occupied
    if n == 0 or n == len(energies):
        return {}
    levels = energies - 0.5 * (energies[n - 1] + energies[n])
    occupied, empty = levels[:n][-N_FRONTIER:], levels[n:][:N_FRONTIER]
    frontier = np.zeros(2 * N_FRONTIER)
    frontier[N_FRONTIER - len(occupied) : N_FRONTIER] = occupied
    frontier[N_FRONTIER : N_FRONTIER + len(empty)] = empty
    counts = np.histogram(levels, HISTOGRAM_EV)[0].astype(np.float64)
    charges = {} if orbitals.shell_charges is None else {"shell_charges": orbitals.shell_charges}
    return {"levels_ev": frontier, "level_histogram": counts, **charges}


def _rounded(value: Any) -> Any:
    """Plain values with five digits of each number, and nothing in place of rounding errors."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float) and np.isfinite(value):
        return float(f"{value:.5g}") if abs(value) > _NOTHING else 0.0
    return value


def chirality_measures(atoms: Atoms) -> dict[str, float]:
    """Chirality of a geometry as records keep it: the signed indices ``opd*``, which change sign in a mirror, and more.

    ``opd``, ``opd_local``: of all atoms, see :mod:`clusterml.chirality.measures`; with ``_frame``: of metals and
    donors only; ``ccm_frame``: continuous chirality measure of metals and donors (0 to 100).
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
    }


def _lowest(label: Label) -> dict[str, Any]:
    """The lowest excitations that carry intensity, padded with zeros."""
    t = label.transitions
    order = np.argsort(t.energy_ev)[:N_LOWEST]
    padded = {name: np.zeros(N_LOWEST) for name in LOWEST}
    for name, values in zip(LOWEST, (t.energy_ev, t.f_length, t.r_velocity_cgs), strict=True):
        padded[name][: len(order)] = values[order]
    return padded


def opposite_hand(hand: str) -> str:
    """Name of the other hand; raises :class:`~clusterml.errors.OptionError` for an unknown one."""
    pairs: dict[str, Literal["R", "S", "P", "M", "0"]] = {"R": "S", "S": "R", "P": "M", "M": "P", "0": "0"}
    if hand not in pairs:
        raise OptionError(f"hand is {hand!r}", "choose R, S, P, M or 0")
    return pairs[hand]
