"""Pages of lists; an opaque cursor marks where the next page begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Row, Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from services.read_models.lookup.query import read, written

T = TypeVar("T")

# Columns, and whether they descend; together they tell all rows apart.
Order = Sequence[tuple[InstrumentedAttribute[Any], bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items of a list; `next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None


class Place(msgspec.Struct, forbid_unknown_fields=True, array_like=True):
    """The last item of a page of a list that is read whole."""

    index: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Which part of a list is asked for."""

    limit: int
    cursor: str | None = None

    def cut(self, items: Sequence[T], name: Callable[[T], str] = str) -> Page[T]:
        """Return one page of a list that was read whole.

        The page begins after the item that ended the page before; where that
        one is gone, at the place that it had.

        Examples
        --------
        >>> first = Paging(limit=2).cut(["a", "b", "c", "d"])
        >>> first.items
        ['a', 'b']
        >>> Paging(limit=2, cursor=first.next_cursor).cut(["a", "c", "d"]).items
        ['c', 'd']
        """
        start = 0
        if self.cursor:
            place = read(self.cursor, Place)
            names = [name(item) for item in items]
            known = place.name in names
            start = names.index(place.name) + 1 if known else max(place.index, 0)
        end = start + self.limit
        shown = [*items[start:end]]
        if end >= len(items):
            return Page(items=shown, next_cursor=None)
        last = Place(index=end - 1, name=name(shown[-1]))
        return Page(items=shown, next_cursor=written(last))

    def rows(
        self,
        session: Session,
        query: Select[*tuple[Any, ...]],
        order: Order,
        kind: type[tuple[Any, ...]],
    ) -> Page[Row[*tuple[Any, ...]]]:
        """Read one page of rows; behind the query's own columns are those of the order.

        Parameters
        ----------
        session
            The open transaction.
        query
            Selects the rows of the whole list.
        order
            In which they are listed.
        kind
            The types of the columns of the order.
        """
        query = query.add_columns(*(column for column, _ in order)).order_by(
            *(c.desc() if falls else c.asc() for c, falls in order)
        )
        if self.cursor:
            query = query.where(_behind(order, read(self.cursor, kind)))
        found = session.execute(query.limit(self.limit + 1)).all()
        shown = [*found[: self.limit]]
        has_more = len(found) > self.limit
        last = written(tuple(shown[-1][-len(order) :])) if has_more else None
        return Page(items=shown, next_cursor=last)


def _behind(order: Order, last: Sequence[Any]) -> ColumnElement[bool]:
    """Select the rows that come after one in an order."""
    ways = []
    for i, (column, falls) in enumerate(order):
        tied = [c == value for (c, _), value in zip(order, last[:i], strict=False)]
        ways.append(and_(*tied, column < last[i] if falls else column > last[i]))
    return or_(*ways)
