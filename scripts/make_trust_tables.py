"""Thermal means by several protocols, and measured bands: tables of docs/science/how-far-to-trust.md.

    OMP_NUM_THREADS=1 nice python scripts/make_trust_tables.py FOLDER [--structures DIR] [--write]

Each spectrum is a file in FOLDER and is not computed again, unless geometry, protocol or results are others.  DIR may
hold published geometries that are not part of the project (``Ag25_methylthiol.xyz``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from ase import Atoms

import clusterml as cm
from clusterml.dataset.protocols import geometry_hash
from clusterml.engine.protocol import RESULTS, Protocol, ThermalEnsemble
from clusterml.errors import ElectronicStructureError
from clusterml.io.files import write_text
from clusterml.io.json import write_json
from clusterml.spectrum.bands import compare_bands, measured_bands
from clusterml.spectrum.compare import broaden_to
from clusterml.spectrum.fit import cosine
from clusterml.spectrum.peaks import find_bands
from clusterml.spectrum.spectrum import Spectrum
from make_protocol_table import ROOT, fill, read_protocols, table
from make_tddft_table import chiral_carboxylate

PAGE = ROOT / "docs/science/how-far-to-trust.md"
MODELS = "shipped:datasets/structures"
AG14 = "shipped:datasets/dft-v1/parents/ag14_sh_ph3.xyz"
WIDTH_EV = 0.2
EMAX_EV = 5.5
ENSEMBLE = ThermalEnsemble(members=24, temperature_k=300.0)
WINDOW_EV = (1.2, 5.2)
AXES = ("energy_ev", "epsilon", "delta_epsilon")
LEAST = 0.05
"""Bands below this share of the highest in the window are not listed."""


@dataclass(frozen=True)
class Sample:
    """A cluster and the protocols it is computed with; ``measured``: a system with measured bands, or bands in nm;
    ``charge``: None for that of the geometry."""

    name: str
    atoms: Callable[[], Atoms]
    protocols: str
    measured: str | tuple[int, ...] = ""
    charge: int | None = None


@cache
def relaxed_ag44() -> Atoms:
    """[Ag44(SH)30]4- relaxed by GFN1-xTB from the model as built; a minute."""
    return cm.relax(cm.build("ag44")).atoms


QUICK_AND_PBE = "gfn1,gfn1:methanol,gfn1-pbe,gfn2,stda-xtb,dft:pbe:def2-tzvp"
THERMAL = (
    Sample("[Ag29(SH)24(PH3)4]3-", lambda: cm.read(f"{MODELS}/ag29_sh_ph3_R.xyz"), "gfn1,gfn1:methanol,gfn1-pbe"),
    Sample("[Ag25(SH)18]-", lambda: cm.build("ag25", thiolate="SH"), "gfn1,gfn1:methanol,gfn1-pbe"),
    Sample("Ag2(HCOO)(CHFClCOO)", chiral_carboxylate, QUICK_AND_PBE),
    Sample("Ag3(SCH3)3", lambda: cm.build("ag3", thiolate="SCH3"), QUICK_AND_PBE),
)
MEASURED = (
    Sample("[Ag25(SCH3)18]-, model", lambda: cm.read(f"{MODELS}/ag25_sch3.xyz"), "gfn1,gfn1:methanol,gfn1-pbe", "Ag25"),
    Sample(
        "[Ag29(BDT)12(PH3)4]3-, model", lambda: cm.read(f"{MODELS}/ag29_bdt_ph3_R.xyz"), "gfn1,gfn1-pbe", "Ag29-BDT"
    ),
    Sample("[Ag29(SH)24(PH3)4]3-, model", lambda: cm.read(f"{MODELS}/ag29_sh_ph3_R.xyz"), "gfn1,gfn1-pbe", "Ag29-BDT"),
    Sample("[Ag33(SH)24(PH3)11]+, model", lambda: cm.read(f"{MODELS}/ag33_sh_ph3_R.xyz"), "gfn1,gfn1-pbe", "Ag33"),
    Sample("[Ag44(SH)30]4-, as built", lambda: cm.build("ag44"), "gfn1,gfn1-pbe", (833, 641, 535, 483, 411, 374)),
    Sample("[Ag44(SH)30]4-, relaxed", relaxed_ag44, "gfn1,gfn1-pbe", (833, 641, 535, 483, 411, 374)),
    Sample("Ag14(SH)12(PH3)8, model", lambda: cm.read(AG14), "gfn1,gfn1-pbe", (530, 368), 0),
)


def spectrum_of(sample: Sample, protocol: Protocol, ensemble: ThermalEnsemble | None, folder: Path) -> Spectrum:
    """The spectrum at ``WIDTH_EV``, from its file or computed; with an ``ensemble`` the thermal mean."""
    word = "".join(letter for letter in sample.name if letter.isalnum())
    kind = "static" if ensemble is None else f"mean-{ensemble.members}-{ensemble.temperature_k:g}"
    path = folder / f"{word}-{protocol.name}-{protocol.mode}-{kind}.json"
    atoms, full = sample.atoms(), protocol.but(ensemble=ensemble, emax_ev=EMAX_EV)
    made_of = {"geometry": geometry_hash(atoms), "charge": sample.charge, "protocol": full.model_dump(mode="json")}
    made_of["results"] = RESULTS
    kept = json.loads(path.read_text()) if path.is_file() else {}
    if {key: kept.get(key) for key in made_of} != made_of:
        print(f"{sample.name}: {protocol.name}, {kind}", flush=True)
        spectrum = cm.label(atoms, sample.charge, full, groups={}).spectrum
        kept = made_of | {key: getattr(spectrum, key).tolist() for key in AXES}
        write_json(kept, path)
    return broaden_to(
        Spectrum(**{key: np.array(kept[key]) for key in AXES}, meta={"fwhm_ev": protocol.fwhm_ev}), WIDTH_EV
    )


def likeness(a: Spectrum, b: Spectrum) -> tuple[float, float]:
    """Cosines of absorption and CD in the window."""
    inside = (a.energy_ev >= WINDOW_EV[0]) & (a.energy_ev <= WINDOW_EV[1])
    absorption, cd = (cosine(getattr(a, key)[inside], getattr(b, key)[inside]) for key in ("epsilon", "delta_epsilon"))
    return absorption, cd


def thermal_rows(folder: Path) -> Iterable[list[str]]:
    """Each pair of protocols: cosines of the static spectra and of the thermal means."""
    for sample in THERMAL:
        spectra = {
            protocol.name: [spectrum_of(sample, protocol, ensemble, folder) for ensemble in (None, ENSEMBLE)]
            for protocol in read_protocols(sample.protocols)
        }
        for first, second in combinations(spectra, 2):
            static, mean = (likeness(a, b) for a, b in zip(spectra[first], spectra[second], strict=True))
            silent = np.abs(spectra[first][0].delta_epsilon).max() < 1e-5 * spectra[first][0].epsilon.max()
            cd = "-" if silent else f"{static[1]:+.2f}"
            cells = [f"{static[0]:.3f}, {mean[0]:.3f}", f"{cd}, {mean[1]:+.2f}"]
            yield [sample.name, f"{first}, {second}", *cells]
        for name, (static_spectrum, mean_spectrum) in spectra.items():
            largest = [float(np.abs(s.delta_epsilon).max()) for s in (static_spectrum, mean_spectrum)]
            alike = likeness(static_spectrum, mean_spectrum)
            cells = [f"{alike[0]:.3f}", f"{alike[1]:+.2f}; largest {largest[0]:.0f}, {largest[1]:.0f}"]
            yield [sample.name, f"{name}: at rest, mean", *cells]


def measured_rows(samples: Sequence[Sample], folder: Path) -> Iterable[list[str]]:
    """Measured and computed absorption bands in nm, and how well they match after one shift."""
    for sample in samples:
        for protocol in read_protocols(sample.protocols):
            try:
                spectrum = spectrum_of(sample, protocol, None, folder)
            except ElectronicStructureError as error:
                yield [sample.name, "", protocol.name, error.problem, "-", "-", "-"]
                continue
            nm, match = matched(spectrum, sample.measured)
            cells = [", ".join(f"{n:.0f}" for n in nm), protocol.name, ", ".join(computed(spectrum, sample.measured))]
            yield [sample.name, *cells, *match]


def shown_quantity(measured: str | tuple[int, ...]) -> str:
    """What the table lists of a system: absorption bands, or those of the CD where no others are known."""
    known = {band.quantity for band in measured_bands(measured)} if isinstance(measured, str) else {"absorption"}
    return "absorption" if "absorption" in known else "cd"


def computed(spectrum: Spectrum, measured: str | tuple[int, ...]) -> list[str]:
    """The computed bands in the window that are not weak, in nm, those of the CD with their sign."""
    cd = shown_quantity(measured) == "cd"
    bands = find_bands(spectrum, "delta_epsilon" if cd else "epsilon")
    bands = [band for band in bands if WINDOW_EV[0] <= band.energy_ev <= WINDOW_EV[1]]
    highest = max(abs(band.height) for band in bands)
    shown = [band for band in bands if abs(band.height) >= LEAST * highest]
    return [f"{band.wavelength_nm:.0f}" + (" -+"[int(np.sign(band.height))] if cd else "") for band in shown]


def matched(spectrum: Spectrum, measured: str | tuple[int, ...]) -> tuple[Sequence[float], list[str]]:
    """The measured bands in nm; the shift that fits best, how many bands match after it, and the chance."""
    if not isinstance(measured, str):
        return measured, ["-"] * 3
    result = compare_bands(spectrum, measured)
    quantity = shown_quantity(measured)
    nm = sorted((m.measured.nm for m in result.matches if m.measured.quantity == quantity), reverse=True)
    deviation = "-" if result.mean_deviation_ev is None else f"{result.mean_deviation_ev:.3f}"
    count = f"{result.n_matched} of {len(result.matches)}, {deviation}"
    return nm, [f"{result.shift_ev:+.2f}", count, f"{result.chance:.2f}"]


THERMAL_HEADINGS = ("cluster", "protocols", "absorption: at rest, mean", "CD: at rest, mean")
MEASURED_HEADINGS = (
    "geometry",
    "measured / nm",
    "protocol",
    "computed / nm",
    "shift / eV",
    "matched, mean deviation / eV",
    "chance",
)


def published(folder: Path | None) -> list[Sample]:
    """Geometries that are not part of the project, where they are."""
    if folder is None:
        return []
    both = "gfn1,gfn1-pbe"
    return [
        Sample("[Ag25(SCH3)18]-, published", lambda: cm.read(folder / "Ag25_methylthiol.xyz"), both, "Ag25"),
        Sample("[Au25(SR)18]-, published", lambda: cm.read(folder / "au25_pet18_opt.xyz"), "gfn1", (690, 450, 400), -1),
        Sample("Au38(SC2H4Ph)24, published", lambda: cm.read(folder / "au38_pet24q_opt.xyz"), both, "Au38", 0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--structures", type=Path, help="folder of published geometries")
    parser.add_argument("--write", action="store_true", help="into the page")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    samples = [*MEASURED, *published(chosen.structures)]
    tables = {
        "measured": table(MEASURED_HEADINGS, measured_rows(samples, chosen.folder)),
        "thermal": table(THERMAL_HEADINGS, thermal_rows(chosen.folder)),
    }
    for name, content in tables.items():
        print(f"\n{name}\n\n{content}")
    if chosen.write:
        write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), tables))


if __name__ == "__main__":
    main()
