"""What there is of a kind: all that the modules of a package define, and what installed packages add from outside.

A new file format, say, is a module in the package of formats that defines ``FORMATS``, a tuple; it is found by being
there.  Another package adds some through an entry point, which names such a module, one object, or a tuple of them::

    [project.entry-points."clusterml.structure_formats"]
    crystal-maker = "my_package.crystal_maker"

What is written as data, such as ligands, stands in YAML files in the package itself; an entry point then names a
package with such files.
"""

from __future__ import annotations

import pkgutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from clusterml.config.usercode import Guard
from clusterml.errors import ClusterMLError, PluginError, PluginWarning, UserCodeError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """All objects of a kind, looked for when they are first asked for.

    what        what they are called in messages: "structure format"
    kind        their class
    package     name of the package whose modules define them
    attribute   name of the tuple that such a module has
    group       of entry points through which other packages add some
    name        the name of an object
    claims      what else only one object may have, such as patterns of file names
    order       they are sorted by this, then by name; None: they stay in the order in which they are defined
    adopt       what is done to an object of another package, whose name is the second argument
    read        the objects in a YAML file, where packages have such files; raises ClusterMLError
    """

    what: str
    kind: type[T]
    package: str
    attribute: str
    group: str
    name: Callable[[T], str]
    claims: Callable[[T], Iterable[str]] = lambda item: ()
    order: Callable[[T], Any] | None = lambda item: 0
    adopt: Callable[[T, str], T] = lambda item, origin: item
    read: Callable[[Path], Iterable[T]] | None = None

    def all(self) -> tuple[T, ...]:
        """Every object, in order.

        A package that cannot be used is left out with a :class:`PluginWarning` that names it.  Raises
        :class:`PluginError` where two objects have the same name or claim.
        """
        return self._all

    @cached_property
    def _all(self) -> tuple[T, ...]:
        owners: dict[str, str] = {}
        items = []
        for item, owner in (*self._own(), *self._added()):
            for claim in dict.fromkeys((self.name(item), *self.claims(item))):
                if claim in owners:
                    raise _twice(f"the {self.what} '{claim}'", owners[claim], owner)
                owners[claim] = owner
            items.append(item)
        order = self.order
        return tuple(items if order is None else sorted(items, key=lambda item: (order(item), self.name(item))))

    def _own(self) -> Iterator[tuple[T, str]]:
        """Each object of the package's files and modules, with the name of file or module."""
        package = import_module(self.package)
        for path in self._files(package):
            yield from ((item, path.name) for item in self._read(path))
        for entry in pkgutil.iter_modules(package.__path__, f"{self.package}."):
            for item in getattr(import_module(entry.name), self.attribute, ()):
                yield item, entry.name

    def _added(self) -> Iterator[tuple[T, str]]:
        """Each object of other packages, with the package's name and version."""
        for entry in entries(self.group).values():
            owner = package_of(entry)
            try:
                items = self._items(load(entry))
            except UserCodeError as error:
                text = f"{self.what}s of {owner} are left out: {error.problem}"
                warnings.warn(PluginWarning(f"{text} (update or uninstall {owner})"), stacklevel=2)
                continue
            for item in items:
                yield self.adopt(item, owner), owner

    def _items(self, value: Any) -> tuple[T, ...]:
        if isinstance(value, ModuleType):
            try:
                written = [item for path in self._files(value) for item in self._read(path)]
            except ClusterMLError as error:
                raise UserCodeError(error.problem, error.remedy) from error
            value = (*getattr(value, self.attribute, ()), *written)
        items = value if isinstance(value, tuple | list) else (value,)
        if not items or not all(isinstance(item, self.kind) for item in items):
            kind = f"{self.kind.__module__}.{self.kind.__qualname__}"
            module = f"module with {self.attribute}" + ("" if self.read is None else " or package with YAML files")
            raise UserCodeError(f"what it names in {self.group} is no {kind}, no tuple of them and no {module}")
        return tuple(items)

    def _files(self, module: ModuleType) -> list[Path]:
        """The YAML files of a package in the order of their names; none of a module, or where there are no such."""
        folders = () if self.read is None else getattr(module, "__path__", ())
        return sorted(path for folder in folders for path in Path(folder).glob("*.yaml"))

    def _read(self, path: Path) -> Iterable[T]:
        return () if self.read is None else self.read(path)


def entries(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by their names; raises :class:`PluginError` where two packages use one name."""
    from importlib.metadata import entry_points

    by_name: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        if entry.name in by_name and by_name[entry.name] != entry:
            first = by_name[entry.name]
            raise _twice(f"the entry point '{entry.name}' of {group}", package_of(first), package_of(entry))
        by_name[entry.name] = entry
    return by_name


def load(entry: EntryPoint) -> Any:
    """What an entry point names; raises :class:`UserCodeError` naming it where it fails to import."""
    with Guard(f"{entry.group} {entry.name} = {entry.value}"):
        return entry.load()


def package_of(entry: EntryPoint) -> str:
    """Name and version of the package that has an entry point, or where that is not known what it names."""
    return entry.value if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def _twice(what: str, first: str, second: str) -> PluginError:
    return PluginError(f"{what} is that of both {first} and {second}", "uninstall one of them, or rename it there")
