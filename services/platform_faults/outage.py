"""Outages: errors of database, lake, disk and network, as opposed to errors of our own code.

Work that meets an outage is correct, and is tried again until the outage is
over. Work that fails by itself would fail again.
"""

import re
import sqlite3
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.payload_files import PayloadGone
from db.session import is_outage as is_database_outage
from lake.storage import LakeAstray

_OUTAGES = (OSError, MemoryError, PoolTimeout, LakeAstray)
MAX_LENGTH = 300  # characters of a stored cause
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of deltalake's messages


def is_outage(error: BaseException) -> bool:
    """Return whether an error is an outage of a dependency.

    Parameters
    ----------
    error
        What was raised. Of a group, every member must be an outage; of an
        error that was raised from another one, either may be.

    Returns
    -------
    bool
        False for a bug, bad parameters, or a row that cannot be read.

    Examples
    --------
    >>> is_outage(OSError("no space left on device")), is_outage(KeyError("load"))
    (True, False)
    >>> is_outage(ExceptionGroup("two streams", [OSError("gone"), KeyError("load")]))
    False
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_outage(one) for one in error.exceptions)
    return any(_is_one(cause) for cause in _causes(error))


def described(error: BaseException) -> str:
    """Return class and first line of an error, as a cause to store and to show.

    Later lines of a database's message quote rows, so they are left out.

    Examples
    --------
    >>> described(ValueError("edges must rise" + chr(10) + "DETAIL: load is 7.1"))
    'ValueError: edges must rise'
    """
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return described(error.exceptions[0])
    shown = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lines = _COLOURS.sub("", str(shown)).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {lines[0]}"[:MAX_LENGTH] if lines else name


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and so on."""
    n_left = 20  # a cause may be its own cause
    while error is not None and n_left:
        yield error
        error, n_left = error.__cause__, n_left - 1


def _is_one(error: BaseException) -> bool:
    # Imported here: a process without errors may need neither.
    import httpx
    from deltalake.exceptions import DeltaError, SchemaMismatchError

    match error:
        case DBAPIError():
            return error.connection_invalidated or is_database_outage(error)
        case sqlite3.Error():
            return is_database_outage(error)
        case SchemaMismatchError() | PayloadGone():
            return False
        # Few errors of deltalake have a type of their own: a lake that is not there raises a
        # `TableNotFoundError`, an `OSError` or just a `DeltaError`, by when it went.
        case _:
            return isinstance(error, (*_OUTAGES, httpx.TransportError, DeltaError))
