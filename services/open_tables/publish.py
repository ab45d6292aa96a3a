"""Publish: append results to the open tables, each exactly once.

Five steps, and a crash between any two is mended by the next run: the database numbers a
batch of rows; Delta commits it together with that number, table by table; all of it is made
durable; the database then notes that the batch is done. A run that finds a number in a table
appends nothing to it.
"""

import logging
from collections.abc import Mapping
from datetime import datetime

from deltalake import DeltaTable
from sqlalchemy.orm import Session, sessionmaker

from core.lake_root import LakeRoot
from db.queries import publication
from db.queries.log import positions
from db.queries.publication import Source
from db.session import read_only, unit_of_work
from lake import published, storage, tables
from lake.storage import LakeAstray
from services.open_tables.open_table import Batch
from services.open_tables.registry import SOURCES, TABLES
from services.platform_faults.outage import is_outage

log = logging.getLogger(__name__)

JOB = "publish"
MAX_BATCHES = 16  # of one source in one call, a few seconds: the archive gets its turn


def publish_all(sessions: sessionmaker[Session], lake_root: LakeRoot, now: datetime) -> int:
    """Publish what waits, of every source; how many rows.

    Raises
    ------
    Exception
        An outage, at once; or the first error of a source, after the others were published.
    """
    with read_only(sessions) as session:
        due = publication.due(session, SOURCES, now)
    n_rows, failed = 0, list[Exception]()
    for source in due:
        try:
            for _ in range(MAX_BATCHES):
                n_of_batch = publish(sessions, lake_root, source, now)
                if n_of_batch is None:
                    break
                n_rows += n_of_batch
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("%s are not published", source.name)
            failed.append(error)
    if failed:
        raise failed[0]
    return n_rows


def publish(
    sessions: sessionmaker[Session], lake_root: LakeRoot, source: Source, now: datetime
) -> int | None:
    """Append one batch of a source to its tables.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while files are written.
    lake_root
        Below which the tables lie, in folder `published`.
    source
        Whose rows.
    now
        Wall time.

    Returns
    -------
    int
        How many rows of all tables; None when none waits, or another publisher was faster.

    Raises
    ------
    LakeAstray
        If the lake does not hold what was published before, or holds later batches.
    """
    with unit_of_work(sessions) as session:
        state = publication.number(session, source, now)
        if state is None:
            return None
        number, done = state.batch, state.done
        is_begun = positions.has_archived(session)
    # Before rows are read: the deletion of a model makes void what was opened earlier.
    opened = _opened(lake_root, source, done, is_begun=is_begun)
    n_rows = 0
    for of in TABLES:
        if of.source is not source:
            continue
        table = opened[of.name]
        in_lake = tables.last_group(table, published.BATCHES)
        if in_lake > number:
            raise LakeAstray(
                f"open table {of.name} ends at batch {in_lake}, "
                f"but the database numbered {number}"
            )
        if in_lake == number:
            continue  # a publisher died after its append
        with read_only(sessions) as session:
            batch = Batch(source=source, number=number, read_at=now)
            rows = of.to_arrow(of.rows(session, batch))
        if rows.num_rows:
            try:
                tables.append(table, rows, number, published.BATCHES)
            except tables.LakeMoved:
                return None
            n_rows += rows.num_rows
    storage.sync(lake_root)
    with unit_of_work(sessions) as session:
        publication.close(session, source, number)
    for table in opened.values():
        published.tidy(table)
    return n_rows


def _opened(
    lake_root: LakeRoot, source: Source, done: int, *, is_begun: bool
) -> Mapping[str, DeltaTable]:
    """Return the tables of a source. A lake that is away is not begun anew in its place."""
    wanted = {of.name: of for of in TABLES if of.source is source}
    found = {name: published.open_table(lake_root, name) for name in wanted}
    is_lost = done > 0 and not any(found.values())
    if is_lost or (is_begun and storage.is_empty(lake_root)):
        raise LakeAstray(
            f"the open tables of {source.name} are missing from the lake, "
            "but the database published rows"
        )
    return {
        name: table or published.create_table(lake_root, name, wanted[name].schema)
        for name, table in found.items()
    }
