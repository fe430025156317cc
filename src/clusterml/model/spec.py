"""What a network is made of: every key with its meaning and limits, the sizes by name, and how a mapping is read.

The limits follow from what a machine can hold; they are checked before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, SerializeAsAny, field_validator, model_validator

from clusterml.config.schema import Number, Strict, Whole, validated
from clusterml.errors import InputFileError, OptionError
from clusterml.model.heads.registry import head_kind
from clusterml.model.upgrade import heads_of_group, upgrade_network
from clusterml.typing import FloatArray

Length = Annotated[Number, Field(ge=0.5, le=15.0)]
Scale = Annotated[Number, Field(ge=1e-6, le=1e6)]
Elements = Annotated[tuple[Annotated[Whole, Field(ge=1, le=118)], ...], Field(min_length=1, max_length=118)]

MOST_POINTS = 4000
"""Energies of a network's grid, at most."""
_WHOLE = 1e-6  # of a step: how far the range may be from a whole number of them
_ELEMENTS = "a list of different atomic numbers, 1 to 118"
_CUTOFF = "a length from 0.5 to 15 Å"


class GraphRules(Strict):
    """Which atoms a network reads, and which pairs of them it sees."""

    elements: Elements = Field(
        # H B C N O F Si P S Cl Br I, and the coinage metals and their neighbours
        (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 29, 34, 35, 46, 47, 53, 78, 79),
        description=f"{_ELEMENTS}: elements that the network knows",
    )
    metals: Elements = Field((29, 46, 47, 78, 79), description=f"{_ELEMENTS}: the metals")
    donors: Elements = Field((7, 8, 15, 16, 17, 34, 35, 53), description=f"{_ELEMENTS}: the donors")
    metal_cutoff: Length = Field(6.0, description=f"{_CUTOFF}: edges between metals")
    donor_cutoff: Length = Field(5.0, description=f"{_CUTOFF}: edges between a metal and a donor")
    other_cutoff: Length = Field(4.5, description=f"{_CUTOFF}: any other edges")
    pair_cutoff: Length = Field(7.0, description=f"{_CUTOFF}: couplings of oscillators or orbitals")

    @field_validator("elements", "metals", "donors")
    @classmethod
    def _differ(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(numbers)) < len(numbers):
            raise ValueError("give each atomic number once")
        return numbers


class Grid(Strict):
    """The energies at which a network gives spectra."""

    low_ev: Number = Field(0.5, ge=0.01, le=100.0, description="an energy from 0.01 to 100 eV: the first")
    high_ev: Number = Field(5.3, ge=0.01, le=100.0, description="an energy from 0.01 to 100 eV: the last")
    step_ev: Number = Field(0.04, ge=1e-3, le=10.0, description="an energy from 0.001 to 10 eV: from one to the next")

    @property
    def n_points(self) -> int:
        """Number of energies."""
        return round((self.high_ev - self.low_ev) / self.step_ev) + 1

    @property
    def energy_ev(self) -> FloatArray:
        """The energies (m,) in eV."""
        return np.asarray(self.low_ev + self.step_ev * np.arange(self.n_points))

    @model_validator(mode="after")
    def _check(self) -> Self:
        points = (self.high_ev - self.low_ev) / self.step_ev + 1.0
        if not 2.0 <= points <= MOST_POINTS:
            raise ValueError(f"{points:.4g} points; give low_ev < high_ev and at most {MOST_POINTS} points")
        if abs(points - round(points)) > _WHOLE:
            last = self.low_ev + self.step_ev * (round(points) - 1)
            raise ValueError(f"step_ev does not divide the range; give high_ev {last:.6g}")
        return self


