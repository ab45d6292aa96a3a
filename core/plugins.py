"""Extension points: registries of entry points, built in and by plug-ins."""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from core.durations import CENTURY, explained, to_text
from core.errors import Unprocessable

log = logging.getLogger(__name__)

OURS = ("seqwatch-platform", "seqwatch-skew")  # the default installation; their names win

SECRET = {"secret": True}  # metadata of a field of a configuration that no route returns


class Named(Protocol):
    """What every plug-in has: the name of its entry point."""

    @property
    def name(self) -> str:
        """As in a configuration."""


Plugin = TypeVar("Plugin", bound=Named)
C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[Plugin]):
    """What the entry points of a group gave.

    Attributes
    ----------
    plugins
        By name; ours first, then by name of the distribution.
    unavailable
        Why an entry point gave nothing, by its name: it cannot be imported, it is no plug-in
        of this group, its name is another one, or in use.
    """

    plugins: Mapping[str, Plugin] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)


class Registry(Generic[Plugin]):
    """The plug-ins of one extension point, loaded when they are first asked for.

    Parameters
    ----------
    group
        Of entry points, such as `seqwatch.monitors`.
    what
        What one is called in messages, such as "kind of monitor".
    kind
        The class of plug-ins.
    """

    def __init__(self, group: str, what: str, kind: type[Plugin]) -> None:
        self.group = group
        self._what = what
        self._kind = kind

    @cached_property
    def _loaded(self) -> Loaded[Plugin]:
        plugins: dict[str, Plugin] = {}
        unavailable: dict[str, str] = {}
        for point in sorted(entry_points(group=self.group), key=_order):
            origin = point.dist.name if point.dist else point.value
            if point.name in plugins:
                label = f"{point.name} ({origin})"
                unavailable[label] = f"the name {point.name!r} is in use"
                continue
            try:
                plugins[point.name] = self.checked(point.name, point.load())
            except (Exception, SystemExit) as error:
                log.exception("plug-in %s of %s is not available", point.name, origin)
                unavailable[point.name] = f"{origin}: {type(error).__name__}: {error}"
        return Loaded(plugins=plugins, unavailable=unavailable)

    def checked(self, name: str, loaded: object) -> Plugin:
        """Return what the entry point `name` loaded.

        Raises
        ------
        TypeError
            If it is no plug-in of this group.
        ValueError
            If it has another name.
        """
        if not isinstance(loaded, self._kind):
            raise TypeError(f"{loaded!r} is no {self._kind.__name__}")
        if loaded.name != name:
            raise ValueError(f"{self._what} {loaded.name!r} has the entry point {name!r}")
        return loaded

    def __iter__(self) -> Iterator[Plugin]:
        """Iterate over the plug-ins that are available."""
        return iter(self._loaded.plugins.values())

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Why entry points of this group gave nothing, by name."""
        return self._loaded.unavailable

    def names(self) -> tuple[str, ...]:
        """Return the names that a configuration may use."""
        return (*self._loaded.plugins,)

    def get(self, name: str) -> Plugin | None:
        """Return the plug-in called `name`; None where it is unavailable or was uninstalled."""
        return self._loaded.plugins.get(name)

    def find(self, name: str) -> Plugin:
        """Return the plug-in called `name`.

        Raises
        ------
        Unprocessable
            If there is none; the message lists those there are, or why it is unavailable.
        """
        found = self.get(name)
        if found is None:
            why = self.unavailable.get(name)
            if why is not None:
                raise Unprocessable(f"{self._what} {name!r} is unavailable: {why}")
            known = ", ".join(self.names()) or "none is installed"
            raise Unprocessable(f"no {self._what} {name!r}; known: {known}")
        return found


def parse(name: str, params: Any, given: Mapping[str, object]) -> Any:
    """Read the parameters of a plug-in; what is absent takes its default.

    Raises
    ------
    Unprocessable
        Naming the parameter that is unknown, of the wrong type or impossible.
    """
    known = [*params.__dataclass_fields__]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise Unprocessable(f"{name}: no {', '.join(unknown)}; known: {', '.join(known)}")
    try:
        found = msgspec.convert(given, params)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise Unprocessable(f"{name}: {explained(str(error))}") from None
    for one in known:
        _check_size(f"{name}: {one}", getattr(found, one))
    return found


def _check_size(what: str, value: object) -> None:
    """Refuse numbers and durations of the right type with which every evaluation would fail."""
    match value:
        case float() if not math.isfinite(value):
            raise Unprocessable(f"{what} must be finite")
        case timedelta() if abs(value) > CENTURY:
            raise Unprocessable(f"{what} must not be more than {to_text(CENTURY)}")
        case Mapping():
            for key, each in value.items():
                _check_size(f"{what}: {key}", each)
        case _:
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured(Generic[C]):
    """A plug-in of which each use has a configuration, which is stored.

    Attributes
    ----------
    name
        As in a configuration, and of its entry point.
    question
        What it does, for people.
    config
        A frozen dataclass of texts, numbers, flags and lists of texts; `__post_init__` raises
        ValueError or Unprocessable. Metadata `SECRET` marks a field as secret: it is kept
        when a change does not name it.
    """

    name: str
    question: str
    config: type[C]

    @property
    def secrets(self) -> set[str]:
        """Names of the fields that are secret."""
        config: Any = self.config
        return {field.name for field in fields(config) if field.metadata.get("secret")}

    def parsed(self, given: Mapping[str, object]) -> C:
        """Return a configuration, checked, with its defaults."""
        parsed: C = parse(self.name, self.config, given)
        return parsed

    def stored(
        self, given: Mapping[str, object], before: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Return a configuration as it is stored; secrets that it lacks are those of before."""
        kept = {name: value for name, value in (before or {}).items() if name in self.secrets}
        stored: dict[str, Any] = msgspec.to_builtins(self.parsed({**kept, **given}))
        return stored

    def redacted(self, text: str, config: object) -> str:
        """Return a text, such as of an error, without the values of secret fields."""
        for name in self.secrets:
            secret = getattr(config, name, None)
            if isinstance(secret, str) and secret:
                text = text.replace(secret, "(secret)")
        return text

    def public(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration without its secrets."""
        return {name: value for name, value in stored.items() if name not in self.secrets}


def _order(point: EntryPoint) -> tuple[bool, str, str]:
    origin = point.dist.name if point.dist else ""
    return origin not in OURS, origin, point.name
