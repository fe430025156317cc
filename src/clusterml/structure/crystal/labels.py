"""Which element a crystallographic label stands for: ``Ag1``, ``AG1``, ``SG4``, ``HO2``, ``C12A``.

Two letters may be an element or one with a suffix: SG is sulfur "gamma" and not seaborgium.  The type symbol is the
first witness, the formula of the file the second.  Without either, only elements that chemists put into such crystals
are taken from two letters, and where both readings are possible that is said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from clusterml.errors import UnsupportedElementError
from clusterml.structure.elements import atomic_number, formula

_USUAL = frozenset(
    {3, 4, *range(11, 15), 17, 20, 22, *range(24, 36), 37, 38, 40, 42}
    | {*range(44, 53), *range(55, 59), 63, 64, 73, *range(75, 84)}
)
"""Elements whose symbols of two letters a label may stand for without any other witness."""
_NEVER_SUFFIXED = frozenset(
    ["AG", "AL", "AS", "AU", "BR", "CL", "CU", "FE", "IR", "LI", "MG", "MN", "MO", "NI", "PT", "RH", "RU", "SI",
     "TI", "TL", "ZN", "ZR"]
)  # fmt: skip
"""Two capitals that are read as the element although the first of some is one too."""
_HEAVIEST = 103
_MOST_NAMED = 6


def elements_of(
    labels: Sequence[str], symbols: Sequence[str], stated: Iterable[int], source: str
) -> tuple[list[int], list[str]]:
    """Atomic numbers of sites with these labels and type symbols (empty where there are none), and what was assumed.

    ``stated``: the elements of the file's formula, empty if it gives none.  Raises :class:`UnsupportedElementError`
    naming the site.
    """
    known = frozenset(stated)
    words = [_letters(label) for label in labels]
    numbers = [_from_symbol(symbol, known) for symbol in symbols]
    sure = {number or _sure(word, known) for number, word in zip(numbers, words, strict=True)}
    doubtful: dict[tuple[int, int], list[str]] = defaultdict(list)
    for k, word in enumerate(words):
        if numbers[k] is None:
            short, long = _readings(word, known)
            number = numbers[k] = _sure(word, known) or (long if long in known and long not in sure else short)
            other = atomic_number(word) if word[1:].islower() or (short and long) else None
            if number and other and other != number:
                doubtful[(number, other)].append(labels[k])
        if not numbers[k]:
            raise UnsupportedElementError(
                f"{source}: site {labels[k] or f'number {k + 1}'} has the unknown element "
                f"{symbols[k] or labels[k] or '(none)'}",
                "give its symbol (_atom_site_type_symbol)",
            )
    return [int(number or 0) for number in numbers], [_sentence(*key, names) for key, names in doubtful.items()]


def _from_symbol(symbol: str, known: frozenset[int]) -> int | None:
    """Atomic number of a type symbol: ``Ag``, ``AG``, ``Ag1+``, ``Cval``; None if it says nothing."""
    word = symbol.strip().rstrip("+-0123456789")
    number = atomic_number(word or symbol) if symbol.strip() not in ("", "?", ".") else None
    if number is None and word[:1].isupper():
        number = atomic_number(word[:2]) if word[1:2].islower() else None
        number = number or atomic_number(word[:1])
    return number if number is None or number <= _HEAVIEST or number in known else None


def _letters(label: str) -> str:
    """The letters that a label begins with, at most two."""
    return label[: next((i for i, x in enumerate(label) if not x.isalpha()), len(label))][:2]


def _readings(letters: str, known: frozenset[int]) -> tuple[int | None, int | None]:
    """Atomic numbers of the first letter and of both, as far as they may be meant."""
    short = atomic_number(letters[:1]) if letters else None
    long = atomic_number(letters) if len(letters) == 2 else None
    if short and long and long not in known and (known or long not in _USUAL):
        return short, None
    if short and long and known and short not in known:
        return None, long
    return short, long


def _sure(letters: str, known: frozenset[int]) -> int | None:
    """The element of letters that can be read in one way, or that are written as a symbol."""
    short, long = _readings(letters, known)
    if short and long:
        return long if letters[1:].islower() or letters in _NEVER_SUFFIXED else None
    return short or long


def _sentence(number: int, other: int, labels: list[str]) -> str:
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return (
        f"the file gives no element for {', '.join(labels[:_MOST_NAMED])}{more}: taken for {formula([number])}, "
        f"not {formula([other])}; give type symbols if that is wrong"
    )
