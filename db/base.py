"""What every table shares."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Enum, Index, Integer, MetaData, text
from sqlalchemy.orm import DeclarativeBase

from db.types import Seconds, UtcDateTime

# SQLite gives row ids by itself only to a column of type INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


def _values(members: type[StrEnum]) -> list[str]:
    return [member.value for member in members]


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can drop it on any database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own name
        dict[str, Any]: JSON,
        list[str]: JSON,
        datetime: UtcDateTime,
        timedelta: Seconds,
        StrEnum: Enum(StrEnum, native_enum=False, length=32, values_callable=_values),
    }


def publication_index(table: str) -> Index:
    """Return the index of the rows of a table that are not in the open tables yet."""
    waits = text("publication IS NOT NULL")
    return Index(
        f"ix_{table}_publication", "publication", sqlite_where=waits, postgresql_where=waits
    )
