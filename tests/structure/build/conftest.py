"""Built clusters that several tests look at, each built once, and the shipped ligand library."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import pytest

from clusterml.structure.anatomy.library import Library, LigandEntry, load_library
from clusterml.structure.build.build import build

if TYPE_CHECKING:
    from ase import Atoms


@lru_cache(maxsize=64)
def _built(name: str, options: tuple[tuple[str, str], ...]) -> Atoms:
    return build(name, **dict(options))


@pytest.fixture(scope="session")
def built() -> Callable[..., Atoms]:
    """Name and options of a blueprint -> a copy of the model."""

    def make(name: str, **options: str) -> Atoms:
        atoms = _built(name, tuple(sorted(options.items())))
        copy = atoms.copy()
        copy.info = {**atoms.info, "provenance": {**atoms.info["provenance"]}}
        return copy

    return make


@pytest.fixture(scope="session")
def library() -> Library:
    return load_library()


@pytest.fixture(scope="session")
def ligand(library: Library) -> Callable[[str], LigandEntry]:
    return library.entry
