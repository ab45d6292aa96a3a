"""Lists of numbers, one per row, as flat arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitors.summaries.categories import codes

DAY_US = 86_400_000_000  # microseconds of a day

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flat:
    """One column of lists: a list of k numbers is k values, row after row.

    Attributes
    ----------
    values : (value,)
        NaN where the list holds null.
    rows : (value,)
        The row that each value belongs to.
    steps : (value,)
        Its place in the row's list, from 0.
    lengths : (row,)
        0 where the row has no list.
    """

    values: Floats
    rows: Ints
    steps: Ints
    lengths: Ints

    @property
    def is_single(self) -> bool:
        """Whether every row has just one value."""
        return bool((self.lengths == 1).all())

    @property
    def back(self) -> Ints:
        """How many steps each value lies before the last one of its list."""
        return self.lengths[self.rows] - 1 - self.steps


def fields(rows: pa.Table, column: str) -> dict[str, pa.ListArray]:
    """Return the lists of each field of a struct column: read once, they are laid out sooner.

    Examples
    --------
    >>> lists = pa.array([{"load": [1.0, 2.0]}, None],
    ...     type=pa.struct([("load", pa.list_(pa.float64()))]))
    >>> fields(pa.table({"output": lists}), "output")["load"].to_pylist()
    [[1.0, 2.0], None]
    """
    chunked = rows[column]
    struct = chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()
    return dict(zip((field.name for field in struct.type), struct.flatten(), strict=True))


def flatten(rows: pa.Table, column: str, field: str) -> Flat:
    """Lay out the lists of one field of a struct column.

    Parameters
    ----------
    rows
        A table of predictions or of labels.
    column, field
        E.g. `"output"` and the name of a target.

    Examples
    --------
    >>> lists = pa.array([{"load": [1.0, 2.0]}, None, {"load": [None]}],
    ...     type=pa.struct([("load", pa.list_(pa.float64()))]))
    >>> flat = flatten(pa.table({"output": lists}), "output", "load")
    >>> flat.values, flat.rows, flat.back
    (array([ 1.,  2., nan]), array([0, 0, 2]), array([1, 0, 0]))
    """
    return flatten_lists(_lists(rows, column, field))


def flatten_lists(lists: pa.ChunkedArray | pa.ListArray) -> Flat:
    """Lay out lists of numbers."""
    return _spread(lists, _values(lists))


def singles(lists: Sequence[pa.ListArray]) -> Floats | None:
    """Return the numbers of lists that all hold just one, as most services send them.

    Returns
    -------
    numbers : (field, row)
        NaN where a list holds null. None where any list holds another number of values.

    Examples
    --------
    >>> singles([pa.array([[1.0], [None]]), pa.array([[3.0], [4.0]])])
    array([[ 1., nan],
           [ 3.,  4.]])
    >>> singles([pa.array([[1.0], [2.0]]), pa.array([[3.0, 4.0], None])])
    """
    if not lists or any(each.null_count for each in lists):
        return None
    offsets = np.array([each.offsets.to_numpy() for each in lists])
    if (offsets[:, 1:] - offsets[:, :-1] != 1).any():
        return None
    n = offsets.shape[1] - 1
    return np.array(
        [
            numbers(each.values)[first : first + n]
            for each, first in zip(lists, offsets[:, 0].tolist(), strict=True)
        ],
        dtype=np.float64,
    )


def flatten_codes(rows: pa.Table, column: str, field: str, vocabulary: tuple[str, ...]) -> Flat:
    """Lay out the lists of one field that holds texts, each as the number of its category.

    Examples
    --------
    >>> lists = pa.array([{"area": ["south", "moon"]}, {"area": None}],
    ...     type=pa.struct([("area", pa.list_(pa.string()))]))
    >>> flatten_codes(pa.table({"features": lists}), "features", "area", ("south",)).values
    array([0., 1.])
    """
    lists = _lists(rows, column, field)
    texts = pc.list_flatten(lists).combine_chunks().cast(pa.string()).dictionary_encode()
    of_text = codes([*texts.dictionary.to_pylist(), None], vocabulary)
    places = texts.indices.fill_null(len(texts.dictionary)).to_numpy(zero_copy_only=False)
    return _spread(lists, of_text[places])


def last_texts(rows: pa.Table, column: str, field: str) -> pa.StringArray:
    """Return the last text of each list of one field; null where there is none.

    Examples
    --------
    >>> lists = pa.array([{"area": ["south", "moon"]}, {"area": None}, {"area": [""]}],
    ...     type=pa.struct([("area", pa.list_(pa.string()))]))
    >>> last_texts(pa.table({"features": lists}), "features", "area").to_pylist()
    ['moon', None, '']
    """
    lists = _lists(rows, column, field)
    texts = pc.list_flatten(lists).combine_chunks().cast(pa.string())
    lengths = _lengths(lists)
    if (lengths == 1).all():
        return texts
    last = np.cumsum(lengths) - 1
    return texts.take(pa.array(last, mask=lengths == 0))


def last_numbers(lists: pa.ListArray) -> Floats:
    """Return the last number of each list; NaN where there is none.

    Examples
    --------
    >>> last_numbers(pa.array([[1.0, 2.0], None, [None]]))
    array([ 2., nan, nan])
    """
    values, lengths = _values(lists), _lengths(lists)
    if (lengths == 1).all():
        return values
    last = np.append(values, np.nan)[np.cumsum(lengths) - 1]
    return np.where(lengths > 0, last, np.nan)


def _lists(rows: pa.Table, column: str, field: str) -> pa.ChunkedArray:
    """Return the lists of a field; nulls where these rows were written before it was added."""
    if rows[column].type.get_field_index(field) < 0:
        return pa.chunked_array([pa.nulls(rows.num_rows, pa.list_(pa.float64()))])
    return child(rows[column], field)


def child(struct: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return a field of a struct by its name, whatever the name is.

    `pyarrow.compute.struct_field` reads a name that begins with a dot as a path.

    Examples
    --------
    >>> child(pa.chunked_array([[{".load": 1}]]), ".load").to_pylist()
    [1]
    """
    return pc.struct_field(struct, struct.type.get_field_index(name))


