"""The diagnoses of this distribution: skew of matched rows, and parity of the scaler."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from core.errors import TooLarge, Unprocessable
from core.schema.contract import MAX_STEPS, Contract
from core.schema.feature import Dtype, Sensitivity
from monitors.diagnosis import Diagnosis, DiagnosisRequest, Report
from monitors.summaries.summary import Floats
from seqwatch_skew import comparison, golden, scaler_comparison
from seqwatch_skew.comparison import FeatureSkew, Pairs
from seqwatch_skew.scaler_comparison import Logged, Parity, ScalerParity
from seqwatch_skew.tables import Cell, Columns, MatchedTables, by_id, by_position

MAX_VALUES = 100_000  # of either side: two seconds of work
MAX_COLUMNS = 256
OUTPUT = "output."  # before the name of a target: an input may have the same name

# Beyond, a value is no measurement, and the squares of its ratios no float64.
_LARGEST = 1e100

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewParams:
    """Parameters of `skew`.

    Attributes
    ----------
    tolerance
        Differences that are none, in spreads of the feature.
    id
        The column that names a row in both tables; None where row i of both is one event.
    at
        The column of event times, where there is an `id`.
    columns
        Those to compare, where there is an `id`; empty for all that hold numbers in both.
    """

    tolerance: float = comparison.TOLERANCE
    id: str | None = None
    at: str | None = None
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.tolerance <= 1:
            raise ValueError("tolerance: more than 0 spreads and at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Each column, in the order of offline, and whether all would pass as golden vectors.

    Attributes
    ----------
    left_out
        Columns of offline that are not compared.
    """

    n_rows: int
    features: tuple[FeatureSkew, ...]
    golden: golden.Replay
    left_out: tuple[str, ...] = ()


def compare(params: SkewParams, request: DiagnosisRequest) -> Compared:
    """Compare two tables of the same rows.

    Parameters
    ----------
    params
        How rows are matched, and what is no difference.
    request
        The tables. Rows of which a column holds lists are windows: what moves in time is
        then searched within each list. The contract defines which columns there may be,
        their scaler, the step, and which of them are sensitive; None takes any column.

    Raises
    ------
    Unprocessable
        Naming the column, and the row, but no value.
    TooLarge
        If there are too many values.

    Examples
    --------
    >>> from monitors.diagnosis import Table
    >>> celsius = [20.0 + hour % 7 for hour in range(50)]
    >>> offline = Table(name="offline", columns={"t": celsius})
    >>> online = Table(name="online", columns={"t": [32 + 1.8 * one for one in celsius]})
    >>> found = compare(SkewParams(), DiagnosisRequest(offline=offline, online=online))
    >>> found.features[0].faults[0].message
    'another unit, factor 1.8 (degrees Celsius to degrees Fahrenheit)'
    """
    if request.offline is None or request.online is None:
        raise Unprocessable("two tables are compared")
    contract, (offline, online) = request.contract, (request.offline, request.online)
    if params.id is None:
        tables = by_position(offline, online, request.at)
    else:
        tables = by_id(offline, online, params.id, params.at, params.columns)
    n_rows = _check(tables, contract)
    sides = {
        name: tuple(_values(side[name], name) for side in (tables.offline, tables.online))
        for name in tables.offline
    }
    found: dict[str, FeatureSkew] = {}
    for width in sorted({both[0].shape[1] for both in map(_aligned, sides.items())}):
        group = {
            name: _aligned((name, both))
            for name, both in sides.items()
            if both[0].shape[1] == width
        }
        pairs = _pairs(group, tables.at, contract, params.tolerance)
        found |= {skew.name: skew for skew in comparison.compare(pairs)}
    concealed = () if contract is None else _sensitive(contract)
    features = tuple(
        found[name].concealed() if name in concealed else found[name] for name in tables.offline
    )
    verdict = golden.evaluate(features, n_rows, tables.n_absent)
    return Compared(n_rows=n_rows, features=features, golden=verdict, left_out=tables.left_out)


