"""Results for the other libraries of Python: tables for pandas, data sets for xarray, structures for ASE.

Each is made from the same :class:`Entry` objects: a structure, its spectrum, and single values with a unit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from clusterml.dataset.exchange import known
from clusterml.errors import InputFileError, OptionError
from clusterml.io.shipped import import_extra, locate
from clusterml.spectrum.export import UNITS
from clusterml.spectrum.significance import Significance, significance
from clusterml.spectrum.spectrum import G_FLOOR, Spectrum
from clusterml.structure.elements import formula, structure_name
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms
    from pandas import DataFrame
    from xarray import Dataset

    from clusterml.engine.label import Label
    from clusterml.inference.answer import Answer, Prediction
    from clusterml.screening.page.results import RankedRow, Results
    from clusterml.screening.run import ScreenResult

Result: TypeAlias = "Prediction | Answer | Label"
ResultsLike: TypeAlias = "Result | ScreenResult | str | Path | Iterable[Result]"
"""One result, several, or a screen: its result or its folder."""
Scalar: TypeAlias = "float | int | bool | str | None"

_MOLAR = UNITS["delta_epsilon"]

COLUMNS: dict[str, tuple[str, str]] = {
    "name": ("", "name of the structure"),
    "formula": ("", "chemical formula"),
    "n_atoms": ("1", "number of atoms"),
    "charge": ("e", "total charge"),
    "computed_by": ("", "whose spectrum it is, the network's or the engine's"),
    "method": ("", "checkpoint of the network, or method of the engine"),
    "gap_ev": ("eV", "HOMO-LUMO gap of the ground state"),
    "in_domain": ("", "whether the structure is in the domain of the network"),
    "domain_score": ("1", "distance from the training data, at most 1 within the domain"),
    "cd_ev": ("eV", "photon energy of the strongest CD band"),
    "cd_height": (_MOLAR, "delta epsilon of the strongest CD band"),
    "cd_height_std": (_MOLAR, "its standard deviation"),
    "cd_sign": ("", "how sure the sign of the strongest CD band is"),
    "cd_sign_probability": ("1", "probability of that sign"),
    "largest_g": ("1", "g of largest magnitude where the absorption is above 2 % of its maximum"),
    "ccm_frame": ("1", "continuous chirality measure of metals and donors, predicted"),
    "opd_local_frame": ("1", "signed local index of metals and donors, predicted"),
    "dft_cosine": ("1", "cosine of such a CD with that of DFT, as measured on clusters of this kind"),
    "warnings": ("", "warnings"),
}
"""Columns of single values -> unit and meaning."""
_RANKED = {
    "rank": ("1", "rank in the screen"),
    "number": ("1", "number of the candidate"),
    "label": ("", "how the candidate is made"),
    "score": ("1", "score of the screen"),
    "feasible": ("", "whether no constraint is violated"),
    "violated": ("", "constraints that are violated"),
    "on_front": ("", "whether it is on the Pareto front"),
}
ENGINE = "engine_"
"""What names of the engine's spectra of a screen begin with."""
_FLAGS = {"yes": True, "no": False}
_WHOLE = ("rank", "number", "charge")
_NUMBERS = ("score", "domain_score", "gap_ev")


@dataclass(frozen=True, eq=False)
class Entry:
    """A structure with its ``spectrum``, and single ``values`` by column.

    ``label``: the engine's spectrum, of a candidate that its screen has verified.
    """

    atoms: Atoms
    spectrum: Spectrum
    values: dict[str, Scalar]
    label: Spectrum | None = None


@dataclass(frozen=True, eq=False)
class Entries:
    """Several entries; ``columns``: unit and meaning of their values; ``title``; ``lines``: columns that a screen ranks
    by, the objectives first."""

    items: list[Entry]
    columns: dict[str, tuple[str, str]]
    title: str
    lines: tuple[str, ...] = field(default=())

    def column(self, name: str) -> list[Scalar]:
        """The values of a column, in order."""
        return [entry.values.get(name) for entry in self.items]

    @property
    def known(self) -> list[str]:
        """Columns in which at least one entry has a value."""
        return [name for name in self.columns if any(value is not None for value in self.column(name))]

    @property
    def energy_ev(self) -> FloatArray:
        """The photon energies (m,) that all spectra have.

        Raises :class:`~clusterml.errors.OptionError` naming the first structure with others.
        """
        first = self.items[0].spectrum.energy_ev
        for entry in self.items:
            own = entry.spectrum.energy_ev
            if not (own.shape == first.shape and np.allclose(own, first)):
                words = f"{structure_name(entry.atoms)}: its energies are not those of {self.title}"
                raise OptionError(words, "compute all on one grid: label(.., grid=energies)")
        return first


