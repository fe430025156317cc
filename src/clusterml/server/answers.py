"""The answers that come at once: the JSON of the command line, for requests that were checked."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from clusterml.errors import OptionError, OutsideNetworkError, StructureError, counted, duration
from clusterml.io.shipped import PREFIX, QUICK_MODEL, locate
from clusterml.server.requests import (
    ChiralityRequest,
    CompareRequest,
    PredictRequest,
    SpectrumRequest,
    SpectrumText,
    StructureRequest,
    SubstituteRequest,
    ThermalRequest,
    shipped_structures,
)
from clusterml.server.settings import Limits

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import Prediction
    from clusterml.inference.predictor import Predictor
    from clusterml.inference.preparation import PreparedStructure
    from clusterml.spectrum.spectrum import Spectrum

_ATOMS_OF_SNAPSHOTS = 200
"""Up to so many atoms all snapshots are predicted at once, of larger structures fewer."""
_SECONDS_UNASKED = 300.0
"""The engine's time from which on it is to be asked for."""
BANDS = "bands:"
"""What the reference begins with to name a list of measured bands."""


def read_structure(request: StructureRequest, limits: Limits) -> Atoms:
    """The structure of a request; raises what reading or building raises, and for more atoms than are taken."""
    from clusterml.structure.read import read

    atoms = read(request.source().stream(), options=request.reading)
    check_size(atoms, limits)
    return atoms


def check_size(atoms: Atoms, limits: Limits) -> None:
    """Raise :class:`StructureError` for more atoms than the server takes."""
    if len(atoms) > limits.most_atoms:
        name = atoms.info.get("source") or atoms.info.get("name") or "structure"
        problem = f"{name}: {counted(len(atoms), 'atom')}, and this server takes {limits.most_atoms}"
        raise StructureError(problem, "use the command line, or a server started with a larger --most-atoms")


def inspect(request: StructureRequest, limits: Limits) -> dict[str, Any]:
    """What ``clusterml inspect --json`` says, and the clean cluster as ``geometry``, with the atoms (from 0) of its
    parts and ligands."""
    from clusterml.engine.charge import inspect as look

    read_structure(request, limits)
    result = look(request.source().stream(), options=request.reading)
    atoms = result.atoms.copy()
    atoms.info["charge"] = result.charge
    ligands = [{key: getattr(x, key) for key in ("name", "formula", "hand", "atoms")} for x in result.anatomy.ligands]
    return {**result.to_dict(), "geometry": {**geometry(atoms), "parts": result.anatomy.parts(), "ligands": ligands}}


def geometry(atoms: Atoms) -> dict[str, Any]:
    """A structure for programs and viewers: symbols, positions in A, bonds, and the text of its xyz file."""
    from clusterml.structure.bonds import bonds
    from clusterml.structure.write import extxyz

    pairs = bonds(atoms.numbers, atoms.positions)
    return {
        "name": str(atoms.info.get("name") or "structure"),
        "charge": atoms.info.get("charge"),
        "symbols": atoms.get_chemical_symbols(),
        "positions": atoms.positions.round(6).tolist(),
        "bonds": [[int(i), int(j)] for i, j in zip(pairs.first, pairs.second, strict=True)],
        "xyz": extxyz(atoms),
    }


def chirality(request: ChiralityRequest, limits: Limits) -> dict[str, Any]:
    """What ``clusterml chirality --json`` says."""
    from clusterml.chirality.report import chirality_report

    atoms = read_structure(request, limits)
    template = None if request.template == "none" else request.template
    report = chirality_report(
        atoms, groups=request.groups, template=template, parts=request.parts, keep_bonds=request.keep_bonds
    )
    return report.to_dict()


def substitute(request: SubstituteRequest, limits: Limits) -> dict[str, Any]:
    """The sites of a ligand, and the structure with others there: what ``clusterml substitute`` lists and writes."""
    import numpy as np

    from clusterml.structure.distort.substitute import find_sites
    from clusterml.structure.distort.substitute import substitute as exchange

    atoms = read_structure(request, limits)
    sites = [
        {"number": s.number, "atoms": s.atoms, "donors": s.donors, "metals": s.metals, "position": s.position}
        for s in find_sites(atoms, request.old)
    ]
    if request.new is None:
        if vain := request.model_fields_set & {"count", "sites", "seed", "sample", "warn_only"}:
            raise OptionError(f"{min(vain)} has no effect without new", "name the new ligand")
        return {"sites": sites, "substitutions": [], "geometry": geometry(atoms), "warnings": []}
    made = exchange(
        atoms, request.old, request.new, request.count,
        sites=request.sites, rng=np.random.default_rng(request.seed), sample=request.sample,
        problems="warn" if request.warn_only else "error",
    )  # fmt: skip
    check_size(made, limits)
    said, known = made.info["provenance"], len(atoms.info["provenance"]["warnings"])
    said["substitutions"][-1]["seed"] = request.seed
    changes = {"substitutions": said["substitutions"], "warnings": said["warnings"][known:]}
    return {"sites": sites, "geometry": geometry(made), **changes}