class NetworkSpec(Strict):
    """A network: its graph, its backbone, and the head that makes spectra of features."""

    head: str = Field("resolvent", description="the name of a head (clusterml train --keys lists them)")
    head_options: SerializeAsAny[Strict] = Field(
        default_factory=dict, validate_default=True, description="a mapping of options of the head"
    )
    start: Literal["zero", "response"] = Field(
        "zero",
        description="zero, or response: spectra are corrections of a rapid response",
    )
    start_orbitals: Literal["gfn1", "gfn1-pbe"] = Field(
        "gfn1", description="gfn1 or gfn1-pbe: whose orbitals the rapid response is of"
    )
    parity: Literal["both", "natural"] = Field(
        "both", description="both, or natural: only the parities of spherical harmonics"
    )
    channels: Whole = Field(16, ge=1, le=512, description="a whole number from 1 to 512: channels of each irrep")
    lmax: Whole = Field(
        2, ge=1, le=6, description="a whole number from 1 to 6: largest angular momentum of features and harmonics"
    )
    layers: Whole = Field(
        1, ge=0, le=16, description="a whole number from 0 to 16: rounds of messages between core atoms"
    )
    n_radial: Whole = Field(8, ge=1, le=64, description="a whole number from 1 to 64: Bessel functions")
    radial_width: Whole = Field(
        32, ge=1, le=1024, description="a whole number from 1 to 1024: hidden width of the radial networks"
    )
    element_width: Whole = Field(
        8, ge=1, le=256, description="a whole number from 1 to 256: width of the elements' embeddings"
    )
    message_scale: Scale = Field(
        4.0, description="a factor from 1e-6 to 1e6 on sums of messages, so that features begin near one"
    )
    density_scale: Scale = Field(
        4.0, description="a factor from 1e-6 to 1e6 on sums of densities, so that features begin near one"
    )
    ground_state: bool = Field(
        False, description="true or false: does it tell charges of shells and orbital levels too, to learn from them?"
    )
    graph: GraphRules = Field(GraphRules(), description="a mapping: atoms and pairs that the network sees")
    grid: Grid = Field(Grid(), description="a mapping: energies of the spectra")
    fwhm_ev: Number = Field(0.2, ge=0.01, le=5.0, description="a width from 0.01 to 5 eV: full width of a band")

    @model_validator(mode="before")
    @classmethod
    def _options_of_head(cls, values: Any) -> Any:
        """Read ``head_options`` as what the head takes; the head's errors name ``head_options``."""
        if not isinstance(values, dict) or not isinstance(head := values.get("head", "resolvent"), str):
            return values
        given = values.get("head_options", {})
        options = head_kind(head).options
        if not isinstance(given, options):
            given = validated(options, given, "network.head_options")
        return {**values, "head_options": given}

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.start == "response" and self.head != "resolvent":
            raise ValueError(f"start is response, which the head {self.head} cannot correct; choose head resolvent")
        if self.start == "zero" and self.start_orbitals != "gfn1":
            raise ValueError(f"start_orbitals is {self.start_orbitals}, but start is zero; choose start response")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, which :func:`read_spec` reads."""
        return self.model_dump(mode="json")


@cache
def presets() -> dict[str, NetworkSpec]:
    """The sizes by name.  S: two CPU cores; M, L: a GPU."""
    wide = {"bands": 8, "scalar": 1, "triplet": 1}
    sizes: dict[str, dict[str, Any]] = {
        "S": {"channels": 24, "layers": 2},
        "M": {"channels": 32, "layers": 2, "radial_width": 64, "head_options": wide},
        "L": {
            "channels": 64,
            "lmax": 3,
            "layers": 3,
            "radial_width": 64,
            "head_options": {**wide, "triplet": 2, "donor_triplet": 2},
        },
    }
    return {name: NetworkSpec(**values) for name, values in sizes.items()}


def read_spec(values: Mapping[str, Any], preset: str | None = None) -> NetworkSpec:
    """The network that ``values`` describes, with the defaults of all keys that it leaves out.

    Its key ``preset``, or else ``preset``, names one of :func:`presets` to start from.  Of another head the options
    start from that head's defaults.  Raises :class:`~clusterml.errors.OptionError` naming a key, preset or head that is
    not known and the nearest that is, or a value that is of another kind or beyond its limits.
    """
    given = {str(key): value for key, value in values.items()}
    name = given.pop("preset", preset)
    start = NetworkSpec() if name is None else _preset(name)
    head = given.get("head", start.head)
    for group in sorted(set(given) & set(heads_of_group())):
        if head not in heads_of_group()[group]:
            raise OptionError(
                f"network key {group} is of the head {heads_of_group()[group][0]}, not of {head}", _GROUPS
            )
    base = start.to_dict()
    if head != start.head and isinstance(head, str):
        base["head_options"] = head_kind(head).options().model_dump(mode="json")
    try:
        return validated(NetworkSpec, _merged(base, upgrade_network({"head": head, **given})), "network")
    except InputFileError as error:
        raise OptionError(error.problem, error.remedy) from error


_GROUPS = "give the options of the head in head_options"


def _preset(name: Any) -> NetworkSpec:
    if name not in presets():
        raise OptionError(f"network preset is {name!r:.80}", f"choose {', '.join(presets())}")
    return presets()[name]


def _merged(base: Any, given: Any) -> Any:
    """``given`` over ``base``: mappings key by key, anything else as a whole."""
    if not (isinstance(base, dict) and isinstance(given, Mapping)):
        return given
    return base | {key: _merged(base.get(key), value) for key, value in given.items()}
