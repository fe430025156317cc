"""The engine's word on a candidate: its spectrum on the network's energies, and the same measures of it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.dataset.campaign import Campaign
from clusterml.errors import ClusterMLError, ElectronicStructureError
from clusterml.screening.bench import Bench, Setting, bench_of
from clusterml.screening.kept import Kept
from clusterml.screening.measures import Sample, Value, measured
from clusterml.spectrum.spectrum import Spectrum

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.stda.label import Label

SMALLEST_GAP_EV: float = Campaign.model_fields["smallest_gap_ev"].default
"""Geometries with a smaller HOMO-LUMO gap have no label, as in a campaign."""
_PARENTS: Kept[Spectrum] = Kept(8)
"""Spectra of parents, once for each process."""


@dataclass(frozen=True)
class LabelTask:
    """Candidate ``number`` to label: its geometry and charge."""

    number: int
    atoms: Atoms
    charge: int


@dataclass(frozen=True)
class Verified:
    """What the engine says of candidate ``number``: ``values`` by line, gap, and seconds of its label alone; or the
    ``problem`` it had."""

    number: int
    values: tuple[Value, ...]
    gap_ev: float
    seconds: float
    warnings: tuple[str, ...] = ()
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the log."""
        return {**vars(self), "values": [value.value for value in self.values], "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Verified:
        """What :meth:`to_dict` gave; raises KeyError, TypeError or ValueError for anything else."""
        values = tuple(Value(float(value)) for value in given["values"])
        return cls(**{**given, "values": values, "warnings": tuple(given["warnings"])})


def label_one(setting: Setting, folder: Path, task: LabelTask) -> Verified:
    """Label a candidate and write its JSON into ``folder``; runs in a worker.  What the engine refuses is a problem."""
    from clusterml.spectrum.jsonio import write_json
    from clusterml.stda.output import label_dict

    bench, begin = bench_of(setting), time.perf_counter()
    try:
        measures = bench.measures  # the first label of a process loads the network, whose energies it is made for
        begin = time.perf_counter()
        found = _label(bench, task.atoms, task.charge)
        seconds = round(time.perf_counter() - begin, 3)
        write_json(label_dict(found, False), folder / f"{task.atoms.info['name']}.json", indent=1)
        origin = bench.origin(task.number, partial(_parent_spectrum, bench, folder))
        values = measured(measures, Sample(task.atoms, task.charge, found.spectrum, bench.fwhm_ev, origin))
    except ClusterMLError as error:
        return Verified(task.number, (), 0.0, round(time.perf_counter() - begin, 3), problem=str(error))
    return Verified(task.number, values, float(found.orbitals.raw_gap_ev), seconds, found.warnings)


def _parent_spectrum(bench: Bench, folder: Path, atoms: Atoms) -> Spectrum:
    """The engine's spectrum of a parent: kept in the ``folder``, so that no other process has to label it again."""
    from clusterml.spectrum.jsonio import read_spectrum, write_json
    from clusterml.stda.output import label_dict

    charge = atoms.info.get("charge")
    digest = hashlib.sha256(atoms.numbers.tobytes() + atoms.positions.tobytes() + str(charge).encode()).hexdigest()
    path = folder / f"parent_{digest[:12]}.json"

    def make() -> Spectrum:
        if not path.exists():
            write_json(label_dict(_label(bench, atoms, charge), False), path, indent=1)
        return read_spectrum(path)

    return _PARENTS.find((bench.setting, path), make)


def _label(bench: Bench, atoms: Atoms, charge: int | None) -> Label:
    """The label of a geometry; raises what the engine raises, and :class:`ElectronicStructureError` for one that no
    campaign would keep."""
    from clusterml.stda.label import label

    protocol = bench.screen.engine
    found = label(
        atoms,
        charge,
        orbitals=protocol.orbitals,
        emax_ev=protocol.emax_ev,
        fwhm_ev=bench.fwhm_ev,
        dtype=protocol.dtype,
        tolerance=protocol.tolerance,
        device="cuda" if bench.predictor.ensemble.device.type == "cuda" else "cpu",
        grid=bench.predictor.energy_ev,
        groups={},
        smallest_gap_ev=SMALLEST_GAP_EV,
    )
    if not found.states.converged:
        raise ElectronicStructureError("the spectrum did not converge", "raise engine.tolerance")
    return found
