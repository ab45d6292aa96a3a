"""Sums of errors by event day, as they are stored and read."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.arrays import Floats
from core.durations import DAY
from core.errors import Unprocessable
from core.schema import task
from core.schema.contract import Contract
from core.schema.rows import REFERENCE
from core.schema.task import LABELLED
from core.streams import Stream
from core.window import Window, midnight
from db.queries import summaries
from db.queries.summaries import Stored
from db.queries.summary_rows import Row

_HEADER = struct.Struct("<BBxxq")  # format, sums of a cell, predictions
_FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DaySums:
    """Errors of one version on one event day.

    Attributes
    ----------
    n_predictions
        Of the day, whether or not they are labelled.
    cells : (..., sum)
        The sums of `tasks.sums.chunk`: cells are (step, target), by segment (place, target).
    """

    n_predictions: int
    cells: Floats


def to_bytes(day: DaySums) -> bytes:
    """Return what is stored of a day."""
    header = _HEADER.pack(_FORMAT, day.cells.shape[-1], day.n_predictions)
    return header + day.cells.astype("<f8").tobytes()


def from_bytes(stored: bytes) -> DaySums:
    """Return what `to_bytes` wrote, with `cells` of shape (cell, sum).

    Raises
    ------
    Unprocessable
        If it is stored in another format.
    """
    if stored[:1] != bytes([_FORMAT]):
        raise Unprocessable("errors are stored in another format")
    _, n_sums, n_predictions = _HEADER.unpack_from(stored)
    cells = np.frombuffer(stored, "<f8", offset=_HEADER.size).reshape(-1, n_sums)
    return DaySums(n_predictions=n_predictions, cells=cells)


ERRORS = Stream(name="errors", to_bytes=to_bytes, from_bytes=from_bytes, is_published=True)
SHADOW_ERRORS = replace(ERRORS, name="shadow_errors")
ERRORS_BY_SEGMENT = Stream(name="errors_by_segment", to_bytes=to_bytes, from_bytes=from_bytes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ErrorDay:
    """Errors of one version on one event day, served or in shadow.

    Attributes
    ----------
    cells : (step, target, sum)
        The sums of `tasks.sums.chunk`.
    """

    day: date
    version: str
    is_shadow: bool
    n_predictions: int
    cells: Floats

    @property
    def is_forecast(self) -> bool:
        """Whether it is about forecasts: the past that was brought in has none."""
        return self.version != REFERENCE


def read(
    session: Session,
    model_id: UUID,
    contract: Contract,
    days: tuple[date, date | None],
    *,
    shadow: bool = True,
) -> list[ErrorDay]:
    """Return the errors from a day on, and before another one, by day and version.

    Parameters
    ----------
    session
        The open transaction.
    model_id, contract
        The model.
    days
        The first, and the first that is left out; None leaves none out.
    shadow
        With what ran in shadow, behind what was served.
    """
    first, end = days
    window = Window(midnight(first), datetime.max.replace(tzinfo=UTC))
    if end is not None:
        window = Window(window.start, max(midnight(end), window.start + DAY.resolution))
    streams = [ERRORS, SHADOW_ERRORS] if shadow else [ERRORS]
    rows = summaries.rows(session, streams, model_id, [window])
    return laid_out(rows, contract)


def laid_out(rows: Iterable[Row | Stored], contract: Contract) -> list[ErrorDay]:
    """Return the errors that some rows hold, in their order."""
    return [of_row(row, contract) for row in rows]


def of_row(row: Row | Stored, contract: Contract) -> ErrorDay:
    """Return the errors that a row holds.

    Raises
    ------
    Unprocessable
        If they are stored in another format.
    """
    sums = from_bytes(row.payload)
    return ErrorDay(
        day=row.start.date(),
        version=row.version,
        is_shadow=row.stream == SHADOW_ERRORS.name,
        n_predictions=sums.n_predictions,
        cells=_laid_out(sums.cells, task.of(contract).cells(contract)),
    )


def _laid_out(cells: Floats, shape: tuple[int, int]) -> Floats:
    """Return cells by step and target; in one step where the task that counted them is gone."""
    n_steps, n_targets = shape
    known = shape if len(cells) == n_steps * n_targets else (1, len(cells))
    padded: Floats = np.zeros((*shape, cells.shape[-1]))
    part = cells.reshape(*known, -1)[:, :n_targets]
    padded[: len(part), : part.shape[1]] = part
    return padded


def newest_labelled(days: Sequence[ErrorDay]) -> date | None:
    """Return the last day on which what was served has a label."""
    labelled = (
        one.day
        for one in days
        if one.is_forecast and not one.is_shadow and one.cells[:, :, LABELLED].any()
    )
    return max(labelled, default=None)