def _values(lists: pa.ChunkedArray | pa.ListArray) -> Floats:
    if not isinstance(lists, pa.ListArray) or lists.null_count:
        return numbers(pc.list_flatten(lists))
    offsets = lists.offsets.to_numpy()  # as a rule: an order of magnitude faster
    return numbers(lists.values)[offsets[0] : offsets[-1]]


def _lengths(lists: pa.ChunkedArray | pa.ListArray) -> Ints:
    if isinstance(lists, pa.ListArray) and not lists.null_count:
        offsets: Ints = lists.offsets.to_numpy().astype(np.int64)
        return offsets[1:] - offsets[:-1]
    lengths = pc.list_value_length(lists)
    if lengths.null_count:
        lengths = pc.fill_null(lengths, 0)
    return lengths.to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def _spread(lists: pa.ChunkedArray | pa.ListArray, values: Floats) -> Flat:
    lengths = _lengths(lists)
    row = np.arange(lengths.size)
    if (lengths == 1).all():  # one step per row, as most services send: nothing to spread
        return Flat(
            values=values, rows=row, steps=np.zeros(row.size, np.int64), lengths=lengths
        )
    rows_of = np.repeat(row, lengths)
    first = np.cumsum(lengths) - lengths
    steps = np.arange(values.size) - first[rows_of]
    return Flat(values=values, rows=rows_of, steps=steps, lengths=lengths)


def longest(lists: Sequence[pa.ListArray]) -> list[int]:
    """Return the length of the longest list of each field; 0 where there is none.

    Parameters
    ----------
    lists
        Of each field, all of as many rows.

    Examples
    --------
    >>> longest([pa.array([[1.0, 2.0], None]), pa.array([[], [""]])])
    [2, 1]
    """
    lengths = np.array([_lengths(each) for each in lists], np.int64)
    return lengths.max(axis=-1, initial=0).tolist() if lists else []


def flags(column: pa.ChunkedArray) -> Bools:
    """Return a column of flags; it must hold no null."""
    return column.to_numpy()  # type: ignore[no-any-return]


def numbers(column: pa.ChunkedArray | pa.Array) -> Floats:
    """Return a column of numbers; null becomes NaN."""
    return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def differ(column: pa.ChunkedArray, text: str) -> Bools:
    """Return which texts of a column, which must hold no null, are not the given one.

    Examples
    --------
    >>> differ(pa.chunked_array([["v1", "reference"]]), "reference")
    array([ True, False])
    """
    return flags(pc.not_equal(column, _scalar(text)))


@lru_cache(maxsize=16)  # to make one takes longer than to compare a few rows with it
def _scalar(text: str) -> pa.StringScalar:
    return pa.scalar(text)


def days_of(column: pa.ChunkedArray) -> Ints:
    """Return the days of times in UTC, counted from 1970."""
    return micros(column) // DAY_US


def micros(column: pa.ChunkedArray) -> Ints:
    """Return a column of moments in microseconds since 1970; it must hold no null."""
    return column.to_numpy().view(np.int64)  # type: ignore[no-any-return]
