"""What an answer says of an error: type, problem and remedy, a status of HTTP, and nothing of this computer."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from clusterml import errors
from clusterml.errors import ClusterMLError, FolderInUseError, InputFileError, OptionError, OutputError, ServerError
from clusterml.io.shipped import with_shipped_names


class RefusalError(ServerError):
    """A request that the server refuses, with the ``status`` of HTTP that says of which kind the reason is.

    ``retry_s``: after so many seconds it may be asked again.
    """

    def __init__(self, status: int, problem: str, remedy: str = "", retry_s: int | None = None) -> None:
        super().__init__(problem, remedy)
        self.status = status
        self.retry_s = retry_s


class Problem(BaseModel):
    """What every error looks like."""

    error: str = Field(description="type of the error in clusterml.errors, such as OptionError")
    problem: str = Field(description="what is wrong: it names the file, the key or the value")
    remedy: str = Field(description="what to do about it")


UNEXPECTED = Problem(error="ServerError", problem="the server failed, which it should not", remedy="report it")


@contextmanager
def of_request() -> Iterator[None]:
    """What the command line says of a file is said of the request: an :class:`OptionError`."""
    try:
        yield
    except InputFileError as error:
        raise OptionError(error.problem, error.remedy) from error


def status_of(error: ClusterMLError) -> int:
    """The status of HTTP: 4xx where the request can be changed so that it is answered."""
    if isinstance(error, RefusalError):
        return error.status
    return 500 if isinstance(error, OutputError | FolderInUseError) else 422


def problem_of(error: ClusterMLError) -> Problem:
    """The error as it is sent; its type is the nearest one that :mod:`clusterml.errors` has."""
    kinds = (kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return Problem(error=next(kinds, "ClusterMLError"), problem=error.problem, remedy=error.remedy)


def raised_from(problem: dict[str, Any]) -> ClusterMLError:
    """The error that was sent as ``problem``; a type that is not known here becomes a :class:`ServerError`."""
    kind = getattr(errors, str(problem.get("error")), ServerError)
    if not (isinstance(kind, type) and issubclass(kind, ClusterMLError)):
        kind = ServerError
    return kind(str(problem.get("problem") or "the server refused"), str(problem.get("remedy") or ""))


class Discretion:
    """Takes the paths of this computer out of what is sent: folders of the server, of the user and of Python.

    What travels with the program keeps its ``shipped:`` name; of others only the part below the folder is left.
    """

    def __init__(self, *folders: Path) -> None:
        places = [*folders, Path.cwd(), Path.home(), Path(tempfile.gettempdir()), Path(sys.prefix)]
        places += [Path(str(errors.__file__)).parent]
        texts = {str(form) for place in places for form in (place.absolute(), place.resolve())}
        self._folders = sorted((text for text in texts if len(text) > 1), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """``text`` without them."""
        text = with_shipped_names(text)
        for folder in self._folders:
            if folder in text:
                text = text.replace(f"{folder}{os.sep}", "").replace(folder, Path(folder).name)
        return text
