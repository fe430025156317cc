"""Labels of candidates: the engine's spectrum on the network's energies, and the screen's measures of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.dataset.fingerprint import UNSAID_RESULTS
from clusterml.engine.protocol import RESULTS
from clusterml.errors import UNEXPECTED, ClusterMLError, words_of
from clusterml.io.trouble import concerns_all
from clusterml.run.resources import Cache
from clusterml.screening.bench import Bench, ScreenSetting, bench_of
from clusterml.screening.measures.measure import Sample, Value, measure_sample
from clusterml.spectrum.spectrum import Spectrum

if TYPE_CHECKING:
    from ase import Atoms

_PARENTS: Cache[Spectrum] = Cache(8)
"""Spectra of parents, once for each process."""


@dataclass(frozen=True)
class LabelTask:
    """Candidate ``number`` to label: its geometry and charge."""

    number: int
    atoms: Atoms
    charge: int


@dataclass(frozen=True)
class CandidateLabel:
    """The label of candidate ``number``: ``values`` by line of the screen, gap, and the seconds that the label alone
    took; or the ``problem`` of the engine.  ``results``: :data:`~clusterml.engine.protocol.RESULTS` of the label."""

    number: int
    values: tuple[Value, ...]
    gap_ev: float
    seconds: float
    warnings: tuple[str, ...] = ()
    problem: str = ""
    results: int = RESULTS

    @property
    def is_current(self) -> bool:
        """Is there a label, and would the engine give it again?"""
        return not self.problem and self.results == RESULTS

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the log."""
        return {**vars(self), "values": [value.value for value in self.values], "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> CandidateLabel:
        """What :meth:`to_dict` gave; raises KeyError, TypeError or ValueError for anything else."""
        values = tuple(Value(float(value)) for value in entry["values"])
        return cls(**{"results": UNSAID_RESULTS, **entry, "values": values, "warnings": tuple(entry["warnings"])})


def label_candidate(
    setting: ScreenSetting, folder: Path, task: LabelTask, other_folder: Path | None = None
) -> CandidateLabel:
    """Label a candidate and write its JSON into ``folder``; runs in a worker.  A refusal of the engine is a problem.

    ``other_folder``: the labels of another screen; those of the same geometry and protocol are reused.  Raises
    :class:`~clusterml.errors.OutputError` for a label that cannot be written, as no other could.
    """
    from clusterml.spectrum.export import spectrum_of

    bench, begin = bench_of(setting), time.perf_counter()
    folders = [folder] if other_folder is None else [folder, other_folder]
    try:
        gauges = bench.gauges  # the first label of a process loads the network, whose energies it is made for
        begin = time.perf_counter()
        name = f"{task.atoms.info['name']}.json"
        label = bench.engine.find_or_make(folders, name, task.atoms, task.charge)
        origin = bench.origin(task.number, partial(_parent_spectrum, bench, folders))
        spectrum = spectrum_of(label, name)
        values = measure_sample(gauges, Sample(task.atoms, task.charge, spectrum, bench.fwhm_ev, origin))
    except (ClusterMLError, *UNEXPECTED) as error:
        if concerns_all(error):
            raise
        return CandidateLabel(task.number, (), 0.0, round(time.perf_counter() - begin, 3), problem=words_of(error))
    gap, seconds = label["provenance"]["raw_gap_ev"], label["timings_s"]["total"]
    return CandidateLabel(task.number, values, float(gap), round(seconds, 3), tuple(label["warnings"]))


def _parent_spectrum(bench: Bench, folders: Sequence[Path], atoms: Atoms) -> Spectrum:
    """The engine's spectrum of a parent, kept in the first folder: no other process labels it again."""
    from clusterml.spectrum.export import spectrum_of

    charge = atoms.info.get("charge")
    name = f"parent_{bench.engine.digest(atoms, charge)[:12]}.json"

    def make() -> Spectrum:
        return spectrum_of(bench.engine.find_or_make(folders, name, atoms, charge), name)

    return _PARENTS.find((bench.setting, folders[0] / name), make)
