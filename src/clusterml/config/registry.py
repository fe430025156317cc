"""What there is of a kind: all that the modules of a package define, and what installed packages add from outside.

A new head, say, is a module in the package of heads that defines ``HEADS``, a tuple; it is found by being there.
Another package adds some through an entry point, which names such a module, one object, or a tuple of them::

    [project.entry-points."clusterml.heads"]
    gaussian = "my_package.gaussian_head"

What is written as data, such as ligands, stands in YAML files in the package itself; an entry point then names a
package with such files.
"""

from __future__ import annotations

import pkgutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from clusterml.config.usercode import Guard, guarded
from clusterml.errors import ClusterMLError, OptionError, PluginError, PluginWarning, UserCodeError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """All objects of a kind, looked for when they are first asked for.

    things      what they are called, as a plural in -s: "orbital sources".  The module of another package is named by
                the entry points ``clusterml.orbital_sources``, and has a tuple ``ORBITAL_SOURCES``
    kind        their class
    package     name of the package whose modules define them
    attribute   name of the tuple that such a module has, where it is another
    name        the name of an object
    claims      what else only one object may have, such as patterns of file names
    order       they are sorted by this, then by name; None: they stay in the order in which they are defined
    adopt       what is done to an object of another package, whose name is the second argument; default: failures of
                its functions become typed errors that name it
    read        the objects in a YAML file, where packages have such files; raises ClusterMLError
    """

    things: str
    kind: type[T]
    package: str
    attribute: str = ""
    name: Callable[[T], str] = attrgetter("name")
    claims: Callable[[T], Iterable[str]] = lambda item: ()
    order: Callable[[T], Any] | None = lambda item: 0
    adopt: Callable[[T, str], T] | None = None
    read: Callable[[Path], Iterable[T]] | None = None

    @property
    def what(self) -> str:
        """What one of them is called."""
        return self.things.removesuffix("s")

    @property
    def group(self) -> str:
        """The entry points through which other packages add some."""
        return f"clusterml.{self.things.replace(' ', '_')}"

    def all(self) -> tuple[T, ...]:
        """Every object, in order.

        A package that cannot be used is left out with a :class:`PluginWarning` that names it.  Raises
        :class:`PluginError` where two objects have the same name or claim.
        """
        return self._all[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every object, in order."""
        return tuple(self.name(item) for item in self.all())

    @property
    def packages(self) -> dict[str, str]:
        """Name of each object of another package -> that package's name and version."""
        return self._all[1]

    def named(self, name: str, where: str = "") -> T:
        """The object of that name.

        Raises :class:`OptionError` for an unknown one, with the nearest name or all of them; ``where`` is what the
        name is given for, default :attr:`what`.
        """
        for item in self.all():
            if self.name(item) == name:
                return item
        problem = f"{where or self.what} is {name[:80]!r}"
        meant = nearest(name, self.names)
        raise OptionError(problem, f"did you mean '{meant}'?" if meant else f"choose one of {', '.join(self.names)}")

    @cached_property
    def _all(self) -> tuple[tuple[T, ...], dict[str, str]]:
        owners: dict[str, str] = {}
        own, added = list(self._own()), list(self._added())
        for item, owner in (*own, *added):
            for claim in dict.fromkeys((self.name(item), *self.claims(item))):
                if claim in owners:
                    raise _twice(f"the {self.what} '{claim}'", owners[claim], owner)
                owners[claim] = owner
        items, order = [item for item, _ in (*own, *added)], self.order
        if order is not None:
            items.sort(key=lambda item: (order(item), self.name(item)))
        return tuple(items), {self.name(item): owner for item, owner in added}

    def _own(self) -> Iterator[tuple[T, str]]:
        """Each object of the package's files and modules, with the name of file or module."""
        package = import_module(self.package)
        for path in self._files(package):
            yield from ((item, path.name) for item in self._read(path))
        for entry in pkgutil.iter_modules(package.__path__, f"{self.package}."):
            for item in getattr(import_module(entry.name), self._tuple, ()):
                yield item, entry.name

    def _added(self) -> Iterator[tuple[T, str]]:
        """Each object of other packages, with the package's name and version."""
        for entry in entries(self.group).values():
            owner = package_of(entry)
            try:
                items = self._items(load(entry))
            except UserCodeError as error:
                text = f"{self.things} of {owner} are left out: {error.problem}"
                warnings.warn(PluginWarning(f"{text} (update or uninstall {owner})"), stacklevel=2)
                continue
            for item in items:
                yield self._adopted(item, owner), owner

    @property
    def _tuple(self) -> str:
        return self.attribute or self.things.replace(" ", "_").upper()

    def _adopted(self, item: T, owner: str) -> T:
        if self.adopt is not None:
            return self.adopt(item, owner)
        return guard_functions(item, f"{self.what} {self.name(item)} ({owner})")

    def _items(self, value: Any) -> tuple[T, ...]:
        if isinstance(value, ModuleType):
            try:
                written = [item for path in self._files(value) for item in self._read(path)]
            except ClusterMLError as error:
                raise UserCodeError(error.problem, error.remedy) from error
            value = (*getattr(value, self._tuple, ()), *written)
        items = value if isinstance(value, tuple | list) else (value,)
        if not items or not all(isinstance(item, self.kind) for item in items):
            kind = f"{self.kind.__module__}.{self.kind.__qualname__}"
            module = f"module with {self._tuple}" + ("" if self.read is None else " or package with YAML files")
            raise UserCodeError(f"what it names in {self.group} is no {kind}, no tuple of them and no {module}")
        return tuple(items)

    def _files(self, module: ModuleType) -> list[Path]:
        """The YAML files of a package in the order of their names; none of a module, or where there are no such."""
        folders = () if self.read is None else getattr(module, "__path__", ())
        return sorted(path for folder in folders for path in Path(folder).glob("*.yaml"))

    def _read(self, path: Path) -> Iterable[T]:
        return () if self.read is None else self.read(path)


def guard_functions(item: T, what: str) -> T:
    """``item``, called ``what``; failures of functions that are fields of its dataclass raise UserCodeError."""
    if not is_dataclass(item) or isinstance(item, type):
        return item
    values = {field.name: getattr(item, field.name) for field in fields(item)}
    functions = {name: value for name, value in values.items() if callable(value) and not isinstance(value, type)}
    return replace(item, **{name: guarded(function, what) for name, function in functions.items()})


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
