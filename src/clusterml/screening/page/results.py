"""A results folder read back: the contract of guide/results.md, and nothing else, is what a report is made from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.config.schema import validated
from clusterml.errors import InputFileError
from clusterml.io.files import read_text
from clusterml.io.json import parse_json
from clusterml.screening.config import Screen
from clusterml.screening.folder import RANKED, RUN, SPECTRA, TOP, VERIFIED
from clusterml.screening.space import Space
from clusterml.screening.spectra import ENGINE
from clusterml.screening.trends import TRENDS, Trend, read_trends
from clusterml.screening.verification import FOLDER
from clusterml.spectrum.export import read_spectrum
from clusterml.spectrum.significance import SIGN_WORDS
from clusterml.spectrum.spectrum import Spectrum

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class RankedRow:
    """A line of ranked.csv: the cells by column, the ``recipe``, and ``values`` (value, standard deviation or None) by
    line of the screen."""

    cells: dict[str, str]
    recipe: dict[str, Any]
    values: dict[str, tuple[float, float | None]]

    @property
    def number(self) -> int:
        """Number of the candidate."""
        return int(self.cells["number"])

    @property
    def name(self) -> str:
        """Name of the candidate, and of its files."""
        return self.cells["name"]

    @property
    def sign(self) -> str:
        """How certain the sign of its strongest CD is, in words; empty in results that do not say."""
        words = self.cells.get("sign", "")
        return f"CD {words}" if words in ("not significant", "unknown") else words

    @property
    def is_sure(self) -> bool:
        """Is the sign certain, or is there no CD?"""
        return self.sign.startswith(SIGN_WORDS) or self.sign == "no CD"

    @property
    def flags(self) -> list[str]:
        """Warnings: out of domain, constraints that it violates."""
        flags = {"no": ["out of domain"]}.get(self.cells["in_domain"], [])
        return flags + [f"violates {name}" for name in self.cells["violated"].split("+") if name]


@dataclass(frozen=True)
class TopCandidate:
    """A top candidate: its row, geometry and spectra; a spectrum that the folder lacks is None.

    ``by_engine``: are spectrum and that of the parent labels?
    """

    ranked: RankedRow
    atoms: Atoms
    spectrum: Spectrum | None
    parent: Spectrum | None
    verified: Spectrum | None
    by_engine: bool = False


class Results:
    """The results of a screen in ``folder``.

    Raises :class:`InputFileError` naming the file for one that is missing (a screen that has not ended yet) or damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / RUN).is_file():
            raise InputFileError(f"{folder}: holds no results of a screen (no {RUN})", "give the folder of a screen")
        self.run: dict[str, Any] = parse_json(read_text(self.folder / RUN), str(self.folder / RUN))
        if not (self.folder / RANKED).is_file():
            state = self.run.get("status", "running")
            raise InputFileError(f"{folder}: has no {RANKED}, its status is '{state}'", "finish it with --resume")
        try:
            self.config: dict[str, Any] = dict(self.run["config"])
            self.lines: list[dict[str, Any]] = list(self.run["lines"])
            self.ranked = _table(read_text(self.folder / RANKED), [line["name"] for line in self.lines])
        except (KeyError, TypeError, ValueError) as error:
            raise InputFileError(f"{folder}: {RUN} and {RANKED} are damaged ({error!r})", "run it again") from error

    @property
    def objectives(self) -> list[dict[str, Any]]:
        """The lines that are objectives, with ``goal``."""
        return [line for line in self.lines if "goal" in line]

    @property
    def by_engine(self) -> bool:
        """Did labels rank the candidates?"""
        return bool(self.run["provenance"]["model"] == ENGINE)

    @cached_property
    def verification(self) -> dict[str, Any] | None:
        """The content of verified.json, or None."""
        path = self.folder / VERIFIED
        return parse_json(read_text(path), str(path)) if path.is_file() else None

    @cached_property
    def trends(self) -> list[Trend]:
        """The content of trends.csv; empty where a user gave the candidates."""
        path = self.folder / TRENDS
        if not path.is_file():
            return []
        try:
            return read_trends(read_text(path))
        except (KeyError, TypeError, ValueError) as error:
            raise InputFileError(f"{path} is damaged ({error!r})", "run the screen again with --resume") from error

    def top_candidates(self, most: int) -> list[TopCandidate]:
        """The first ``most`` candidates of top.extxyz, in its order."""
        from clusterml.structure.read import read_all

        path = self.folder / TOP
        candidates = []
        for atoms in islice(read_all(path), most) if path.is_file() else []:
            rank = atoms.info.get("provenance", {}).get("screening", {}).get("rank")
            if not isinstance(rank, int) or not 0 < rank <= len(self.ranked):
                raise InputFileError(f"{path}: a structure has no rank of {RANKED}", "run the screen again")
            row = self.ranked[rank - 1]
            atoms.info["name"] = row.name
            parent = self._parent(row.number)
            spectra = (f"{SPECTRA}/{row.name}", f"{SPECTRA}/parent_{parent}", f"{FOLDER}/{row.name}")
            spectrum, parent_spectrum, verified = map(self._spectrum, spectra)
            label = None if self.by_engine else verified
            candidates.append(TopCandidate(row, atoms, spectrum, parent_spectrum, label, self.by_engine))
        return candidates

    def _parent(self, number: int) -> str:
        """Name of a candidate's parent in the folder ``spectra``."""
        space = self._space
        return "reference" if space is None else space.recipe(number).variant.name

    @cached_property
    def _space(self) -> Space | None:
        """The candidates of the screen; None where a user's iterable gave them."""
        screen = validated(Screen, self.config, str(self.folder / RUN))
        return Space(screen) if screen.parents else None

    def _spectrum(self, name: str) -> Spectrum | None:
        path = self.folder / f"{name}.json"
        return read_spectrum(path) if path.is_file() else None


def _table(text: str, lines: Sequence[str]) -> list[RankedRow]:
    return [
        RankedRow(
            row, json.loads(row["recipe"]), {name: (float(row[name]), _std(row[f"{name}_std"])) for name in lines}
        )
        for row in csv.DictReader(io.StringIO(text))
    ]


def _std(cell: str) -> float | None:
    return float(cell) if cell else None
