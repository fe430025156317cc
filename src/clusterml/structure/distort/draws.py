"""Random draws of distortions: independent members of a random mode, drawn again where chemistry would be broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import OptionError, StructureError
from clusterml.structure.distort.apply import distort, require_intact
from clusterml.structure.distort.modes import THERMAL_NOISE, find_mode
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.verify import Problems
from clusterml.structure.distort.vibrations import rms_at

if TYPE_CHECKING:
    from ase import Atoms


MOST_DRAWS = 50
"""Draws of one member before giving up."""


def ensemble(
    atoms: Atoms | Subject,
    mode: str,
    amount: float,
    count: int,
    *,
    rng: np.random.Generator,
    axis: Sequence[float] | None = None,
    factors: Mapping[str, float] | None = None,
    problems: Problems = "error",
) -> list[Atoms]:
    """``count`` independent members of a random mode at one ``amount``; arguments as for ``distort``.

    With ``problems="error"`` a member whose chemistry is broken is drawn again (rejection sampling, counted as
    ``redraws`` in its provenance).  Raises :class:`OptionError` for a mode that draws nothing, and the last
    :class:`StructureError` if 50 draws of a member all fail.
    """
    return require_intact(
        attempt_ensemble(atoms, mode, amount, count, rng=rng, axis=axis, factors=factors, problems=problems)
    )


def attempt_ensemble(
    atoms: Atoms | Subject,
    mode: str,
    amount: float,
    count: int,
    *,
    rng: np.random.Generator,
    axis: Sequence[float] | None = None,
    factors: Mapping[str, float] | None = None,
    problems: Problems = "error",
) -> list[Atoms | StructureError]:
    """As :func:`ensemble`, with an error in place of each member for which every draw failed."""
    if not find_mode(mode).seeded:
        raise OptionError(f"{mode} draws no random numbers", "ask for samples of thermal-noise or mixture")
    subject = atoms if isinstance(atoms, Subject) else Subject(atoms)
    return [_attempt_draw(subject, mode, amount, rng, axis, factors, problems) for _ in range(count)]


def snapshots(
    atoms: Atoms | Subject, kelvin: float, count: int, *, rng: np.random.Generator, problems: Problems = "error"
) -> list[Atoms]:
    """``count`` thermal snapshots at a temperature: :func:`ensemble` of thermal noise."""
    subject = atoms if isinstance(atoms, Subject) else Subject(atoms)
    return ensemble(subject, THERMAL_NOISE, rms_at(subject, kelvin), count, rng=rng, problems=problems)


def _attempt_draw(
    subject: Subject,
    mode: str,
    amount: float,
    rng: np.random.Generator,
    axis: Sequence[float] | None,
    factors: Mapping[str, float] | None,
    problems: Problems,
) -> Atoms | StructureError:
    refusal: StructureError | None = None
    for redraws in range(MOST_DRAWS):
        try:
            member = distort(subject, mode, amount, rng=rng, axis=axis, factors=factors, problems=problems)
        except StructureError as error:
            refusal = error
            continue
        if redraws:
            member.info["provenance"]["distortions"][-1]["redraws"] = redraws
        return member
    return refusal or StructureError(f"no draw of {mode} at {amount:g} keeps the chemistry", "choose a smaller amount")
