"""Queries of the keys of summaries: a number for each model, stream and version."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Select, bindparam, func, select, tuple_
from sqlalchemy.orm import Session

from db import dialect
from db.tables import SummaryRow, SummarySeries

Key: TypeAlias = tuple[UUID, str, str]  # model, stream and version
RowKey: TypeAlias = tuple[int, datetime]  # series and start

_KEYS = 1_000  # of one IN list
_OF_VERSIONS = select(
    SummarySeries.id, SummarySeries.model_id, SummarySeries.stream, SummarySeries.version
).where(
    SummarySeries.model_id.in_(bindparam("model_ids", expanding=True)),
    SummarySeries.version.in_(bindparam("versions", expanding=True)),
)
_ROW_KEY = (SummaryRow.series_id, SummaryRow.start)
_AT_ROW_KEYS = select(*_ROW_KEY, SummaryRow.payload).where(
    tuple_(*_ROW_KEY).in_(bindparam("keys", expanding=True))
)
# Start of the first and of the last row of a series, each found at one end of the index.
FIRST, LAST = (
    select(of(SummaryRow.start))
    .where(SummaryRow.series_id == SummarySeries.id)
    .correlate(SummarySeries)
    .scalar_subquery()
    for of in (func.min, func.max)
)


def ids(session: Session, keys: Collection[Key]) -> dict[Key, int]:
    """Return the ids of some series; those that are new are added."""
    found = _known(session, keys)
    new = [key for key in sorted(keys) if key not in found]
    if new:
        rows = [dict(zip(("model_id", "stream", "version"), key, strict=True)) for key in new]
        # Another transaction may add it at this moment.
        session.execute(dialect.insert(session, SummarySeries).on_conflict_do_nothing(), rows)
        found |= _known(session, new)
    return found


def _known(session: Session, keys: Collection[Key]) -> dict[Key, int]:
    """Return all series of these models and versions: few more, in a shorter statement."""
    session.flush()
    model_ids, versions = [*{key[0] for key in keys}], [*{key[2] for key in keys}]
    found: dict[Key, int] = {}
    for start in range(0, len(model_ids), _KEYS):
        of = {"model_ids": model_ids[start : start + _KEYS], "versions": versions}
        rows = session.connection().execute(_OF_VERSIONS, of)
        found |= {(row[1], row[2], row[3]): row[0] for row in rows}
    return found


def by_version(session: Session, model_id: UUID, stream: str) -> dict[str, int]:
    """Return the ids of the series of a stream, by version."""
    found = select(SummarySeries.version, SummarySeries.id).where(
        SummarySeries.model_id == model_id, SummarySeries.stream == stream
    )
    return dict(session.execute(found).all())


def of_streams(model_id: Any, streams: Any) -> Select[int]:
    """Return a statement for the ids of some streams of a model, or of parameters."""
    return select(SummarySeries.id).where(
        SummarySeries.model_id == model_id, SummarySeries.stream.in_(streams)
    )


def payloads(session: Session, keys: Sequence[RowKey]) -> dict[RowKey, bytes]:
    """Return what is stored under some primary keys."""
    session.flush()
    stored: dict[RowKey, bytes] = {}
    for start in range(0, len(keys), _KEYS):
        rows = session.connection().execute(_AT_ROW_KEYS, {"keys": keys[start : start + _KEYS]})
        stored |= {(row[0], row[1]): row[2] for row in rows}
    return stored
