"""Upsert of whole rows."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from db import dialect
from db.base import Base


def upsert(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows; where the primary key is taken, replace what is given.

    Parameters
    ----------
    session
        The open transaction.
    table
        The mapped class.
    rows
        All with the same columns, each primary key once.
    """
    if not rows:
        return
    session.flush()  # rows that these refer to
    connection = session.connection()
    connection.execute(_statement(connection.dialect.name, table, (*rows[0],)), [*rows])


@lru_cache(maxsize=64)
def _statement(database: str, table: type[Base], names: tuple[str, ...]) -> Any:
    """Return a statement of the table, and not of its class: it is executed with every fold."""
    insert = dialect.insert_into(database, table.__table__)
    keys = [column.name for column in inspect(table).primary_key]
    values = {name: insert.excluded[name] for name in names if name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=values)