def to_pandas(what: ResultsLike) -> DataFrame:
    """A ``pandas.DataFrame`` with a row for each result, or for each ranked candidate of a screen.

    ``what``: a :class:`Prediction`, :class:`Answer` or :class:`Label`, several of them (any iterable; of a
    :meth:`Predictor.stream` the rows alone are kept), the result of a screen, or the folder of one.
    ``attrs["units"]`` has the unit of each column.  The columns of a screen are those of its ``ranked.csv``.  A
    spectrum's own table is :meth:`Spectrum.to_pandas`.

    Raises :class:`~clusterml.errors.OptionError` where pandas is missing or there are no results, and
    :class:`~clusterml.errors.InputFileError` for a folder without a finished screen.

    Examples:
        >>> import clusterml as cm
        >>> table = cm.to_pandas(cm.Predictor.load().stream([cm.build("ag2"), cm.build("ag3")]))
        >>> list(table["charge"]), table.attrs["units"]["gap_ev"]
        ([0, 0], 'eV')
    """
    pandas = import_extra("pandas", "notebook", "to_pandas")
    screen = _screen(what)
    if screen is not None:
        rows: list[Mapping[str, Any]] = [_ranked(row, screen) for row in screen.ranked]
        columns, title = _screen_columns(screen), str(screen.run["name"])
    else:
        rows, columns = [values_of(answer) for answer in _answers(what)], COLUMNS
        title = _title(str(rows[0]["name"]), len(rows)) if rows else ""
    if not rows:
        raise _nothing()
    names = list(rows[0])
    table = pandas.DataFrame([[row[name] for name in names] for row in rows], columns=names)
    for name in names:
        kind = _kind([row[name] for row in rows])
        table[name] = table[name].astype(kind) if kind else table[name]
    table.attrs = {"title": title, "units": {name: columns[name][0] for name in names if name in columns}}
    return table


def to_xarray(what: ResultsLike) -> Dataset:
    """An ``xarray.Dataset`` over ``structure`` (names) and ``energy_ev`` with the spectra, and single values over
    ``structure``.

    ``what``: as for :func:`to_pandas`; of a screen the candidates whose spectra it keeps, with the engine's
    (``engine_epsilon``, ``engine_delta_epsilon``) where it has verified them, else NaN.  Every variable has its unit.

    Raises :class:`~clusterml.errors.OptionError` where xarray is missing, and for spectra on different energies.

    Examples:
        >>> import clusterml as cm
        >>> data = cm.to_xarray(cm.Predictor.load()([cm.build("ag2"), cm.build("ag3")]))
        >>> dict(data.sizes)
        {'structure': 2, 'energy_ev': 241}
    """
    xarray = import_extra("xarray", "notebook", "to_xarray")
    entries = entries_of(what)
    axis = entries.energy_ev
    variables: dict[str, Any] = {
        name: (("structure", "energy_ev"), values, {"units": UNITS[name.removeprefix(ENGINE)]})
        for name, values in curves_of(entries).items()
    }
    for name in entries.known:
        if name != "name":
            unit, meaning = entries.columns[name]
            variables[name] = ("structure", filled(entries.column(name)), {"units": unit, "long_name": meaning})
    coordinates = {
        "structure": [str(name) for name in entries.column("name")],
        "energy_ev": ("energy_ev", axis, {"units": "eV"}),
        "wavelength_nm": ("energy_ev", entries.items[0].spectrum.wavelength_nm, {"units": "nm"}),
    }
    return xarray.Dataset(variables, coordinates, {"title": entries.title})


