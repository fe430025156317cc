"""Where a screen has its spectra from: a network, or the engine, which keeps each label as a file.

With ``model: engine`` the engine stands where a network does: every candidate is labelled, and ranked by its label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from clusterml.dataset.campaign import Campaign
from clusterml.engine.protocol import RESULTS, Compute
from clusterml.engine.protocol import Protocol as LabelProtocol
from clusterml.errors import ElectronicStructureError, InputFileError, UnsupportedElementError
from clusterml.io.files import read_text, sha256
from clusterml.spectrum.spectrum import Spectrum, default_grid
from clusterml.structure.elements import structure_name
from clusterml.structure.geometry import digest_of
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.label import Label
    from clusterml.inference.answer import PredictedChirality
    from clusterml.inference.preparation import Molecule
    from clusterml.spectrum.significance import Significance

ENGINE = "engine"
"""In the place of a checkpoint's name: labels rank the candidates."""
ENGINE_SHA256 = sha256(ENGINE.encode())
"""In the place of a checkpoint's checksum."""
SMALLEST_GAP_EV: float = Campaign.model_fields["smallest_gap_ev"].default
"""Geometries with a smaller HOMO-LUMO gap have no label, as in a campaign."""
_CANDIDATE = re.compile(r"[A-Za-z0-9._+-]+-\d{7}")
"""Names that no two geometries of a screen share."""


class CandidateAnswer(Protocol):
    """What a row is made of: a prediction, or a label."""

    @property
    def atoms(self) -> Atoms:
        """The geometry."""

    @property
    def name(self) -> str:
        """That of the candidate."""

    @property
    def charge(self) -> int:
        """In units of e."""

    @property
    def spectrum(self) -> Spectrum:
        """Absorption and CD."""

    @property
    def gap_ev(self) -> float:
        """HOMO-LUMO gap of the ground state."""

    @property
    def in_domain(self) -> bool | None:
        """None where no domain is known."""

    @property
    def domain_score(self) -> float | None:
        """Distance from the training data."""

    @property
    def chirality(self) -> PredictedChirality | None:
        """Predicted chirality; None: it is measured."""

    @property
    def significance(self) -> Significance:
        """Of the strongest CD."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""


class SpectrumSource(Protocol):
    """What candidates are ranked by: a :class:`~clusterml.inference.predictor.Predictor`, or a :class:`Labeller`."""

    name: str
    energy_ev: FloatArray
    fwhm_ev: float
    provenance: dict[str, Any]
    uncertainty: Any
    domain: Any

    @property
    def knows_spread(self) -> bool:
        """Have its spectra standard deviations?"""

    @property
    def most_edges(self) -> int:
        """Edges of the largest batch."""

    def seconds_of_start(self, atoms: Atoms) -> float:
        """CPU time that ``atoms`` take before a network begins; 0 where it is none, or not known."""

    def prepare(self, atoms: Atoms, *, like: Molecule | None = None) -> Any:
        """What :meth:`predict` takes, with ``atoms``, ``charge`` and ``edges``."""

    def predict(self, prepared: Sequence[Any]) -> Sequence[CandidateAnswer]:
        """The spectra of what was prepared."""

    def stream(self, structures: Iterable[Any]) -> Iterator[CandidateAnswer]:
        """The spectra of structures."""


@dataclass(frozen=True, eq=False)
class ScreenEngine:
    """The engine with a screen's ``protocol``, on ``energy_ev`` (m,) at ``fwhm_ev``."""

    protocol: LabelProtocol
    energy_ev: FloatArray
    fwhm_ev: float
    compute: Compute

    def find_or_make(self, folders: Sequence[Path], name: str, atoms: Atoms, charge: int | None) -> dict[str, Any]:
        """The label of this geometry and protocol as a JSON object.

        It is read from the file ``name`` of the first of ``folders`` that has it, or made, and written into the first
        folder; a damaged file is made anew.  Raises what :meth:`label` raises, and
        :class:`~clusterml.errors.OutputError`.
        """
        from clusterml.engine.output import label_dict
        from clusterml.io.json import write_json

        digest = self.digest(atoms, charge)
        for folder in folders:
            content = _kept(folder / name)
            if content.get("digest") == digest:
                break
        else:
            content = {**label_dict(self.label(atoms, charge), False), "digest": digest}
        write_json(content, folders[0] / name, indent=1)
        return content

    def label(self, atoms: Atoms, charge: int | None) -> Label:
        """Label a geometry.

        Raises what the engine raises, and :class:`ElectronicStructureError` for a label that no campaign would keep.
        """
        from clusterml.engine.label import label

        protocol = self.protocol.but(fwhm_ev=self.fwhm_ev, smallest_gap_ev=SMALLEST_GAP_EV)
        result = label(atoms, charge, protocol, self.compute, grid=self.energy_ev, groups={})
        if not result.response.converged:
            raise ElectronicStructureError("the spectrum did not converge", "raise engine.tolerance")
        return result

    def digest(self, atoms: Atoms, charge: int | None) -> str:
        """A hash of everything that determines a label; positions are rounded to 1e-5 A."""
        engine = {**self.protocol.model_dump(mode="json"), "results": RESULTS}
        protocol = [engine, self.fwhm_ev, self.energy_ev.tolist(), charge]
        return digest_of(atoms, protocol)


