"""Reading YAML files that people write: each key checked, and what is wrong said in words with file, place and key."""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from clusterml.errors import InputFileError, OptionError, did_you_mean, nearest
from clusterml.io.display import wrapped
from clusterml.io.files import read_bounded

_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, ten times faster, where PyYAML has it
_LARGEST_YAML = 8 * 1024**2  # bytes
_MOST_NODES = 200_000
_MOST_PROBLEMS = 20  # that an error tells


class Strict(BaseModel):
    """Base of every schema: unknown keys are errors, numbers are finite (as in JSON), objects do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __repr__(self) -> str:
        """The keys that are not at their defaults."""
        defaults = {key: field.get_default(call_default_factory=True) for key, field in type(self).model_fields.items()}
        keys = [key for key, default in defaults.items() if getattr(self, key) != default]
        return wrapped(f"{type(self).__name__}({', '.join(f'{key}={getattr(self, key)!r}' for key in keys)})")


M = TypeVar("M", bound=BaseModel)
Whole = Annotated[int, Field(strict=True)]
"""A whole number: no text, no 3.0 and no truth value."""
Number = Annotated[float, Field(strict=True)]
"""A number, whole or not: no text and no truth value."""


def read_yaml(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds.

    Raises :class:`InputFileError` naming the file if it is missing, is not YAML, holds no mapping, gives a key twice
    (which YAML would take as the last one, silently), or is larger than a configuration can be, with its aliases
    written out.
    """
    try:
        loader = _SAFE(read_bounded(path, _LARGEST_YAML).decode("utf-8"))
        node = loader.get_single_node()
        _check_size(path, node)
        _check_keys(path, node, set())
        content = None if node is None else loader.construct_document(node)
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: cannot be read ({error})", "give a YAML file") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date that does not exist
        raise InputFileError(f"{path}: is not YAML: {error}", "correct it there; quote SMILES and names") from error
    if not isinstance(content, dict):
        raise InputFileError(f"{path}: holds no keys", "give KEY: VALUE lines")
    return content


def shown(value: Any) -> str:
    """``value`` as an error quotes it: its repr, shortened where it is long or deep."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 100
    return short.repr(value)


def validated(model: type[M], values: Any, where: str) -> M:
    """``values`` as a ``model``; raises :class:`InputFileError` that says in words what is wrong at ``where``."""
    if not isinstance(values, dict):
        raise InputFileError(f"{where} is {shown(values)}", f"give a mapping with keys {', '.join(model.model_fields)}")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)[:_MOST_PROBLEMS]
        told = "; ".join(dict.fromkeys(_told(model, values, dict(problem)) for problem in problems))
        raise InputFileError(f"{where}: {told}", _remedy(model, problems)) from error


def load(model: type[M], path: Path) -> M:
    """The ``model`` that the YAML file ``path`` describes; errors as :func:`read_yaml` and :func:`validated`."""
    return validated(model, read_yaml(path), str(path))


def described(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every dotted key of ``model`` and of the models inside it, also in lists and mappings of them, with its field."""
    for name, field in model.model_fields.items():
        yield f"{before}{name}", field
        for inner in _models(field.annotation):
            yield from described(inner, f"{before}{name}.")


