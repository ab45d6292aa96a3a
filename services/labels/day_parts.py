"""Predictions of one event day beside the labels about them, in parts that fit in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from core.arrays import Ints
from core.schema import task
from core.schema.contract import Contract
from core.schema.rows import REFERENCE, TIME
from core.schema.task import LabelKey
from core.window import Window
from lake import labels, partition
from lake.labels import Labels, Tables
from lake.matching import Actuals, first_received
from lake.reading import Log
from services.aggregation import segments
from services.aggregation.segments import Names

ROWS_OF_PART = 500_000

_COLUMNS = ["prediction_id", "version", "at", "entity", "output", "shadow", "received_at"]
_SERVED = ds.field("version") != REFERENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some predictions of a day, each id once and in no other part.

    Attributes
    ----------
    rows
        Those of a version, served or in shadow, follow each other; with places of segments.
    labels
        Of these rows, in their order.
    n_repeated
        How many more rows had one of their ids.
    """

    rows: pa.Table
    labels: Labels
    n_repeated: int

    def groups(self) -> Iterator[tuple[str, bool, int, int]]:
        """Yield each version, whether it ran in shadow, where its rows start, and how many."""
        starts = np.flatnonzero(np.diff(_codes(self.rows), prepend=-1)).tolist()
        for start, end in pairwise([*starts, self.rows.num_rows]):
            row = self.rows.slice(start, 1)
            version, shadow = row["version"][0].as_py(), row["shadow"][0].as_py()
            yield version, shadow, start, end - start


def columns(contract: Contract) -> list[str]:
    """Return the columns of predictions that meet their labels."""
    is_by_session = LabelKey.SESSION_STEP in task.of(contract).keys
    return [*_COLUMNS, *(LabelKey.SESSION_STEP.columns if is_by_session else ())]


def of_day(
    history: Log, contract: Contract, names: Names, window: Window, back: timedelta
) -> Iterator[Part]:
    """Read the served predictions of an event day and their labels.

    More rows than `ROWS_OF_PART` are joined in parts, by the hash of their ids.

    Parameters
    ----------
    history
        Where they are.
    contract
        Of the model.
    names
        Of its segments.
    window
        The day.
    back
        Labels so long before the first are read too: the naive baseline needs them.
    """
    day = _Day(history, contract, names, window, back)
    n = history.n_predictions(window)
    if n <= ROWS_OF_PART:
        rows = history.predictions(window, columns(contract), _SERVED)
        if rows is not None and rows.num_rows:
            yield day.whole(rows)
    else:
        with partition.parts(min(-(-n // ROWS_OF_PART), 256)) as parts:
            yield from day.in_parts(parts)


class _Day:
    def __init__(
        self, history: Log, contract: Contract, names: Names, window: Window, back: timedelta
    ) -> None:
        self._history, self._contract, self._names = history, contract, names
        self._window = window
        end = window.end + contract.horizon * contract.step
        self._reach = Window(window.start - back, end + timedelta.resolution)
        self._days = sorted({window.start.date(), (window.end - timedelta.resolution).date()})

    def whole(self, rows: pa.Table) -> Part:
        """Return a day as one part."""
        apart = segments.features(self._history, self._days, self._contract)
        found = labels.read(self._history, self._contract, rows, self._reach)
        return self._part(rows, apart, found)

    def in_parts(self, parts: partition.Parts) -> Iterator[Part]:
        """Yield a day in parts."""
        history, contract = self._history, self._contract
        named = _Named()
        parts.write(
            "predictions",
            named.seen(history.prediction_batches(self._window, columns(contract), _SERVED)),
        )
        rows = named.table()
        if rows is None:
            return
        if (apart := segments.features(history, self._days, contract)) is not None:
            parts.write("features", apart.to_batches())
        keys = {*labels.keys_of(history, contract)}
        if LabelKey.PREDICTION_ID in keys:
            since, of = labels.received_since(rows), labels.columns(LabelKey.PREDICTION_ID)
            by_id = history.label_batches_by("prediction_id", since, of)
            parts.write("labels", by_id, of="predictions")
        keys -= {LabelKey.PREDICTION_ID}
        actuals, entities = None, rows["entity"].combine_chunks().drop_null()
        if LabelKey.TARGET_AT in keys and not task.of(contract).compares_lists:
            actuals = labels.actuals(history, contract, entities, self._reach)
            keys -= {LabelKey.TARGET_AT}
        by_time = labels.read(history, contract, rows, self._reach, keys)
        for i in range(parts.n):
            some = parts.read("predictions", i)
            if some is None or not some.num_rows:
                continue
            found, own = {**by_time}, parts.read("labels", i)
            if own is not None:
                found[LabelKey.PREDICTION_ID] = own
            yield self._part(some, parts.read("features", i), found, actuals)

    def _part(
        self,
        rows: pa.Table,
        apart: pa.Table | None,
        found: Tables,
        actuals: Actuals | None = None,
    ) -> Part:
        rows, n_repeated = first_received(rows)
        rows = _by_version(segments.located(rows, apart, self._contract, self._names))
        of = Labels(self._contract, rows, found, actuals)
        return Part(rows=rows, labels=of, n_repeated=n_repeated)


class _Named:
    """The entities and sessions of rows that go by, and when the first was received."""

    def __init__(self) -> None:
        self._texts: dict[str, set[str]] = {"entity": set(), "session_id": set()}
        self._first: datetime | None = None

    def seen(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield rows, and remember what they name."""
        for batch in batches:
            if batch.num_rows:
                for name in self._texts.keys() & {*batch.schema.names}:
                    self._texts[name].update(pc.unique(batch[name]).drop_null().to_pylist())
                first = pc.min(batch["received_at"]).as_py()
                self._first = first if self._first is None else min(self._first, first)
                yield batch

    def table(self) -> pa.Table | None:
        """Return them as columns, padded with nulls; None where no row came."""
        if self._first is None:
            return None
        n = max(map(len, self._texts.values())) or 1
        padded = {
            name: pa.array([*texts, *[None] * (n - len(texts))], pa.string())
            for name, texts in self._texts.items()
        }
        return pa.table({**padded, "received_at": pa.array([self._first] * n, TIME)})


def _by_version(rows: pa.Table) -> pa.Table:
    """Return rows of one version, served or in shadow, behind each other, else as they are."""
    codes = _codes(rows)
    order = np.argsort(codes, kind="stable")
    return rows if bool((np.diff(codes) >= 0).all()) else rows.take(order)


def _codes(rows: pa.Table) -> Ints:
    versions = rows["version"].combine_chunks().dictionary_encode()
    shadow = rows["shadow"].to_numpy(zero_copy_only=False)
    codes: Ints = 2 * versions.indices.to_numpy() + shadow
    return codes
