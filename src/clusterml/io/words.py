"""Words of files and options: what of them is a number."""

from __future__ import annotations

_MOST_DIGITS = 18
"""So many fit into numpy's integers."""


def is_whole(word: str) -> bool:
    """Is ``word`` a whole number from 0 in digits alone, of a size that arrays hold?  Then int() reads it.

    The digits are those of ASCII: int() refuses others that ``str.isdigit`` takes, such as a superscript.
    """
    return word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS
