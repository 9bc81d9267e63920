"""Registries of methods, networks and data sets by name, from this package, installed packages and programs."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, reduce
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from ifmsr.errors import InputError

NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")  # names become folders, file names and command-line choices

Thing = TypeVar("Thing")


def resolve(place: str) -> Any:
    """Import the object ``"package.module:attribute"``."""
    module, _, attribute = place.partition(":")
    return reduce(getattr, attribute.split("."), import_module(module))


def place_of(thing: object) -> str:
    """The place where an object was defined, as ``"package.module:attribute"``."""
    return f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', repr(thing))}"


class Registry(Mapping[str, Thing]):
    """A mapping from names to objects that are imported when they are looked up.

    The names come from three sources: this package, the entry points of installed packages, and `register`.

    Parameters
    ----------
    kind : the kind of object in error messages, for example "method".
    group : the group of entry points of other packages; it is read once, at first use.
    own : name -> ``"module:attribute"`` for the objects of this package.
    check : called with name and object of another package; raises InputError if the object cannot be used.
    """

    def __init__(
        self, kind: str, group: str, own: Mapping[str, str], check: Callable[[str, Any], None]
    ) -> None:
        self.kind, self.group, self.own, self.check = kind, group, own, check
        self.registered: dict[str, Thing] = {}

    @cached_property
    def places(self) -> dict[str, str]:
        """Name -> ``"module:attribute"``, of this package and of installed packages."""
        places = dict(self.own)
        for entry in entry_points(group=self.group):
            self._check_name(entry.name, entry.value, places)
            places[entry.name] = entry.value
        return places

    def register(self, name: str, thing: Thing) -> Thing:
        """Add an object under a new name and return it.

        The same definition may be registered again, for example by running a notebook cell twice.

        Raises
        ------
        InputError : the name is taken or cannot be a name, or the object cannot be used.
        """
        known = {other: place_of(value) for other, value in self.registered.items()}
        self._check_name(name, place_of(thing), self.places | known)
        self.check(name, thing)
        self.registered[name] = thing
        return thing

    def _check_name(self, name: str, place: str, known: Mapping[str, str]) -> None:
        where = f"{self.kind} {name!r}"
        if not NAME.fullmatch(name):
            raise InputError(
                where, "it cannot be a name", "Use small letters, digits and hyphens, as in my-net"
            )
        if known.get(name, place) != place:
            raise InputError(where, f"the name is taken by {known[name]}", f"Give {place} another name")

    def __getitem__(self, name: str) -> Thing:
        if name in self.registered:
            return self.registered[name]
        place = self.places[name]
        if name in self.own:
            return resolve(place)
        try:
            thing = resolve(place)
        except (ImportError, AttributeError) as error:
            package = place.partition(".")[0].partition(":")[0]
            raise InputError(
                f"{self.kind} {name!r}",
                f"{place} cannot be imported ({error})",
                f"Repair or remove {package}",
            ) from error
        self.check(name, thing)
        return thing

    def __contains__(self, name: object) -> bool:
        return name in self.registered or name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.places, *self.registered]))

    def __len__(self) -> int:
        return len(list(iter(self)))
