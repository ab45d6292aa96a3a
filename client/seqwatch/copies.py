"""A row as it was when it was logged, whatever the host does to its arrays afterwards."""

from collections.abc import Mapping
from typing import Any

try:
    from numpy import ndarray
except ImportError:  # numpy is used when it is there

    class ndarray:  # type: ignore[no-redef]  # noqa: N801, D101
        pass


_ATOMS = frozenset({float, int, str, bool, type(None)})


def copied(row: Mapping[str, object]) -> dict[str, Any]:
    """Return a copy that shares nothing with `row` that could still change.

    Arrays and lists are copied in C; what else knows `tolist` (a tensor, a
    series) is read now. This is all that `log` does to the content of a row:
    the rest is left to the packing thread.
    """
    taken = dict(row)
    settle(taken)
    return taken


def settle(taken: dict[str, Any]) -> None:
    """Replace, in place, every value of a row that could still change."""
    for name, value in taken.items():
        if type(value) not in _ATOMS:
            taken[name] = _frozen(value)


def _frozen(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {
            name: inner if type(inner) in _ATOMS else _frozen(inner)
            for name, inner in value.items()
        }
    if kind is ndarray:
        return value.copy()
    if kind is list or kind is tuple:
        # Lists are of one kind: numbers, tokens, or lists of those.
        is_flat = not value or type(value[0]) in _ATOMS
        return value[:] if is_flat else [_frozen(inner) for inner in value]
    return value if kind in _ATOMS else _settled(value)


def _settled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _frozen(inner) for name, inner in value.items()}
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value
