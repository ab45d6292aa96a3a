"""The one statement that SQLAlchemy writes differently per database: INSERT … ON CONFLICT."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.base import Base


def insert(session: Session, table: type[Base]) -> Any:
    """Return an INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return insert_into(session.get_bind().dialect.name, table)


def insert_into(database: str, table: Any) -> Any:
    """Return such an INSERT, into a table or a mapped class, for a database of this name."""
    return (postgresql.insert if database == "postgresql" else sqlite.insert)(table)
