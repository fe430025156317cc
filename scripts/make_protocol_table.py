"""What label protocols are worth beside a reference: tables of docs/science/protocols.md, and the errors of labels.

    OMP_NUM_THREADS=1 nice python scripts/make_protocol_table.py FOLDER [DATASET ..] --fits FITS [--write]

A DATASET (default: datasets/dft-v1) holds geometries with reference spectra.  Each geometry is labelled under each
protocol (``--protocols``); a label is a file in FOLDER and is not computed again.  gfn1-pbe, which was fitted to such
records, is judged by fits without the family at hand, from the records that scripts/fit_gfn1.py prepared in FITS.
``--write`` puts the tables into the pages and what a label's error is made of into the package
(clusterml/engine/data/label_errors.json).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from statistics import mean, median
from typing import Any, get_args
from unittest.mock import patch

import numpy as np

import clusterml as cm
from clusterml.dataset.exchange import to_atoms
from clusterml.dataset.protocols import (
    ENERGIES_EV,
    SIGMAS,
    WIDTHS_EV,
    Held,
    Pair,
    cluster_mean,
    clusters_of,
    common_shift,
    coverage,
    error_factor,
    geometry_hash,
    held_out,
    held_out_shifts,
    measure,
    record_hash,
    slope_factor,
)
from clusterml.dataset.record import FWHM_EV, GRID_EV, Record
from clusterml.engine.label_error import (
    ErrorTable,
    Kind,
    Measured,
    cluster_kind,
    protocol_key,
    relative_error,
    sign_probability,
)
from clusterml.engine.orbitals import gfn1_pbe
from clusterml.engine.protocol import RESULTS, Protocol
from clusterml.errors import ClusterMLError
from clusterml.io.display import png_of
from clusterml.io.files import write_bytes, write_text
from clusterml.io.json import write_json
from clusterml.spectrum.compare import broaden_to
from clusterml.spectrum.plot import FILE_DPI
from clusterml.spectrum.spectrum import Spectrum

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/images/protocols.png"
PAGES = (ROOT / "docs/science/protocols.md", ROOT / "docs/science/how-far-to-trust.md")
DATA = ROOT / "src/clusterml/engine/data/label_errors.json"
PROTOCOLS = "gfn1,gfn1:methanol,gfn1-pbe,gfn2,stda-xtb,stda-xtb:reference,dft:pbe,dft:pbe:def2-svp,dft:cam-b3lyp"
REFIT, RIDGE = "gfn1-pbe", 1e-4
"""The protocol that was fitted to the reference set, and the ridge of its fit."""
CLUSTERS: dict[Kind, str] = {"superatom": "superatoms", "silver(I) complex": "silver(I) complexes"}
KINDS: tuple[Kind, ...] = get_args(Kind)
SHOWN_WIDTHS_EV = (0.2, 0.3)
FIGURE_EV = 0.3
"""Width of the bands of the picture."""
DFT_BASIS, DFT_ATOMS = "lanl2dz", 30
"""Of other functionals, for silver(I) complexes of so many atoms at most."""
ERROR_WIDTH_EV = 0.2
"""Width of the bands of the tables about errors."""
SHOWN_EV = (2.0, 3.0, 4.0, 5.0)
_RANGES = ((0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 1.01))


def read_protocols(text: str) -> list[Protocol]:
    """Sources of orbitals, behind a colon a solvent, the reference mode of stda-xtb, or the functional of dft, behind
    another its basis."""
    base = Protocol(fwhm_ev=FWHM_EV)
    protocols = []
    for word in text.split(","):
        orbitals, _, behind = word.strip().partition(":")
        how: dict[str, Any] = {"solvent": behind or None}
        if orbitals == "dft":
            functional, _, basis = behind.partition(":")
            how = {"xc": functional or None, "basis": basis or DFT_BASIS}
        elif behind == "reference":
            how = {"mode": behind}
        protocols.append(base.but(orbitals=orbitals, **how))
    return protocols


class HeldOutFits:
    """Coefficients of gfn1-pbe for records of the reference set, fitted to the records of other families.

    ``folder``: the records as scripts/fit_gfn1.py prepared them.
    """

    def __init__(self, folder: Path) -> None:
        from refit.regression import Equations

        self._equations = [Equations.load(path) for path in sorted(folder.glob("*.npz"))]

    @lru_cache(maxsize=None)  # noqa: B019, UP033 - one object a run
    def terms(self, family: str) -> dict[str, float] | None:
        """Without the group of ``family``; None where the fit has seen none of it."""
        from fit_gfn1 import GROUPS, WEIGHTS, group_of
        from refit.regression import solve

        group = GROUPS.get(family, family)
        others = [equations for equations in self._equations if group_of(equations) != group]
        return None if len(others) == len(self._equations) else solve(others, RIDGE, GROUPS, WEIGHTS)


@dataclass(frozen=True)
class Labels:
    """Labels of records: from files in ``folder``, or computed (``anew``); those of gfn1-pbe with ``fits``."""

    folder: Path
    anew: bool = True
    fits: HeldOutFits | None = None

    def of(self, record: Record, protocol: Protocol) -> tuple[Spectrum, float] | None:
        """Spectrum and gap of a record's geometry; None without a ground state, or where none is to be computed."""
        path = self.folder / f"{record.id}-{protocol_key(protocol)}.json"
        made_of: dict[str, Any] = {"geometry": geometry_hash(record), "results": RESULTS}
        terms = self.fits.terms(record.family) if self.fits is not None and protocol.orbitals == REFIT else None
        if terms is not None:
            made_of["terms"] = {name: float(f"{value:.5g}") for name, value in terms.items()}
        values = json.loads(path.read_text()) if path.is_file() else {}
        if {key: values.get(key) for key in made_of} != made_of:
            if not self.anew:
                return None
            print(f"{record.id}: {protocol_key(protocol)}", flush=True)
            data = {**gfn1_pbe.fitted(), "terms": terms}
            with nullcontext() if terms is None else patch.object(gfn1_pbe, "fitted", lambda: data):
                values = label_values(record, protocol)
            write_json(made_of | values, path)
        if "problem" in values:
            return None
        epsilon, cd = (np.array(values[key]) for key in ("epsilon", "delta_epsilon"))
        return Spectrum(GRID_EV, epsilon, cd, meta={"fwhm_ev": protocol.fwhm_ev}), values["gap_ev"]


