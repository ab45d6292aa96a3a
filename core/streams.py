"""Streams: what is summarised of each version, an hour or a day of event time in each row.

Whoever fills a stream defines it; storage knows no more of it than its name and its bytes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream(Generic[T]):
    """A stream whose rows are written whole.

    Attributes
    ----------
    name
        In the database: it never changes.
    to_bytes
        What is stored, which begins with the number of its format.
    from_bytes
        Returns what `to_bytes` wrote.
    """

    name: str
    to_bytes: Callable[[T], bytes]
    from_bytes: Callable[[bytes], T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Additive(Generic[T]):
    """A stream whose rows are added to, as predictions come.

    Attributes
    ----------
    name
        In the database: it never changes.
    to_bytes
        What is stored of one row, which begins with the number of its format.
    from_many
        Returns the summary of everything in some rows, at least one.
    split
        Cuts a summary into its rows, each with its start.
    """

    name: str
    to_bytes: Callable[[T], bytes]
    from_many: Callable[[Sequence[bytes]], T]
    split: Callable[[T], Iterable[tuple[datetime, T]]]
