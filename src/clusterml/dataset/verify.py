"""Can a dataset be trusted?  Checksums of all shards, and a share of the records labelled again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.dataset.labelling import stored_spectra
from clusterml.dataset.record import Record
from clusterml.dataset.store import Dataset, damaged_shards
from clusterml.engine.protocol import Protocol, make_protocol
from clusterml.errors import ClusterMLError, OptionError, check_seed
from clusterml.typing import FloatArray

TOLERANCE = 1e-3
"""Of the solver that labels again: tighter than that of most campaigns, so that their convergence is tested too."""
SAME = 5e-3
"""Largest difference, in units of a spectrum's maximum, at which a label counts as reproduced.

Labels in float32 with a solver tolerance of 0.003 differ from converged ones in float64 by up to 4e-5 (absorption) and
5e-4 (CD, where it is weak); ten times that leaves room for processors that round differently."""
_CD_FLOOR = 1e-4
"""CD below this share of the absorption is compared on that scale: an achiral cluster's is rounding."""


@dataclass(frozen=True)
class Check:
    """One record labelled again: largest differences of absorption and CD in units of their maxima, or what failed."""

    record: str
    absorption: float
    cd: float
    problem: str = ""

    @property
    def good(self) -> bool:
        """True where the label was reproduced."""
        return not self.problem and max(self.absorption, self.cd) <= SAME


def verify(
    folder: str | Path,
    *,
    share: float = 0.01,
    seed: int = 0,
    watch: Callable[[Check], None] = lambda check: None,
) -> tuple[list[tuple[str, str]], list[Check]]:
    """Damaged shards ``(name, what is wrong)``, and a random ``share`` of the records (at least one) labelled again.

    Ensembles, mirror images and imported records are not drawn.  Damaged shards end the check.  Raises
    :class:`~clusterml.errors.OptionError` for a negative ``seed``, and a ``share`` that is none.
    """
    check_seed(seed)
    if not 0.0 < share <= 1.0:
        raise OptionError(f"share is {share:g}", "give a number above 0, up to 1")
    damaged = list(damaged_shards(Path(folder)))
    if damaged:
        return damaged, []
    dataset = Dataset(folder)
    kinds, details = dataset.column("kind"), dataset.column("details")
    able = [
        name
        for name, kind, detail in zip(dataset.ids, kinds, details, strict=True)
        if kind not in ("ensemble", "imported") and "mirror_image_of" not in detail
    ]
    count = min(len(able), max(1, round(share * len(dataset))))
    chosen: Any = np.random.default_rng(seed).choice(len(able), size=count, replace=False) if count else []
    checks = []
    for index in sorted(int(i) for i in chosen):
        checks.append(_again(dataset.find(able[index])))
        watch(checks[-1])
    return [], checks


def _again(record: Record) -> Check:
    from ase import Atoms

    from clusterml.engine.label import label

    atoms = Atoms(record.numbers, record.positions, info={"charge": record.charge, "name": record.id})
    try:
        result = label(atoms, None, _protocol_of(record), groups={})
    except ClusterMLError as error:
        return Check(record.id, np.inf, np.inf, str(error))
    spectra = stored_spectra(result, record.grid)
    return Check(
        record.id,
        _difference(spectra["epsilon"], record.epsilon, 0.0),
        _difference(spectra["delta_epsilon"], record.delta_epsilon, _CD_FLOOR * float(record.epsilon.max())),
    )


def _protocol_of(record: Record) -> Protocol:
    """The protocol of a record, with a tight tolerance; raises OptionError where it cannot be told."""
    provenance = record.details["provenance"]
    known = provenance.get("protocol")
    if known is None:  # of records that do not keep it
        engine = provenance["engine"]
        known = {name: engine[name] for name in ("emax_ev", "dtype", "mode", "solvent", "solvation") if name in engine}
        known |= {"orbitals": record.method.split("-in-")[0], "solver": "krylov" if record.grid.lowest else "spectrum"}
    return make_protocol(**{**known, "fwhm_ev": record.grid.fwhm_ev, "tolerance": TOLERANCE})


def _difference(again: FloatArray, stored: FloatArray, floor: float) -> float:
    """Largest difference in units of the stored maximum, or of ``floor`` where that is larger."""
    scale = max(float(np.abs(stored).max()), floor)
    return float(np.abs(again - stored).max()) / scale if scale > 0.0 else 0.0