def label_values(record: Record, protocol: Protocol) -> dict[str, Any]:
    """The label of a record's geometry as plain values, or the problem."""
    try:
        label = cm.label(to_atoms(record), record.charge, protocol, groups={}, grid=GRID_EV)
    except ClusterMLError as error:
        return {"problem": error.problem}
    return {
        "epsilon": label.spectrum.epsilon.tolist(),
        "delta_epsilon": label.spectrum.delta_epsilon.tolist(),
        "gap_ev": float(label.orbitals.raw_gap_ev),
    }


def pairs_of(records: Iterable[Record], protocol: Protocol, labels: Labels) -> dict[float, list[Pair]]:
    """Width -> the geometries that have a label under ``protocol``."""
    pairs: dict[float, list[Pair]] = {width: [] for width in WIDTHS_EV}
    for record in records:
        kind = cluster_kind(to_atoms(record), record.charge)
        if kind is None or (protocol.orbitals == "dft" and (kind == "superatom" or record.n_atoms > DFT_ATOMS)):
            continue
        result = labels.of(record, protocol)
        if result is None:
            continue
        theirs = Spectrum(GRID_EV, record.epsilon, record.delta_epsilon, meta={"fwhm_ev": record.fwhm_ev})
        gaps = record.gap_ev, result[1]
        for width, of_width in pairs.items():
            of_width.append(Pair(record, kind, broaden_to(theirs, width), broaden_to(result[0], width), gaps))
    return pairs


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows))


AGREEMENT = (
    "clusters",
    "protocol",
    "clusters, geometries",
    "absorption: as it is, common, own shift",
    "CD: as it is, common, own shift (of the mirror image)",
    "common shift / eV",
    "spread of own shifts / eV",
    "first band, median error / eV",
    "gap, mean error / eV",
    "strongest signs right / %: as it is, common",
)


