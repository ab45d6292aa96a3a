"""Insert of rows under a unique constraint."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.errors import Conflict
from db.base import Base


def insert_unique(
    session: Session, row: Base, otherwise: str, error: type[Conflict] = Conflict
) -> None:
    """Insert a row now, and keep the transaction usable if there is one already.

    Raises
    ------
    Conflict
        Or the narrower `error`, with message `otherwise`, if the database refuses the row.
    """
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        raise error(otherwise) from None
