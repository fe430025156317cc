"""The structures in files, read one at a time with names for their results, and what becomes of each of them.

Every verb that computes spectra of many files goes through here: a structure gives an :class:`Outcome` or a
:class:`Failure`, and a failure does not stop the others; a disk that takes no more results does.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from clusterml.batch.inputs import Input, Names
from clusterml.errors import UNEXPECTED, ClusterMLError
from clusterml.io.trouble import concerns_all
from clusterml.run.progress import Reporter, State

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.spectrum.spectrum import Spectrum
    from clusterml.structure.options import ReadOptions


@dataclass(frozen=True)
class Structure:
    """One structure read from a file; ``where`` names it in messages, ``name`` in the output folder.

    ``addition``: what a frame of several adds to the name of its file.
    """

    atoms: Atoms
    where: str
    name: str
    addition: str = ""


class Named(Protocol):
    """Whatever is called ``where`` in messages and ``name`` in the output folder."""

    @property
    def where(self) -> str:
        """File, and frame if there are several."""

    @property
    def name(self) -> str:
        """Name of the results."""


@dataclass(frozen=True)
class Outcome:
    """A structure that was labelled: what a summary shows.

    ``first_band_nm``: the absorption maximum lowest in energy; ``cd_band_nm`` and ``cd_height`` (L mol-1 cm-1, signed):
    the strongest CD band; None where there is none. ``seconds``: computing and writing. ``json``: the JSON object as
    ASCII text, if it was asked for. Of a prediction: ``sign``, how sure the strongest CD is; ``domain``: ``in``,
    ``out``, ``unknown``, ``new core`` or ``new ligand``; ``computed_by``: ``network`` or ``engine``, and the
    ``reason``. ``table``: more to show, as text. ``worth``: how far such a CD is from DFT, and
    ``supported``: of how many bands DFT supports the sign.
    """

    where: str
    name: str
    formula: str
    charge: int
    first_band_nm: float | None
    cd_band_nm: float | None
    cd_height: float | None
    seconds: float
    warnings: tuple[str, ...]
    files: tuple[Path, ...] = ()
    json: str | None = None
    sign: str = ""
    domain: str = ""
    computed_by: str = ""
    reason: str = ""
    table: str = ""
    worth: str = ""
    supported: str = ""


@dataclass(frozen=True)
class Failure:
    """A structure or file that was not labelled: ``problem`` names it and says what is wrong, ``remedy`` what to do.

    ``error``: the type of the error; empty for one that is not expected.
    """

    problem: str
    remedy: str
    trace: str = ""
    is_option: bool = False
    error: str = ""

    def __str__(self) -> str:
        """One line."""
        return str(ClusterMLError(self.problem, self.remedy))


@dataclass(frozen=True)
class Finished:
    """A structure whose result was in the output folder already; ``json``: its text, if it was asked for."""

    where: str
    name: str
    json: str | None = None


Result: TypeAlias = Outcome | Finished | Failure
"""What becomes of a structure."""


class Count(Reporter):
    """How far a batch of ``inputs`` is, told to a ``reporter``: structures, and their work in atoms squared.

    Spectra take time as about the square of the number of atoms; that of files not yet opened is guessed from their
    sizes.
    """

    def __init__(self, stage: str, inputs: Sequence[Input], reporter: Reporter) -> None:
        self._stage, self._reporter = stage, reporter
        self._done, self._total = 0, len(inputs)
        self._ahead = sum(entry.bytes**2 for entry in inputs)
        self._opened = 0
        self._waiting: deque[int] = deque()
        self._read, self._finished = 0, 0

    def open(self, entry: Input) -> None:
        """Begin with a file."""
        self._ahead -= entry.bytes**2
        self._opened += entry.bytes**2

    def read(self, n_atoms: int, *, further: bool) -> None:
        """A structure of the file was read (0 atoms: it could not be); ``further``: it is not the file's first."""
        self._total += further
        self._read += n_atoms**2
        self._waiting.append(n_atoms**2)

    def finish(self) -> None:
        """The next structure is done, or has failed."""
        self._done += 1
        self._finished += self._waiting.popleft() if self._waiting else 0
        self.note("")

    def note(self, words: str, *, after: float | None = None) -> None:
        """See :class:`Reporter`."""
        ahead = sum(self._waiting) + self._ahead * self._read / max(self._opened, 1)
        total = max(self._total, self._done)
        self._reporter.show(State(self._stage, self._done, total, words, (self._finished, ahead)), after=after)


