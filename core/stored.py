"""Strict reading of stored JSON."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from core.errors import Unprocessable


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
