"""Dataclasses from what is stored: strict reading of JSON, and of the attributes of rows."""

import re
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from core.durations import explained
from core.errors import Unprocessable

T = TypeVar("T")

_INVALID_CHOICE = re.compile(r"Invalid enum value .* - at `(\$.*)`", re.DOTALL)


def parsed(stored: object, kind: type[T], what: str) -> T:
    """Read a dataclass from the form that is stored and sent.

    Raises
    ------
    Unprocessable
        Naming the entry that is unknown or of the wrong type, and the choices
        where there are some.

    Examples
    --------
    >>> from core.schema.feature import Feature
    >>> parsed({"name": "load", "dtype": "text"}, Feature, "feature")
    Traceback (most recent call last):
    core.errors.Unprocessable: feature: $.dtype: expected one of number, category
    """
    refuse_unknown(stored, kind, what)
    try:
        return msgspec.convert(stored, kind)
    except msgspec.ValidationError as error:
        choice = _INVALID_CHOICE.fullmatch(str(error))
        why = explained(str(error))
        if choice:
            why = f"{choice[1]}: expected one of {_choices(kind, choice[1])}"
        raise Unprocessable(f"{what}: {why}") from None


def parsed_known(stored: Mapping[str, Any], kind: type[T], what: str) -> T:
    """Read the entries that a dataclass has, of a form that anyone may have written."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return parsed({name: of for name, of in stored.items() if name in known}, kind, what)


def _choices(kind: Any, path: str) -> str:
    """Return the values of the enum at a path such as `$.features[0].dtype`."""
    for name, place in re.findall(r"\.(\w+)|(\[[^]]*\])", path):
        if name:
            kind = get_type_hints(kind)[name]
        elif place:
            inner = [one for one in get_args(kind) if one is not Ellipsis]
            kind = inner[-1]
    kinds = [kind, *get_args(kind)]
    enums = [one for one in kinds if isinstance(one, type) and issubclass(one, Enum)]
    return ", ".join(str(member.value) for one in enums for member in one)


def refuse_unknown(stored: object, kind: type[Any], what: str) -> None:
    """Refuse the entries that a dataclass does not have: a misspelt one must not be ignored.

    Parameters
    ----------
    stored
        Anything that JSON can hold; what is no object is left for its reader to refuse.
    kind
        The dataclass that it is read as.
    what
        Begins the message.

    Raises
    ------
    Unprocessable
        Naming the unknown entries, and listing those there are.

    Examples
    --------
    >>> from core.window import Window
    >>> refuse_unknown({"start": 0, "stop": 1}, Window, "window")
    Traceback (most recent call last):
    core.errors.Unprocessable: window: unknown stop; known: start, end
    """
    if not isinstance(stored, Mapping):
        return
    known = [field.name for field in fields(kind)]
    unknown = sorted(str(name) for name in stored if name not in known)
    if unknown:
        raise Unprocessable(f"{what}: unknown {', '.join(unknown)}; known: {', '.join(known)}")


def from_attributes(kind: type[T], *sources: object, **given: Any) -> T:
    """Return a dataclass with the attributes of the same names.

    Parameters
    ----------
    kind
        A dataclass with keyword arguments.
    sources
        Each field comes from the first that has an attribute of its name.
    given
        Fields that are stated.

    Raises
    ------
    TypeError
        If a field without a default is neither stated nor found.

    Examples
    --------
    >>> from core.window import Window, midnight
    >>> from datetime import date, timedelta
    >>> day = Window(midnight(date(2026, 1, 1)), midnight(date(2026, 1, 2)))
    >>> from_attributes(Window, day, end=day.start + timedelta(hours=1)).start == day.start
    True
    """
    declared: Any = kind
    for name in declared.__dataclass_fields__.keys() - given.keys():
        found = next((source for source in sources if hasattr(source, name)), None)
        if found is not None:
            given[name] = getattr(found, name)
    return kind(**given)
