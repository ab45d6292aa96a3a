"""Validation of events: the fields of their types, and the limits of these fields."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.schema.events import EVENT_FIELDS, EVENT_TYPES, EventType
from services.ingest.formats.columns import Faults, Mask, mask

CURRENCY = "^[A-Z]{3}$"
EXPECTED_CURRENCY = "expected three capital letters, e.g. EUR"
NO_FIELD = "not a field of events of this type"


def check_events(table: pa.Table, faults: Faults) -> None:
    """Find the events of unknown types, with missing or foreign fields, or beyond a limit.

    Parameters
    ----------
    table : (event,)
        Columns of `core.schema.events.EVENT_SCHEMA`, in one chunk each.
    faults
        Collects the first fault of each row.
    """
    given = {name: mask(table[name].combine_chunks().is_valid()) for name in table.column_names}
    types = table["type"].combine_chunks().dictionary_encode()
    codes = pc.fill_null(types.indices, -1).to_numpy(zero_copy_only=False)
    for code, name in enumerate(types.dictionary.to_pylist()):
        rows = codes == code
        of = EVENT_TYPES.get(name)
        if of is None:
            faults.where(rows, "type", f"expected one of {', '.join(EVENT_TYPES)}")
        else:
            _check_fields(given, rows, of, faults)
    _check_limits(table, faults)


def _check_fields(given: dict[str, Mask], rows: Mask, of: EventType, faults: Faults) -> None:
    for name in of.required:
        faults.where(rows & ~given[name], name, "missing")
    if of.any_of:
        has_any = np.logical_or.reduce([given[name] for name in of.any_of])
        faults.where(rows & ~has_any, of.any_of[0], f"expected one of {', '.join(of.any_of)}")
    for name in EVENT_FIELDS.keys() - {*of.required, *of.any_of, *of.optional}:
        faults.where(rows & given[name], name, NO_FIELD)


def _check_limits(table: pa.Table, faults: Faults) -> None:
    for name, field in EVENT_FIELDS.items():
        values = table[name].combine_chunks()
        if values.null_count == len(values) or pa.types.is_string(field.type):
            continue
        faults.where(mask(pc.less(values, 0)), name, "negative")
        if field.maximum < float("inf"):
            above = mask(pc.greater(values, field.maximum))
            faults.where(above, name, f"expected numbers from 0 to {field.maximum:g}")
    currency = table["currency"].combine_chunks()
    is_other = pc.invert(pc.match_substring_regex(currency, CURRENCY))
    faults.where(mask(is_other), "currency", EXPECTED_CURRENCY)
