"""What can be asked: the options of each command as keys of a JSON object, or as fields of a form with a file.

A request holds its structure as ``file`` (name and text), as ``shipped`` (one that travels with the program) or as
``build`` (options of ``clusterml build``).  No key is the path of a file.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from clusterml.batch.needs import refuse_ignored
from clusterml.config.schema import Strict
from clusterml.engine.choices import Dtype, Gauge, Mode
from clusterml.errors import OptionError, printable, unknown
from clusterml.io.shipped import PREFIX, QUICK_MODEL, locate, shipped_names
from clusterml.structure.crystal import Disorder
from clusterml.structure.options import ReadOptions
from clusterml.structure.solvents import SolventModel

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.protocol import Protocol, ThermalEnsemble


class NamedText(Strict):
    """A file: its name, which says its format, and its content."""

    name: str = Field(min_length=1, max_length=200, description="the name of the file, such as ag29.cif")
    text: str = Field(description="its content")

    @field_validator("name")
    @classmethod
    def _without_folders(cls, name: str) -> str:
        last = PurePath(printable(name).replace("\\", "/")).name
        if not last or last == "-" or last.startswith((".", PREFIX)):
            raise ValueError("this is not the name of a file")
        return last

    def stream(self) -> BytesIO:
        """The content as a stream that has the name."""
        return _NamedBytes(self.name, self.text.encode("utf-8", errors="replace"))


class _NamedBytes(BytesIO):
    """Bytes with the name of their file."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name = name


class BuildOptions(Strict):
    """The options of ``clusterml build``."""

    name: str = Field(description="the name of a blueprint, see /v1/blueprints")
    thiolate: str | None = Field(None, description="ligand of the S sites, see /v1/ligands")
    dithiolate: str | None = Field(None, description="ligand of the S-S sites")
    phosphine: str | None = Field(None, description="ligand of the P sites")
    carboxylate: str | None = Field(None, description="ligand of the O-O sites")
    halide: str | None = Field(None, description="ligand of the halide sites")
    solvent: str | None = Field(None, description="bound solvent; null: none")
    cap: str | None = Field(None, description="anions on the trigons of Ag70")
    hand: str | None = Field(None, description="R or S (Ag29 family), P or M (ag70-t)")
    symmetry: str | None = Field(None, description="highest group the ligands keep")
    seed: int = Field(0, ge=0, description="a whole number from 0: seed of the packing search")

    def atoms(self) -> Atoms:
        """The model; raises what :func:`clusterml.build` raises."""
        from clusterml.structure.build.blueprint import blueprints
        from clusterml.structure.build.build import build

        if self.name.lower().endswith((".yaml", ".yml")):  # a file, and files of the server are not for requests
            raise unknown("blueprint", self.name, blueprints())
        return build(**self.model_dump())


class StructureRequest(Strict):
    """A structure, and how it is read."""

    file: NamedText | None = Field(None, description="a structure file: its name and text")
    shipped: str | None = Field(None, description="a structure that travels with the program, see /v1/structures")
    build: BuildOptions | None = Field(None, description="a model of a blueprint with ligands of the library")
    cluster: int = Field(1, description="which cluster of a crystal, from 1")
    disorder: Disorder = Field("major", description="of a disordered crystal: major, A, B, or error to refuse it")
    hydrogens: bool | None = Field(None, description="add hydrogens that carbons lack; null: for crystals")
    allow_several: bool = Field(False, description="accept separate molecules in a file without a lattice")
    frame: int | None = Field(None, description="which structure of a file that holds several, from 1")
    format: str | None = Field(None, description="format of the file; null: what its name says")

    @model_validator(mode="after")
    def _one_structure(self) -> StructureRequest:
        check_structures(self, 1)
        return self

    @property
    def reading(self) -> ReadOptions:
        """How it is read; raises :class:`OptionError`."""
        names = ("cluster", "disorder", "hydrogens", "allow_several", "frame", "format")
        return ReadOptions(**{name: getattr(self, name) for name in names})

    def source(self) -> NamedText:
        """The file of the structure; that of a model is written first.  Raises what building raises."""
        if self.file is not None:
            return self.file
        if self.shipped is not None:
            return NamedText(name=f"{self.shipped}.xyz", text=_shipped_text(self.shipped))
        if self.build is None:
            raise OptionError("there is no structure", "give file, shipped or build")
        from clusterml.structure.write import extxyz

        return NamedText(name=f"{self.build.name}.xyz", text=extxyz(self.build.atoms()))

    def refuse_ignored(self, verb: str, **more: Any) -> None:
        """Raise :class:`OptionError` for a key without effect; ``more``: parameters that only the command has."""
        values = {name: getattr(self, name) for name in type(self).model_fields} | more
        values["files"] = [Path("uploaded", self.file.name)] if self.file else []
        refuse_ignored(verb, {name: name for name in self.model_fields_set}, values)


