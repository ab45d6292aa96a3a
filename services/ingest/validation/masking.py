"""Replace sensitive values before anything is stored, column by column."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.schema.contract import Contract
from core.schema.feature import Feature, Sensitivity
from core.schema.masking import hashed
from core.schema.rows import Kind, schema
from core.terms import Terms


def masked(table: pa.Table, kind: Kind, terms: Terms) -> pa.Table:
    """Convert checked rows to the columns of the log.

    Parameters
    ----------
    table : (row,)
        Columns of `core.schema.rows.wire_schema`, in one chunk each.
    kind, terms
        Define what is dropped, hashed and put into buckets.

    Returns
    -------
    pa.Table
        Columns of `core.schema.rows.schema`.
    """
    contract = terms.contract
    if not contract.is_sensitive:
        return table
    wanted = schema(kind, contract)
    columns = []
    for field in wanted:
        column = table[field.name].combine_chunks()
        way = contract.sensitive_fields.get(field.name, Sensitivity.NONE)
        if field.name == "features":
            column = _features(column, field, contract, terms.mask_key)
        elif way is Sensitivity.DROP:
            column = pa.nulls(len(column), field.type)
        elif way is Sensitivity.HASH:
            column = _hashed(column, field.name, terms.mask_key)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=wanted)


def _features(
    column: pa.StructArray, wanted: pa.Field, contract: Contract, key: bytes | None
) -> pa.StructArray:
    lists = dict(zip((child.name for child in column.type), column.flatten(), strict=True))
    return pa.StructArray.from_arrays(
        [_feature(lists[each.name], each, key) for each in contract.kept],
        fields=[*wanted.type],
        mask=column.is_null() if column.null_count else None,
    )


def _feature(column: pa.ListArray, feature: Feature, key: bytes | None) -> pa.ListArray:
    match feature.sensitivity:
        case Sensitivity.BUCKET:
            return _with_values(column, _bucketed(column.flatten(), feature.bucket_edges))
        case Sensitivity.HASH:
            name = f"features.{feature.name}"
            return _with_values(column, _hashed(column.flatten(), name, key))
        case _:
            return column


def _hashed(texts: pa.StringArray, field: str, key: bytes | None) -> pa.StringArray:
    """Return the HMAC of each text; computed once for each distinct one."""
    if key is None:
        raise ValueError(f"{field} is hashed, and the model has no key")
    coded = texts.dictionary_encode()
    forms = [hashed(key, field, text) for text in coded.dictionary.to_pylist()]
    return pa.array(forms, pa.string()).take(coded.indices)


def _bucketed(numbers: pa.DoubleArray, edges: tuple[float, ...]) -> pa.DoubleArray:
    """Return the middle of each number's bucket; beyond the outermost edges, the edge."""
    at = np.array(edges)
    middles = np.concatenate([at[:1], (at[1:] + at[:-1]) / 2, at[-1:]])
    values = numbers.to_numpy(zero_copy_only=False)
    replaced = pa.array(middles[np.searchsorted(at, values, side="right")])
    if not numbers.null_count:
        return replaced
    return pc.if_else(numbers.is_valid(), replaced, pa.scalar(None, pa.float64()))


def _with_values(column: pa.ListArray, values: pa.Array) -> pa.ListArray:
    """Return the same lists, of the same lengths, with other values in them."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(
        pa.array(offsets),
        values,
        type=column.type,
        mask=column.is_null() if column.null_count else None,
    )
