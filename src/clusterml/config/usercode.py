"""Code that is not the package's own: a Python file that the user names, or an object of an installed package.

Whatever it raises becomes a :class:`UserCodeError` that says where it came from.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from clusterml.errors import ClusterMLError, InputFileError, OptionError, UserCodeError
from clusterml.io.files import sha256, sha256_of_file

_LARGEST_BYTES = 10_000_000


class Guard:
    """A block of code that is not ours, called ``what``: all that it raises becomes a :class:`UserCodeError`.

    ``file``: the Python file whose line is named.  ``typed``: errors that are typed already pass as they are.
    """

    def __init__(self, what: str, file: str | None = None, *, typed: bool = False) -> None:
        self._what, self._file, self._typed = what, file, typed

    def __enter__(self) -> Guard:
        """The block itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Raise :class:`UserCodeError` from an error; an interruption by the user passes."""
        if not isinstance(error, Exception | SystemExit) or (self._typed and isinstance(error, ClusterMLError)):
            return
        where = "" if self._file is None else _place(error, self._file)
        raise UserCodeError(f"{self._what}: {where}{type(error).__name__}: {error}", "correct it there") from error


def guarded(function: Callable[..., Any], what: str, gives: type = object) -> Callable[..., Any]:
    """``function`` of another's code, called ``what``: its errors, and a result of another class than ``gives``, raise
    :class:`UserCodeError`."""

    def call(*args: Any, **keywords: Any) -> Any:
        with Guard(what, typed=True):
            result = function(*args, **keywords)
            if not isinstance(result, gives):
                raise TypeError(f"gives {type(result).__name__} instead of {gives.__name__}")
        return result

    return call


def hash_of_file(file: str | Path) -> str:
    """SHA-256 of a Python file; raises :class:`InputFileError`."""
    return sha256_of_file(file, _LARGEST_BYTES)


def function_of_file(file: Path, function: str) -> Any:
    """What a Python ``file`` calls ``function``; modules beside the file can be imported by it.

    Raises :class:`InputFileError` for no such file, :class:`OptionError` for no such name, :class:`UserCodeError` for a
    file that fails.
    """
    if not file.is_file():
        raise InputFileError(f"{file}: there is no such file", "paths are seen from the YAML file")
    text = f"{file} {hash_of_file(file)}"
    name = f"clusterml_own_{sha256(text)[:16]}"
    if name not in sys.modules:
        _import(file, name)
    known = vars(sys.modules[name])
    if function not in known:
        there = ", ".join(key for key, value in known.items() if callable(value) and not key.startswith("_"))
        raise OptionError(f"{file}: there is no function '{function}'", f"it has {there or 'none'}")
    return known[function]


def _import(file: Path, name: str) -> None:
    """Import a file as the module ``name``."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputFileError(f"{file}: is no Python file", "let its name end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as import does: dataclasses look their module up
    sys.path.insert(0, str(file.parent))
    done = False
    try:
        with Guard(str(file), str(file)):
            spec.loader.exec_module(module)
        done = True
    finally:
        sys.path.remove(str(file.parent))
        if not done:
            del sys.modules[name]


def _place(error: BaseException, file: str) -> str:
    """``line 12: `` of the file where the error came from."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"line {error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"line {lines[-1]}: " if lines else ""
