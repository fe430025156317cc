"""Responses that spectra start from, kept on disk: each is computed once for all runs that share the folder.

    FOLDER/ab/abcdef...npy     of one geometry: the gap, then ``response`` of clusterml.model.start, in single precision

The name is the SHA-256 of what a response depends on, so that an interrupted run goes on, and a changed geometry,
grid, method or parameter is computed anew.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clusterml.engine.parameters import parameters_hash
from clusterml.engine.response.rapid import VERSION
from clusterml.errors import InputFileError
from clusterml.io.files import make_folder, read_bounded, sha256, write_bytes
from clusterml.io.json import json_text
from clusterml.model.graph import cluster_graph
from clusterml.model.start import RESPONSE, contour_of, start_inputs
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from clusterml.dataset.record import Record
    from clusterml.model.graph import Graph
    from clusterml.model.spec import NetworkSpec

Float32Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class KeptResponses:
    """Responses for networks of ``spec``, in ``folder``; None: none are kept."""

    folder: Path | None
    spec: NetworkSpec

    def attached(self, graph: Graph, record: Record) -> Graph:
        """``graph`` of ``record`` with what the spectra start from, as :func:`clusterml.model.start.start_inputs` gives
        it.  Raises what that raises, and OutputError."""
        return self._attached(graph, record.numbers, record.positions, record.charge)

    def graph(self, numbers: IntArray, positions: FloatArray, charge: int) -> Graph:
        """As :func:`clusterml.model.start.network_graph`."""
        graph = cluster_graph(numbers, positions, charge, self.spec.graph)
        return self._attached(graph, numbers, positions, charge)

    def _attached(self, graph: Graph, numbers: IntArray, positions: FloatArray, charge: int) -> Graph:
        if self.spec.start == RESPONSE:
            values = torch.from_numpy(self._values(numbers, positions, charge))
            graph["response_gap"] = values[:1]
            graph["response"] = values[1:].reshape(1, *self._shape)
        return graph

    def _values(self, numbers: IntArray, positions: FloatArray, charge: int) -> Float32Array:
        path = None if self.folder is None else self.folder / self._name(numbers, positions, charge)
        values = None if path is None else self._read(path)
        if values is None:
            made = start_inputs(numbers, positions, charge, self.spec)
            values = np.asarray(torch.cat([made["response_gap"], made["response"].flatten()]).float())
            if path is not None:
                make_folder(path.parent, within=self.folder)
                content = io.BytesIO()
                np.save(content, values)
                write_bytes(path, content.getvalue())
        return values

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(contour_of(self.spec).points), 45, 2

    def _name(self, numbers: IntArray, positions: FloatArray, charge: int) -> Path:
        grid = self.spec.grid
        spec = self.spec
        settings = [VERSION, parameters_hash(), spec.start_orbitals, grid.low_ev, grid.high_ev, spec.fwhm_ev, charge]
        elements, places = (np.ascontiguousarray(x, dtype="<f8") for x in (numbers, positions))
        name = sha256(json_text(settings).encode() + elements.tobytes() + places.tobytes())
        return Path(name[:2]) / f"{name}.npy"

    def _read(self, path: Path) -> Float32Array | None:
        """What was kept, None for nothing, or a file that is damaged."""
        if not path.exists():
            return None
        size = 1 + int(np.prod(self._shape))
        try:
            values = np.load(io.BytesIO(read_bounded(path, 8 * size + 1000, links=False)), allow_pickle=False)
        except (InputFileError, ValueError, EOFError):
            return None
        return values if values.shape == (size,) and values.dtype == np.float32 else None
