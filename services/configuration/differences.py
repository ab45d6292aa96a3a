"""Differences of two documents, field by field."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that differs.

    Attributes
    ----------
    field
        Its path, such as `policy.lateness`.
    old, new
        Its values; null where it is absent.
    """

    field: str
    old: Any
    new: Any


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], under: str = ""
) -> Iterator[Difference]:
    """Yield the fields that differ, by name; mappings are compared entry by entry.

    Examples
    --------
    >>> before, after = {"policy": {"trainer": "a", "rows": 1}}, {"policy": {"rows": 2}}
    >>> for one in differences(before, after):
    ...     print(one.field, one.old, one.new)
    policy.rows 1 2
    policy.trainer a None
    """
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{under}{name}.")
        elif before != after:
            yield Difference(field=f"{under}{name}", old=before, new=after)
