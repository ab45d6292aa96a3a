"""Bring a database to the newest schema; refuse one that was never meant for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

from core.errors import EarlierInstallation, Unprocessable

CONFIG = Path(__file__).parents[1] / "alembic.ini"
FIRST = "0100"  # since then migrations are forward only


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to `revision`; on PostgreSQL, one process at a time.

    Raises
    ------
    EarlierInstallation
        If the database is of a version before the first migration; nothing is written.
    """
    from alembic import command
    from alembic.config import Config

    config = Config(CONFIG)
    with engine.connect() as connection, _upgrading(connection):
        if connection.dialect.name == "postgresql":
            # Replicas that start together wait here; the lock ends with the transaction.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7266217)")
        _revision(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@contextmanager
def _upgrading(connection: Connection) -> Iterator[None]:
    """Commit at the end. SQLite changes a table by making it anew, although others refer to it.

    It ignores the setting within a transaction.
    """
    if connection.dialect.name != "sqlite":
        yield
        connection.commit()
        return
    raw = connection.connection.cursor()
    raw.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
        broken = raw.execute("PRAGMA foreign_key_check").fetchall()
        assert broken == [], f"rows that refer to none: {broken}"
        connection.commit()
    finally:
        connection.rollback()
        raw.execute("PRAGMA foreign_keys=ON")
        raw.close()


def check(engine: Engine) -> None:
    """Refuse a database that has no tables yet, or those of an earlier installation.

    Raises
    ------
    EarlierInstallation, Unprocessable
        With what to do.
    """
    with engine.connect() as connection:
        if _revision(connection) is None:
            raise Unprocessable(
                f"the database {engine.url.database} has no tables yet: run "
                "`seqwatch migrate`, or set SEQWATCH_DATABASE_URL to that of your installation"
            )


def _revision(connection: Connection) -> str | None:
    """Return the revision of a database; None of an empty one. A newer one may be unknown."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    # Not by Alembic, which no process needs that only checks: 10 MB.
    statement = "SELECT version_num FROM alembic_version"
    found: str | None = connection.exec_driver_sql(statement).scalar_one_or_none()
    if found is not None and found < FIRST:
        raise EarlierInstallation(f"the database (schema {found})")
    return found
