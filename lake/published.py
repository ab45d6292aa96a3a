"""The open tables: one Delta table for each kind of result, of all models together.

Rows are appended, and never changed but by the deletion of a model. They are partitioned by
the month in which they were recorded; the small files of a month are made one now and then.
"""

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from core.lake_root import LakeRoot
from lake import storage
from lake.erase import until_done
from lake.tables import compression

FOLDER = "published"  # below the lake's root, beside the folders of models
BATCHES = "published"  # the application whose batch numbers the transactions carry
MONTH = "month"  # the column of the partitions, such as "2026-01"

MOST_SMALL = 32  # files beyond one for each month
READ_FOR_HOURS = 1  # by a reader that began before files were made one

# The log is kept for a day: the past of a value is in the rows, not in versions of the table.
SHORT_HISTORY = {
    "delta.enableExpiredLogCleanup": "true",
    "delta.logRetentionDuration": "interval 1 days",
    "delta.checkpointInterval": "50",
    "delta.dataSkippingStatsColumns": "recorded_at,model_id",
}


def open_table(root: LakeRoot, name: str) -> DeltaTable | None:
    """Return the newest state of a table; None before the first publication."""
    return storage.opened(root, FOLDER, name)


def create_table(root: LakeRoot, name: str, schema: pa.Schema) -> DeltaTable:
    """Return the newest state of a table, which is made if it is not there."""
    storage.mark(root)
    storage.make_room(root, FOLDER, name)
    try:
        DeltaTable.create(
            storage.uri_of(root, FOLDER, name),
            schema,
            partition_by=[MONTH],
            configuration=SHORT_HISTORY,
            storage_options=storage.options_of(root),
            mode="ignore",
        )
    except DeltaError:
        if open_table(root, name) is None:
            raise
    made = open_table(root, name)
    assert made is not None
    return made


def delete_model(root: LakeRoot, name: str, model_id: str) -> int:
    """Delete the rows of a model; how many."""
    table = open_table(root, name)
    if table is None:
        return 0

    def delete(newest: DeltaTable) -> int:
        found = newest.delete(f"model_id = '{model_id}'")
        return int(found.get("num_deleted_rows") or 0)

    return until_done(table, delete)


def tidy(table: DeltaTable) -> None:
    """Where there are many small files, make them one for each month; remove the old ones."""
    newest = storage.again(table)
    months = [uri.rsplit("/", 2)[1] for uri in newest.file_uris()]
    if len(months) < len({*months}) + MOST_SMALL:
        return
    try:
        newest.optimize.compact(writer_properties=compression())
    except CommitFailedError:  # another publisher does it, or a model is being deleted
        return
    newest = storage.again(table)
    newest.vacuum(
        retention_hours=READ_FOR_HOURS,
        enforce_retention_duration=False,
        dry_run=False,
        full=True,  # with the files of a writer that died
    )
    newest.create_checkpoint()
    newest.cleanup_metadata()
