"""Read the prediction log: a window of event time, at the newest or at a past version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from core.rows import Kind
from core.window import Window
from lake.tables import files_by_day, open_table, place

_A_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One state of a model's two tables, by Delta version; None where there is no table."""

    predictions: int | None = None
    labels: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The log of one model.

    Attributes
    ----------
    root
        The folder of all logs.
    snapshot
        The state to read; None reads the newest, each time anew.
    """

    root: Path
    model_id: UUID
    snapshot: Snapshot | None = None

    def pinned(self) -> "Log":
        """Return the log as it is now, whatever is appended later."""
        return Log(
            root=self.root, model_id=self.model_id, snapshot=snapshot(self.root, self.model_id)
        )

    def predictions(
        self, window: Window, columns: Sequence[str], only: ds.Expression | None = None
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
        first, last = window.start.date(), (window.end - _A_MOMENT).date()
        condition = (ds.field("at") >= window.start) & (ds.field("at") < window.end)
        return self._read(
            Kind.PREDICTIONS,
            f"day >= '{first}' AND day <= '{last}'",
            condition if only is None else condition & only,
            columns,
        )

    def labels(self, window: Window, columns: Sequence[str]) -> pa.Table | None:
        """Return the labels by entity whose lists reach into a window of target time.

        None when no label was ever archived.
        """
        return self._read(
            Kind.LABELS,
            f"day <= '{(window.end - _A_MOMENT).date()}' AND until >= '{_sql(window.start)}'",
            (ds.field("target_at") < window.end) & (ds.field("until") >= window.start),
            columns,
        )

    def labels_by_id(
        self, ids: pa.Array, since: datetime, columns: Sequence[str]
    ) -> pa.Table | None:
        """Return the labels that name one of these predictions.

        Parameters
        ----------
        ids
            Prediction ids.
        since
            Wall time; labels received before it are not looked at.
        columns
            Those that are needed.

        Returns
        -------
        pa.Table or None
            None when no label was ever archived.
        """
        return self._read(
            Kind.LABELS,
            f"received_at >= '{_sql(since)}' AND prediction_id IS NOT NULL",
            (ds.field("received_at") >= since) & pc.is_in(ds.field("prediction_id"), ids),
            columns,
        )

    def newest_day(self) -> date | None:
        """Return the newest event day with a prediction; None when there is none."""
        table = self._open(Kind.PREDICTIONS)
        return None if table is None else max(files_by_day(table), default=None)

    def _open(self, kind: Kind) -> DeltaTable | None:
        if self.snapshot is None:
            return open_table(self.root, self.model_id, kind)
        version: int | None = getattr(self.snapshot, kind.value)
        return None if version is None else open_table(self.root, self.model_id, kind, version)

    def _read(
        self, kind: Kind, files: str, rows: ds.Expression, columns: Sequence[str]
    ) -> pa.Table | None:
        table = self._open(kind)
        if table is None:
            return None
        # Arrow's own file system: the one that deltalake lends calls back into Python from
        # threads that may outlive the interpreter, and then the process aborts as it ends.
        here = SubTreeFileSystem(str(place(self.root, self.model_id, kind)), LocalFileSystem())
        # Delta's own statistics leave most files unopened; Arrow's filter does the rest.
        dataset = table.to_pyarrow_dataset(filesystem=here, file_pruning_predicate=files)
        return dataset.to_table(columns=[*columns], filter=rows)


def snapshot(root: Path, model_id: UUID) -> Snapshot:
    """Return the newest version of both tables, to read them again exactly as they are."""
    predictions = open_table(root, model_id, Kind.PREDICTIONS)
    labels = open_table(root, model_id, Kind.LABELS)
    return Snapshot(
        predictions=predictions.version() if predictions else None,
        labels=labels.version() if labels else None,
    )


def _sql(moment: datetime) -> str:
    return moment.isoformat()
