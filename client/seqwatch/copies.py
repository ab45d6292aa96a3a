"""A row as it was when it was logged, whatever the host does to its arrays afterwards."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

try:
    from numpy import ndarray
except ImportError:  # numpy is used when it is there

    class ndarray:  # type: ignore[no-redef]  # noqa: N801, D101
        copy = None


_ATOMS: frozenset[type] = frozenset({float, int, str, bool, type(None)})


def settle(taken: dict[str, Any]) -> None:
    """Replace, in place, every value of a row that could still change.

    Arrays and lists are copied in C; what else knows `tolist` (a tensor, a
    series) is read now. This is all that `log` does to the content of a row:
    the rest is left to the packing thread.
    """
    for name, value in taken.items():
        freeze = _FREEZE.get(type(value), _other)
        if freeze is not None:
            taken[name] = freeze(value)


def _dict(value: dict[str, Any]) -> dict[str, Any]:
    taken = value.copy()
    settle(taken)
    return taken


def _list(value: Any) -> Any:
    # Lists are of one kind: numbers, tokens, or lists of those.
    if not value or type(value[0]) in _ATOMS:
        return value[:]
    return [_any(inner) for inner in value]


def _other(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _dict(dict(value))
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        raise TypeError("a datetime without a zone")
    return value.isoformat()


def _refuse(value: object) -> object:
    raise TypeError(f"cannot send {type(value).__name__}")


def _any(value: Any) -> Any:
    freeze = _FREEZE.get(type(value), _other)
    return value if freeze is None else freeze(value)


# By exact type, so that the common ones cost one look-up.
_FREEZE: dict[type, Callable[[Any], Any] | None] = {
    dict: _dict,
    list: _list,
    tuple: _list,
    ndarray: ndarray.copy,
    datetime: _moment,
    bytes: _refuse,
    bytearray: _refuse,
    **dict.fromkeys(_ATOMS),
}