def to_ase(what: ResultsLike, *, spectra: bool = False) -> list[Atoms]:
    """Copies of the structures, with the single values in ``info``, for trajectories and extended xyz.

    ``what``: as for :func:`to_pandas`; of a screen the candidates whose geometries it keeps.  With ``spectra`` the
    arrays ``energy_ev``, ``epsilon`` and ``delta_epsilon`` are in ``info`` too.  What is not
    known, or empty, is left out.

    Examples:
        >>> import clusterml as cm
        >>> (atoms,) = cm.to_ase(cm.predict(cm.build("ag3"), engine="never"))
        >>> atoms.info["formula"], atoms.info["in_domain"]
        ('Ag3C3H9S3', True)
    """
    frames = []
    for entry in entries_of(what).items:
        atoms = entry.atoms.copy()
        atoms.info |= known(entry.values)
        if spectra:
            atoms.info |= {key: getattr(entry.spectrum, key) for key in ("energy_ev", "epsilon", "delta_epsilon")}
        frames.append(atoms)
    return frames


def entries_of(what: ResultsLike) -> Entries:
    """The entries of ``what``, see :func:`to_pandas`; raises :class:`~clusterml.errors.OptionError` for none."""
    screen = _screen(what)
    if screen is not None:
        return _entries_of_screen(screen)
    items = [Entry(answer.atoms, answer.spectrum, values_of(answer)) for answer in _answers(what)]
    if not items:
        raise _nothing()
    return Entries(items, COLUMNS, _title(structure_name(items[0].atoms), len(items)))


def _answers(what: ResultsLike) -> Iterator[Answer]:
    """Each result as an answer, one at a time: a stream is not kept.

    Raises :class:`~clusterml.errors.OptionError` for what is no result.
    """
    from clusterml.engine.label import Label
    from clusterml.inference.answer import Answer, Prediction

    results: object = [what] if isinstance(what, Prediction | Answer | Label) else what
    if not isinstance(results, Iterable):
        raise _no_result(what)
    for result in results:
        if isinstance(result, Prediction):
            yield Answer("", result, None, result.warnings)
        elif isinstance(result, Label):
            yield Answer("", None, result, result.warnings)
        elif isinstance(result, Answer):
            yield result
        else:
            raise _no_result(result)


def _title(first: str, count: int) -> str:
    return first + (f" and {count - 1} more" if count > 1 else "")


def _nothing() -> OptionError:
    return OptionError("there are no results", "give at least one")


def _no_result(what: object) -> OptionError:
    words = f"a {type(what).__name__} is not a result"
    return OptionError(words, "give what predict, label, a Predictor or screen return, or the folder of a screen")


def values_of(answer: Answer) -> dict[str, Scalar]:
    """The single values of a result, by :data:`COLUMNS`; None where one is not known."""
    network, cosines = answer.network, answer.reliability.cosines
    gap = network.gap_ev if answer.label is None and network else answer.label.orbitals.gap_ev if answer.label else None
    return {
        "name": answer.name,
        "formula": formula(answer.atoms.numbers),
        "n_atoms": len(answer.atoms),
        "charge": answer.charge,
        "computed_by": answer.source,
        "method": answer.method,
        "gap_ev": gap,
        "in_domain": None if network is None else network.in_domain,
        "domain_score": None if network is None else network.domain_score,
        **_cd_values(answer.spectrum, answer.significance),
        "ccm_frame": None if network is None else network.chirality.ccm_frame,
        "opd_local_frame": None if network is None else network.chirality.opd_local_frame,
        "dft_cosine": None if cosines is None else cosines[0],
        "warnings": "; ".join(answer.warnings),
    }


def curves_of(entries: Entries) -> dict[str, FloatArray]:
    """Quantities by name, each (structures, energies): what the spectra hold, NaN for those that do not."""
    names = [name for name in UNITS if name not in ("energy_ev", "wavelength_nm", "g_abs")]
    curves = {name: _stacked([entry.spectrum for entry in entries.items], name) for name in names}
    for name in ("epsilon", "delta_epsilon"):
        curves[f"{ENGINE}{name}"] = _stacked([entry.label for entry in entries.items], name)
    shape = entries.energy_ev.shape
    stacks = {name: [np.full(shape, np.nan) if row is None else row for row in rows] for name, rows in curves.items()}
    arrays = {name: np.array(rows, dtype=np.float64) for name, rows in stacks.items()}
    return {name: array for name, array in arrays.items() if not np.isnan(array).all()}