def read_structures(inputs: Sequence[Input], reading: ReadOptions, count: Count) -> Iterator[Structure | Failure]:
    """The structures in ``inputs``, read one at a time; a file that cannot be read is a failure in their place.

    Separate molecules are accepted, whatever ``reading`` says: whoever computes looks for them, so that the frames that
    follow are not lost.
    """
    from clusterml.structure.read import read_all

    names = Names()
    for entry in inputs:
        frames = 0
        count.open(entry)
        try:
            for atoms in read_all(entry.path, options=reading, check_molecules=False):
                count.read(len(atoms), further=frames > 0)
                frames += 1
                yield _structure(atoms, entry, names)
        except (ClusterMLError, *UNEXPECTED) as error:
            count.read(0, further=frames > 0)
            yield failure(error, entry.where, after=frames)


def _structure(atoms: Atoms, entry: Input, names: Names) -> Structure:
    addition = str(atoms.info["name"]).removeprefix(entry.stem)
    name = names.unique(entry.base + addition)
    atoms.info["name"] = name
    atoms.info["provenance"]["warnings"] += [entry.note] if entry.note else []
    frame = atoms.info["provenance"].get("frame")
    where = f"{entry.where} (frame {frame + 1})" if addition and frame is not None else entry.where
    return Structure(atoms, where, name, addition)


def failure(error: BaseException, where: str, after: int = 0, is_option: bool = False) -> Failure:
    """The failure of ``where``: ``error`` with that place in front, unless its message begins with it already.

    An OutputError that all structures would meet is raised again: no more are computed for nothing.
    """
    if concerns_all(error):
        raise error
    kind = ""
    if isinstance(error, ClusterMLError):
        problem, remedy, kind = error.problem, error.remedy, type(error).__name__
    elif isinstance(error, MemoryError):
        kind = "MemoryLimitError"
        problem, remedy = "the computer's memory is not enough", "compute less at a time, or in single precision"
    else:
        problem, remedy = f"unexpected {type(error).__name__}: {error}", "run with --debug and report it"
    path = where.split(" (frame ")[0]
    if where:
        problem = f"{where}: {problem.removeprefix(path).removeprefix(':').lstrip()}"
    if after:
        remedy += f"; frames after number {after} were not computed"
    return Failure(problem, remedy, "".join(traceback.format_exception(error)), is_option, kind)


def outcome(
    spectrum: Spectrum,
    numbers: Sequence[int],
    charge: int,
    of: Named,
    seconds: float,
    warnings: tuple[str, ...],
    files: tuple[Path, ...] = (),
    json: str | None = None,
    **words: str,
) -> Outcome:
    """What a summary shows of the ``spectrum`` of the structure ``of``, with atomic ``numbers`` (n,); ``words``:
    further fields of :class:`Outcome`."""
    from clusterml.spectrum.peaks import find_bands
    from clusterml.spectrum.significance import strongest_cd
    from clusterml.structure.elements import formula

    bands = find_bands(spectrum, "epsilon", shoulders=False)
    strongest = strongest_cd(spectrum)
    return Outcome(
        where=of.where,
        name=of.name,
        formula=formula(numbers),
        charge=charge,
        first_band_nm=bands[0].wavelength_nm if bands else None,
        cd_band_nm=strongest.wavelength_nm if strongest else None,
        cd_height=strongest.height if strongest else None,
        seconds=seconds,
        warnings=warnings,
        files=files,
        json=json,
        **words,
    )