def report(found: Compared) -> Report:
    """Return one line for each column, and the verdict."""
    lines = [*map(_line, found.features)]
    if found.left_out:
        lines.append(f"not compared: {', '.join(found.left_out)}")
    reasons = "; ".join(found.golden.reasons)
    verdict = "passed" if found.golden.passed else f"failed: {reasons}"
    lines.append(f"{found.n_rows} rows as golden vectors: {verdict}")
    document = asdict(found)
    document.pop("left_out")
    return Report(
        passed=found.golden.passed,
        text="".join(f"{line}\n" for line in lines),
        document=document,
    )


def _line(one: FeatureSkew) -> str:
    message = "; ".join(named.message for named in one.faults)
    line = f"{one.name}: {one.verdict}"
    if message:
        line += f": {message}"
    if one.is_skewed and one.distance is not None:
        line += f" (apart by {one.distance:.3g} spreads"
        line += ")" if one.left is None else f", {one.left:.1g} after undoing it)"
    return line + "".join(f"; or {' and '.join(kinds)}" for kinds in one.also)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalerParams:
    """What the rows hold: values before the scaler, or after it."""

    logged: Logged = Logged.RAW


def compare_scaler(params: ScalerParams, request: DiagnosisRequest) -> tuple[ScalerParity, ...]:
    """Compare the scaler of the contract with the model's recent input.

    Returns
    -------
    tuple
        One for each feature that has a scaler and is kept; empty before the first row.
    """
    contract, history = request.contract, request.history
    if contract is None or history is None:
        return ()
    found = scaler_comparison.parity(history, contract.scaler, params.logged)
    concealed = _sensitive(contract)
    return tuple(one.concealed() if one.name in concealed else one for one in found)


def report_scaler(found: tuple[ScalerParity, ...]) -> Report:
    """Return one line for each feature."""
    return Report(
        passed=all(one.verdict in (Parity.PARITY, Parity.MOVED) for one in found),
        text="".join(f"{one.name}: {one.verdict}\n" for one in found),
        document={"features": [asdict(one) for one in found]},
    )


def _sensitive(contract: Contract) -> set[str]:
    return {
        feature.name
        for feature in contract.features
        if feature.sensitivity is not Sensitivity.NONE
    }


def _check(tables: MatchedTables, contract: Contract | None) -> int:
    """Return how many rows there are."""
    if not tables.offline:
        raise Unprocessable("offline: no column")
    if tables.offline.keys() != tables.online.keys():
        raise Unprocessable("offline and online need the same columns")
    if len(tables.offline) > MAX_COLUMNS:
        raise TooLarge(f"at most {MAX_COLUMNS} columns are compared at once")
    if contract is not None:
        _refuse_unknown(tables.offline, contract)
    sides = (tables.offline, tables.online)
    n_rows = {len(column) for side in sides for column in side.values()}
    if len(n_rows) > 1:
        raise Unprocessable("all columns need the same number of rows")
    n = n_rows.pop()
    if not n:
        raise Unprocessable("offline: no row")
    if tables.at is not None and len(tables.at) != n:
        raise Unprocessable("at: one time for each row")
    return n


def _refuse_unknown(table: Columns, contract: Contract) -> None:
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
    at: Sequence[datetime] | None,
    contract: Contract | None,
    tolerance: float,
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
        if at is not None:
            seconds = np.array([(moment - _EPOCH) / timedelta(seconds=1) for moment in at])
    return Pairs(
        names=tuple(group),
        offline=offline,
        online=online,
        seconds=seconds,
        # Rows follow each other as they like; only steps of a window are a step apart.
        step_seconds=None if contract is None or is_single else contract.step.total_seconds(),
        scaler={} if contract is None else _scalers(group, contract),
        tolerance=tolerance,
    )


def _scalers(names: Mapping[str, object], contract: Contract) -> dict[str, tuple[float, float]]:
    found = {name: contract.scaler.get(name.removeprefix(OUTPUT)) for name in names}
    return {name: declared for name, declared in found.items() if declared is not None}


SKEW = Diagnosis(
    name="skew",
    question="Do training and serving compute equal features of the same rows?",
    params=SkewParams,
    compare=compare,
    report=report,
)
SCALER_PARITY = Diagnosis(
    name="scaler_parity",
    question="Does the scaler of the contract fit the recent input?",
    params=ScalerParams,
    compare=compare_scaler,
    report=report_scaler,
)
