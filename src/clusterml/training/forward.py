"""A network applied to samples: batched, on the right device, in the right precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from clusterml.model.graph import batched

if TYPE_CHECKING:
    from clusterml.model.graph import Graph


SingularError: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
"""What decompositions of a matrix with NaN raise."""


class Forward:
    """Samples -> (outputs by name, the batch they are of).  ``precision`` matters on a GPU only."""

    def __init__(self, network: nn.Module, device: torch.device, precision: str = "float32") -> None:
        self.network = network
        self.device = device
        self._half = precision == "bf16" and device.type == "cuda"

    def __call__(self, samples: Sequence[Graph]) -> tuple[dict[str, Tensor], Any]:
        """Outputs (g, ..) of the g ``samples``, of which there is at least one."""
        batch = batched(samples).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._half):
            return self.network(batch), batch


@contextmanager
def matrix_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Within this context float32 matrix products may use TF32, if ``precision`` allows it and ``device`` is a GPU."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda" and precision != "float32":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