def agreement(kinds: str, protocol: str, pairs: Sequence[Pair]) -> list[str]:
    """A row: means over clusters, of the CD over those that have one; ``common``: at the shift of other families."""
    chiral = [pair for pair in pairs if pair.chiral]
    of_others = held_out_shifts(pairs)
    shifts: tuple[Callable[[Pair], float], ...] = (
        lambda _: 0.0,
        lambda pair: of_others.get(pair.record.family, np.nan),
        lambda pair: pair.own_shift,
    )

    def means(of: Sequence[Pair], quantity: int, form: str) -> str:
        return ", ".join(_number(cluster_mean(of, _cosine(quantity, shift)), form) for shift in shifts)

    right = ", ".join(_number(100.0 * cluster_mean(chiral, _signs(shift)), ".0f") for shift in shifts[:2])
    bands = [error for pair in pairs if np.isfinite(error := abs(pair.first_band()))]
    gap = cluster_mean(pairs, lambda pair: pair.gaps[1] - pair.gaps[0])
    spread = float(np.std([pair.own_shift for pair in pairs]))
    return [
        kinds,
        protocol,
        f"{clusters_of(pairs)}, {len(pairs)}",
        means(pairs, 0, ".2f"),
        f"{means(chiral, 1, '+.2f')} ({cluster_mean(chiral, mirror_cosine):+.2f})" if chiral else "-",
        f"{common_shift(pairs):+.2f}",
        f"{spread:.2f}",
        f"{median(bands):.2f}" if bands else "-",
        f"{gap:+.2f}",
        right if chiral else "-",
    ]


def mirror_cosine(pair: Pair) -> float:
    """Of the CD with the mirror image of the reference, at the shift that fits it best."""
    return pair.mirrored.cosines(pair.mirrored.own_shift)[1]


SUMMARY = (
    "clusters",
    "protocol",
    "clusters, geometries",
    "absorption",
    "CD",
    "CD, own shift",
    "the same, mirror image",
    "strongest signs right / %",
)


def summary(kinds: str, protocol: str, pairs: Sequence[Pair]) -> list[str]:
    """A row of the short table, of chiral geometries."""
    values = [
        _number(cluster_mean(pairs, lambda pair: pair.cosines(0.0)[0]), ".2f"),
        _number(cluster_mean(pairs, lambda pair: pair.cosines(0.0)[1]), "+.2f"),
        _number(cluster_mean(pairs, lambda pair: pair.cosines(pair.own_shift)[1]), "+.2f"),
        _number(cluster_mean(pairs, mirror_cosine), "+.2f"),
        _number(100.0 * cluster_mean(pairs, lambda pair: pair.right_signs(0.0)), ".0f"),
    ]
    return [kinds, protocol, f"{clusters_of(pairs)}, {len(pairs)}", *values]


