"""How spectra are computed (:class:`Protocol`) and what with (:class:`Compute`): built once and passed whole.

Two labels of one protocol can be compared and learnt from together; what a label is computed with does not change it
beyond rounding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict, get_args

import numpy as np
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from clusterml.config.schema import Strict
from clusterml.engine.choices import REFITTED, WIDEST_EV, Dtype, Gauge, Mode
from clusterml.errors import OptionError, check_seed
from clusterml.io.words import is_whole
from clusterml.structure.solvents import SOLVENTS_OF, SolventModel, find_solvent

if TYPE_CHECKING:
    from ase import Atoms

SMOOTH_WINDOW_EV = 16.8
"""Default window of the smooth mode: that of the reference method for states up to 6 eV (2.8 emax)."""

RESULTS = 3
"""Counted up when spectra of the same protocol change by more than rounding: 2, GFN orbitals on the contour;
3, ground states taken at shell charges within 2e-5, solvents by ALPB."""
MOST_MEMBERS = 10_000
"""Most snapshots of one ensemble."""
_SHARE_OF_FREE_MEMORY = 0.7
_LETTERS = re.compile(r"[^A-Za-z0-9.-]")
_IN_NAMES = {"*": "s", "+": "p", ")": ""}
"""What stands for signs of functionals and basis sets in the name of a protocol; a hyphen for others."""
_ALWAYS = ("orbitals", "emax_ev", "dtype", "tolerance")
"""Keys that a protocol is written with whatever their values: those that it had from the first."""


@dataclass(frozen=True)
class ThermalEnsemble:
    """``members`` snapshots of a geometry at ``temperature_k``, drawn with ``seed``, whose spectra are averaged.

    Raises :class:`OptionError` for a number that cannot be drawn, and for a negative seed.
    """

    members: int = 32
    temperature_k: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.members <= MOST_MEMBERS:
            raise OptionError(f"ensemble is {self.members}", f"give a number of snapshots between 2 and {MOST_MEMBERS}")
        if not 0.0 <= self.temperature_k < math.inf:
            raise OptionError(f"temperature is {self.temperature_k} K", "give a temperature that is not negative")
        check_seed(self.seed)

    def snapshots(self, atoms: Atoms) -> list[Atoms]:
        """Those of ``atoms``.  Raises :class:`~clusterml.errors.StructureError` if none keeps the chemistry."""
        from clusterml.structure.distort.draws import snapshots

        return snapshots(atoms, self.temperature_k, self.members, rng=np.random.default_rng(self.seed))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the provenance."""
        return {**asdict(self), "motion": "elastic network"}