def compare(request: CompareRequest, limits: Limits) -> dict[str, Any]:
    """What ``clusterml compare --json`` says; its size is limited by that of the request.

    Raises what reading and comparing raise.
    """
    from clusterml.spectrum.compare import broaden_to
    from clusterml.spectrum.compare import compare as compare_spectra
    from clusterml.spectrum.export import SCHEMA_VERSION

    _refuse_vain(request)
    a, b = _spectrum(request.a, "a"), request.b
    names = {"schema_version": SCHEMA_VERSION, "a": request.a.name, "b": b if isinstance(b, str) else b.name}
    if isinstance(b, str):
        from clusterml.spectrum.bands import compare_bands

        a = a if request.fwhm is None else broaden_to(a, request.fwhm)
        return {**names, **compare_bands(a, b[len(BANDS) :], common_shift=request.fit_shift).to_dict()}
    most = 0.5 if request.max_shift is None else request.max_shift
    result = compare_spectra(a, _spectrum(b, "b"), request.fit_shift, request.fit_width, most, request.fwhm)
    return {**names, **result.to_dict()}


def spectrum(request: SpectrumRequest, limits: Limits) -> dict[str, Any]:
    """What ``compare`` reads of a file, as the block ``spectrum`` of all results, and as the text of another format."""
    from clusterml.spectrum.export import csv_text, jcamp_text, spectrum_block

    curve = _spectrum(request, "")
    texts = {"csv": csv_text, "jcamp": lambda each: jcamp_text(each, PurePath(request.name).stem)}
    text = None if request.export is None else texts[request.export](curve)
    warnings = curve.meta.get("warnings", ())
    return {"name": request.name, "spectrum": spectrum_block(curve), "warnings": list(warnings), "text": text}


def _refuse_vain(request: CompareRequest) -> None:
    if isinstance(request.b, str) and not request.b.lower().startswith(BANDS):
        raise OptionError(
            f"b is {request.b!r}", "give a file with name and text, or bands:SYSTEM such as bands:Ag29-BDT"
        )
    vain = []
    if request.max_shift is not None and (not request.fit_shift or isinstance(request.b, str)):
        vain.append("max_shift")
    if request.fit_width and isinstance(request.b, str):
        vain.append("fit_width")
    if vain:
        raise OptionError(f"{' and '.join(vain)} would change nothing here", "leave it out")


def _spectrum(file: SpectrumText, which: str) -> Spectrum:
    from clusterml.spectrum.measured import read_spectrum

    how: dict[str, Any] = {"columns": file.columns, "unit": file.unit, "block": file.block}
    return read_spectrum(file.stream(), file.concentration, file.path, f"-{which}" if which else "", **how)


def prepare(request: PredictRequest, predictor: Predictor, limits: Limits) -> PreparedStructure:
    """The structure of a request, ready for the network; raises what :meth:`Predictor.prepare` raises."""
    request.refuse_ignored("predict", output=None, as_json=True, engine="never")
    check_snapshots(request, limits)
    predictor.at_width(request.fwhm)  # refuses a width before the network runs
    atoms = read_structure(request, limits)
    _check_work(request, atoms, predictor, limits)
    how: dict[str, Any] = {"allow_several": request.allow_several, "thermal": request.thermal}
    return predictor.prepare(atoms, request.charge, check_charge=True, **how)


def check_snapshots(request: ThermalRequest, limits: Limits) -> None:
    """Raise :class:`OptionError` for more thermal snapshots than the server takes."""
    thermal = request.thermal
    if thermal is not None and thermal.members > limits.most_snapshots:
        raise OptionError(
            f"ensemble is {thermal.members}", f"this server takes {limits.most_snapshots} snapshots at most"
        )


def _check_work(request: PredictRequest, atoms: Atoms, predictor: Predictor, limits: Limits) -> None:
    """Raise :class:`OptionError` for so many snapshots of so many atoms that others would wait long for theirs."""
    most = limits.most_snapshots * _ATOMS_OF_SNAPSHOTS // len(atoms)
    if request.ensemble is not None and request.ensemble > most:
        problem = f"ensemble is {request.ensemble} for {counted(len(atoms), 'atom')}"
        raise OptionError(problem, f"this server takes {most} snapshots of so many, or use the command line")
    seconds = (request.ensemble or 1) * predictor.seconds_of_start(atoms)
    if seconds > limits.seconds:
        problem = f"{predictor.name} would take {duration(seconds)}, and this server gives {duration(limits.seconds)}"
        raise OptionError(problem, f"set model to {QUICK_MODEL}, ask for fewer snapshots, or use the command line")


