"""The lines of ``objectives`` and ``constraints``: one measure each, with what is wanted of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from clusterml.schema import Strict
from clusterml.screening.quantities import parse_band, parse_energy, parse_single

Goal = Literal["maximise", "minimise", "magnitude"]

STEPS: dict[str, float] = {
    "max_g": 1e-3,
    "cd_at": 10.0,
    "integrated_cd": 10.0,
    "similar_to": 0.1,
    "similar_absorption_to": 0.1,
    "absorption_change": 1.0,
    "ccm": 0.1,
    "opd": 1e-3,
    "strain": 1.0,
}
"""Every measure, with the step of it that counts 1 in the score, in its unit."""
UNITS: dict[str, str] = {
    "max_g": "1",
    "cd_at": "L mol-1 cm-1",
    "integrated_cd": "L mol-1 cm-1 eV",
    "similar_to": "1",
    "similar_absorption_to": "1",
    "absorption_change": "%",
    "ccm": "1",
    "opd": "1",
    "strain": "eV",
}
"""Units of the measures."""
FILES = ("similar_to", "similar_absorption_to")
"""Measures whose value is a file."""
_SMALL = ("absorption_change", "strain")
"""Measures that are minimised unless something else is said."""


class Measured(Strict):
    """Exactly one of these keys, with its value."""

    max_g: str | None = Field(None, description="a band, 2..3 eV: the largest |g| in it")
    cd_at: str | None = Field(None, description="an energy, 450 nm or 2.7 eV: delta epsilon there, signed")
    integrated_cd: str | None = Field(None, description="a band: integral of delta epsilon over it, signed")
    similar_to: str | None = Field(None, description="a spectrum's file: cosine of the CD with it, -1 to 1")
    similar_absorption_to: str | None = Field(None, description="a spectrum's file: cosine of the absorption with it")
    absorption_change: str | None = Field(
        None, description="a band: integral of |change| of the absorption from the parent's, in % of the parent's"
    )
    ccm: Literal["predicted", "measured"] | None = Field(
        None, description="predicted or measured: continuous chirality measure of metals and donors, 0 to 100"
    )
    opd: Literal["predicted", "measured"] | None = Field(
        None, description="predicted or measured: signed local chirality index of metals and donors"
    )
    strain: Literal["elastic", "gfn1"] | None = Field(
        None, description="elastic or gfn1: energy above the undistorted ligand shell, eV"
    )

    @field_validator("max_g", "integrated_cd", "absorption_change")
    @classmethod
    def _band(cls, text: str | None) -> str | None:
        if text is not None:
            parse_band(text)
        return text

    @field_validator("cd_at")
    @classmethod
    def _energy(cls, text: str | None) -> str | None:
        if text is not None:
            parse_energy(text)
        return text

    def given(self) -> dict[str, str]:
        """The measures that have a value."""
        return {key: value for key in STEPS if (value := getattr(self, key)) is not None}

    @property
    def measure(self) -> tuple[str, str]:
        """Name and value of the measure."""
        ((key, value),) = self.given().items()
        return key, value


class Objective(Measured):
    """A measure and what is wanted of it."""

    goal: Goal | float | None = Field(
        None,
        description="maximise, minimise, magnitude (either sign), or a number to come close to; default: minimise "
        "absorption_change and strain, maximise others",
    )
    weight: float = Field(1.0, gt=0.0, description="a number above 0: weight in the score of several objectives")

    @model_validator(mode="after")
    def _one(self) -> Objective:
        if len(self.given()) != 1:
            raise ValueError(f"an objective has exactly one of {', '.join(STEPS)}")
        return self

    @property
    def aim(self) -> Goal | float:
        """The goal, with the default put in."""
        if self.goal is not None:
            return self.goal
        return "minimise" if self.measure[0] in _SMALL else "maximise"


class Constraint(Measured):
    """A measure and its limits; ``absorption_within: 5 %`` is short for an absorption_change of at most 5."""

    absorption_within: str | None = Field(
        None, description="5 %, or 5 % in 2..4 eV: most change of the absorption from the parent's"
    )
    at_most: float | None = Field(None, description="a number in the measure's unit")
    at_least: float | None = Field(None, description="a number in the measure's unit")

    @model_validator(mode="after")
    def _one(self) -> Constraint:
        short = self.absorption_within is not None
        if len(self.given()) + short != 1:
            raise ValueError(f"a constraint has exactly one of absorption_within, {', '.join(STEPS)}")
        if short != (self.at_most is None and self.at_least is None):
            raise ValueError("a constraint has at_most or at_least; absorption_within has its limit already")
        if short:
            self._within()
        return self

    def _within(self) -> tuple[float, str]:
        """Limit in % and band (empty: all energies) of ``absorption_within``."""
        share, _, band = (self.absorption_within or "").partition(" in ")
        value, unit = parse_single(share)
        if unit != "%" or value < 0.0:
            raise ValueError("absorption_within is a share: 5 %, or 5 % in 2..4 eV")
        if band:
            parse_band(band)
        return value, band

    @property
    def measure(self) -> tuple[str, str]:
        """Name and value of the measure; an absorption_change without band is over all energies."""
        if self.absorption_within is not None:
            return "absorption_change", self._within()[1]
        return super().measure

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """``at_least`` and ``at_most``."""
        if self.absorption_within is not None:
            return None, self._within()[0]
        return self.at_least, self.at_most
