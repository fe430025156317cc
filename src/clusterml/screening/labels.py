"""The engine's word on a candidate: its spectrum on the network's energies, and the same measures of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.errors import ClusterMLError
from clusterml.screening.bench import Bench, Setting, bench_of
from clusterml.screening.kept import Kept
from clusterml.screening.measures import Sample, Value
from clusterml.screening.origins import OfRecipe, OfReference
from clusterml.spectrum.spectrum import Spectrum

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.stda.label import Label

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
    """What the engine says of candidate ``number``: ``values`` by line, gap, and seconds; or the ``problem`` it had."""

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
        found = _label(bench, task.atoms, task.charge)
        sample = Sample(task.atoms, task.charge, found.spectrum, bench.fwhm_ev, _origin(bench, task))
        values = tuple(measure(sample) for measure in bench.measures)
    except ClusterMLError as error:
        return Verified(task.number, (), 0.0, round(time.perf_counter() - begin, 3), problem=str(error))
    write_json(label_dict(found, False), folder / f"{task.atoms.info['name']}.json", indent=1)
    seconds = round(time.perf_counter() - begin, 3)
    return Verified(task.number, values, float(found.orbitals.raw_gap_ev), seconds, found.warnings)


def _origin(bench: Bench, task: LabelTask) -> OfRecipe | OfReference:
    labelled = partial(_parent_spectrum, bench)
    if bench.screen.parents:
        return OfRecipe(bench.maker, bench.space.recipe(task.number), labelled)
    return OfReference(bench.reference, labelled)


def _parent_spectrum(bench: Bench, atoms: Atoms) -> Spectrum:
    key = (bench.setting, atoms.numbers.tobytes(), atoms.positions.tobytes())
    return _PARENTS.find(key, lambda: _label(bench, atoms, atoms.info.get("charge")).spectrum)


def _label(bench: Bench, atoms: Atoms, charge: int | None) -> Label:
    from clusterml.stda.label import label

    protocol = bench.screen.engine
    return label(
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
    )