class Protocol(Strict):
    """How spectra are computed; see ``clusterml label --help``.

    Examples:
        >>> import clusterml as cm
        >>> protocol = cm.Protocol(orbitals="stda-xtb", emax_ev=4.5)
        >>> cm.label(cm.build("ag3", thiolate="SH"), protocol=protocol).orbitals.method
        'sTDA-xTB'
    """

    orbitals: str = Field(
        REFITTED,
        description="gfn1-pbe, gfn1, gfn2, stda-xtb, dft, cp2k, molden (of the file itself), or one that is installed",
    )
    emax_ev: float = Field(6.0, ge=1.0, le=15.0, description="highest excitation energy in eV, 1 to 15")
    dtype: Dtype = Field("float64", description="float64 or float32: precision of the excited states")
    tolerance: float = Field(1e-3, ge=1e-10, le=0.1, description="of the spectrum solver, of the maximum; up to 0.1")
    fwhm_ev: float = Field(0.2, ge=0.01, le=WIDEST_EV, description="width of the bands in eV, 0.01 to 5")
    solvation: SolventModel = Field("alpb", description="model of the solvent, alpb or gbsa")
    solvent: str | None = Field(
        None,
        validate_default=True,
        description="implicit solvent of gfn1, gfn1-pbe and gfn2, such as methanol; null: none",
    )
    electronic_temperature_k: float | None = Field(
        None, description="of gfn1, gfn2 and dft in K: a higher one helps where a gap is small; null: 300, of dft 0"
    )
    charge_tolerance: float | None = Field(
        None, ge=1e-10, le=1e-2, description="of gfn1 and gfn2: residual of shell charges in e to end at; null: 2e-5"
    )
    ax: float | None = Field(
        None, ge=0.0, le=1.0, description="of molden: Fock exchange of the functional; null: that of xc, or none"
    )
    xc: str | None = Field(None, description="of dft and molden: a density functional such as pbe or pbe0; null: pbe")
    basis: str | None = Field(
        None, description="of dft: a basis set, and others by element, such as def2-svp,Ag=lanl2dz; null: def2-svp"
    )
    density_fit: bool | None = Field(
        None, description="of dft: true or false, is the Coulomb part expanded in an auxiliary basis; null: true"
    )
    mode: Mode = Field("smooth", description="of stda-xtb: smooth (continuous) or reference (as the program std2)")
    solver: str = Field(
        "spectrum",
        description="spectrum (the best way to it), contour, krylov, states (all eigenpairs), or an installed one",
    )
    gauge: Gauge = Field("velocity", description="of the CD: velocity, or length, which depends on the origin")
    smallest_gap_ev: float = Field(0.0, ge=0.0, description="a smaller HOMO-LUMO gap in eV is refused; 0: none is")
    k_shift_width_ev: float = Field(
        0.005, ge=1e-6, le=1.0, description="smooth mode: energies over which the K-shift's exchange is averaged"
    )
    window_ev: float | None = Field(
        None, ge=2.0, le=100.0, description="smooth mode: largest orbital energy difference; null: 16.8, 2.8 emax"
    )
    ensemble: ThermalEnsemble | None = Field(
        None, description="thermal snapshots to average over; null: the geometry alone"
    )

    @model_validator(mode="before")
    @classmethod
    def _reference_means_stda_xtb(cls, values: Any) -> Any:
        """The reference mode exists for one source of orbitals only, which need not be named then."""
        if isinstance(values, Mapping) and values.get("mode") == "reference" and values.get("orbitals") is None:
            return {**values, "orbitals": "stda-xtb"}
        return values

    @model_validator(mode="before")
    @classmethod
    def _say_what_dft_is(cls, values: Any) -> Any:
        """Kohn-Sham orbitals always name their functional and basis: the default is written as one that is given."""
        if isinstance(values, Mapping) and values.get("orbitals") == "dft":
            from clusterml.engine.orbitals.functional import DEFAULT_BASIS, DEFAULT_XC

            chosen = {"xc": values.get("xc") or DEFAULT_XC, "basis": values.get("basis") or DEFAULT_BASIS}
            return {**values, **chosen, "density_fit": values.get("density_fit") is not False}
        return values

    @field_validator("orbitals")
    @classmethod
    def _source_exists(cls, name: str) -> str:
        if name != cls.model_fields["orbitals"].default:
            from clusterml.engine.orbitals.source import SOURCES

            names = SOURCES.names
            if name not in names:
                raise ValueError(f"orbitals is {name!r}, not {', '.join(names[:-1])} or {names[-1]}")
        return name

    @field_validator("solvent")
    @classmethod
    def _solvent_exists(cls, name: str | None, info: ValidationInfo) -> str | None:
        """Two names of one solvent give one protocol; the solvents of sources from elsewhere are theirs to judge."""
        method, model = SOLVENTS_OF.get(info.data.get("orbitals", "")), info.data.get("solvation", "")
        if name is None and model == "gbsa":
            raise ValueError("solvation is 'gbsa' without a solvent")
        if name is None or not model or method is None:
            return name
        try:
            return find_solvent(name, model, method)
        except OptionError as error:
            raise ValueError(str(error)) from error

    @model_serializer(mode="wrap")
    def _without_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Its keys without those that came later and have their default: what is the same is written the same."""
        values: dict[str, Any] = write(self)
        fields = type(self).model_fields
        return {k: v for k, v in values.items() if k in _ALWAYS or getattr(self, k) != fields[k].get_default()}

    @field_validator("xc")
    @classmethod
    def _functional_exists(cls, name: str | None) -> str | None:
        from clusterml.engine.orbitals.functional import read_functional

        return None if name is None else read_functional(name).name

    @field_validator("basis")
    @classmethod
    def _basis_exists(cls, name: str | None) -> str | None:
        from clusterml.engine.orbitals.functional import read_basis

        return None if name is None else read_basis(name).name

    @property
    def name(self) -> str:
        """The protocol in one word, as records carry it: ``gfn1``, ``gfn1-in-methanol``, ``dft-pbe-def2-svp``."""
        parts = [self.orbitals, self.xc, self.basis, "unfitted" if self.density_fit is False else None]
        word = "-".join(_LETTERS.sub(lambda sign: _IN_NAMES.get(sign[0], "-"), part) for part in parts if part)
        model = "" if self.solvation == "alpb" else f"-{self.solvation}"
        return word if self.solvent is None else f"{word}-in-{self.solvent}{model}"

    @property
    def window(self) -> float:
        """The window of the smooth mode in eV."""
        return max(SMOOTH_WINDOW_EV, 2.8 * self.emax_ev) if self.window_ev is None else self.window_ev

    def but(self, **changes: Any) -> Protocol:
        """This protocol with other values; raises OptionError for one that is not allowed."""
        return make_protocol(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


def make_protocol(**values: Any) -> Protocol:
    """The protocol of keywords; None means the default.  Raises OptionError naming the keyword and its value."""
    try:
        return Protocol.model_validate({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        raise _as_option_error(error) from error


def _as_option_error(error: ValidationError) -> OptionError:
    problem = error.errors()[0]
    key = str(problem["loc"][0])
    field = Protocol.model_fields.get(key)
    if field is None:
        known = ", ".join(LabelKeywords.__annotations__)
        return OptionError(f"label was given an option it does not have: {key}", f"known options: {known}")
    limits = {kind: limit for item in field.metadata for kind, limit in _limits(item)}
    words = f"give {field.description}"
    if problem["type"] == "literal_error":
        words = f"choose one of {', '.join(get_args(field.annotation))}"
    elif problem["type"] == "value_error":
        cause = problem["ctx"]["error"].__cause__
        return cause if isinstance(cause, OptionError) else OptionError(str(problem["ctx"]["error"]), words)
    elif {"ge", "le"} <= limits.keys():
        words = f"give a number between {limits['ge']:g} and {limits['le']:g}"
    value = problem["input"]
    return OptionError(f"{key} is {value:g}" if isinstance(value, float) else f"{key} is {value!r}", words)


def _limits(item: object) -> Iterator[tuple[str, float]]:
    """``ge`` and ``le`` of a field's metadata."""
    for kind in ("ge", "le"):
        if hasattr(item, kind):
            yield kind, getattr(item, kind)


