"""What ``clusterml design`` is told: the key ``design`` of a screen."""

from __future__ import annotations

from pydantic import Field

from clusterml.schema import Strict


class Free(Strict):
    """A second stage, in which every atom may move, at a price."""

    steps: int = Field(30, ge=1, description="a whole number: most steps with free coordinates")
    penalty: float = Field(1.0, gt=0.0, description="a number above 0: score that 1 eV of elastic strain costs")


class Design(Strict):
    """How candidates are improved by gradients, see ``clusterml design``."""

    start_from: str | None = Field(
        None, description="results folder of a screen, whose best candidates are looked at first; null: drawn ones"
    )
    starts: int = Field(
        16, ge=1, description="a whole number: candidates that are looked at first, drawn evenly or a screen's best"
    )
    climbs: int = Field(2, ge=1, description="a whole number: so many of the best of them are improved")
    steps: int = Field(40, ge=0, description="a whole number: most steps on the amounts of the distortions")
    free: Free | None = Field(None, description="steps and penalty of a stage with free coordinates; null: none")
    label: bool = Field(False, description="true or false: the engine labels the best end point")