def check_structures(request: StructureRequest, wanted: int) -> None:
    """Raise ValueError unless the request holds the ``wanted`` number of structures, 1 or 0."""
    given = [name for name in ("file", "shipped", "build") if getattr(request, name) is not None]
    if len(given) > wanted:
        raise ValueError(f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} too much: give one structure")
    if len(given) < wanted:
        raise ValueError("give a structure: file (name and text), shipped (a name) or build (a blueprint)")


def shipped_structures() -> dict[str, str]:
    """Name of each structure that travels with the program -> where it is, for ``shipped:``."""
    return {PurePath(name).stem: name for name in shipped_names("datasets", ".xyz") if "/structures/" in name}


def _shipped_text(name: str) -> str:
    known = shipped_structures()
    if name not in known:
        raise unknown("shipped structure", name, known)
    return locate(f"shipped:{known[name]}").read_text(encoding="utf-8")


class ChargedRequest(StructureRequest):
    """A structure with its charge."""

    charge: int | None = Field(None, description="total charge; null: the file's, else proposed")


class ThermalRequest(ChargedRequest):
    """A structure that may be averaged over thermal motion."""

    ensemble: int | None = Field(None, description="number of thermal snapshots; null: the geometry alone")
    temperature: float = Field(300.0, description="of the snapshots, in K")
    seed: int = Field(0, ge=0, description="a whole number from 0: seed of the snapshots")

    @property
    def thermal(self) -> ThermalEnsemble | None:
        """The ensemble that is asked for; raises :class:`OptionError`."""
        from clusterml.engine.protocol import ThermalEnsemble

        return None if self.ensemble is None else ThermalEnsemble(self.ensemble, self.temperature, self.seed)


class PredictRequest(ThermalRequest):
    """The options of ``clusterml predict``.  The engine is a job: see ``/v1/label``."""

    model: str | None = Field(None, description="a checkpoint, see /v1/models; null: ag-response-v1, or the server's")
    fwhm: float | None = Field(None, description="full width of the bands in eV; null: that of the network")


class MethodRequest(ChargedRequest):
    """What the engine computes, and how."""

    emax: float = Field(6.0, description="highest excitation energy in eV")
    fwhm: float = Field(0.2, description="full width of the bands at half maximum, in eV")
    mode: Mode = Field("smooth", description="for stda-xtb: smooth (continuous) or reference (as std2)")
    states: bool = Field(False, description="compute and store every excitation up to emax")
    gauge: Gauge = Field("velocity", description="gauge of the CD; length depends on the origin")
    orbitals: str | None = Field(
        None, description="gfn1-pbe, gfn1, gfn2, stda-xtb, ..; null: gfn1-pbe, of a Molden file its own"
    )
    solvent: str | None = Field(None, description="implicit solvent for gfn1 and gfn2, e.g. methanol")
    solvation: SolventModel = Field("alpb", description="model of the solvent")
    electronic_temperature: float | None = Field(None, description="of gfn1, gfn2 and dft, in K")
    charge_tolerance: float | None = Field(None, description="of gfn1 and gfn2: residual of shell charges to end at")
    xc: str | None = Field(None, description="for dft and molden: a density functional, e.g. pbe0")
    ax: float | None = Field(None, description="for molden, instead of xc: Fock exchange of the functional")
    basis: str | None = Field(None, description="for dft: a basis set, e.g. def2-svp,Ag=lanl2dz")
    density_fit: bool | None = Field(None, description="for dft: Coulomb part in an auxiliary basis")
    dtype: Dtype = Field("float64", description="precision of the excited states")

    @property
    def thermal(self) -> ThermalEnsemble | None:
        """Nothing is averaged over."""
        return None

    def protocol(self) -> Protocol:
        """What they say together; raises :class:`OptionError`."""
        from clusterml.engine.protocol import make_protocol

        same = ("orbitals", "mode", "dtype", "gauge", "solvent", "solvation", "charge_tolerance", "ax", "xc", "basis")
        return make_protocol(
            emax_ev=self.emax,
            fwhm_ev=self.fwhm,
            solver="states" if self.states else "spectrum",
            electronic_temperature_k=self.electronic_temperature,
            density_fit=self.density_fit,
            ensemble=self.thermal,
            **{name: getattr(self, name) for name in same},
        )


