"""The answer for one structure: the network's prediction or the engine's spectrum, and the reason for the choice."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clusterml.engine.label_error import Reliability, reliability, with_reliability
from clusterml.engine.output import label_dict, label_method, result_head, write_results
from clusterml.io.display import WithWarnings, wrapped
from clusterml.io.files import make_folder
from clusterml.io.json import plain
from clusterml.spectrum.export import spectrum_block
from clusterml.spectrum.fit import cosine
from clusterml.spectrum.significance import Significance, has_no_cd, significance
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.elements import figure_title, structure_name
from clusterml.structure.picture import result_card

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.label import Label
    from clusterml.inference.calibration import Novelty
    from clusterml.spectrum.view import View
    from clusterml.structure.charge import ChargeDecision


_PACKAGES = ("torch", "numpy")
"""Packages whose version can change the numbers."""


OUT_OF_DOMAIN = "out of domain: "
"""What warnings begin with that say why a structure is out of a network's domain."""


_TITLE_WIDTH = 85
"""Characters that fit into a line above a picture."""


@dataclass(frozen=True)
class PredictedChirality:
    """Chirality of metals and donor atoms, as in :mod:`clusterml.chirality`.

    ``opd_local_frame``: signed index of neighbours, opposite for mirror images, dimensionless; ``ccm_frame``:
    continuous chirality measure, 0 (achiral) to 100.
    """

    opd_local_frame: float
    ccm_frame: float


