"""From the body of a request, JSON or a form, to the checked options."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.requests import Request

from clusterml.config.schema import validated
from clusterml.errors import InputFileError, OptionError
from clusterml.io.files import decode
from clusterml.io.json import parse_json
from clusterml.server.refusals import RefusalError, of_request
from clusterml.server.settings import Limits

M = TypeVar("M", bound=BaseModel)
_WHERE = "the request"


async def read_body(request: Request, model: type[M], limits: Limits) -> M:
    """The body as a ``model``.

    Raises :class:`RefusalError` for another content type, and :class:`OptionError` for an unknown key, which is named
    with the nearest one, and for a value that cannot be used.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        values = await _form(request, limits)
    elif kind == "application/json":
        text = decode(await request.body(), _WHERE)
        try:
            values = parse_json(text, _WHERE)
        except InputFileError as error:
            raise RefusalError(400, error.problem, "send a JSON object") from error
    else:
        raise RefusalError(415, f"the content type is {kind!r}", "send application/json or multipart/form-data")
    with of_request():
        return validated(model, values, _WHERE)


async def _form(request: Request, limits: Limits) -> dict[str, Any]:
    """The fields of a form as keys: a file becomes its name and text, what begins like JSON is read as such."""
    values: dict[str, Any] = {}
    async with request.form(max_files=2, max_fields=100, max_part_size=limits.upload_bytes) as form:
        for key, value in form.multi_items():
            if key in values:
                raise OptionError(f"{_WHERE}: '{key}' is given twice", "keep one of them")
            values[key] = await _file(value) if isinstance(value, UploadFile) else _value(key, value)
    return values


async def _file(part: UploadFile) -> dict[str, str]:
    name = part.filename or "file"
    return {"name": name, "text": decode(await part.read(), name)}


def _value(key: str, text: str) -> Any:
    """The value of a field; numbers and truth values are told from texts by the type of the option."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (RecursionError, ValueError) as error:
        raise OptionError(f"{_WHERE}: {key} is not usable JSON: {error}", "correct it") from error
