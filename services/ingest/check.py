"""Does a table keep to the contract? Column by column, not row by row."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.contract import Contract
from core.rows import TIME, Kind, Status
from services.ingest.columns import Faults

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]

MAX_TEXT_BYTES = 512  # ids and names; a longer one is a payload in the wrong field
MAX_LABEL_STEPS = 4096  # one label row may span this many steps

# The newest event time drives a model's clock, and nothing turns it back: a
# device that believes in 2099 must not. An unset clock says 1970 or 0001.
MAX_AHEAD = timedelta(days=1)
EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)


def check(
    table: pa.Table, kind: Kind, contract: Contract, now: datetime, faults: Faults
) -> None:
    """Find the rows that break the contract.

    Parameters
    ----------
    table : (row,)
        Columns of `core.rows.schema(kind, contract)`, in one chunk each.
    kind, contract
        What the columns mean.
    now
        Event times far beyond it are refused.
    faults
        Takes the first fault of each row.
    """
    for field, column in zip(table.schema, table.columns, strict=True):
        values = column.combine_chunks()
        if not field.nullable and values.null_count:
            faults.where(mask(values.is_null()), field.name, "missing")
        if values.null_count == len(values):
            continue
        if pa.types.is_string(field.type):
            _check_text(values, field.name, faults)
        elif field.type == TIME and field.name != "received_at":
            _check_time(values, field.name, now, faults)
        elif pa.types.is_float64(field.type):
            _check_finite(values, field.name, faults)
        elif pa.types.is_struct(field.type):
            _check_lists(values, field.name, contract, faults)
    if kind is Kind.LABELS:
        _check_labels(table, faults)
    else:
        _check_predictions(table, faults)


def mask(values: pa.Array) -> Mask:
    """Return booleans as numpy has them; null is false."""
    if values.null_count:
        values = values.fill_null(False)
    return values.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _check_text(values: pa.Array, name: str, faults: Faults) -> None:
    n_bytes = pc.binary_length(values)
    bounds = pc.min_max(n_bytes).as_py()
    if bounds["max"] > MAX_TEXT_BYTES:
        faults.where(
            mask(pc.greater(n_bytes, MAX_TEXT_BYTES)),
            name,
            f"longer than {MAX_TEXT_BYTES} bytes",
        )
    if bounds["min"] == 0:
        faults.where(mask(pc.equal(n_bytes, 0)), name, "empty")
    if _has_nul(values):
        has_nul = pc.match_substring(values, "\0")
        faults.where(mask(has_nul), name, "holds a NUL character")


def _has_nul(values: pa.Array) -> bool:
    """Say whether any byte of the texts is 0: ten times as fast as to search each of them."""
    _, offsets, texts = values.buffers()
    if texts is None:
        return False
    bounds = np.frombuffer(offsets, np.int32)[[values.offset, values.offset + len(values)]]
    held = np.frombuffer(texts, np.uint8)[slice(*bounds)]
    return bool(held.size and held.min() == 0)


def _check_time(values: pa.Array, name: str, now: datetime, faults: Faults) -> None:
    bounds = pc.min_max(values.cast(pa.int64()))
    latest = pa.scalar(now + MAX_AHEAD, TIME)
    earliest = pa.scalar(EARLIEST, TIME)
    if bounds["max"].as_py() > latest.value:
        faults.where(mask(pc.greater(values, latest)), name, "in the future")
    if bounds["min"].as_py() < earliest.value:
        faults.where(mask(pc.less(values, earliest)), name, "before 1970-01-02")


def _check_finite(values: pa.Array, name: str, faults: Faults) -> None:
    finite = pc.is_finite(values)
    if not pc.all(finite).as_py():
        faults.where(~mask(finite.fill_null(True)), name, "NaN or infinite")


def _check_lists(values: pa.Array, name: str, contract: Contract, faults: Faults) -> None:
    present = mask(values.is_valid())
    bounds = _bounds(name, contract)
    for child, column in zip(values.type, values.flatten(), strict=True):
        shortest, longest = bounds[child.name]
        field = f"{name}.{child.name}"
        counts = np.asarray(pc.list_value_length(column).fill_null(-1))
        bad = present & ((counts < shortest) | (counts > longest))
        if name == "actual":
            bad &= counts >= 0  # a label may be partial
        if bad.any():
            wanted = str(shortest) if shortest == longest else f"{shortest} to {longest}"
            faults.where(bad, field, f"expected a list of {wanted} numbers")
        _check_numbers(column, field, faults, may_miss=name != "output")


def _bounds(name: str, contract: Contract) -> dict[str, tuple[int, int]]:
    if name == "features":
        return {each.name: (each.min_length, each.max_length) for each in contract.features}
    if name == "output":
        return dict.fromkeys(contract.targets, (contract.horizon, contract.horizon))
    return dict.fromkeys(contract.targets, (1, MAX_LABEL_STEPS))


def _check_numbers(column: pa.Array, field: str, faults: Faults, *, may_miss: bool) -> None:
    numbers = column.flatten()
    finite = pc.is_finite(numbers)
    if finite.null_count:
        finite = finite.fill_null(may_miss)
    if pc.all(finite, skip_nulls=False).as_py() in (True, None):
        return
    bad = np.zeros(len(column), dtype=np.bool_)
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    bad[rows[~mask(finite)]] = True
    faults.where(bad, field, "NaN or infinite" if may_miss else "missing, NaN or infinite")


def _check_predictions(table: pa.Table, faults: Faults) -> None:
    known = pa.array([status.value for status in Status])
    is_known = pc.is_in(table["status"], value_set=known).combine_chunks()
    if not pc.all(is_known).as_py():
        faults.where(~mask(is_known), "status", f"expected one of {', '.join(Status)}")
    seconds = table["latency_seconds"].combine_chunks()
    if seconds.null_count < len(seconds) and pc.min(seconds).as_py() < 0:
        faults.where(mask(pc.less(seconds, 0)), "latency_seconds", "negative")


def _check_labels(table: pa.Table, faults: Faults) -> None:
    by_id = table["prediction_id"].is_valid()
    by_target = pc.and_(table["entity"].is_valid(), table["target_at"].is_valid())
    named = pc.or_(by_id, by_target).combine_chunks()
    faults.where(~mask(named), "prediction_id", "name the prediction, or entity and target_at")
    actual = table["actual"].combine_chunks()
    told = np.zeros(len(actual), dtype=np.bool_)
    for column in actual.flatten():
        told |= mask(column.is_valid())
    faults.where(~told, "actual", "names no target")