@dataclass(frozen=True, repr=False)
class Prediction(WithWarnings):
    """The network's answer for ``atoms`` with the charge of ``decision``.

    ``model``: name of the checkpoint.  ``spectrum``: with ``epsilon_std`` and ``delta_epsilon_std``, the calibrated
    standard deviation, where the checkpoint can tell, NaN where nothing was measured.  ``gap_ev``: HOMO-LUMO gap of the
    ground state.
    ``domain_score``: distance from the training data, at most 1 within; ``in_domain``: that, and no objection to the
    composition (``warnings`` say which); both None where the checkpoint does not know its domain.  ``novelty``: whether
    no training data held one of its ligands, or its metal core, so that the spread is the one measured for such.
    ``sign_error``: the error of the strongest CD in standard deviations, see :mod:`clusterml.inference.labelled`.
    ``thermal``: of a thermal mean, that mean with the spread of the snapshots in place of the network's error.
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
    thermal: Spectrum | None = None

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

    @cached_property
    def reliability(self) -> Reliability:
        """How far such a CD is from DFT: the error of the protocol that the network has learnt, and in the bands that
        of the network too."""
        protocol = str(self.provenance.get("label_protocol") or "a protocol without a name")
        std = self.spectrum.delta_epsilon_std
        if std is not None:
            std = np.full(len(std), np.nan) if self.in_domain is False else self.sign_error * std
        return reliability(self.spectrum, self.atoms, self.charge, protocol, std)

    @cached_property
    def full_spectrum(self) -> Spectrum:
        """The spectrum with its ``label_error``, which takes as long as finding the ligands."""
        return with_reliability(self.spectrum, self.reliability)

    @property
    def domain(self) -> str:
        """``in``, ``out`` or ``unknown``: whether the structure is in the domain of the network."""
        return {True: "in", False: "out", None: "unknown"}[self.in_domain]

    @property
    def place(self) -> str:
        """:attr:`domain`, but ``new core`` or ``new ligand`` for one in the domain that no training data held."""
        new = {"cluster": "new core", "ligand": "new ligand", None: self.domain}[self.novelty]
        return new if self.in_domain else self.domain

    @property
    def objections(self) -> list[str]:
        """Why the structure is out of the network's domain; empty where it is not."""
        return [words.removeprefix(OUT_OF_DOMAIN) for words in self.warnings if words.startswith(OUT_OF_DOMAIN)]

    @property
    def summary(self) -> str:
        """Domain and strongest CD in a few words, for figures."""
        return f"{_in_words(self.place)}; {self.significance.sentence}"

    def __repr__(self) -> str:
        """One line."""
        return wrapped(f"Prediction({figure_title(self.atoms, self.charge, self.model)}; {self.summary})")

    def _repr_html_(self) -> str:
        """Spectrum and structure, for notebooks."""
        return result_card(repr(self), self.atoms, [self.spectrum], notes=self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: plain values, null for NaN; energies in eV, spectra in L mol-1 cm-1, times in s."""
        keys = ("in_domain", "domain_score", "novelty")
        domain = {} if self.in_domain is None else {key: getattr(self, key) for key in keys}
        structure = {key: v for key, v in self.atoms.info.get("provenance", {}).items() if key != "warnings"}
        versions = {"clusterml": version("clusterml")} | {name: version(name) for name in _PACKAGES}
        result = {
            **result_head(self.atoms, self.decision, self.model, self.full_spectrum),
            "gap_ev": self.gap_ev,
            "chirality": vars(self.chirality),
            **domain,
            "significance": self.significance.to_dict(),
            "reliability": self.reliability.to_dict(),
            **self._thermal_block,
            "warnings": self.warnings,
            "timings_s": self.timings_s,
            "provenance": {**self.provenance, "structure": structure, "versions": versions},
        }
        return {key: plain(value) for key, value in result.items()}

    @property
    def _thermal_block(self) -> dict[str, Any]:
        """How far the snapshots of a thermal mean are apart: standard deviations on the energies of the spectrum."""
        if self.thermal is None:
            return {}
        spread = {key: getattr(self.thermal, key) for key in ("epsilon_std", "delta_epsilon_std")}
        return {"thermal": {**self.provenance["ensemble"], **spread}}

    def brief(self) -> dict[str, Any]:
        """What stands of it in a result of the engine, and what follows a slider: no ligands are looked for."""
        keys = ("model", "in_domain", "domain_score", "novelty", "gap_ev", "warnings")
        return {key: getattr(self, key) for key in keys} | {
            "significance": self.significance.to_dict(),
            "spectrum": spectrum_block(self.spectrum),
        }

    def write(
        self, folder: str | Path, name: str | None = None, *, jcamp: bool = False, view: View | None = None
    ) -> list[Path]:
        """Write ``NAME.csv``, ``NAME.png``, with ``jcamp`` ``NAME.jdx``, and ``NAME.json`` into ``folder``.

        Returns the paths.  ``name`` defaults to :attr:`name`.  ``view``: axis and range of the picture.  The JSON is
        written last: where it is there, the others are too.  Raises :class:`clusterml.errors.OutputError` naming the
        path.
        """
        title = f"{figure_title(self.atoms, self.charge, self.model)}\n{self.summary}\n{self.reliability.headline}"
        stem = make_folder(folder) / (name or self.name)
        doubtful = self.reliability.doubtful
        return write_results(self.full_spectrum, self.to_dict(), stem, title, jcamp=jcamp, view=view, doubtful=doubtful)


Source = Literal["network", "engine"]


@dataclass(frozen=True)
class Agreement:
    """How alike network and engine are: cosines of their ``absorption`` and ``cd``, -1 to 1, None where one of
    the two has none; ``note``: what the protocol of both is worth."""

    note: str
    absorption: float | None = None
    cd: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "network_engine_absorption_cosine": self.absorption,
            "network_engine_cd_cosine": self.cd,
            "note": self.note,
        }


@dataclass(frozen=True, repr=False)
class Answer(WithWarnings):
    """One structure's spectrum.

    ``reason``: why it is the engine's, or why only the network's.  ``network``: the network's prediction, None for a
    structure that it cannot take in.  ``label``: the engine's, where that computed.  ``warnings``: those of its
    source, and why the engine did not compute where it should have.
    """

    reason: str
    network: Prediction | None
    label: Label | None
    warnings: tuple[str, ...] = ()

    @property
    def source(self) -> Source:
        """Whose spectrum this is."""
        return "network" if self.label is None else "engine"

    @property
    def _result(self) -> Prediction | Label:
        """The prediction or the label; there is always one of them."""
        result = self.label or self.network
        if result is None:
            raise ValueError("an answer needs a prediction or a label")
        return result

    @property
    def atoms(self) -> Atoms:
        """The structure."""
        return self._result.atoms

    @property
    def charge(self) -> int:
        """Its total charge."""
        return self._result.charge

    @cached_property
    def spectrum(self) -> Spectrum:
        """Absorption and CD; ``meta`` says ``computed_by``, ``network`` or ``engine``."""
        spectrum = with_reliability(self._result.spectrum, self.reliability)
        meta = {"computed_by": self.source, "title": figure_title(self.atoms, self.charge, self.method)}
        return replace(spectrum, meta={**spectrum.meta, **meta})

    @property
    def name(self) -> str:
        """The structure's name; ``structure`` if it has none."""
        return structure_name(self.atoms)

    @property
    def method(self) -> str:
        """The name of the checkpoint, or the engine's method."""
        return self.network.model if self.label is None and self.network else label_method(self._label)

    @property
    def domain(self) -> str:
        """Whether the structure is in the network's domain: ``in``, ``out`` or ``unknown``."""
        return "out" if self.network is None else self.network.domain

    @property
    def place(self) -> str:
        """See :attr:`Prediction.place`."""
        return "out" if self.network is None else self.network.place

    @cached_property
    def significance(self) -> Significance:
        """Of the strongest CD band; ``computed`` for the engine's, which has no statistical error."""
        if self.label is None and self.network is not None:
            return self.network.significance
        engine = significance(self.spectrum, trusted=False)
        return engine if engine.verdict == "no CD" else replace(engine, verdict="computed")

    @property
    def reliability(self) -> Reliability:
        """How far its CD is from DFT."""
        return self._result.reliability

    @cached_property
    def agreement(self) -> Agreement:
        """Network and engine beside each other."""
        note = self.reliability.sentence
        if self.label is None or self.network is None:
            return Agreement(note)
        engine, network = self.label.spectrum, self.network.spectrum
        return Agreement(note, _similarity(engine, network, "epsilon"), _similarity(engine, network, "delta_epsilon"))

    @property
    def summary(self) -> str:
        """Source, reason and strongest CD in a few words."""
        words = f"engine ({self.reason})" if self.source == "engine" else f"network, {_in_words(self.place)}"
        return f"{words}; {self.significance.sentence}"

    def __repr__(self) -> str:
        """One line."""
        return wrapped(f"Answer({figure_title(self.atoms, self.charge, self.method)}; {self.summary})")

    def _repr_html_(self) -> str:
        """Spectrum (engine and network, where both computed) and structure, for notebooks."""
        network = [] if self.label is None or self.network is None else [self.network.spectrum]
        names = (self.source, *(["network"] if network else []))
        return result_card(repr(self), self.atoms, [self.spectrum, *network], names, self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of the prediction or the label, with ``computed_by``, reason, significance and agreement; beside
        the engine's spectrum, what the network says is in the block ``network``."""
        answer = {
            "computed_by": self.source,
            "reason": self.reason or None,
            "significance": self.significance.to_dict(),
            "agreement": self.agreement.to_dict(),
            "warnings": list(self.warnings),
        }
        if self.label is None and self.network is not None:
            return self.network.to_dict() | plain(answer)
        network = {} if self.network is None else self.network.brief()
        return label_dict(self._label) | plain({**answer, "network": network or None})

    def write(
        self, folder: str | Path, name: str | None = None, *, jcamp: bool = False, view: View | None = None
    ) -> list[Path]:
        """Write ``NAME.csv``, ``NAME.png``, with ``jcamp`` ``NAME.jdx``, and ``NAME.json`` into ``folder``.

        With the engine's spectrum the figure shows the network's as a thin line.  ``view``: its axis and range.

        Returns the paths, see :meth:`Prediction.write`.
        """
        words = [row for line in self.summary.split("; ") for row in wrap(line, _TITLE_WIDTH)]
        lines = [figure_title(self.atoms, self.charge, self.method), *words]
        title = "\n".join([*lines, self.reliability.headline])
        stem = make_folder(folder) / (name or self.name)
        faint = self.network.spectrum if self.label is not None and self.network is not None else None
        how: dict[str, Any] = {"jcamp": jcamp, "view": view, "doubtful": self.reliability.doubtful}
        return write_results(self.spectrum, self.to_dict(), stem, title, faint=faint, **how)

    @property
    def _label(self) -> Label:
        if self.label is None:
            raise ValueError("the engine has not computed this")
        return self.label


def _in_words(place: str) -> str:
    return {"in": "in domain", "out": "out of domain", "unknown": "domain unknown"}.get(place, place)


def _similarity(a: Spectrum, b: Spectrum, quantity: str) -> float | None:
    """The cosine on the same energies; None where one of the two is silent."""
    if quantity == "delta_epsilon" and (has_no_cd(a) or has_no_cd(b)):
        return None
    value = cosine(getattr(a, quantity), getattr(b, quantity))
    return None if math.isnan(value) else value