def prediction_json(prediction: Prediction, fwhm_ev: float | None, *, quick: bool = False) -> dict[str, Any]:
    """What ``clusterml predict --engine never --json`` says; ``quick``: the part of it that takes no time."""
    from clusterml.inference.answer import Answer
    from clusterml.spectrum.compare import broaden_to

    if fwhm_ev is not None:
        thermal = None if prediction.thermal is None else broaden_to(prediction.thermal, fwhm_ev)
        prediction = replace(prediction, spectrum=broaden_to(prediction.spectrum, fwhm_ev), thermal=thermal)
    return prediction.brief() if quick else Answer("", prediction, None, prediction.warnings).to_dict()


def advice(prediction: Prediction, threads: int) -> dict[str, Any]:
    """Whether the engine should compute what the network predicted, as ``clusterml predict --engine auto`` decides."""
    from clusterml.inference.predict import advise_engine, why_engine

    reason = why_engine(prediction)
    return advise_engine(prediction.atoms, prediction.decision, reason, _SECONDS_UNASKED, threads).to_dict()


def advice_alone(atoms: Atoms, charge: int | None, refusal: OutsideNetworkError, threads: int) -> dict[str, Any]:
    """The same for ``atoms`` that the network does not take in; raises ChargeError for a charge without meaning."""
    from clusterml.engine.charge import resolve_charge
    from clusterml.inference.predict import advise_engine

    decision = resolve_charge(atoms, charge)
    return advise_engine(atoms, decision, refusal.problem, _SECONDS_UNASKED, threads).to_dict()


@cache
def ligands() -> list[dict[str, Any]]:
    """Every ligand of the library, with the elements of its donors."""
    from clusterml.structure.anatomy.library import load_library
    from clusterml.structure.build.conformers import donor_symbols

    keys = ("name", "smiles", "donors", "charge", "formula", "aliases", "hand", "kind")
    return [
        {**{key: getattr(entry, key) for key in keys}, "donor_elements": donor_symbols(entry)}
        for entry in load_library()
    ]


def blueprints() -> list[dict[str, Any]]:
    """Every blueprint, with what ``clusterml build --list`` says of it."""
    from clusterml.structure.build.blueprint import blueprints as known

    return [
        {
            "name": plan.name,
            "title": plan.title,
            "point_group": plan.point_group,
            "hands": list(plan.hands),
            "electrons": plan.electrons,
            "sites": list(dict.fromkeys(site.kind for site in plan.sites)),
            "ligands": plan.shells,
        }
        for plan in known().values()
    ]


@cache
def orbitals() -> list[dict[str, Any]]:
    """Every source of orbitals that computes them: its implicit solvents, and whether it takes minutes to hours."""
    from clusterml.engine.orbitals.source import SOURCES
    from clusterml.structure.solvents import SOLVENTS_OF, known_solvents

    return [
        {
            "name": source.name,
            "solvents": known_solvents("alpb", SOLVENTS_OF[source.name]) if source.name in SOLVENTS_OF else (),
            "slow": source.cost is not None,
        }
        for source in SOURCES.all()
        if not source.from_file
    ]


def bands() -> list[dict[str, str]]:
    """The clusters with published bands, for ``bands:NAME`` of ``compare``."""
    from clusterml.spectrum.bands import measured_systems

    return [{"name": name, "composition": composition} for name, composition in measured_systems().items()]


def modes() -> list[dict[str, Any]]:
    """Every distortion: name, unit, meaning, sign, range, what it needs, and whether amounts of several add up."""
    from clusterml.structure.distort.fields import FIELDS
    from clusterml.structure.distort.modes import MODES

    keys = ("name", "unit", "meaning", "sign", "low", "high", "typical", "mirrors", "needs", "seeded")
    rows = [{key: getattr(mode, key) for key in keys} for mode in MODES.values()]
    return [{**row, "adds_up": row["name"] in FIELDS} for row in rows]


@cache
def structures() -> list[dict[str, str | None]]:
    """The structures that travel with the program: name, address, formula with ligands, and the hand of the model."""
    from ase.io.extxyz import key_val_str_to_dict

    rows: list[dict[str, str | None]] = []
    for name, place in shipped_structures().items():
        address = f"{PREFIX}{place}"
        with open(locate(address), encoding="utf-8") as file:
            file.readline()
            info = key_val_str_to_dict(file.readline())
        rows.append({"name": name, "shipped": address, "title": info["name"], "hand": info["provenance"]["hand"]})
    return rows
