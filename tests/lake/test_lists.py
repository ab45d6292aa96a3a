"""Lists of one number each, read in one go."""

import numpy as np
import pyarrow as pa
import pytest

from lake.lists import fields, flatten_lists, singles


def table(*rows: tuple[list[float | None] | None, list[float | None] | None]) -> pa.Table:
    lists = [{"load": load, "wind": wind} for load, wind in rows]
    kinds = pa.struct([(name, pa.list_(pa.float64())) for name in ("load", "wind")])
    return pa.table({"features": pa.array(lists, kinds)})


def test_a_part_of_a_table_has_the_numbers_that_it_has_alone() -> None:
    rows = table(([1.0], [5.0]), ([2.0], [None]), ([3.0], [7.0])).slice(1)
    lists = [*fields(rows, "features").values()]
    found = singles(lists)
    assert found is not None
    np.testing.assert_array_equal(found, [[2.0, 3.0], [np.nan, 7.0]])
    for own, each in zip(found, lists, strict=True):
        np.testing.assert_array_equal(own, flatten_lists(each).values)


@pytest.mark.parametrize("other", [[], [1.0, 2.0], None], ids=["none", "two", "no list"])
def test_lists_of_another_length_are_not_of_one_number(
    other: list[float | None] | None,
) -> None:
    rows = table(([1.0], [5.0]), ([2.0], other))
    assert singles([*fields(rows, "features").values()]) is None
