"""What tests of several folders make: networks of random weights, scripts as modules,
an icosahedron, a browser, and who is told how far work is."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from clusterml.run.progress import Reporter, State

if TYPE_CHECKING:
    from clusterml.typing import FloatArray

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"channels": 4, "n_radial": 4, "radial_width": 8}
"""A network that is made and used in no time."""
GOLDEN = (1 + 5**0.5) / 2


class Heard(Reporter):
    """Keeps what it is told: ``states``, ``notes``, and of these what was said as something began, ``begun``."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.notes: list[str] = []
        self.begun: list[str] = []

    def show(self, state: State, *, after: float | None = None) -> None:
        self.states.append(state)

    def note(self, words: str, *, after: float | None = None) -> None:
        self.notes.append(words)
        self.begun += [words] if after is not None else []


def random_release(
    folder: Path, members: int = 1, *, seed: int = 0, card: str = "# A card\n", data: Any = None, **spec: Any
) -> Path:
    """A checkpoint of ``members`` networks of random weights, the first by ``seed``: ``spec`` over :data:`SMALL`.

    ``data``: what it says of the records that it has learnt from.
    """
    import torch

    from clusterml.model.network import Network
    from clusterml.model.spec import read_spec
    from clusterml.training.release import write_release

    networks = []
    for number in range(members):
        torch.manual_seed(seed + number)
        networks.append(Network(read_spec(SMALL | spec)))
    about = {"data": data or {"name": "made-up", "train": 12, "method": "gfn1"}}
    return write_release(folder, [n.state_dict() for n in networks], networks[0].spec, card, {}, about)


@contextmanager
def script_module(name: str) -> Iterator[ModuleType]:
    """The script ``scripts/NAME.py`` as a module: while it is used, others of that folder are found beside it."""
    folder = ROOT / "scripts"
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        yield module


def icosahedron(radius: float) -> FloatArray:
    """Its corners (12, 3) at ``radius`` from the origin."""
    corners = [(0, a, b * GOLDEN) for a, b in product((1, -1), repeat=2)]
    points = np.array([np.roll(corner, k) for k in range(3) for corner in corners], dtype=float)
    return radius * points / np.linalg.norm(points[0])


def browser() -> str:
    """The path of a browser; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no browser")
    return found
