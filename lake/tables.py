"""The prediction log: a Delta table of predictions, of labels and of events per model.

Delta gives what the log needs: an append is visible whole or not at all, it
carries the number of the last group it holds, and every version stays
readable, because nothing here deletes what a version refers to.

The library is imported by what opens or makes a table: an API that was not asked for rows
holds 20 MB less.
"""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from core.errors import Conflict
from core.lake_root import LakeRoot
from core.schema import task
from core.schema.contract import Contract
from core.schema.rows import TIME, Kind, schema
from lake import storage
from lake.lists import child

if TYPE_CHECKING:
    from deltalake import DeltaTable, WriterProperties

INBOX = "inbox"  # the application whose group numbers the log's transactions carry

# Version n must stay readable for as long as a training set names it: `lake.upkeep` removes
# what none does. Checkpoints name removed files for as long as others may read them.
KEEP_HISTORY = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.checkpointInterval": "100",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}

# Delta's log would hold the smallest and largest text of each file, also of erased sessions:
# statistics are kept of times only, which is enough to skip files.
STATISTICS = "delta.dataSkippingStatsColumns"


def statistics(kind: Kind) -> str:
    """Return the columns of which Delta's log holds the range."""
    return "target_at,until,received_at" if kind is Kind.LABELS else "at,received_at"


def compression() -> "WriterProperties":
    """Return how the files of a table are compressed.

    Measured on forecasts of 24 x 7 float64: twice the rows per second of Snappy's default.
    Row groups of some 64,000 rows cost nothing to write, and bound what a reader of a few rows,
    or of all of them, holds at once.
    """
    from deltalake import WriterProperties

    return WriterProperties(compression="LZ4_RAW", max_row_group_size=65_536)


class LakeMoved(Conflict):
    """Another archiver appended these groups first."""


def open_table(
    root: LakeRoot, model_id: UUID, kind: Kind, version: int | None = None
) -> "DeltaTable | None":
    """Return the newest state of a table, or a past version; None before the first archive."""
    return storage.opened(root, str(model_id), kind.value, version=version)


def create_table(
    root: LakeRoot, model_id: UUID, kind: Kind, contract: Contract
) -> "DeltaTable":
    """Return the newest state of a table, which is made if it is not there."""
    from deltalake import CommitProperties, DeltaTable
    from deltalake.exceptions import DeltaError

    found = open_table(root, model_id, kind)
    if found is not None:
        return found
    storage.mark(root)
    storage.make_room(root, str(model_id), kind.value)
    empty = stamped(kind, contract, schema(kind, contract).empty_table())
    try:
        return DeltaTable.create(
            storage.uri_of(root, str(model_id), kind.value),
            empty.schema,
            partition_by=["day"],
            configuration={**KEEP_HISTORY, STATISTICS: statistics(kind)},
            storage_options=storage.options_of(root),
            # A second try would create the table again, on top of the one just made.
            commit_properties=CommitProperties(max_commit_retries=0),
        )
    except DeltaError:
        made = open_table(root, model_id, kind)
        if made is None:
            raise
        return made  # another archiver was faster


def stamped(kind: Kind, contract: Contract, rows: pa.Table) -> pa.Table:
    """Add the columns by which the log finds rows again.

    `day` is the event day that a row is about; of a label that names a
    prediction, the day it was received. `until` is the last moment that a
    label is about, so that a reader finds lists that began on earlier days.
    """
    if kind is not Kind.LABELS:
        return rows.append_column("day", rows["at"].cast(pa.date32()))
    day = pc.coalesce(rows["target_at"], rows["received_at"]).cast(pa.date32())
    until = pc.add(rows["target_at"].cast(pa.int64()), _span(rows, contract)).cast(TIME)
    if "target_end" in rows.column_names:
        until = pc.coalesce(rows["target_end"], until)
    return rows.append_column("day", day).append_column("until", until)


def _span(rows: pa.Table, contract: Contract) -> pa.ChunkedArray:
    lengths = [
        pc.fill_null(pc.list_value_length(child(rows["actual"], each.name)), 1)
        for each in task.of(contract).label(contract)
    ]
    longest = pc.max_element_wise(*lengths).cast(pa.int64())
    step = contract.step_us
    return pc.multiply(pc.max_element_wise(pc.subtract(longest, 1), 0), step)


def last_group(table: "DeltaTable", application: str = INBOX) -> int:
    """Return the number of the last group in this state of the table; 0 for none."""
    return table.transaction_version(application) or 0


def append(
    table: "DeltaTable", rows: pa.Table, group_no: int, application: str = INBOX
) -> None:
    """Append whole groups of an application, the last of which is `group_no`.

    `table` is the state in which these groups were seen to be missing. Delta
    refuses the commit when another one of this application came in between,
    so that no group is appended twice.

    Raises
    ------
    LakeMoved
        If another archiver was faster. The table is as if we had not tried.
    """
    from deltalake import CommitProperties, Transaction, write_deltalake
    from deltalake.exceptions import DeltaError

    version = table.version()
    try:
        write_deltalake(
            table,
            rows,
            mode="append",
            schema_mode="merge",  # columns may have been added, or dropped
            writer_properties=compression(),
            commit_properties=CommitProperties(
                app_transactions=[Transaction(application, group_no)]
            ),
        )
    except DeltaError as error:
        newest = storage.again(table)
        if newest.version() == version:
            raise
        if last_group(newest, application) >= group_no:
            raise LakeMoved(f"group {group_no} is in the log already") from error
        # Another archiver came as far as an earlier group, or rows were erased.
        raise LakeMoved("the log was changed meanwhile") from error


def files_by_day(table: "DeltaTable") -> Counter[date]:
    """Return how many files each day has."""
    return Counter(
        date.fromisoformat(Path(uri).parent.name.removeprefix("day="))
        for uri in table.file_uris()
    )