def _number(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "-"


def _cosine(quantity: int, shift: Callable[[Pair], float]) -> Callable[[Pair], float]:
    return lambda pair: pair.cosines(shift(pair))[quantity]


def _signs(shift: Callable[[Pair], float]) -> Callable[[Pair], float]:
    return lambda pair: pair.right_signs(shift(pair))


@dataclass(frozen=True, eq=False)
class Study:
    """``records`` of a reference set, and protocol -> width -> pairs."""

    records: list[Record]
    pairs: dict[str, dict[float, list[Pair]]]

    @classmethod
    def of(cls, records: list[Record], protocols: Sequence[Protocol], labels: Labels) -> Study:
        """Pairs of all records with their labels."""
        return cls(records, {protocol_key(p): pairs_of(records, p, labels) for p in protocols})

    def of_kind(self, protocol: str, kind: Kind) -> dict[float, list[Pair]]:
        """Width -> pairs."""
        return {w: [p for p in pairs if p.kind == kind] for w, pairs in self.pairs[protocol].items()}

    @cached_property
    def judged(self) -> dict[Kind, dict[str, list[Held]]]:
        """Kind -> protocol -> its held-out clusters, bands of ``ERROR_WIDTH_EV``."""
        return {k: {name: held_out(self.of_kind(name, k)[ERROR_WIDTH_EV]) for name in self.pairs} for k in KINDS}

    @cached_property
    def factors(self) -> dict[Kind, float]:
        """Kind -> that of the errors, of all protocols together; other functionals have a part in the page alone."""
        every = {
            kind: [held for name, parts in judged.items() if not name.startswith("dft") for held in parts]
            for kind, judged in self.judged.items()
        }
        return {kind: error_factor(judged) for kind, judged in every.items()}

    def of_slope(self, kind: Kind, protocol: str) -> float:
        """The factor of a protocol's slopes."""
        return slope_factor(self.judged[kind][protocol])

    def error_table(self, dataset: str, method: str) -> ErrorTable:
        """What the program keeps."""
        protocols: dict[str, dict[Kind, Measured]] = {}
        for protocol in (name for name in self.pairs if not name.startswith("dft")):
            of_kinds = {
                kind: measure(self.of_kind(protocol, kind), self.factors[kind], self.of_slope(kind, protocol))
                for kind in KINDS
            }
            if kinds := {kind: measured for kind, measured in of_kinds.items() if measured is not None}:
                protocols[protocol] = kinds
        return ErrorTable(
            dataset=dataset,
            method=method,
            records={record.id: record_hash(record) for record in sorted(self.records, key=lambda r: r.id)},
            metals=max(int((r.numbers == 47).sum()) for r in self.records),
            widths_ev=WIDTHS_EV,
            energies_ev=ENERGIES_EV,
            protocols=protocols,
        )

    def tables(self, errors: ErrorTable) -> dict[str, str]:
        """Name of a table -> markdown."""
        agreements = {f"bands of {w:g} eV": table(AGREEMENT, self._agreements(w)) for w in SHOWN_WIDTHS_EV}
        signs = [
            (sign_probability(self.of_slope(kind, name), slope_times_height, 1.0), right)
            for kind, of_kind in self.judged.items()
            for name, judged in of_kind.items()
            for held in judged
            for slope_times_height, right in held.signs
        ]
        return {
            **agreements,
            "summary": table(SUMMARY, self._summary()),
            "errors": table(ERRORS, error_rows(errors)),
            "coverage": table(COVERED, self._coverage()),
            "signs": table(("stated", "bands", "mean", "right"), sign_rows(signs)),
        }

    def _agreements(self, width: float) -> Iterable[list[str]]:
        for kind in KINDS:
            for name in self.pairs:
                if pairs := self.of_kind(name, kind)[width]:
                    yield agreement(CLUSTERS[kind], name, pairs)
        yield from (agreement("all", name, pairs[width]) for name, pairs in self.pairs.items() if pairs[width])

    def _summary(self) -> Iterable[list[str]]:
        """All protocols, and the usual one on the geometries that other functionals have too."""
        chiral = {
            (kind, name): [pair for pair in self.of_kind(name, kind)[FIGURE_EV] if pair.chiral]
            for kind in KINDS
            for name in self.pairs
        }
        small = {pair.record.id for (_, name), pairs in chiral.items() if name.startswith("dft") for pair in pairs}
        for (kind, name), pairs in chiral.items():
            if pairs:
                yield summary(CLUSTERS[kind], name, pairs)
        for name in (name for name in self.pairs if small and not name.startswith("dft")):
            if same := [pair for kind in KINDS for pair in chiral[kind, name] if pair.record.id in small]:
                yield summary("those of the functionals", name, same)

    def _coverage(self) -> Iterable[list[str]]:
        for kind in KINDS:
            factor = self.factors[kind]
            for name, judged in self.judged[kind].items():
                if judged:
                    shares = [coverage(judged, f, s) for f, s in ((factor, 1.0), (factor, SIGMAS), (1.0, SIGMAS))]
                    yield [CLUSTERS[kind], f"{factor:.2f}", name, *(f"{100.0 * share:.0f} %" for share in shares)]


COVERED = ("clusters", "factor", "protocol", "within one error", "within 1.645", "within 1.645, without the factor")
ERRORS = ("clusters", "protocol", *(f"at {e:g} eV" for e in SHOWN_EV), "sign of a band of 1, 2, 3 local scales")


def error_rows(errors: ErrorTable) -> Iterable[list[str]]:
    """Errors in units of the local scale, and the probability of a right sign."""
    for kind in KINDS:
        for name, kinds in errors.protocols.items():
            if kind in kinds:
                relative = relative_error(errors, kinds[kind], np.array(SHOWN_EV), ERROR_WIDTH_EV)
                slope = float(errors.at_width(kinds[kind].sign_slope, ERROR_WIDTH_EV))
                signs = ", ".join(f"{sign_probability(slope, z, 1.0):.2f}" for z in (1.0, 2.0, 3.0))
                yield [CLUSTERS[kind], name, *(f"{e:.2f}" for e in relative), signs]


def sign_rows(signs: Sequence[tuple[float, bool]]) -> Iterable[list[str]]:
    """Stated probabilities of signs of held-out clusters beside the share that is right."""
    for low, high in _RANGES:
        inside = [(p, right) for p, right in signs if low <= p < high]
        if inside:
            right, stated = sum(right for _, right in inside), mean(p for p, _ in inside)
            share = f"{right} = {right / len(inside):.2f}"
            yield [f"{low:.2f} to {min(high, 1.0):.2f}", str(len(inside)), f"{stated:.2f}", share]


def draw(study: Study, path: Path) -> None:
    """Save a picture: the CD cosine of every geometry with the reference under each protocol, one panel a kind."""
    from matplotlib.figure import Figure

    rows = {k: [(n, [p for p in study.of_kind(n, k)[FIGURE_EV] if p.chiral]) for n in study.pairs] for k in KINDS}
    shown = {kind: [(name, pairs) for name, pairs in named if pairs] for kind, named in rows.items()}
    heights = [len(named) + 1 for named in shown.values()]
    figure = Figure(figsize=(6.6, 0.9 + 0.27 * sum(heights)), layout="constrained", dpi=100)
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (kind, named) in zip(panels, shown.items(), strict=True):
        for row, (_, pairs) in enumerate(named):
            plain = [pair.cosines(0.0)[1] for pair in pairs]
            moved = [pair.cosines(pair.own_shift)[1] for pair in pairs]
            style = {"ls": "", "marker": "o", "ms": 4.0, "alpha": 0.8}
            axes.plot(plain, [row] * len(plain), color="#0072B2", label="as it is", **style)
            axes.plot(moved, [row + 0.25] * len(moved), color="#E69F00", mfc="none", label="own shift", **style)
            axes.plot([cluster_mean(pairs, lambda p: p.cosines(0.0)[1])] * 2, [row - 0.3, row + 0.3], color="black")
        axes.set_yticks(range(len(named)), [name for name, _ in named])
        axes.set_ylim(len(named) - 0.4, -0.6)
        axes.axvline(0.0, color="black", lw=0.6)
        axes.set_title(CLUSTERS[kind], fontsize="medium")
    panels[-1].set_xlim(-1.02, 1.02)
    panels[-1].set_xlabel(f"cosine of the CD with that of the reference, bands of {FIGURE_EV:g} eV")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles[:2], labels[:2], loc="outside lower center", ncols=2, frameon=False)
    write_bytes(path, png_of(figure, FILE_DPI))


