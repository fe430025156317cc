"""How a structure is read: the choices that all functions and commands share that take a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from clusterml.errors import OptionError
from clusterml.io.display import choices_repr
from clusterml.structure.crystal import Disorder


@dataclass(frozen=True, repr=False)
class ReadOptions:
    """The choices of reading.  Raises :class:`OptionError` for a number below 1.

    cluster        which cluster of a crystal, from 1 (those with most metal atoms come first)
    disorder       which alternative of a disordered crystal is kept (``major``, ``A``, ``B``); ``error`` refuses
    hydrogens      add those that carbon atoms lack; None: only where X-rays may have missed them (crystal structures)
    allow_several  accept separate molecules in a file without a lattice
    frame          which structure of a file that holds several, from 1; None: the first, with a warning, or all
    format         name of the file's format; None: what the file's name says, or the content of a stream

    Examples:
        >>> import clusterml as cm
        >>> options = cm.ReadOptions(hydrogens=False)
        >>> len(cm.read("shipped:datasets/examples/ag29_model.cif", options=options))
        93
    """

    cluster: int = 1
    disorder: Disorder = "major"
    hydrogens: bool | None = None
    allow_several: bool = False
    frame: int | None = None
    format: str | None = None

    def __repr__(self) -> str:
        """What is not at its default."""
        return choices_repr(self)

    def name(self, base: str) -> str:
        """The name of results for a file called ``base``; it contains the cluster if that is not the first."""
        return base if self.cluster == 1 else f"{base}_cluster{self.cluster}"

    def __post_init__(self) -> None:
        if self.cluster < 1:
            raise OptionError(f"cluster is {self.cluster}", "clusters are counted from 1")
        if self.frame is not None and self.frame < 1:
            raise OptionError(f"frame is {self.frame}", "frames are counted from 1")


DEFAULT_READING = ReadOptions()
"""How structures are read unless something else is asked for."""


class ReadKeywords(TypedDict, total=False):
    """The fields of :class:`ReadOptions` as keywords."""

    cluster: int
    disorder: Disorder
    hydrogens: bool | None
    allow_several: bool
    frame: int | None
    format: str | None
