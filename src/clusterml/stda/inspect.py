"""``clusterml.inspect``: what a structure file holds, with ground states as a witness of the charge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from clusterml.stda.charge import frontier_gaps
from clusterml.structure import inspect as structural
from clusterml.structure.options import DEFAULT_READING, ReadKeywords, ReadOptions
from clusterml.structure.source import Source

if TYPE_CHECKING:
    from clusterml.structure.inspect import Inspection


def inspect(source: Source, *, options: ReadOptions = DEFAULT_READING, **choices: Unpack[ReadKeywords]) -> Inspection:
    """What a structure file (bytes, a stream) holds: anatomy, crystal, charge; arguments and errors as
    :func:`clusterml.read`.

    The charge is the one that ``label`` and ``predict`` take.  Where the superatom count leaves a choice, ground states
    decide, which takes seconds (:func:`clusterml.stda.charge.frontier_gaps`).
    """
    return structural.inspect(source, gaps=frontier_gaps, options=options, **choices)
