"""Copies of logged rows, so that the host may change its arrays afterwards."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

try:
    from numpy import ndarray
except ImportError:  # numpy is optional

    class ndarray:  # type: ignore[no-redef]  # noqa: N801, D101
        copy = None


_ATOMS: frozenset[type] = frozenset({float, int, str, bool, type(None)})

# A value that contains itself is not followed to the end of the stack, where the
# interpreter may crash, and with it the host. A window within a feature is three.
MAX_DEPTH = 32


def settle(taken: dict[str, Any], depth: int = 0) -> None:
    """Replace, in place, every mutable value of a row by a copy.

    Arrays and lists are copied in C; other values with `tolist` (a tensor, a
    series) are read now. This is all that `log` does to the content of a row:
    the rest is left to the packing thread. Raises ValueError for a row that is
    nested more than `MAX_DEPTH` deep.
    """
    for name, value in taken.items():
        freeze = _FREEZE.get(type(value), _other)
        if freeze is not None:
            taken[name] = freeze(value, depth)


def _dict(value: dict[str, Any], depth: int) -> dict[str, Any]:
    if depth == MAX_DEPTH:
        raise ValueError("nested too deeply")
    taken = value.copy()
    settle(taken, depth + 1)
    return taken


def _list(value: Any, depth: int) -> Any:
    # Lists are of one kind: numbers, tokens, or lists of those.
    if not value or type(value[0]) in _ATOMS:
        return value[:]
    if depth == MAX_DEPTH:
        raise ValueError("nested too deeply")
    return [_any(inner, depth + 1) for inner in value]


def _array(value: ndarray[Any, Any], _: int) -> Any:
    return value.copy()


def _other(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return _dict(dict(value), depth)
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value


def _moment(value: datetime, _: int) -> str:
    if value.tzinfo is None:
        raise TypeError("a datetime without a zone")
    return value.isoformat()


def _refuse(value: object, _: int) -> object:
    raise TypeError(f"cannot send {type(value).__name__}")


def _any(value: Any, depth: int) -> Any:
    freeze = _FREEZE.get(type(value), _other)
    return value if freeze is None else freeze(value, depth)


# By exact type, so that the common ones cost one look-up.
_FREEZE: dict[type, Callable[[Any, int], Any] | None] = {
    dict: _dict,
    list: _list,
    tuple: _list,
    ndarray: _array,
    datetime: _moment,
    bytes: _refuse,
    bytearray: _refuse,
    **dict.fromkeys(_ATOMS),
}
