"""Comparison of training and serving features of the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.errors import TooLarge, Unprocessable
from core.schema.contract import MAX_STEPS, Contract
from core.schema.feature import Dtype, Sensitivity
from core.window import Window
from db.tables import Model
from monitors.skew import comparison, golden, scaler_comparison
from monitors.skew.comparison import FeatureSkew, Pairs
from monitors.skew.scaler_comparison import Logged, ScalerParity
from monitors.summaries.summary import Floats
from services.evaluation import input_history

MAX_VALUES = 100_000  # of either side: two seconds of work
MAX_COLUMNS = 256
OUTPUT = "output."  # before the name of a target: an input may have the same name

# Beyond, a value is no measurement, and the squares of its ratios no float64.
_LARGEST = 1e100

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Cell = float | list[float | None] | None
Table = Mapping[str, Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRequest:
    """Two tables of the same rows.

    Attributes
    ----------
    offline, online
        By feature, or by `output.` and a target: a number for each row, or a
        list of steps. None is missing.
    at
        Event times of the rows; None when they are not known.
    tolerance
        Differences that are none, in spreads of the feature.
    """

    offline: Table
    online: Table
    at: Sequence[datetime] | None = None
    tolerance: float = comparison.TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Each column, in the order of offline, and whether all would pass as golden vectors."""

    n_rows: int
    features: tuple[FeatureSkew, ...]
    golden: golden.Replay


def compare(
    asked: ComparisonRequest, contract: Contract | None = None, n_absent: int = 0
) -> Compared:
    """Compare two tables of the same rows.

    Parameters
    ----------
    asked
        The tables. Rows of which a column holds lists are windows: what moves
        in time is then searched within each list.
    contract
        Which columns there may be, their scaler, the step, and which of them
        are sensitive; None takes any column.
    n_absent
        Rows of offline that online has no counterpart of.

    Raises
    ------
    Unprocessable
        Naming the column, and the row, but no value.
    TooLarge
        If there are too many values.
    """
    n_rows = _check(asked, contract)
    sides = {
        name: tuple(_values(side[name], name) for side in (asked.offline, asked.online))
        for name in asked.offline
    }
    found: dict[str, FeatureSkew] = {}
    for width in sorted({both[0].shape[1] for both in map(_aligned, sides.items())}):
        group = {
            name: _aligned((name, both))
            for name, both in sides.items()
            if both[0].shape[1] == width
        }
        found |= {
            skew.name: skew for skew in comparison.compare(_pairs(group, asked, contract))
        }
    concealed = () if contract is None else _sensitive(contract)
    features = tuple(
        found[name].concealed() if name in concealed else found[name] for name in asked.offline
    )
    verdict = golden.evaluate(features, n_rows, n_absent)
    return Compared(n_rows=n_rows, features=features, golden=verdict)


def scaler_parity(
    session: Session, model_id: UUID, days: int, logged: Logged
) -> tuple[ScalerParity, ...]:
    """Hold the scaler of the contract against the last days of all input.

    Parameters
    ----------
    session
        The open transaction.
    model_id
        Whose input.
    days
        Of event time, up to the watermark.
    logged
        Whether rows hold values before or after the scaler.

    Returns
    -------
    tuple
        One for each feature that has a scaler and is kept; empty before the
        first row.
    """
    model = session.get_one(Model, model_id)
    if model.watermark is None:
        return ()
    contract = Contract.from_json(model.contract)
    window = Window(model.watermark - timedelta(days=days), model.watermark)
    found = scaler_comparison.parity(
        input_history.load(session, model, window).hours, contract.scaler, logged
    )
    concealed = _sensitive(contract)
    return tuple(one.concealed() if one.name in concealed else one for one in found)


def _sensitive(contract: Contract) -> set[str]:
    return {
        feature.name
        for feature in contract.features
        if feature.sensitivity is not Sensitivity.NONE
    }


