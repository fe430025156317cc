"""Distortions of one parent, quick enough for a slider: what a parent needs is found once and kept for its next call.

Kept of a parent: the anatomy, ligands and bonds (a :class:`~clusterml.structure.distort.subject.Subject`), its charge
and composition, and of each mode what was prepared.  At most :data:`MOST_PARENTS` are kept, by the hash of what made
them, and the one that was not asked for longest goes first.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clusterml.errors import OptionError
from clusterml.io.files import sha256
from clusterml.io.json import json_text
from clusterml.run.resources import Cache
from clusterml.server.answers import geometry, read_structure
from clusterml.server.refusals import RefusalError
from clusterml.server.requests import Distortion, DistortRequest
from clusterml.server.settings import Limits
from clusterml.structure.distort.fields import FIELDS
from clusterml.structure.distort.modes import MIXTURE, find_mode
from clusterml.structure.distort.subject import Subject

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.predictor import Predictor
    from clusterml.inference.preparation import Molecule, PreparedStructure
    from clusterml.structure.distort.verify import Problems

MOST_PARENTS = 32
"""Parents that are kept."""
_IDENTITY = ("file", "shipped", "build", "cluster", "disorder", "hydrogens", "allow_several", "frame", "format")


@dataclass
class Parent:
    """A structure that is distorted: its ``subject``, and by charge what holds of its molecule in every geometry."""

    subject: Subject
    allow_several: bool
    molecules: dict[int | None, Molecule] = field(default_factory=dict)

    def prepare(self, atoms: Atoms, charge: int | None, predictor: Predictor) -> PreparedStructure:
        """``atoms``, this parent in another geometry, ready for the network."""
        from clusterml.inference.preparation import examine

        if charge not in self.molecules:
            how: dict[str, Any] = {"allow_several": self.allow_several, "check_charge": True}
            self.molecules[charge] = examine(self.subject.atoms, charge, **how)
        return predictor.prepare(atoms, like=self.molecules[charge])


class Parents:
    """The parents that were asked for last."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: Cache[Parent] = Cache(MOST_PARENTS)
        self._lock = threading.Lock()

    def find(self, request: DistortRequest) -> tuple[str, Parent]:
        """The parent of a request and its key, under which the next request may name it.

        Raises what reading raises, and :class:`RefusalError` (410) for a key that is not kept any more.
        """
        key = request.parent or sha256(json_text({name: getattr(request, name) for name in _IDENTITY}))[:24]
        with self._lock:
            if key in self._kept:
                return key, self._kept.find(key, lambda: self._make(request))
        if request.parent is not None:
            problem = f"the parent {request.parent[:80]!r} is not kept any more"
            raise RefusalError(410, problem, "send the structure again")
        parent = self._make(request)  # others need not wait for it
        with self._lock:
            return key, self._kept.find(key, lambda: parent)

    def _make(self, request: DistortRequest) -> Parent:
        return Parent(Subject(read_structure(request, self._limits)), request.allow_several)


def distorted(parent: Parent, request: DistortRequest) -> Atoms:
    """The parent with all distortions of the request; raises what :func:`clusterml.distort` raises."""
    import numpy as np

    from clusterml.structure.distort.apply import distort

    _refuse_ignored(request)
    problems: Problems = "warn" if request.warn_only else "error"
    rng = np.random.default_rng(request.seed)
    subject, atoms = parent.subject, parent.subject.atoms.copy()
    for number, (mode, amount, weights) in enumerate(_steps(request.distortions)):
        subject = Subject(atoms) if number else subject
        seeded = find_mode(mode).seeded and weights is None
        axis = request.axis if mode in FIELDS or weights else None
        atoms = distort(
            subject, mode, amount, rng=rng if seeded else None, axis=axis,
            index=request.index, weights=weights, problems=problems,
        )  # fmt: skip
        if seeded:
            atoms.info["provenance"]["distortions"][-1]["seed"] = request.seed
    return atoms


def _steps(distortions: Sequence[Distortion]) -> list[tuple[str, float, dict[str, float] | None]]:
    """Modes with amounts, one after the other; several modes of the frame are one step, a mixture with weights."""
    frame: dict[str, float] = {}
    others: list[tuple[str, float, dict[str, float] | None]] = []
    for entry in distortions:
        find_mode(entry.mode)
        if entry.mode in FIELDS:
            if entry.mode in frame:
                raise OptionError(f"{entry.mode} is given twice", "give each mode of the frame once")
            frame[entry.mode] = entry.amount
        else:
            others.append((entry.mode, entry.amount, None))
    if len(frame) > 1:
        return [(MIXTURE, 1.0, frame), *others]
    return [*((mode, amount, None) for mode, amount in frame.items()), *others]


def _refuse_ignored(request: DistortRequest) -> None:
    """Raise :class:`OptionError` for a key that would change nothing."""
    modes = [entry.mode for entry in request.distortions]
    needs = {
        "axis": any(mode in ("core-shell-twist", "shear", MIXTURE) for mode in modes),
        "index": "normal-mode" in modes,
        "seed": any(mode in ("thermal-noise", MIXTURE) for mode in modes),
        "warn_only": bool(modes),
        **dict.fromkeys(("quick", "model", "fwhm"), request.predict),
        "charge": request.predict,
        "advise": request.predict and not request.quick,
    }
    if request.parent is not None:
        needs |= dict.fromkeys(_IDENTITY, False)
    for name, holds in needs.items():
        if name in request.model_fields_set and not holds:
            raise OptionError(f"{name} has no effect in this request", f"leave {name} out")


def describe(parent: Parent, key: str, atoms: Atoms, request: DistortRequest) -> dict[str, Any]:
    """What is said of the result but its spectrum: geometry, warnings, and the modes that the parent has.

    Of a quick answer the geometry is only the positions: all else is as it was.
    """
    provenance = atoms.info["provenance"]
    known = len(parent.subject.atoms.info["provenance"].get("warnings", []))
    if request.charge is not None:
        atoms.info["charge"] = request.charge
    return {
        "parent": key,
        "distortions": provenance.get("distortions", []),
        "geometry": {"positions": atoms.positions.round(4).tolist()} if request.quick else geometry(atoms),
        "warnings": provenance.get("warnings", [])[known:],
        "modes": [mode.name for mode in parent.subject.available()],
    }
