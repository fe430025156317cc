"""The ligand library: named ligands, counter-ions and solvents.

They are those of ``data/ligands.yaml``, of installed packages, and of a user's own files.
Charges, donors and hands in the file are checked against the SMILES, so that an entry cannot contradict itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field

from clusterml.config.registry import Registry
from clusterml.config.schema import Strict, read_yaml, validated
from clusterml.errors import InputFileError, OptionError, counted, did_you_mean, nearest
from clusterml.io.display import wrapped
from clusterml.structure.elements import formula

KINDS = {"ligands": "ligand", "counter_ions": "counter-ion", "solvents": "solvent"}
"""Section of the file -> kind of its entries."""

LONGEST_SMILES = 1000
"""Characters of a SMILES; a ligand of 200 atoms has fewer."""
MOST_ENTRIES = 5000
"""Entries of one library file."""

Position = Annotated[int, Field(ge=0)]


class EntryModel(Strict):
    """An entry as written in the file; the keys are explained at the head of ``data/ligands.yaml``."""

    model_config = ConfigDict(strict=True)

    smiles: str = Field(min_length=1, max_length=LONGEST_SMILES, description="a SMILES in quotes, of one ligand")
    donors: str | list[Position] = Field(description="an element or a list of positions counted from 0")
    charge: int = Field(description="a whole number of negative charges")
    hand: str | None = Field(default=None, pattern=r"^[RS](,[RS])*$", description="R or S")
    aliases: list[str] = Field(default_factory=list, description="a list of names in quotes")


def parse_file(path: Path) -> list[tuple[str, str, EntryModel]]:
    """(kind, name, entry) of every entry of a library file.

    Raises :class:`~clusterml.errors.InputFileError`, naming the file, the entry and the key.
    """
    parsed: list[tuple[str, str, EntryModel]] = []
    for section, entries in read_yaml(path).items():
        if section not in KINDS:
            raise InputFileError(f"{path}: unknown section '{section}'", f"sections are {', '.join(KINDS)}")
        if not isinstance(entries, dict):
            raise InputFileError(f"{path}: section '{section}' holds no entries", "give NAME: {smiles: ..., ...}")
        if len(parsed) + len(entries) > MOST_ENTRIES:
            raise InputFileError(f"{path}: holds more than {MOST_ENTRIES} entries", "keep only the entries you need")
        for name, values in entries.items():
            if not isinstance(name, str) or not name.strip():
                raise InputFileError(f"{path}: the name {name!r} in '{section}' is not text", "put it in quotes")
            parsed.append((KINDS[section], name, validated(EntryModel, values, f"{path}: entry '{name}'")))
    return parsed


T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class LigandEntry:
    """One named ligand, counter-ion or solvent.

    ``smiles``: the free species with its charges; ``donors``: positions in the SMILES of the atoms that bind metals;
    ``charge``: negative charges (1 for a thiolate, -1 for a cation); ``formula`` as
    :func:`clusterml.structure.elements.formula` writes it; ``hand``: CIP labels of the stereocentres (``"R"``,
    ``"S"``, several in the order of the SMILES: ``"R,S"``), then of the axes of hindered biaryls, or None; ``kind``:
    ``ligand``, ``counter-ion`` or ``solvent`` (the file's section).
    """

    name: str
    smiles: str
    donors: tuple[int, ...]
    charge: int
    formula: str
    aliases: tuple[str, ...] = ()
    hand: str | None = None
    kind: str = "ligand"


@dataclass(frozen=True, repr=False)
class Library:
    """Entries with different names; earlier ones are preferred where two describe the same molecule.

    Examples:
        >>> import clusterml as cm
        >>> isinstance(cm.load_library(), cm.Library), "SCH3" in cm.load_library().names
        (True, True)
    """

    entries: tuple[LigandEntry, ...]

    def __iter__(self) -> Iterator[LigandEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        """Number and names of the entries."""
        return wrapped(f"Library({len(self)}: {', '.join(self.names[:12])}{', ..' if len(self) > 12 else ''})")

    @property
    def names(self) -> tuple[str, ...]:
        """All names, without aliases, in the order of the files."""
        return tuple(entry.name for entry in self.entries)

    def entry(self, name: str, fits: Callable[[LigandEntry], bool] | None = None) -> LigandEntry:
        """The entry of that name or alias; capitals matter only where they tell two entries apart.

        Raises :class:`~clusterml.errors.OptionError` for an unknown one, with the nearest name and those that could be
        meant: entries that ``fits`` is true of (default: all that bind metals, but counter-ions).
        """
        by_word = {word: entry for entry in reversed(self.entries) for word in (*entry.aliases, entry.name)}
        by_word |= {entry.name: entry for entry in reversed(self.entries)}  # a name goes before another's alias
        if name in by_word:
            return by_word[name]
        folded = {entry.name: entry for word, entry in by_word.items() if word.casefold() == name.casefold()}
        if len(folded) == 1:
            return next(iter(folded.values()))
        chosen = [entry for entry in self.entries if (fits or _binds)(entry)] or self.entries
        words = {word: entry.name for entry in reversed(chosen) for word in (*entry.aliases, entry.name)}
        hint = did_you_mean(words.get(nearest(name, words), ""))
        listed = ", ".join(entry.name for entry in chosen)
        raise OptionError(f"there is no ligand {name!r} in the library{hint}", f"choose one of {listed}")


def _binds(entry: LigandEntry) -> bool:
    return bool(entry.donors) and entry.kind != "counter-ion"


_IN_USE: ContextVar[Library | None] = ContextVar("library in use", default=None)


def load_library(extra: str | Path | None = None) -> Library:
    """The library in use: within :func:`using_library` that one, else all shipped and installed ligands.

    Entries of the YAML file ``extra`` come first and replace those of the same name.

    Raises :class:`~clusterml.errors.InputFileError`, naming the file and the entry, for a file that cannot be used.

    Examples:
        >>> import clusterml as cm
        >>> cm.load_library().entry("methanethiolate").name
        'SCH3'
    """
    own = _IN_USE.get() or Library(REGISTRY.all())
    if extra is None:
        return own
    added = read_entries(Path(extra))
    names = {entry.name for entry in added}
    return Library((*added, *(entry for entry in own if entry.name not in names)))


@contextmanager
def using_library(library: Library | None) -> Iterator[None]:
    """Within the block, ligands are named and looked up in ``library`` (None: as outside).

    Examples:
        >>> import clusterml as cm
        >>> from pathlib import Path
        >>> entry = 'SOct: {smiles: "[S-]CCCCCCCC", donors: S, charge: 1}'
        >>> size = Path("mine.yaml").write_text("ligands:\\n  " + entry)
        >>> with cm.using_library(cm.load_library("mine.yaml")):
        ...     cm.build("ag3", thiolate="SOct").info["name"]
        '[Ag3(SOct)3]'
    """
    token = _IN_USE.set(library or _IN_USE.get())
    try:
        yield
    finally:
        _IN_USE.reset(token)


def with_library_in_use(function: Callable[[T], R]) -> Callable[[T], R]:
    """Wrap ``function`` so that it uses the present library wherever it is called, in another process too."""
    library = _IN_USE.get()
    return function if library is None else partial(_call_with_library, library, function)


def _call_with_library(library: Library, function: Callable[[T], R], task: T) -> R:
    with using_library(library):
        return function(task)


def read_entries(path: Path) -> list[LigandEntry]:
    """The entries of one library file. Raises :class:`~clusterml.errors.InputFileError`."""
    entries = [_entry(path, kind, name, model) for kind, name, model in parse_file(path)]
    _check_words(path, entries)
    return entries


REGISTRY: Registry[LigandEntry] = Registry(
    "ligands",
    LigandEntry,
    "clusterml.structure.anatomy.data",
    claims=lambda entry: entry.aliases,
    order=None,
    read=read_entries,
)
"""Every ligand, counter-ion and solvent: those of the shipped file first."""


def _check_words(path: Path, entries: list[LigandEntry]) -> None:
    """No name or alias may occur twice, and no molecule twice with the same hand."""
    owner: dict[str, str] = {}
    for entry in entries:
        for word in (entry.name, *entry.aliases):
            other = owner.setdefault(word, entry.name)
            if other != entry.name or (entry.name, *entry.aliases).count(word) > 1:
                raise _problem(path, entry.name, f"the name '{word}' is used twice (also by '{other}')", "rename one")
    molecules: dict[tuple[str, str | None], str] = {}
    for entry in entries:
        other = molecules.setdefault((_canonical(entry.smiles), entry.hand), entry.name)
        if other != entry.name:
            raise _problem(path, entry.name, f"is the same molecule as '{other}'", "make one an alias of the other")


_CHARGES = "charge is the number of negative charges, 1 for a thiolate; the SMILES must have them, as in [S-] or [O-]"


def _entry(path: Path, kind: str, name: str, model: EntryModel) -> LigandEntry:
    from clusterml.structure.anatomy.hands import find_hands

    molecule = read_smiles(model.smiles)
    if molecule is None:
        raise _problem(path, name, f"SMILES '{model.smiles}' cannot be read", "correct the SMILES")
    charge = -sum(atom.GetFormalCharge() for atom in molecule.GetAtoms())
    if charge != model.charge:
        problem = f"charge is {model.charge} but the SMILES '{model.smiles}' has {charge} negative charges"
        raise _problem(path, name, problem, _CHARGES)
    hands = find_hands(molecule)
    if model.hand not in hands:
        given, words = model.hand or "not given", " or ".join(hand or "without a hand" for hand in hands)
        if len(hands) > 1:
            problem = f"hand is {given} but '{model.smiles}' has a hindered axis between rings: it is {words}"
            raise _problem(path, name, problem, "state its hand, which the SMILES does not say; R is Ra, S is Sa")
        problem = f"hand is {given} but the SMILES '{model.smiles}' is {words}"
        raise _problem(path, name, problem, "correct the hand or the @ of the SMILES")
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    if isinstance(model.donors, str):
        donors = tuple(i for i, symbol in enumerate(symbols) if symbol == model.donors)
    else:
        donors = tuple(model.donors)
    if isinstance(model.donors, str) and not donors:
        raise _problem(path, name, f"there is no {model.donors} in '{model.smiles}'", "correct the donors")
    if any(i >= len(symbols) for i in donors) or len(set(donors)) != len(donors):
        problem = f"donors are {list(donors)} but the SMILES has {counted(len(symbols), 'atom')}"
        raise _problem(path, name, problem, "give different positions in the SMILES, counted from 0")
    full = [i for i in donors if symbols[i] == "C" and molecule.GetAtomWithIdx(i).GetTotalDegree() == 4]
    if full:
        problem = f"donor {full[0]} of '{model.smiles}' is a carbon with four neighbours, which binds no metal"
        raise _problem(path, name, problem, "count positions in the SMILES from 0, without hydrogens and brackets")
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    hydrogens = sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms())
    composition = formula([*numbers, *[1] * hydrogens])
    return LigandEntry(name, model.smiles, donors, charge, composition, tuple(model.aliases), model.hand, kind)


def read_smiles(smiles: str) -> Any:
    """The RDKit molecule of one connected species, or None; RDKit's own messages are kept off the terminal."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() == 0 or len(Chem.GetMolFrags(molecule)) > 1:
        return None
    return molecule


def _canonical(smiles: str) -> str:
    from rdkit import Chem

    return str(Chem.MolToSmiles(read_smiles(smiles)))


def _problem(path: Path, name: str, problem: str, remedy: str) -> InputFileError:
    return InputFileError(f"{path}: entry '{name}': {problem}", remedy)
