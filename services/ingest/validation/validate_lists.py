"""Validation of the lists of a struct column against the contract."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.schema import rows
from core.schema.contract import Contract
from core.schema.feature import LARGEST, MAX_TEXT_BYTES, Feature
from services.ingest.formats.columns import OUT_OF_RANGE, Faults, Mask, mask, rows_with, within
from services.ingest.formats.exact_numbers import MAX_INTEGER


def check_lists(values: pa.Array, name: str, contract: Contract, faults: Faults) -> None:
    """Find the rows whose lists break the contract.

    Parameters
    ----------
    values : (row,)
        A struct of lists.
    name
        `features`, `output` or `actual`.
    contract
        Of the version of these rows.
    faults
        Collects the first fault of each row.
    """
    present = mask(values.is_valid())
    declared = {each.name: each for each in rows.declared(contract, name)}
    for child, column in zip(values.type, values.flatten(), strict=True):
        field = f"{name}.{child.name}"
        feature = declared.get(child.name)
        if feature is None:
            _check_absent(column, field, faults)
            continue
        _check_lengths(_Lists(column, field, present, feature), faults)
        if pa.types.is_string(child.type.value_type):
            _check_texts(column, field, feature, faults, may_miss=name != "output")
        else:
            _check_numbers(column, field, faults, may_miss=name != "output")
            _check_range(column, field, feature, faults)


def check_magnitudes(values: pa.Array, name: str, faults: Faults) -> None:
    """Find the rows of a struct of lists with a number too large for a measurement."""
    for child, column in zip(values.type, values.flatten(), strict=True):
        if pa.types.is_float64(child.type.value_type):
            _check_numbers(column, f"{name}.{child.name}", faults, may_miss=True)


@dataclass(frozen=True, slots=True)
class _Lists:
    column: pa.Array
    field: str
    present: Mask
    feature: Feature


def _check_absent(column: pa.Array, field: str, faults: Faults) -> None:
    """Refuse values of a feature that the version does not take."""
    if column.null_count == len(column):
        return
    faults.where(rows_with(column, mask(column.flatten().is_valid())), field, "unknown field")


def _check_lengths(lists: _Lists, faults: Faults) -> None:
    feature = lists.feature
    counts = np.asarray(pc.list_value_length(lists.column).fill_null(-1))
    bad = lists.present & ((counts < feature.min_length) | (counts > feature.max_length))
    if not bad.any():
        return
    absent = counts < 0
    if not feature.optional:
        faults.where(bad & absent, lists.field, "missing")
    low, high = feature.min_length, feature.max_length
    wanted = str(low) if low == high else f"{low} to {high}"
    what = "texts" if pa.types.is_string(lists.column.type.value_type) else "numbers"
    faults.where(bad & ~absent, lists.field, f"expected a list of {wanted} {what}")


def _check_numbers(column: pa.Array, field: str, faults: Faults, *, may_miss: bool) -> None:
    numbers = column.flatten()
    is_whole = may_miss or not numbers.null_count
    if is_whole and within(numbers, MAX_INTEGER - 1):
        return
    faults.note_large(rows_with(column, mask(pc.greater_equal(pc.abs(numbers), MAX_INTEGER))))
    if is_whole and within(numbers, LARGEST):
        return
    finite = pc.is_finite(numbers).fill_null(may_miss)
    reason = "NaN or infinite" if may_miss else "missing, NaN or infinite"
    faults.where(rows_with(column, ~mask(finite)), field, reason)
    beyond = mask(pc.greater(pc.abs(numbers), LARGEST))
    faults.where(rows_with(column, beyond), field, OUT_OF_RANGE)


def _check_range(column: pa.Array, field: str, feature: Feature, faults: Faults) -> None:
    low, high = feature.minimum, feature.maximum
    if low is None and high is None:
        return
    numbers = column.flatten()
    outside = pc.or_(
        pc.less(numbers, -np.inf if low is None else low),
        pc.greater(numbers, np.inf if high is None else high),
    )
    if pc.any(outside).as_py():
        bounds = "" if low is None else f" from {low:g}"
        bounds += "" if high is None else f" to {high:g}"
        faults.where(rows_with(column, mask(outside)), field, f"expected numbers{bounds}")


def _check_texts(
    column: pa.Array, field: str, feature: Feature, faults: Faults, *, may_miss: bool
) -> None:
    texts = column.flatten()
    if not may_miss and texts.null_count:
        faults.where(rows_with(column, mask(texts.is_null())), field, "missing")
    if feature.vocabulary:
        known = pc.is_in(texts, value_set=pa.array([*feature.vocabulary, None], pa.string()))
        if not pc.all(known).as_py():
            faults.where(rows_with(column, ~mask(known)), field, "not in the vocabulary")
        return
    n_bytes = pc.binary_length(texts)
    for bad, reason in (
        (pc.equal(n_bytes, 0), "empty"),
        (pc.greater(n_bytes, MAX_TEXT_BYTES), f"longer than {MAX_TEXT_BYTES} bytes"),
        (pc.match_substring(texts, "\0"), "holds a NUL character"),
    ):
        if pc.any(bad).as_py():
            faults.where(rows_with(column, mask(bad)), field, reason)
