"""Extension points: registries of entry points, built in and by plug-ins."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

import msgspec

from core.errors import Unprocessable

log = logging.getLogger(__name__)

OURS = ("seqwatch-platform", "seqwatch-skew")  # the default installation; their names win

SECRET = {"secret": True}  # metadata of a field of a configuration that no route returns

Plugin = TypeVar("Plugin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[Plugin]):
    """What the entry points of a group gave.

    Attributes
    ----------
    plugins
        By name; ours first, then by name of the distribution.
    unavailable
        Why an entry point gave nothing, by its name: it cannot be imported, it is no plug-in
        of this group, or its name is in use.
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
    check
        Returns the plug-in that an entry point loaded; raises TypeError for anything else.
    """

    def __init__(self, group: str, what: str, check: Callable[[object], Plugin]) -> None:
        self.group = group
        self._what = what
        self._check = check

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
                plugins[point.name] = self._check(point.load())
            except Exception as error:
                log.exception("plug-in %s of %s is not available", point.name, origin)
                unavailable[point.name] = f"{origin}: {type(error).__name__}: {error}"
        return Loaded(plugins=plugins, unavailable=unavailable)

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
            known = ", ".join(self.names())
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
        return msgspec.convert(given, params)
    except (msgspec.ValidationError, ValueError) as error:
        raise Unprocessable(f"{name}: {error}") from None


def secrets_of(config: Any) -> set[str]:
    """Return the names of the fields of a configuration that are secret."""
    return {one.name for one in fields(config) if one.metadata.get("secret")}


def stored(
    name: str, config: Any, given: Mapping[str, object], before: Mapping[str, object]
) -> dict[str, Any]:
    """Return a configuration as it is stored: checked, with its defaults.

    Parameters
    ----------
    name
        Of the kind.
    config
        The dataclass that declares it.
    given
        As it was sent; a secret that it does not name stays as it was.
    before
        As it was stored for this kind; empty where it is new.

    Raises
    ------
    Unprocessable
        Naming the field that is unknown, of the wrong type or impossible.
    """
    kept = {one: before[one] for one in secrets_of(config) & {*before}}
    checked: dict[str, Any] = msgspec.to_builtins(parse(name, config, {**kept, **given}))
    return checked


def public(config: Any | None, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration without secrets; nothing where its kind is unavailable."""
    shown = set() if config is None else {*stored} - secrets_of(config)
    return {name: value for name, value in stored.items() if name in shown}


def _order(point: EntryPoint) -> tuple[bool, str, str]:
    origin = point.dist.name if point.dist else ""
    return origin not in OURS, origin, point.name
