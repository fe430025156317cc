"""The lines of ``objectives`` and ``constraints``: one measure each, with its goal or limits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, create_model, field_validator, model_validator

from clusterml.config.schema import Strict
from clusterml.screening.measures.measure import Measure, measures
from clusterml.screening.measures.own import own_measure
from clusterml.screening.quantities import parse_band, parse_single

Goal = Literal["maximise", "minimise", "magnitude"]

MEASURES = measures()
"""The measures that are keys of a line."""

FILES = (*(key for key, measure in MEASURES.items() if measure.is_file), "file")
"""Keys of a line whose value is a file."""
OWN = ("function", "file", "unit", "step")
"""Keys of a line with a measure of the user's own."""
_COLUMNS = ("rank", "number", "name", "label", "score", "feasible", "violated", "on_front", "in_domain")
_TAKEN = (*_COLUMNS, "domain_score", "gap_ev", "charge", "sites", "recipe", "sign", *MEASURES)
_NUMBERED = re.compile(rf".*_std|({'|'.join(MEASURES)})_\d+")
"""Columns of deviations, and of a measure that is asked for again."""


class MeasureLine(Strict):
    """One measure, by its key, or a ``function`` of the user's own."""

    function: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="name of your own function of spectrum and atoms, in file or in an installed package",
    )
    file: str | None = Field(None, description="the Python file with function, relative to the YAML file")
    unit: str | None = Field(None, min_length=1, description="unit of function, a text; 1 for none")
    step: float | None = Field(
        None, gt=0.0, description="a number above 0: the change of function that counts 1 in the score; default 1"
    )

    @field_validator("*", mode="after")
    @classmethod
    def _check_value(cls, value: Any, info: ValidationInfo) -> Any:
        measure = MEASURES.get(info.field_name or "")
        if measure is not None and value is not None:
            measure.parse(value)
        if info.field_name == "function" and value is not None and (value in _TAKEN or _NUMBERED.fullmatch(value)):
            raise ValueError("this name is taken: call the function something else")
        return value

    def given_measures(self) -> dict[str, str]:
        """The measures that have a value; a function of the user's own by its name, with its file."""
        measures_given = {key: value for key in MEASURES if (value := getattr(self, key)) is not None}
        return measures_given if self.function is None else {**measures_given, self.function: self.file or "installed"}

    def check_own(self) -> None:
        """Raise ValueError where keys of a measure of the user's own are missing, or given without one."""
        if self.function is None:
            extra = [key for key in OWN if getattr(self, key) is not None]
            if extra:
                raise ValueError(f"{extra[0]} belongs to a function of your own: add function: NAME")
        elif self.unit is None:
            raise ValueError(f"function {self.function} needs its unit (a text, 1 for none)")

    @property
    def measure(self) -> tuple[str, str]:
        """Name and value of the measure."""
        ((key, value),) = self.given_measures().items()
        return key, value

    @property
    def kind(self) -> Measure:
        """The measure itself."""
        if self.function is not None:
            return own_measure(self.file, self.function, self.unit or "1", self.step or 1.0)
        return MEASURES[self.measure[0]]


if TYPE_CHECKING:
    MeasureKeys = MeasureLine
else:
    MeasureKeys = create_model(
        "Measured",
        __base__=MeasureLine,
        __doc__="Exactly one of these keys, with its value.",
        **{
            key: ((Literal[measure.choices] if measure.choices else str) | None, Field(None, description=measure.means))
            for key, measure in MEASURES.items()
        },
    )


class Objective(MeasureKeys):
    """A measure and its goal."""

    goal: Goal | float | None = Field(
        None,
        description="maximise, minimise, magnitude (of either sign), or a number to approach; default: minimise "
        "absorption_change and strain, maximise the others",
    )
    weight: float = Field(
        1.0, gt=0.0, description="a number above 0: weight in the score where there are several objectives"
    )

    @model_validator(mode="after")
    def _one(self) -> Objective:
        if len(self.given_measures()) != 1:
            raise ValueError(f"an objective has exactly one of {', '.join(MEASURES)}, function")
        self.check_own()
        return self

    @property
    def aim(self) -> Goal | float:
        """The goal; where none is given, the default of the measure."""
        if self.goal is not None:
            return self.goal
        return self.kind.goal


class Constraint(MeasureKeys):
    """A measure and its limits; ``absorption_within: 5 %`` is short for an absorption_change of at most 5."""

    absorption_within: str | None = Field(
        None, description="5 %, or 5 % in 2..4 eV: largest change of the absorption relative to the parent"
    )
    at_most: float | None = Field(None, description="a number in the unit of the measure: upper limit")
    at_least: float | None = Field(None, description="a number in the unit of the measure: lower limit")

    @model_validator(mode="after")
    def _one(self) -> Constraint:
        short = self.absorption_within is not None
        if len(self.given_measures()) + short != 1:
            raise ValueError(f"a constraint has exactly one of absorption_within, {', '.join(MEASURES)}, function")
        if short != (self.at_most is None and self.at_least is None):
            raise ValueError("a constraint has at_most or at_least; absorption_within has its limit already")
        if short:
            self._within()
        self.check_own()
        return self

    def _within(self) -> tuple[float, str]:
        """Limit in % and band (empty: all energies) of ``absorption_within``."""
        share, _, band = (self.absorption_within or "").partition(" in ")
        value, unit = parse_single(share)
        if unit != "%" or value < 0.0:
            raise ValueError("write absorption_within as 5 %, or 5 % in 2..4 eV")
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
