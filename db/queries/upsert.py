"""Upsert of whole rows."""

from collections.abc import Mapping, Sequence
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
    insert = dialect.insert(session, table)
    keys = [column.name for column in inspect(table).primary_key]
    values = {name: insert.excluded[name] for name in rows[0] if name not in keys}
    statement = insert.on_conflict_do_update(index_elements=keys, set_=values)
    # Nulls are written too: rows without them would be a statement of their own.
    options = {"render_nulls": True}
    session.execute(statement, [dict(row) for row in rows], execution_options=options)