def read_records(folders: Sequence[Path]) -> list[Record]:
    """The records of several datasets, each name once."""
    return list({record.id: record for folder in folders for record in cm.Dataset(folder)}.values())


def fill(page: str, tables: dict[str, str]) -> str:
    """``page`` with each table between the comments that name it; those that it does not name are left out."""
    for name, content in tables.items():
        begin, end = f"<!-- table: {name} -->", "<!-- end of table -->"
        head, marker, rest = page.partition(begin)
        if marker:
            page = f"{head}{begin}\n\n{content}\n\n{end}{rest.partition(end)[2]}"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("datasets", type=Path, nargs="*", default=[ROOT / "datasets/dft-v1"])
    parser.add_argument("--protocols", default=PROTOCOLS)
    parser.add_argument("--name", default="dft-v1", help="of the dataset that the records belong to")
    parser.add_argument("--method", default="PBE", help="what the reference is called")
    parser.add_argument("--write", action="store_true", help="into the page and the package")
    parser.add_argument("--fits", type=Path, help="the --work folder of scripts/fit_gfn1.py, for gfn1-pbe")
    parser.add_argument("--kept", action="store_true", help="take the labels in FOLDER, and compute none")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    records, protocols = read_records(chosen.datasets), read_protocols(chosen.protocols)
    if chosen.fits is None and any(protocol.orbitals == REFIT for protocol in protocols):
        parser.error(f"{REFIT} was fitted to these records: --fits FOLDER leaves each family out of its own fit")
    fits = None if chosen.fits is None else HeldOutFits(chosen.fits)
    study = Study.of(records, protocols, Labels(chosen.folder, not chosen.kept, fits))
    errors = study.error_table(chosen.name, chosen.method)
    tables = study.tables(errors)
    for name, content in tables.items():
        print(f"\n{name}\n\n{content}")
    if chosen.write:
        write_text(DATA, json.dumps(errors.model_dump(), indent=1) + "\n")
        from make_figures import with_few_colours

        draw(study, PICTURE)
        PICTURE.write_bytes(with_few_colours(PICTURE.read_bytes(), 32))
        for page in PAGES:
            write_text(page, fill(page.read_text(encoding="utf-8"), tables))


if __name__ == "__main__":
    main()
