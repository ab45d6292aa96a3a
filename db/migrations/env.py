"""Alembic's entry: which tables, which database."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from core.settings import Settings
from db.session import connect
from db.tables import Base
from db.types import Typed, UtcDateTime


def _render(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Render our own column types: of times by name, of dataclasses as JSON."""
    if kind == "type" and isinstance(item, UtcDateTime):
        autogen.imports.add("from db.types import UtcDateTime")
        return "UtcDateTime()"
    if kind == "type" and isinstance(item, Typed):
        return "sa.JSON()"
    return False


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=_render,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    url = context.config.get_main_option("sqlalchemy.url") or Settings().database_url
    with connect(url).connect() as connection:
        _migrate(connection)
        connection.commit()
