"""Small pictures for the documentation."""

from __future__ import annotations

import io

from PIL import Image


def with_few_colours(png: bytes, colours: int) -> bytes:
    """A picture of ``colours`` colours, a third to a fifth of the size."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()
