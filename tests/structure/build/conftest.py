"""The shipped ligand library."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clusterml.structure.anatomy.library import Library, LigandEntry, load_library


@pytest.fixture(scope="session")
def library() -> Library:
    return load_library()


@pytest.fixture(scope="session")
def ligand(library: Library) -> Callable[[str], LigandEntry]:
    return library.entry
