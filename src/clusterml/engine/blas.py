"""A fast linear algebra for tblite: torch's.

tblite's wheel brings the reference BLAS and LAPACK, three to ten times as slow as optimised ones.  torch contains such
(MKL on x86) under the same names, and the loader of Linux takes the first definition that is visible to all.
"""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_NEEDED = ("dgemm_", "dsyevd_", "dtrsm_")
"""What most of a ground state's time goes into."""


@lru_cache(maxsize=1)
def lend_blas() -> bool:
    """Let tblite, if it is not imported yet, use torch's linear algebra; True where that can be had.

    Elsewhere (another system than Linux, a torch that hides its linear algebra) tblite keeps its own: the same numbers
    within rounding, later.
    """
    spec = find_spec("torch")
    if sys.platform != "linux" or spec is None or spec.origin is None:
        return False
    try:
        library = ctypes.CDLL(str(Path(spec.origin).parent / "lib" / "libtorch_cpu.so"), mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return all(hasattr(library, name) for name in _NEEDED)
