"""Reads of the prediction log: a window of event time, at the newest or a past version."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from core.errors import Conflict
from core.lake_root import LakeRoot
from core.schema.rows import JOINED, Kind
from core.window import Window
from lake import storage
from lake.tables import files_by_day, last_group, open_table

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyarrow.fs import FileSystem

_A_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One state of a model's two tables, by Delta version; None where there is no table."""

    predictions: int | None = None
    labels: int | None = None

    def of(self, kind: Kind) -> int | None:
        """Return the version of one table; no training learns from events."""
        return {Kind.PREDICTIONS: self.predictions, Kind.LABELS: self.labels}.get(kind)


class SnapshotGone(Conflict):
    """Rows that this past state of the log held were erased, or not kept for so long."""


class Log:
    """One state of a model's log: rows appended later are not seen.

    Opening a table takes longer than reading a day of it, so keep a log for
    as long as its state will do.

    Parameters
    ----------
    root
        Where all logs lie.
    model_id
        Whose log.
    snapshot
        The state to read; by default the newest.
    kinds
        The tables that are opened; by default those that a join reads.

    Raises
    ------
    SnapshotGone
        If the state cannot be read any more; also when its files are.
    FileNotFoundError
        If the lake goes away while it is read.
    """

    def __init__(
        self,
        root: LakeRoot,
        model_id: UUID,
        snapshot: Snapshot | None = None,
        kinds: Sequence[Kind] = JOINED,
    ) -> None:
        self._root, self._model_id, self._is_past = root, model_id, snapshot is not None
        self._tables = {kind: _state(root, model_id, kind, snapshot) for kind in kinds}

    @property
    def snapshot(self) -> Snapshot:
        """By which this very state can be opened again."""
        return Snapshot(
            predictions=self._version(Kind.PREDICTIONS), labels=self._version(Kind.LABELS)
        )

    def _version(self, kind: Kind) -> int | None:
        table = self._tables[kind]
        return None if table is None else table.version()

    def predictions(
        self, window: Window, columns: Sequence[str], only: pc.Expression | None = None
    ) -> pa.Table | None:
        """Return the predictions made in a window, in no particular order.

        Parameters
        ----------
        window
            Of event time.
        columns
            Those that are needed; a column that is not read costs nothing.
        only
            A further condition on rows.

        Returns
        -------
        pa.Table or None
            None when nothing was ever archived.
        """
        return self._read(_of_predictions(window, columns, only))

    def prediction_batches(
        self, window: Window, columns: Sequence[str], only: pc.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield what `predictions` returns, some rows at a time: it need not fit in memory."""
        return self._batches(_of_predictions(window, columns, only))

    def n_predictions(self, window: Window) -> int:
        """Return how many predictions the files of a window hold, reference included."""
        files = self.files(Kind.PREDICTIONS)
        if not files.num_rows:
            return 0
        first, last = _days(window)
        day = files["partition.day"]
        inside = pc.and_(pc.greater_equal(day, first), pc.less_equal(day, last))
        return pc.sum(files.filter(inside)["num_records"]).as_py() or 0

    def events(self, window: Window, columns: Sequence[str]) -> pa.Table | None:
        """Return the events of a window, in no particular order; None when there never were."""
        return self._read(replace(_of_predictions(window, columns, None), kind=Kind.EVENTS))

    def labels(
        self, window: Window, columns: Sequence[str], only: pc.Expression | None = None
    ) -> pa.Table | None:
        """Return the labels by entity whose lists reach into a window of target time.

        None when no label was ever archived.
        """
        return self._read(_labels_about(window, columns, only))

    def label_batches(
        self, window: Window, columns: Sequence[str], only: pc.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield what `labels` returns, some rows at a time."""
        return self._batches(_labels_about(window, columns, only))

    def labels_by(
        self, column: str, names: pa.Array, since: datetime, columns: Sequence[str]
    ) -> pa.Table | None:
        """Return the labels that name one of these predictions, or sessions.

        Parameters
        ----------
        column, names
            `prediction_id` or `session_id`, and which.
        since
            Wall time; labels received before it are not read.
        columns
            Those that are needed.

        Returns
        -------
        pa.Table or None
            None when no label was ever archived.
        """
        wanted = _labels_by(column, since, columns)
        return self._read(replace(wanted, rows=wanted.rows & pc.is_in(pc.field(column), names)))

    def label_batches_by(
        self, column: str, since: datetime, columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the labels that name a prediction, or a session; the rest as in `labels_by`."""
        return self._batches(_labels_by(column, since, columns))

    def features(self, day: date, name: str) -> pa.Table | None:
        """Return one feature of all predictions of a day, and no other.

        Parameters
        ----------
        day
            An event day.
        name
            A feature.

        Returns
        -------
        pa.Table or None
            With `prediction_id`, `version`, `received_at` and `features`, which is
            absent where no row of the day has it. None when nothing was ever archived.
        """
        import pyarrow.parquet as pq

        columns = ["prediction_id", "version", "received_at", f"features.{name}"]

        def read() -> pa.Table | None:
            dataset = self.dataset(Kind.PREDICTIONS, f"day = '{day}'")
            if dataset is None:
                return None
            # Arrow's data set reads a struct whole, and windows are long.
            parts = [
                pq.ParquetFile(path, filesystem=dataset.filesystem).read(columns)
                for path in dataset.files
            ]
            return pa.concat_tables(parts, promote_options="permissive") if parts else None

        return self._again(Kind.PREDICTIONS, read)

    def newest_day(self) -> date | None:
        """Return the newest event day with a prediction; None when there is none."""
        table = self._tables[Kind.PREDICTIONS]
        return None if table is None else max(files_by_day(table), default=None)

    def last_group(self, kind: Kind) -> int:
        """Return the number of the last group in this state of a table; 0 for none."""
        table = self._tables[kind]
        return 0 if table is None else last_group(table)

    def files(self, kind: Kind) -> pa.Table:
        """Return the log's entry of each file of a table: its path, rows, day and times."""
        table = self._tables[kind]
        return pa.table({}) if table is None else pa.table(table.get_add_actions(flatten=True))

    def schema(self, kind: Kind) -> pa.Schema:
        """Return the columns of a table; none when nothing was ever archived."""
        table = self._tables[kind]
        return pa.schema([]) if table is None else pa.schema(table.schema().to_arrow())

    def file_system(self, kind: Kind) -> "FileSystem | None":
        """Return what the paths of `files` are to be read through."""
        table = self._tables[kind]
        return None if table is None else storage.file_system(table)

    def dataset(self, kind: Kind, files: str | None = None) -> Any:
        """Return a table for Arrow to read; None when nothing was ever archived.

        Parameters
        ----------
        kind
            Which table.
        files
            A condition on Delta's own statistics, which leave most files unopened.
        """
        table = self._tables[kind]
        if table is None:
            return None
        here = storage.file_system(table)
        return table.to_pyarrow_dataset(filesystem=here, file_pruning_predicate=files)

    def _read(self, wanted: "_Wanted") -> pa.Table | None:
        def read() -> pa.Table | None:
            dataset = self.dataset(wanted.kind, wanted.files)  # Arrow's filter does the rest
            columns = [*wanted.columns]
            return None if dataset is None else dataset.to_table(columns, filter=wanted.rows)

        return self._again(wanted.kind, read)

    def _batches(self, wanted: "_Wanted") -> Iterator[pa.RecordBatch]:
        dataset = self.dataset(wanted.kind, wanted.files)
        if dataset is not None:
            yield from dataset.to_batches(
                [*wanted.columns], filter=wanted.rows, batch_readahead=2, fragment_readahead=1
            )

    def _again(self, kind: Kind, read: Callable[[], pa.Table | None]) -> pa.Table | None:
        try:
            return read()
        except FileNotFoundError as error:  # an erasure, or retention, has removed files
            if self._is_past:
                raise SnapshotGone("files of this past state were removed") from error
            newest = open_table(self._root, self._model_id, kind)
            if newest is None:  # the table was there: the lake is away
                raise
            self._tables[kind] = newest
            return read()


def _state(
    root: LakeRoot, model_id: UUID, kind: Kind, snapshot: Snapshot | None
) -> "DeltaTable | None":
    if snapshot is None:
        return open_table(root, model_id, kind)
    from deltalake.exceptions import DeltaError

    version = snapshot.of(kind)
    if version is None:
        return None
    try:
        table = open_table(root, model_id, kind, version)
    except DeltaError:
        table = None
    if table is None:
        raise SnapshotGone(f"version {version} of the {kind} cannot be opened any more")
    return table


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Rows of a table: by Delta's statistics of files, and by a condition on each row."""

    kind: Kind
    files: str
    rows: pc.Expression
    columns: Sequence[str]


def _of_predictions(
    window: Window, columns: Sequence[str], only: pc.Expression | None
) -> _Wanted:
    first, last = _days(window)
    condition = (pc.field("at") >= window.start) & (pc.field("at") < window.end)
    return _Wanted(
        Kind.PREDICTIONS,
        f"day >= '{first}' AND day <= '{last}'",
        condition if only is None else condition & only,
        columns,
    )


def _labels_about(
    window: Window, columns: Sequence[str], only: pc.Expression | None
) -> _Wanted:
    reaches = (pc.field("target_at") < window.end) & (pc.field("until") >= window.start)
    return _Wanted(
        Kind.LABELS,
        f"day <= '{_days(window)[1]}' AND until >= '{_sql(window.start)}'",
        reaches if only is None else reaches & only,
        columns,
    )


def _labels_by(column: str, since: datetime, columns: Sequence[str]) -> _Wanted:
    return _Wanted(
        Kind.LABELS,
        f"received_at >= '{_sql(since)}' AND {column} IS NOT NULL",
        (pc.field("received_at") >= since) & pc.field(column).is_valid(),
        columns,
    )


def _days(window: Window) -> tuple[date, date]:
    """Return the first and the last day of UTC that a window touches."""
    return window.start.date(), (window.end - _A_MOMENT).date()


def _sql(moment: datetime) -> str:
    return moment.isoformat()