def _kind(values: Sequence[Any]) -> str:
    """The type of a column with None in it, for pandas; empty where it is left to pandas."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return "boolean"
    return "float64" if all(isinstance(value, float) for value in known) else ""


def filled(values: Sequence[Scalar]) -> Any:
    """An array of a column for programs that know numbers and words only: NaN, or ``unknown``, for None."""
    if any(isinstance(value, bool | str) for value in values):
        words = {True: "yes", False: "no", None: "unknown"}
        return np.array([value if isinstance(value, str) else words[value] for value in values])  # type: ignore[index]
    if all(isinstance(value, int) for value in values):
        return np.array(values)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _stacked(spectra: Sequence[Spectrum | None], name: str) -> list[FloatArray | None]:
    return [None if spectrum is None else getattr(spectrum, name) for spectrum in spectra]


def _cd_values(spectrum: Spectrum, judged: Significance) -> dict[str, Scalar]:
    """The columns of the strongest CD band and of g."""
    g = spectrum.g_factor(G_FLOOR)
    known = np.isfinite(g)
    return {
        "cd_ev": judged.energy_ev,
        "cd_height": judged.height,
        "cd_height_std": judged.std,
        "cd_sign": judged.words,
        "cd_sign_probability": judged.sign_probability,
        "largest_g": float(g[known][np.abs(g[known]).argmax()]) if known.any() else None,
    }


def _screen(what: ResultsLike) -> Results | None:
    """The folder of a screen read back, if ``what`` is one."""
    if isinstance(what, str | Path):
        from clusterml.screening.page.results import Results

        return Results(locate(what))
    from clusterml.screening.run import ScreenResult

    return _screen(what.folder) if isinstance(what, ScreenResult) else None


def _entries_of_screen(screen: Results) -> Entries:
    """The candidates whose geometries and spectra a screen keeps; raises OptionError where there are none."""
    items = []
    for candidate in screen.top_candidates(len(screen.ranked)):
        if candidate.spectrum is None:
            continue
        ranked = _ranked(candidate.ranked, screen)
        judged = significance(candidate.spectrum, ranked["in_domain"] is not False)
        values = {name: value for name, value in ranked.items() if name not in ("sites", "recipe", "sign")}
        about = {"formula": formula(candidate.atoms.numbers), "n_atoms": len(candidate.atoms)}
        cd = {key: value for key, value in _cd_values(candidate.spectrum, judged).items() if "probab" not in key}
        cd["cd_sign"] = str(ranked["sign"]) or None
        items.append(Entry(candidate.atoms, candidate.spectrum, values | about | cd, candidate.verified))
    if not items:
        raise OptionError(f"{screen.folder}: the screen has kept no spectra", "run it again with top: 10")
    title = str(screen.run.get("title") or screen.run["name"])
    return Entries(items, _screen_columns(screen), title, tuple(str(line["name"]) for line in screen.lines))


def _ranked(row: RankedRow, screen: Results) -> dict[str, Any]:
    """The cells of a line of ranked.csv as what they are; raises :class:`InputFileError` for one that is damaged."""
    try:
        return _cells(row, screen)
    except ValueError as error:
        raise InputFileError(f"{screen.folder}: ranked.csv is damaged ({error})", "make it again: --resume") from error


def _cells(row: RankedRow, screen: Results) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, cell in row.cells.items():
        if name in _WHOLE:
            values[name] = int(cell)
        elif name in _NUMBERS or name.removesuffix("_std") in row.values:
            values[name] = float(cell) if cell else None
        elif name in ("feasible", "on_front", "in_domain"):
            values[name] = _FLAGS.get(cell)
        elif name in ("sites", "recipe"):
            values[name] = json.loads(cell) if cell else None
        else:
            values[name] = cell
    return values


def _screen_columns(screen: Results) -> dict[str, tuple[str, str]]:
    columns = {**_RANKED, **COLUMNS}
    for line in screen.lines:
        name, words = str(line["name"]), f"{line['measure']}: {line['of']}"
        columns[name] = (str(line["unit"]), words)
        columns[f"{name}_std"] = (str(line["unit"]), f"standard deviation of {words}")
    return columns
