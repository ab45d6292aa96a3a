"""Large payloads lie in files beside an SQLite database, not in it.

SQLite cuts what is large into pages, writes each to its log and later once
more to the database, while every writer waits. A file is written once, in a
few large pieces (docs/decisions/0018).

A file is made, and made durable, inside the transaction that names it in the
inbox, and that transaction holds the only write lock there is. So whoever
holds this lock and finds a file that no entry names, knows that none ever
will: that is all that `sweep` relies on. A file never changes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.session import unit_of_work
from db.tables import Inbox

# Below this a row of the database costs less than a file with its two flushes.
LARGE = 2**20


def folder(session: Session) -> Path | None:
    """Return where files of this database lie: None where it cannot have any.

    Another database may be on another machine, and one in memory has no place.
    """
    bind = session.get_bind()
    path = bind.engine.url.database
    if bind.dialect.name != "sqlite" or not path or path == ":memory:":
        return None
    return Path(f"{path}-inbox")


@contextmanager
def new(session: Session, within: Path) -> Iterator[Path]:
    """Give a path to write a payload to; at the end it is on disk, or there is no file.

    Parameters
    ----------
    session
        Of a transaction that writes; it takes its lock now, if it has not yet.
    within
        From `folder`.

    Raises
    ------
    OSError
        If the disk is full or broken.
    """
    session.connection()
    if not within.exists():
        within.mkdir(exist_ok=True)
        _flush(within.parent)
    path = within / f"{uuid4().hex}.arrows"
    try:
        yield path
        _flush(path)
        _flush(within)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class PayloadGone(FileNotFoundError):
    """The file of an entry is not there."""


def read(session: Session, name: str) -> bytes:
    """Return the content of a file.

    Raises
    ------
    PayloadGone
        If the archive has let go of the entry since the caller saw it, or the file is lost.
    """
    within = folder(session)
    if within is None:
        raise PayloadGone(f"this database keeps no files: {name}")
    try:
        return (within / name).read_bytes()
    except FileNotFoundError:
        raise PayloadGone(f"payload file {name} is not there") from None


def sweep(sessions: sessionmaker[Session]) -> int:
    """Remove the files that no entry names: archived, or cut off by a crash; how many."""
    with unit_of_work(sessions) as session:
        within = folder(session)
        if within is None or not within.exists():
            return 0
        there = {path.name for path in within.iterdir()}
        gone = there.difference(
            session.scalars(select(Inbox.file).where(Inbox.file.is_not(None)))
        )
    for name in gone:
        (within / name).unlink(missing_ok=True)
    return len(gone)


def _flush(path: Path) -> None:
    place = os.open(path, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
