"""Plug-ins of every extension point: their parameters, and why one is unavailable."""

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, TypeAlias, get_type_hints

import msgspec

from core.errors import Unprocessable
from core.plugins import Registry
from core.schema.task import TASKS
from monitors.diagnosis import DIAGNOSES
from monitors.registry import KINDS
from monitors.slo.sli import SLIS
from notify.channel import CHANNELS
from notify.trainer import TRAINERS
from retrain.template import TEMPLATES
from sources.kind import SOURCES

REGISTRIES: tuple[Registry[Any], ...] = (
    TASKS,
    KINDS,
    SLIS,
    DIAGNOSES,
    CHANNELS,
    SOURCES,
    TEMPLATES,
    TRAINERS,
)

Default: TypeAlias = bool | int | float | str | list[str | float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a plug-in; `default` is null where it has none, or one that is made."""

    name: str
    type: str
    default: Default
    is_required: bool
    is_secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One plug-in; `unavailable` is why it cannot be used, and null where it can."""

    group: str
    name: str
    question: str
    parameters: tuple[Parameter, ...]
    unavailable: str | None


def installed(group: str | None = None) -> Iterator[Plugin]:
    """Yield the plug-ins of a group of entry points, or of all; the unavailable ones last.

    Raises
    ------
    Unprocessable
        If there is no such group.
    """
    groups = [registry.group for registry in REGISTRIES]
    if group not in (None, *groups):
        raise Unprocessable(f"no group {group!r}; known: {', '.join(groups)}")
    for registry in REGISTRIES:
        if group not in (None, registry.group):
            continue
        for plugin in registry:
            declared = getattr(plugin, "params", None) or getattr(plugin, "config", None)
            why = None
            try:
                known = parameters(declared)
            except Exception as error:  # noqa: BLE001 - of one plug-in: others are listed
                known, why = (), f"its parameters cannot be read: {error}"
            yield Plugin(
                group=registry.group,
                name=plugin.name,
                question=plugin.question,
                parameters=known,
                unavailable=why,
            )
        for name, why in registry.unavailable.items():
            yield Plugin(
                group=registry.group, name=name, question="", parameters=(), unavailable=why
            )


def parameters(declared: Any | None) -> tuple[Parameter, ...]:
    """Return the parameters that a dataclass declares; none of a plug-in that has none.

    Examples
    --------
    >>> from retrain.templates.segment_lstm import Params
    >>> [(one.name, one.type, one.default) for one in parameters(Params)][0]
    ('width', 'int', 128)
    """
    if declared is None:
        return ()
    hints = get_type_hints(declared)
    return tuple(
        Parameter(
            name=one.name,
            type=_name(hints[one.name]),
            default=_default(one),
            is_required=one.default is MISSING and one.default_factory is MISSING,
            is_secret=bool(one.metadata.get("secret")),
        )
        for one in fields(declared)
    )


def _name(hint: Any) -> str:
    return hint.__name__ if type(hint) is type else str(hint)


def _default(of: "Field[Any]") -> Default:
    if of.default is MISSING or of.metadata.get("secret"):
        return None
    try:
        default: Default = msgspec.json.decode(msgspec.json.encode(of.default), type=Default)
    except (TypeError, ValueError):
        default = repr(of.default)
    return default