class LabelRequest(ThermalRequest, MethodRequest):
    """The options of ``clusterml label``."""

    consensus: str | None = Field(None, description="how far protocols agree: gfn1,gfn1:methanol,stda-xtb")
    groups: dict[str, list[int]] | None = Field(None, description="atom groups for the bands: name -> numbers from 1")


class ChiralityRequest(StructureRequest):
    """The options of ``clusterml chirality``."""

    groups: list[str] | None = Field(None, description="point groups to measure; null: ten, for small parts")
    template: Literal["auto", "none", "Ag70-Td", "icosahedron"] = Field("auto", description="what is fitted")
    keep_bonds: bool = Field(False, description="exchange only atoms in the same place of the bonding graph")
    parts: bool = Field(True, description="measure kernel, shells, frame and ligand layer too")


class SubstituteRequest(StructureRequest):
    """The options of ``clusterml substitute``; without ``new``, only the sites are listed."""

    old: str = Field(description="ligand to replace: a name or a formula")
    new: str | None = Field(None, description="new ligand, by its library name; null: only list the sites")
    count: int | None = Field(None, ge=0, description="how many to exchange; null: all (given) sites")
    sites: list[int] | None = Field(None, description="sites in their order of use; null: a random order")
    seed: int = Field(0, ge=0, description="a whole number from 0: seed of the order of sites and of conformers")
    sample: bool = Field(False, description="random conformers and orientations that fit, not the best ones")
    warn_only: bool = Field(False, description="only warn about contacts too close")


class ExplainRequest(MethodRequest):
    """The options of ``clusterml explain``."""

    band: str = Field(description="LOW..HIGH in eV, or with a unit: 400..600 nm")
    model: str | None = Field(None, description="a network of the geometry alone, see /v1/models; null: the engine")


class SpectrumText(NamedText):
    """A file that holds a spectrum, and how it is read."""

    concentration: float | None = Field(None, description="mol/L, for absorbance and mdeg")
    path: float | None = Field(None, description="path length of the cell in cm")
    columns: str | None = Field(None, description="what the columns are, e.g. wavelength,cd,skip")
    unit: str | None = Field(None, description="unit of its values")
    block: str | None = Field(None, description="which spectrum, if the file holds several")


class SpectrumRequest(SpectrumText):
    """A spectrum to be read, and what it is written as."""

    export: Literal["csv", "jcamp"] | None = Field(None, description="also as a text: csv or jcamp (JCAMP-DX)")


class CompareRequest(Strict):
    """The options of ``clusterml compare``."""

    a: SpectrumText = Field(description="the spectrum to judge: JSON of label or predict, CSV, output of TDDFT")
    b: SpectrumText | str = Field(description="the reference: the same, or the text bands:SYSTEM")
    fit_shift: bool = Field(True, description="shift all energies of A by one number of eV to match B")
    fit_width: bool = Field(False, description="broaden A further to match B")
    max_shift: float | None = Field(None, description="largest shift to fit, in eV; null: 0.5")
    fwhm: float | None = Field(None, description="broaden what states its width to this full width first, in eV")


class Distortion(Strict):
    """One mode and how much of it."""

    mode: str = Field(description="name of the distortion, see /v1/modes")
    amount: float = Field(description="how much, in the mode's unit; the sign counts")


class DistortRequest(ChargedRequest):
    """Distortions of one parent, and whether the spectrum of the result is predicted.

    Modes of the frame add up, whatever their order; normal-mode and thermal-noise follow, one after the other.
    """

    parent: str | None = Field(None, description="in place of a structure: the parent that an earlier answer names")
    distortions: list[Distortion] = Field([], max_length=20, description="a list of modes with amounts")
    axis: tuple[float, float, float] | None = Field(None, description="axis of core-shell-twist and shear")
    index: int = Field(1, description="which normal mode, from 1")
    seed: int = Field(0, ge=0, description="a whole number from 0: seed of everything random")
    warn_only: bool = Field(False, description="only warn where chemistry is broken")
    predict: bool = Field(True, description="predict the spectrum of the result")
    quick: bool = Field(False, description="positions and a spectrum by one network without uncertainty, soon")
    advise: bool = Field(
        False, description="say whether the engine should compute it; what the network cannot take in is then no error"
    )
    model: str | None = Field(None, description=f"a checkpoint, see /v1/models; null: {QUICK_MODEL}, or the server's")
    fwhm: float | None = Field(None, description="full width of the bands in eV; null: that of the network")

    @model_validator(mode="after")
    def _one_structure(self) -> DistortRequest:
        check_structures(self, int(self.parent is None))
        return self
