"""An export from its filter to its bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import pyarrow as pa
from sqlalchemy.orm import Session, sessionmaker

from core.lake_root import LakeRoot
from core.schema.events import EVENT_SCHEMA
from lake.search import loose
from services.read_models.export.formats import Format, encoded
from services.read_models.export.rows import batches, columns
from services.read_models.lookup import events
from services.read_models.lookup.events import EventQuery
from services.read_models.lookup.query import Query
from services.read_models.lookup.snapshot import open_snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What is wanted, of which model, and as what."""

    model_id: UUID
    query: Query
    form: Format
    with_labels: bool = False


def export(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    request: ExportRequest,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Iterator[bytes]:
    """Yield the file in pieces; one state of the log, whatever comes in meanwhile.

    Parameters
    ----------
    sessions
        Opens transactions; none stays open while the file is written.
    lake_root
        The folder of all logs.
    request
        What is wanted.
    on_batch
        Called with the number of rows of each batch.
    """
    with open_snapshot(sessions, lake_root, request.model_id) as state:

        def counted() -> Iterator[pa.Table]:
            for table in batches(state, request.query, with_labels=request.with_labels):
                on_batch(table.num_rows)
                yield table

        schema = columns(state.contract, with_labels=request.with_labels)
        yield from encoded(counted(), schema, request.form)


def export_events(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    model_id: UUID,
    query: EventQuery,
    form: Format,
) -> Iterator[bytes]:
    """Yield a file of events in pieces; one state of the log, whatever comes in meanwhile."""
    with open_snapshot(sessions, lake_root, model_id, events.KINDS) as state:
        yield from encoded(events.batches(state, query), loose(EVENT_SCHEMA), form)
