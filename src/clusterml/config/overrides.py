"""``key=value`` words of the command line, put into the mapping that a YAML file gave; and a list of all keys."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from clusterml.config.schema import keys_of_mappings
from clusterml.errors import OptionError, did_you_mean, nearest


def override(values: dict[Any, Any], words: Sequence[str], model: type[BaseModel], verb: str) -> dict[Any, Any]:
    """``values`` with ``words`` such as ``optimizer.lr=0.001`` put in; the values in words are YAML.

    Raises :class:`OptionError` for a word without ``=``, a value that is not YAML, or a key that ``model`` has not,
    naming the nearest one that it has and the ``verb`` of the command line that lists them.
    """
    result = copy.deepcopy(values)
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise OptionError(f"'{word}' is not key=value", f"write for example {next(keys(model))[0]}=..")
        _check(key, model, verb)
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date that does not exist
            raise OptionError(f"the value of {key} is not YAML: {text}", "quote it") from error
        _put(result, key.split("."), value, key)
    return result


def keys(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every dotted key of ``model`` and of the models inside it, with its field."""
    for name, field in model.model_fields.items():
        kinds = [each for each in get_args(field.annotation) or (field.annotation,) if each is not NoneType]
        inner = kinds[0] if len(kinds) == 1 else None
        optional = NoneType in get_args(field.annotation)
        nested = inner if isinstance(inner, type) and issubclass(inner, BaseModel) and not _listed(field) else None
        if optional or nested is None:
            yield f"{before}{name}", field
        if nested is not None:
            yield from keys(nested, f"{before}{name}.")


def _check(key: str, model: type[BaseModel], verb: str) -> None:
    known = dict(keys(model))
    is_open = [name for name, field in known.items() if getattr(field.annotation, "__origin__", None) is dict]
    if key in known or any(key.startswith(f"{name}.") for name in is_open):
        return
    inside = [name for name, field in known.items() if _listed(field) and key.startswith(f"{name}.")]
    if inside:
        raise OptionError(f"'{key}' is inside the list '{inside[0]}'", f"give the whole list: {inside[0]}=[..]")
    last = key.rpartition(".")[2]
    same_end = [name for name in (*known, *keys_of_mappings(model)) if name.rpartition(".")[2] == last]
    hint = did_you_mean(same_end[0] if same_end else nearest(key, known) or _nearest_end(last, known))
    raise OptionError(f"there is no key '{key}'{hint}", f"see clusterml {verb} --keys")


def _listed(field: FieldInfo) -> bool:
    return get_origin(field.annotation) in (list, tuple)


def _nearest_end(last: str, known: dict[str, FieldInfo]) -> str:
    """The known key whose last step is most like ``last``, or empty."""
    ends = {name.rpartition(".")[2]: name for name in known}
    return ends.get(nearest(last, ends), "")


def _put(values: dict[Any, Any], steps: list[str], value: Any, key: str) -> None:
    for step in steps[:-1]:
        if values.get(step) is None:
            values[step] = {}
        values = values[step]
        if not isinstance(values, dict):
            raise OptionError(f"'{key}' cannot be set: '{step}' holds no keys", "correct it in the file")
    values[steps[-1]] = value