def _kept(path: Path) -> dict[str, Any]:
    """The label in a file; empty for none and for one that is damaged."""
    from clusterml.io.json import parse_json

    try:
        return parse_json(read_text(path), str(path)) if path.is_file() else {}
    except InputFileError:
        return {}


def label_seconds(protocol: LabelProtocol, atoms: Atoms) -> float:
    """CPU time of a label of ``atoms``, about; 0 where none is known."""
    from clusterml.engine.cost import label_cost

    if not protocol.orbitals.startswith("gfn"):
        return 0.0
    try:
        members = 1 if protocol.ensemble is None else 1 + protocol.ensemble.members
        return members * label_cost(atoms).seconds
    except UnsupportedElementError:  # the label itself says so
        return 0.0


@dataclass(frozen=True, eq=False)
class LabelledCandidate:
    """The label of ``atoms`` in the place of a prediction; ``content``: its JSON object.

    The engine has no domain, and no standard deviation that belongs to a candidate.
    """

    atoms: Atoms
    charge: int
    spectrum: Spectrum
    gap_ev: float
    content: dict[str, Any]
    in_domain: bool | None = None
    domain_score: float | None = None
    chirality: None = None
    edges: int = 0

    @property
    def name(self) -> str:
        """The structure's name."""
        return structure_name(self.atoms)

    @property
    def significance(self) -> Significance:
        """``computed``, or that there is no CD."""
        from clusterml.spectrum.significance import Significance, has_no_cd

        return Significance("no CD" if has_no_cd(self.spectrum) else "computed")

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the label."""
        return self.content


class Labeller:
    """Labels candidates as a :class:`~clusterml.inference.predictor.Predictor` predicts them.

    ``folders``: where labels are looked for; the first keeps those that are made, so that none is made twice.
    """

    name = ENGINE
    uncertainty = domain = None
    knows_spread = False
    most_edges = 1

    def __init__(self, protocol: LabelProtocol, compute: Compute, folders: Sequence[Path]) -> None:
        self.fwhm_ev = protocol.fwhm_ev
        self.energy_ev = default_grid(protocol.emax_ev)
        self.provenance: dict[str, Any] = {"label_protocol": protocol.name}
        self._engine = ScreenEngine(protocol, self.energy_ev, self.fwhm_ev, compute)
        self._folders = folders

    def seconds_of_start(self, atoms: Atoms) -> float:
        """CPU time of a label of ``atoms``; 0 where none is known."""
        return label_seconds(self._engine.protocol, atoms)

    def prepare(self, atoms: Atoms, *, like: Molecule | None = None) -> LabelledCandidate:
        """Label ``atoms``, or find its label; ``like``: its molecule, which says the charge.  Raises what the engine
        and finding the charge raise."""
        from clusterml.inference.preparation import examine
        from clusterml.spectrum.export import spectrum_of

        charge = (like or examine(atoms)).decision.charge
        content = self._engine.find_or_make(self._folders, self._file(atoms, charge), atoms, charge)
        gap = float(content["provenance"]["raw_gap_ev"])
        return LabelledCandidate(atoms, charge, spectrum_of(content, structure_name(atoms)), gap, content)

    def predict(self, prepared: Sequence[LabelledCandidate]) -> list[LabelledCandidate]:
        """What :meth:`prepare` labelled."""
        return list(prepared)

    def stream(self, structures: Iterable[Atoms]) -> Iterator[LabelledCandidate]:
        """Labels of ``structures`` in their order."""
        return map(self.prepare, structures)

    def _file(self, atoms: Atoms, charge: int) -> str:
        name = structure_name(atoms)
        return f"{name if _CANDIDATE.fullmatch(name) else f'parent_{self._engine.digest(atoms, charge)[:12]}'}.json"
