"""Queries of rows that are not in the open tables yet.

Column `publication` of a row is 0 while the row waits, the number of its batch while that
is written to the lake, and NULL otherwise. Rows are found by this column, and not by a time:
one that is committed late is in the next batch. A row that changes after it was numbered is
0 again, and in a later batch as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    exists,
    inspect,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from db import dialect
from db.base import Base
from db.tables import Finding, FlipRow, Publication, SummaryRow

Row: TypeAlias = type[Finding] | type[FlipRow] | type[SummaryRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows of the database that are published.

    Attributes
    ----------
    name
        In the database: it never changes.
    row
        The mapped class.
    at_once
        Most rows of a batch.
    every
        How often batches are taken, in wall time; zero takes them in each round.
    only
        Returns the condition on its rows.
    is_complete
        Returns the condition on rows that are not left for a later batch, given the wall time.
    """

    name: str
    row: Row
    at_once: int
    every: timedelta = timedelta(0)
    only: Callable[[], ColumnElement[bool]] = true
    is_complete: Callable[[datetime], ColumnElement[bool]] = lambda _: true()

    def waiting(self, now: datetime) -> ColumnElement[bool]:
        """Return the condition on rows that the next batch takes."""
        return (self.row.publication == 0) & self.only() & self.is_complete(now)

    def of(self, batch: int) -> ColumnElement[bool]:
        """Return the condition on the rows of a batch."""
        return (self.row.publication == batch) & self.only()


def wait(row: Finding | FlipRow) -> None:
    """Mark a row as changed: it is published again.

    The column is written even where it was 0 when the row was read: a batch may have been
    numbered meanwhile.
    """
    row.publication = 0
    flag_modified(row, "publication")


def due(session: Session, sources: Sequence[Source], now: datetime) -> list[Source]:
    """Return the sources with a batch to finish, or with rows for a new one; two statements."""
    known = {row.source: row for row in session.scalars(select(Publication))}
    waits = session.execute(
        select(*(exists().where(one.waiting(now)).label(one.name) for one in sources))
    ).one()
    found = []
    for one, has_rows in zip(sources, waits, strict=True):
        state = known.get(one.name) or Publication(batch=0, done=0, taken_at=None)
        # A clock that was set back delays nothing.
        is_early = state.taken_at is not None and now - one.every < state.taken_at <= now
        if state.batch > state.done or (has_rows and not is_early):
            found.append(one)
    return found


def number(session: Session, source: Source, now: datetime) -> Publication | None:
    """Take the next batch, numbered; or the last one, where it is not done yet.

    Returns
    -------
    Publication
        The batch, and the last that is done; None where no row waits.
    """
    state = session.get(Publication, source.name, with_for_update=True)
    if state is None:
        new = dialect.insert(session, Publication).values(source=source.name, batch=0, done=0)
        session.execute(new.on_conflict_do_nothing())
        state = session.get_one(Publication, source.name, with_for_update=True)
    if state.batch > state.done:
        return state
    table: type[Base] = source.row
    keys = inspect(table).primary_key
    chosen = (
        select(*keys)
        .where(source.waiting(now))
        .limit(source.at_once)
        # Rows that somebody changes at this moment are in the next batch.
        .with_for_update(skip_locked=True)
    )
    n_rows = _set(session, source, tuple_(*keys).in_(chosen), state.batch + 1)
    if n_rows < source.at_once:
        state.taken_at = now
    if not n_rows:
        return None
    state.batch += 1
    session.flush()
    return state


def close(session: Session, source: Source, batch: int) -> None:
    """Note that a batch is in the lake; done again, it changes nothing."""
    state = session.get_one(Publication, source.name, with_for_update=True)
    if state.done < batch:
        _set(session, source, source.of(batch), None)
        state.done = batch


def _set(
    session: Session, source: Source, where: ColumnElement[bool], publication: int | None
) -> int:
    change: Any = update(source.row).where(where).values(publication=publication)
    done = session.execute(change.execution_options(synchronize_session=False))
    return cast(CursorResult[None], done).rowcount
