"""Text from files and users as it may reach a terminal, a log or a page: no escape sequences, no control characters."""

from __future__ import annotations

import re

_SEQUENCES = re.compile(
    r"\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # titles, links, clipboard: up to BEL or ST
    r"|\x1b[PX^_][^\x1b\n]*\x1b\\"  # device strings
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours, cursor, erasing
    r"|\x1b[ -/]*[0-~]?"  # any other, and the beginning of one that does not end
)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and those that reverse the direction of writing."""


def printable(text: str) -> str:
    """``text`` without terminal escape sequences, control characters and marks that reverse the direction of writing.

    Tabs and ends of lines stay; a carriage return becomes an end of line.  For ECMA-48 sequences see its section 5.4.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return CONTROLS.sub("", _SEQUENCES.sub("", text))


def counted(number: int, noun: str) -> str:
    """``1 atom``, ``25 atoms``: a number of things, with a plural in -s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
