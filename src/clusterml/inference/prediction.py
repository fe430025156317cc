"""What the network says of one structure, and how that is written: JSON, CSV, figure, JCAMP-DX."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.spectrum.files import make_folder
from clusterml.spectrum.jsonio import plain
from clusterml.spectrum.significance import Significance, significance
from clusterml.spectrum.spectrum import Spectrum
from clusterml.stda.output import figure_title, result_head, structure_name, write_results

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.uncertainty import Novelty
    from clusterml.spectrum.view import View
    from clusterml.structure.charge import ChargeDecision

_PACKAGES = ("torch", "numpy")
"""Packages whose version can change the numbers."""


@dataclass(frozen=True)
class PredictedChirality:
    """Chirality of metals and donor atoms, as in :mod:`clusterml.chirality`.

    ``opd_local_frame``: signed index of neighbours, opposite for mirror images, dimensionless; ``ccm_frame``:
    continuous chirality measure, 0 (achiral) to 100.
    """

    opd_local_frame: float
    ccm_frame: float


@dataclass(frozen=True, repr=False)
class Prediction:
    """The network's answer for ``atoms`` with the charge of ``decision``.

    ``model``: name of the checkpoint.  ``spectrum``: with ``epsilon_std`` and ``delta_epsilon_std``, the calibrated
    standard deviation, where the checkpoint can tell, NaN where nothing was measured.  ``gap_ev``: HOMO-LUMO gap of the
    ground state.
    ``domain_score``: distance from the training data, at most 1 within; ``in_domain``: that, and no objection to the
    composition (``warnings`` say which); both None where the checkpoint does not know its domain.  ``novelty``: whether
    no training data held one of its ligands, or its metal core, so that the spread is the one measured for such.
    ``sign_error``: the error of the strongest CD in standard deviations, see :mod:`clusterml.inference.signs`.
    """

    atoms: Atoms
    decision: ChargeDecision
    model: str
    spectrum: Spectrum
    chirality: PredictedChirality
    gap_ev: float
    in_domain: bool | None
    domain_score: float | None
    novelty: Novelty | None
    warnings: tuple[str, ...]
    timings_s: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    sign_error: float = 1.0

    @property
    def charge(self) -> int:
        """Total charge, in units of e."""
        return self.decision.charge

    @property
    def name(self) -> str:
        """The structure's name; ``structure`` if it has none."""
        return structure_name(self.atoms)

    @cached_property
    def significance(self) -> Significance:
        """Of the strongest CD band; ``unknown`` out of the domain, where the standard deviation does not hold."""
        return significance(self.spectrum, self.in_domain is not False, self.sign_error)

    @property
    def domain(self) -> str:
        """``in``, ``out`` or ``unknown``: whether the structure is in the domain of the network."""
        return {True: "in", False: "out", None: "unknown"}[self.in_domain]

    @property
    def summary(self) -> str:
        """Domain and strongest CD in a few words, for figures."""
        place = {True: "in domain", False: "out of domain", None: "domain unknown"}[self.in_domain]
        return f"{place}; {self.significance.sentence}"

    def __repr__(self) -> str:
        """One line."""
        return f"Prediction({figure_title(self.atoms, self.charge, self.model)}; {self.summary})"

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: plain values, null for NaN; energies in eV, spectra in L mol-1 cm-1, times in s."""
        keys = ("in_domain", "domain_score", "novelty")
        domain = {} if self.in_domain is None else {key: getattr(self, key) for key in keys}
        structure = {key: v for key, v in self.atoms.info.get("provenance", {}).items() if key != "warnings"}
        versions = {"clusterml": version("clusterml")} | {name: version(name) for name in _PACKAGES}
        result = {
            **result_head(self.atoms, self.decision, self.model, self.spectrum),
            "gap_ev": self.gap_ev,
            "chirality": vars(self.chirality),
            **domain,
            "significance": self.significance.to_dict(),
            "warnings": self.warnings,
            "timings_s": self.timings_s,
            "provenance": {**self.provenance, "structure": structure, "versions": versions},
        }
        return {key: plain(value) for key, value in result.items()}

    def write(
        self, folder: str | Path, name: str | None = None, *, jcamp: bool = False, view: View | None = None
    ) -> list[Path]:
        """Write ``NAME.csv``, ``NAME.png``, with ``jcamp`` ``NAME.jdx``, and ``NAME.json`` into ``folder``.

        Returns the paths.  ``name`` defaults to :attr:`name`.  ``view``: axis and range of the picture.  The JSON is
        written last: where it is there, the others are too.  Raises :class:`clusterml.errors.OutputError` naming the
        path.
        """
        title = f"{figure_title(self.atoms, self.charge, self.model)}\n{self.summary}"
        stem = make_folder(folder) / (name or self.name)
        return write_results(self.spectrum, self.to_dict(), stem, title, jcamp=jcamp, view=view)
