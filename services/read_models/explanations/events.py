"""Good, bad and unknown events of a finding on an error budget."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class PartSort(StrEnum):
    """What events are counted by."""

    VERSION = "version"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """Events of one version, or of one segment of all versions, on the day of a finding.

    Attributes
    ----------
    is_burning
        Its own events consume the budget faster than the limit.
    """

    sort: PartSort
    name: str
    good: int
    bad: int
    unknown: int
    is_burning: bool


_STORED = {
    PartSort.VERSION: ("versions", "burned_by"),
    PartSort.SEGMENT: ("by_segment", "burned_by_segments"),
}


def counts_of(detail: Mapping[str, Any]) -> tuple[EventCounts, ...]:
    """Return the counts that a finding's detail holds, those of versions first.

    Examples
    --------
    >>> counts = {"good": 9, "bad": 1, "unknown": 0}
    >>> [one] = counts_of({"versions": {"v1": counts}, "burned_by": ["v1"]})
    >>> one.name, one.bad, one.is_burning
    ('v1', 1, True)
    """
    return tuple(
        EventCounts(sort=sort, name=name, is_burning=name in detail.get(burning, ()), **counts)
        for sort, (key, burning) in _STORED.items()
        for name, counts in detail.get(key, {}).items()
    )