def keys_of_mappings(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Dotted keys inside mappings that have no model, as far as a field's ``json_schema_extra["keys"]`` lists them."""
    for name, field in described(model, before):
        extra = field.json_schema_extra
        listed = extra.get("keys") if isinstance(extra, dict) else None
        yield from (f"{name}.{key}" for key in (listed if isinstance(listed, list) else ()))


def _check_size(path: Path, root: yaml.Node | None) -> None:
    """Count the nodes with every alias written out; a node that holds itself would have no end."""
    sizes: dict[int, int] = {}
    todo = [] if root is None else [(root, False)]
    begun: set[int] = set()
    while todo:
        node, finished = todo.pop()
        children = _children(node)
        if finished:
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children)
            if sizes[id(node)] > _MOST_NODES:
                raise InputFileError(f"{path}: holds more than {_MOST_NODES:,} values", "write fewer aliases (*NAME)")
        elif id(node) not in sizes:
            if id(node) in begun:
                line = node.start_mark.line + 1
                raise InputFileError(f"{path}: an alias stands inside what it repeats (line {line})", "remove it")
            begun.add(id(node))
            todo.append((node, True))
            todo += [(child, False) for child in children if id(child) not in sizes]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_keys(path: Path, node: yaml.Node | None, seen: set[int]) -> None:
    """Is a key given twice?  ``seen``: the nodes that have been looked at."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    given: set[str] = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            if key.value in given:
                line = key.start_mark.line + 1
                raise InputFileError(f"{path}: '{key.value}' is given twice (line {line})", "keep one of them")
            given.add(key.value)
    for child in _children(node):
        _check_keys(path, child, seen)


def _told(model: type[BaseModel], values: Any, problem: dict[str, Any]) -> str:
    """What pydantic found wrong, in words: the key, its value, and what is expected (a field's description)."""
    if problem["type"] in ("extra_forbidden", "missing"):
        place = [str(step) for step in problem["loc"]]
        key = ".".join(place)
        if problem["type"] == "missing":
            return f"key '{key}' is missing"
        inside = [name for name in keys_of_mappings(model) if name.rpartition(".")[2] == place[-1]]
        return f"unknown key '{key}'{did_you_mean(inside[0] if inside else nearest(place[-1], _keys(model)))}"
    key, value, expected = _place(model, values, problem["loc"])
    if expected and problem["type"] != "value_error":  # a validator of ours says better what is wrong
        return f"{key} is {shown(value)}, not {expected}"
    reason = str(problem["msg"]).removeprefix("Value error, ")
    reason = f"{reason[:1].lower()}{reason[1:]}"
    return f"{key} is {shown(value)}: {reason}" if key else reason


def _remedy(model: type[BaseModel], problems: Sequence[Mapping[str, Any]]) -> str:
    """The keys that there are where one is unknown or missing; a wrong value says itself what is expected."""
    for problem in problems:
        if problem["type"] in ("extra_forbidden", "missing"):
            place = problem["loc"][:-1]
            inside = f" of {'.'.join(str(step) for step in place)}" if place else ""
            return f"keys{inside} are {', '.join(_model_at(model, place).model_fields)}"
    return "correct the value"


def _model_at(model: type[BaseModel], steps: tuple[Any, ...]) -> type[BaseModel]:
    """The model that describes what is at ``steps``; names and numbers of entries lead to no other one."""
    for step in steps:
        field = model.model_fields.get(str(step))
        inner = _models(field.annotation) if field is not None else []
        model = inner[0] if inner else model
    return model


def _place(model: type[BaseModel], values: Any, steps: tuple[Any, ...]) -> tuple[str, Any, str]:
    """Key, value and description of the field at ``steps``; pydantic's steps into a union's members are left out."""
    names: list[str] = []
    expected, fields = "", model.model_fields
    for step in steps:
        inside = isinstance(values, dict) and step in values
        if not inside and not (isinstance(values, list) and isinstance(step, int) and step < len(values)):
            break
        values = values[step]
        names.append(str(step))
        if step in fields:
            expected = fields[step].description or ""
            inner = _models(fields[step].annotation)
            fields = inner[0].model_fields if inner else {}
            if expected and not inner:
                break
    return ".".join(names), values, expected


def _keys(model: type[BaseModel]) -> list[str]:
    """Names of all keys of a model and of the models inside it."""
    keys: list[str] = []
    todo, seen = [model], set()
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        for name, field in current.model_fields.items():
            keys.append(name)
            todo += _models(field.annotation)
    return keys


def _models(annotation: Any) -> list[type[BaseModel]]:
    inner = [m for part in getattr(annotation, "__args__", ()) for m in _models(part)]
    return [annotation, *inner] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else inner


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