def _check(asked: ComparisonRequest, contract: Contract | None) -> int:
    """Return how many rows there are."""
    if not 0 < asked.tolerance <= 1:
        raise Unprocessable("tolerance: more than 0 spreads and at most 1")
    if not asked.offline:
        raise Unprocessable("offline: no column")
    if asked.offline.keys() != asked.online.keys():
        raise Unprocessable("offline and online need the same columns")
    if len(asked.offline) > MAX_COLUMNS:
        raise TooLarge(f"at most {MAX_COLUMNS} columns are compared at once")
    if contract is not None:
        _refuse_unknown(asked.offline, contract)
    sides = (asked.offline, asked.online)
    n_rows = {len(column) for side in sides for column in side.values()}
    if len(n_rows) > 1:
        raise Unprocessable("all columns need the same number of rows")
    n = n_rows.pop()
    if not n:
        raise Unprocessable("offline: no row")
    if asked.at is not None and len(asked.at) != n:
        raise Unprocessable("at: one time for each row")
    return n


def _refuse_unknown(table: Table, contract: Contract) -> None:
    numbers = {each.name for each in contract.features if each.dtype is Dtype.NUMBER}
    known = [*sorted(numbers), *(OUTPUT + target for target in contract.targets)]
    if unknown := sorted(table.keys() - {*known}):
        raise Unprocessable(
            f"no number in the contract: {', '.join(unknown[:10])}; known: {', '.join(known)}"
        )


def _values(column: Sequence[Cell], name: str) -> Floats:
    """Return a column as (row, step), NaN where a row has no value or no such step."""
    rows = [cell if isinstance(cell, list) else [cell] for cell in column]
    width = max(max(map(len, rows)), 1)
    if width > MAX_STEPS or len(rows) * width > MAX_VALUES:
        raise TooLarge(
            f"column {name!r}: more than {MAX_VALUES} values, filled up to its longest row"
        )
    values = np.full((len(rows), width), np.nan)
    for place, row in enumerate(rows):
        values[place, : len(row)] = [np.nan if value is None else value for value in row]
    if np.any(np.abs(values) >= _LARGEST):
        place = int(np.argmax(np.any(np.abs(values) >= _LARGEST, axis=1)))
        raise Unprocessable(f"row {place}, column {name!r}: beyond {_LARGEST:g}")
    return values


def _aligned(item: tuple[str, tuple[Floats, ...]]) -> tuple[Floats, Floats]:
    name, (offline, online) = item
    if offline.shape != online.shape:
        raise Unprocessable(
            f"column {name!r}: offline has up to {offline.shape[1]} steps, "
            f"online up to {online.shape[1]}"
        )
    return offline, online


def _pairs(
    group: Mapping[str, tuple[Floats, Floats]],
    asked: ComparisonRequest,
    contract: Contract | None,
) -> Pairs:
    """Put columns of one width together: single values, or windows."""
    offline, online = (
        np.stack([both[side] for both in group.values()], axis=-1) for side in (0, 1)
    )
    if offline.size > MAX_VALUES:
        raise TooLarge(f"more than {MAX_VALUES} values")
    is_single = offline.shape[1] == 1
    seconds = None
    if is_single:
        offline, online = offline[:, 0], online[:, 0]
        if asked.at is not None:
            seconds = np.array(
                [(moment - _EPOCH) / timedelta(seconds=1) for moment in asked.at]
            )
    return Pairs(
        names=tuple(group),
        offline=offline,
        online=online,
        seconds=seconds,
        # Rows follow each other as they like; only steps of a window are a step apart.
        step_seconds=None if contract is None or is_single else contract.step_seconds,
        scaler={} if contract is None else _scalers(group, contract),
        tolerance=asked.tolerance,
    )


def _scalers(names: Mapping[str, object], contract: Contract) -> dict[str, tuple[float, float]]:
    found = {name: contract.scaler.get(name.removeprefix(OUTPUT)) for name in names}
    return {name: declared for name, declared in found.items() if declared is not None}
