"""The data blocks of a CIF; flaws that do not concern the structure are ignored.

Names of items are the same whether written with capitals or not, and with dots as newer dictionaries have it
(``_cell.length_a``) or with underscores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clusterml.errors import InputFileError

if TYPE_CHECKING:
    import gemmi

UNKNOWN = ("?", ".", "")
"""Values that stand for none."""
_HEADER = re.compile(r"data_\S*\s*$", re.IGNORECASE)
_ESSENTIAL = re.compile(
    r"_(cell[._](length|angle)_|cell[._]formula_units_z|chemical_formula[._]sum|symmetry[._]|space_group[._]"
    r"|space_group_symop[._]|symmetry_equiv[._]|atom_site[._](?!aniso))",
    re.IGNORECASE,
)
_COORDINATE = re.compile(r"_atom_site[._](fract|cartn)_x", re.IGNORECASE)
_SIMPLE = re.compile(r"""_\S+\s+('[^']*'|"[^"]*"|[^\s'"]\S*)\s*(#.*)?$""")
_LONG = re.compile(r"[\[{]|\"{3}|'{3}")  # what begins a value of CIF 2 that may have several lines


@dataclass(frozen=True)
class CifBlock:
    """A data block: its ``name``, single items (name -> values, more than one if it is repeated) and loops (columns by
    name).  All names are as :func:`normalise_name` makes them."""

    name: str
    pairs: dict[str, list[str]]
    loops: tuple[dict[str, list[str]], ...]

    def values(self, item: str) -> list[str]:
        """All values of ``item``, single ones and those of loops; empty if there are none."""
        name = normalise_name(item)
        columns = (loop[name] for loop in self.loops if name in loop)
        return [_unquote(raw) for raw in (*self.pairs.get(name, ()), *(raw for column in columns for raw in column))]

    def value(self, item: str) -> str | None:
        """The first known value of ``item``."""
        return next((value for value in self.values(item) if value not in UNKNOWN), None)

    def tables(self, item: str) -> list[dict[str, list[str]]]:
        """The loops with a column ``item``: values by name (a single row where the items stand alone)."""
        name = normalise_name(item)
        prefix = name.rsplit("_fract", 1)[0].rsplit("_cartn", 1)[0]
        loops = [loop for loop in self.loops if name in loop]
        if not loops and name in self.pairs:
            loops = [{key: values[:1] for key, values in self.pairs.items() if key.startswith(prefix)}]
        return [{key: [_unquote(raw) for raw in column] for key, column in loop.items()} for loop in loops]


def normalise_name(text: str) -> str:
    """``_Cell.Length_A`` and ``_cell_length_a`` as one name."""
    return text.lower().replace(".", "_")


def read_blocks(text: str, source: str) -> tuple[list[CifBlock], list[str]]:
    """The blocks of CIF ``text``, and notes on the flaws that were ignored.

    A flaw between cell, symmetry and atoms is passed over; one within them raises :class:`InputFileError`.
    """
    import gemmi

    notes: list[str] = []
    try:
        document = gemmi.cif.read_string(text, 0)
    except (ValueError, RuntimeError) as error:
        reason = str(error).removeprefix("string:")
        rest = _recover_essentials(text)
        if rest is None:
            raise InputFileError(f"{source}: not a readable CIF ({reason})", "re-export or repair the file") from error
        document = rest
        notes.append(f"the CIF has a flaw ({reason}); only cell, symmetry and atoms were read from it")
    else:
        notes += _find_flaws(document)
    return [_block(block) for block in document], notes


def _find_flaws(document: gemmi.cif.Document) -> list[str]:
    """A note on names that occur twice."""
    names: set[str] = set()
    twice: list[str] = []
    for block in document:
        twice += [f"data_{block.name}"] if block.name.lower() in names else []
        names.add(block.name.lower())
        items: set[str] = set()
        for item in block:
            for tag in _tags(item):
                twice += [tag] if normalise_name(tag) in items else []
                items.add(normalise_name(tag))
    return [f"the CIF gives {', '.join(dict.fromkeys(twice))} more than once"] if twice else []


def _tags(item: Any) -> list[str]:
    return [item.pair[0]] if item.pair else list(item.loop.tags) if item.loop else []


def _block(block: gemmi.cif.Block) -> CifBlock:
    pairs: dict[str, list[str]] = {}
    loops = []
    item: Any
    for item in block:
        tags = _tags(item)
        if item.pair:
            pairs.setdefault(normalise_name(tags[0]), []).append(item.pair[1])
        elif tags and _ESSENTIAL.match(tags[0]):
            values = list(item.loop.values)
            columns: dict[str, list[str]] = {}
            for column, tag in enumerate(tags):
                columns.setdefault(normalise_name(tag), values[column :: len(tags)])
            loops.append(columns)
        elif tags and item.loop.length():  # reflections and the like: only whether they are there counts
            loops.append({normalise_name(tag): [item.loop[0, column]] for column, tag in enumerate(tags)})
    return CifBlock(block.name, pairs, tuple(loops))


def _recover_essentials(text: str) -> gemmi.cif.Document | None:
    """A CIF reduced to the items of cell, symmetry and atoms; None if even these cannot be read."""
    import gemmi

    lines = _EssentialLines()
    if not all(lines.take(line) for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")):
        return None
    if not any(_COORDINATE.match(line) for line in lines.essential):
        return None
    try:
        return gemmi.cif.read_string("\n".join(["data_first", *lines.essential]) + "\n", 0)
    except (ValueError, RuntimeError):
        return None


class _EssentialLines:
    """Collects the lines of essential items; gives up where rows of an essential loop may have been cut off."""

    def __init__(self) -> None:
        self.essential: list[str] = []
        self._loop: list[str] = []  # `loop_` and names, until the first row
        self._rows = False  # of an essential loop
        self._after = False  # a single item has ended an essential loop: no row may follow
        self._named = False  # the line before is a name without value

    def take(self, line: str) -> bool:
        """Look at the next line; False if the file is beyond repair."""
        named, self._named = self._named, False
        if line.startswith("_"):
            return self._name(line)
        if line.lower() == "loop_" or _HEADER.match(line):
            self.essential += [line] if _HEADER.match(line) else []
            self._loop, self._rows, self._after = [line] if line.lower() == "loop_" else [], False, False
            return True
        if line.startswith(";"):
            self._loop, self._after = [], False
            return not self._rows
        if self._rows or self._is_essential():
            self.essential += [line] if self._rows else [*self._loop, line]
            self._loop, self._rows = [], True
            return True
        self._loop = []
        return named or not self._after

    def _name(self, line: str) -> bool:
        if self._loop:
            self._loop.append(line)
            return True
        self._after = (self._after or self._rows) and not _LONG.search(line)
        self._rows, self._named = False, " " not in line and "\t" not in line
        if _ESSENTIAL.match(line) and _SIMPLE.match(line):
            self.essential.append(line)
        return True

    def _is_essential(self) -> bool:
        return len(self._loop) > 1 and all(_ESSENTIAL.match(name) for name in self._loop[1:])


def _unquote(raw: str) -> str:
    import gemmi

    return str(gemmi.cif.as_string(raw)).strip()
