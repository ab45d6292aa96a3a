"""Bring a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

CONFIG = Path(__file__).parents[1] / "alembic.ini"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to `revision`; on PostgreSQL, one process at a time."""
    config = Config(CONFIG)
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # Replicas that start together wait here; the lock ends with the transaction.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7266217)")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