def default_memory_gb() -> float:
    """The share of the currently free main memory that a calculation may use, in GB."""
    import psutil

    return float(_SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available / 1e9)


def check_device(device: str, choices: str = "cpu or cuda") -> None:
    """Raise OptionError, with the ``choices``, unless ``device`` names one that torch can compute on here."""
    if device == "cpu":
        return
    import torch

    kind, _, number = device.partition(":")
    if kind != "cuda" or not (is_whole(number) or device == "cuda"):
        raise OptionError(f"device is {device!r}", f"choose {choices}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        found = f"{count} of them" if count else "no CUDA GPU"
        raise OptionError(f"device is {device!r} but torch finds {found}", "use --device cpu")


@dataclass(frozen=True)
class Compute:
    """What spectra are computed with.  Raises OptionError for what this computer does not have.

    device      ``cpu`` or ``cuda``: place of the linear algebra
    threads     CPU threads; None: as they are set
    memory_gb   upper bound of a solver's own memory in GB; None: 70 % of what is free
    checkpoint  folder where ground states of ``dft`` and ``cp2k`` keep their last cycle, to go on from; None: nowhere
    working     what ``label`` is given as ``progress``: told in words how far a long ground state is

    Examples:
        >>> import clusterml as cm
        >>> compute = cm.Compute(memory_gb=2.0)
        >>> cm.label(cm.build("ag3", thiolate="SH"), compute=compute, emax_ev=4.0).charge
        0
    """

    device: str = "cpu"
    threads: int | None = None
    memory_gb: float | None = None
    checkpoint: str | None = None
    working: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.memory_gb is not None and not 1e-3 <= self.memory_gb <= 1e6:
            raise OptionError(f"memory_gb is {self.memory_gb:g}", "give a number between 0.001 and 1e+06")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads is {self.threads}", "give a number from 1")
        check_device(self.device)

    @property
    def memory(self) -> float:
        """The memory in GB that a solver may take now."""
        return default_memory_gb() if self.memory_gb is None else self.memory_gb

    def shared(self, jobs: int) -> Compute:
        """The share of each of ``jobs`` processes."""
        if jobs == 1:
            return self
        threads = None if self.threads is None else max(1, self.threads // jobs)
        return replace(self, threads=threads, memory_gb=self.memory / jobs)


DEFAULT_PROTOCOL = Protocol()
"""How spectra are computed unless something else is asked for: gfn1-pbe, to 6 eV, at a width of 0.2 eV."""
DEFAULT_COMPUTE = Compute()


class LabelKeywords(TypedDict, total=False):
    """The fields of :class:`Protocol` and :class:`Compute` as keywords."""

    orbitals: str | None
    emax_ev: float
    dtype: Dtype
    tolerance: float
    fwhm_ev: float
    solvation: SolventModel
    solvent: str | None
    electronic_temperature_k: float | None
    charge_tolerance: float | None
    ax: float | None
    xc: str | None
    basis: str | None
    density_fit: bool | None
    mode: Mode
    solver: str
    gauge: Gauge
    smallest_gap_ev: float
    k_shift_width_ev: float
    window_ev: float | None
    ensemble: ThermalEnsemble | None
    device: str
    threads: int | None
    memory_gb: float | None
    checkpoint: str | None


def chosen(protocol: Protocol, compute: Compute, choices: Mapping[str, Any]) -> tuple[Protocol, Compute]:
    """``protocol`` and ``compute`` with those of ``choices`` (:class:`LabelKeywords`) that are given."""
    if not choices:
        return protocol, compute
    places = {k: v for k, v in choices.items() if k in Compute.__dataclass_fields__}
    methods: dict[str, Any] = {k: v for k, v in choices.items() if k not in places}
    if methods.get("mode") == "reference" and methods.get("orbitals") is None:
        methods["orbitals"] = "stda-xtb"
    return protocol.but(**methods), Compute(**{**vars(compute), **places})
