import math
import struct
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from core.errors import Unprocessable
from monitors.summaries.hourly import hourly
from monitors.summaries.serialization import added, from_bytes, from_many, to_bytes
from monitors.summaries.summary import (
    CENTRED,
    MAX,
    MIN,
    N_MISSING,
    N_MOMENTS,
    N_REPEAT,
    SUM,
    Edges,
    N,
    Summary,
    chunk_start,
    freeze,
    merge,
)
from monitors.summaries.values import Column, repeats, summarise

NAMES = ("load", "oil")


def rows(seed: int, n: int = 4_000, hours: int = 30, *, shuffled: bool = False) -> list[Column]:
    rng = np.random.default_rng(seed)
    chunks = rng.integers(100, 100 + hours, n)
    if not shuffled:
        chunks.sort()
    first = rng.random(n) < 0.2
    columns = []
    for _ in NAMES:
        values = rng.normal(3, 2, n).round(1)
        values[rng.random(n) < 0.05] = np.nan
        values[rng.random(n) < 0.01] = rng.choice([np.inf, -np.inf, 1e200])
        columns.append(Column(values=values, chunks=chunks, repeats=repeats(values, first)))
    return columns


@pytest.fixture
def edges() -> Edges:
    return freeze(dict(zip(NAMES, [c.values for c in rows(0)], strict=True)), bins=8)


def same(a: Summary, b: Summary) -> None:
    np.testing.assert_array_equal(a.chunks, b.chunks)
    np.testing.assert_allclose(a.moments, b.moments, rtol=1e-12)
    np.testing.assert_array_equal(a.counts, b.counts)


@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "in any order"])
@pytest.mark.parametrize("hours", [2, 30, 300], ids=["long", "middling", "short"])
def test_a_summary_equals_a_loop_over_rows(edges: Edges, hours: int, shuffled: bool) -> None:
    columns = rows(1, hours=hours, shuffled=shuffled)
    summary = summarise(columns, edges)
    for i, column in enumerate(columns):
        for j, chunk in enumerate(summary.chunks):
            inside = column.chunks == chunk
            there = column.values[inside & (abs(column.values) < 1e150)]
            moments = summary.moments[j, i]
            assert moments[N] == there.size == summary.counts[j, i].sum()
            assert moments[N_MISSING] == inside.sum() - there.size
            repeated = column.repeats & (abs(column.values) < 1e150)
            assert moments[N_REPEAT] == (repeated & inside).sum()
            assert math.isclose(moments[SUM], there.sum())
            centred = there.var() * there.size if there.size else 0.0
            assert math.isclose(moments[CENTRED], centred, rel_tol=1e-12)
            assert moments[MIN] == there.min(initial=np.inf)
            assert moments[MAX] == there.max(initial=-np.inf)
            below = [(there < edge).sum() for edge in edges.values[i]]
            np.testing.assert_array_equal(
                np.diff([0, *below, there.size]), summary.counts[j, i]
            )


def test_merging_parts_is_summarising_the_whole(edges: Edges) -> None:
    columns = rows(2)
    cut = np.random.default_rng(3).random(columns[0].values.size) < 0.4
    parts = [
        [Column(values=c.values[m], chunks=c.chunks[m], repeats=c.repeats[m]) for c in columns]
        for m in (cut, ~cut)
    ]
    same(merge(*(summarise(part, edges) for part in parts)), summarise(columns, edges))


def test_bytes_give_the_summary_back(edges: Edges) -> None:
    summary = summarise(rows(4), edges)
    back = from_bytes(to_bytes(summary))
    np.testing.assert_array_equal(back.moments, summary.moments)
    same(back, summary)


def test_one_cell_per_hour_reads_like_one_cell(edges: Edges) -> None:
    summary = summarise(rows(5), edges)
    cells = [to_bytes(chunk) for chunk in summary.split()]
    same(from_many(cells[::-1]), summary)


def test_an_hour_in_two_cells_is_merged(edges: Edges) -> None:
    summary = summarise(rows(6), edges)
    twice = from_many([to_bytes(summary), to_bytes(summary)])
    same(twice, merge(summary, summary))


def test_counts_survive_beyond_sixteen_bits(edges: Edges) -> None:
    summary = summarise(rows(7), edges)
    big = Summary(
        chunks=summary.chunks, moments=summary.moments, counts=summary.counts * 100_000
    )
    same(from_many([to_bytes(summary), to_bytes(big)]), merge(summary, big))


def test_rows_that_are_added_to_together_are_as_each_alone(edges: Edges) -> None:
    summary, other = summarise(rows(8), edges), summarise(rows(9), edges)
    many = Summary(
        chunks=summary.chunks, moments=summary.moments, counts=summary.counts * 100_000
    )
    narrow, later = summary.of([0]), summary.at(slice(-2, None))
    together = [
        (to_bytes(summary), other),
        (to_bytes(many), other),  # in wider counts
        (to_bytes(narrow), other),  # of before a feature was added
        (to_bytes(narrow), other.of([0])),
        (to_bytes(summary.at(slice(1))), later),  # of other hours
        (to_bytes(summary), other),
    ]
    found = added(together)
    assert found == [blob for row in together for blob in added([row])]
    for blob, (old, new) in zip(found, together, strict=True):
        same(from_bytes(blob), merge(from_bytes(old), new))


def test_nothing_is_added_to_other_bins(edges: Edges) -> None:
    summary = summarise(rows(4), edges)
    without = Summary(
        chunks=summary.chunks, moments=summary.moments, counts=summary.counts[..., :0]
    )
    with pytest.raises(Unprocessable, match="do not share their bins"):
        added([(to_bytes(summary), without)])


@pytest.mark.parametrize("n_bins", [0, 1, 3, 34])
@pytest.mark.parametrize("most", [15, 16, 255, 256, 65_536])
@pytest.mark.parametrize("n_chunks", [0, 1, 3])
def test_every_number_is_read_back_bit_by_bit(n_chunks: int, most: int, n_bins: int) -> None:
    rng = np.random.default_rng(8)
    moments = rng.integers(0, 2**64, (n_chunks, 5, N_MOMENTS), np.uint64).view(np.float64)
    counts = rng.integers(0, most, (n_chunks, 5, n_bins), np.uint32, endpoint=True)
    counts[:1, :1, :1] = most
    given = Summary(chunks=np.arange(n_chunks) * 900 - 1, moments=moments, counts=counts)
    later = replace(given, chunks=given.chunks + 10**9)
    both = from_many([to_bytes(given), to_bytes(later)])
    assert both.moments.tobytes() == 2 * moments.tobytes()
    np.testing.assert_array_equal(both.counts, np.concatenate([counts, counts]))
    np.testing.assert_array_equal(both.chunks, np.concatenate([given.chunks, later.chunks]))


def as_records(summary: Summary) -> bytes:
    """Return what version 2 stored: 1 byte a count."""
    n_chunks, n_features, n_bins = summary.counts.shape
    found = struct.pack("<BBHHxxI", 2, 1, n_features, n_bins, n_chunks)
    for chunk, moments, counts in zip(
        summary.chunks, summary.moments, summary.counts, strict=True
    ):
        found += struct.pack("<q", chunk) + moments.tobytes() + bytes(counts.ravel().tolist())
    return found


def test_a_summary_of_the_version_before_is_still_read(edges: Edges) -> None:
    early, late = summarise(rows(9), edges), summarise(rows(10), edges)
    same(from_many([as_records(early), to_bytes(late)]), merge(early, late))


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        pytest.param(b"", "version None", id="empty"),
        pytest.param(b"\x04" * 40, "version 4", id="a later version"),
        pytest.param(b"\x02\x01", "cut short", id="half a header"),
        pytest.param(b"\x02\x01\x02\x00\x05\x00\x00\x00\x01\x00\x00\x00", "cut", id="no body"),
        pytest.param(
            b"\x02\x09\x02\x00\x05\x00\x00\x00\x01\x00\x00\x00", "72 bits", id="width"
        ),
        pytest.param(b"\x03\x05\x02\x00\x05\x00\x00\x00\x01\x00\x00\x00", "5 bits", id="bits"),
    ],
)
def test_foreign_bytes_are_refused(blob: bytes, message: str) -> None:
    with pytest.raises(Unprocessable, match=message):
        from_bytes(blob)


def test_edges_survive_json(edges: Edges) -> None:
    back = Edges.from_json(edges.to_json())
    assert back.names == edges.names
    np.testing.assert_array_equal(back.values, edges.values)


@pytest.mark.parametrize("n", [1, 2, 33, 1_000])
def test_edges_are_quantiles_of_what_is_there(n: int) -> None:
    values = np.random.default_rng(n).standard_cauchy(n)
    shuffled = np.r_[values, np.nan, np.inf, -1e200]
    [edges] = freeze({"x": shuffled}, bins=16).values
    np.testing.assert_allclose(edges, np.quantile(values, np.linspace(0, 1, 17)), rtol=1e-12)
    assert (np.diff(edges) >= 0).all()
    assert (edges[0], edges[-1]) == (values.min(), values.max())


def test_a_feature_without_values_has_no_edges() -> None:
    with pytest.raises(ValueError, match="'oil' has no finite value"):
        freeze({"oil": np.array([np.nan])})


def test_a_missing_column_is_refused(edges: Edges) -> None:
    with pytest.raises(ValueError, match="1 columns for 2 features"):
        summarise(rows(0)[:1], edges)


def test_no_rows_give_no_hours(edges: Edges) -> None:
    empty = summarise(rows(0, n=0), edges)
    assert empty.chunks.size == 0
    same(from_bytes(to_bytes(empty)), empty)


def test_an_hour_without_rows_is_nan_on_the_grid(edges: Edges) -> None:
    summary = summarise(rows(8, hours=3), edges)
    grid = hourly(summary, NAMES, chunk_start(98), chunk_start(104))
    assert len(grid) == 6
    assert np.isnan(grid.mean[[0, 1, 5]]).all()
    assert grid.n[[0, 1, 5]].sum() == 0
    expected = summary.moments[1, 0, SUM] / summary.moments[1, 0, N]
    assert grid.mean[3, 0] == pytest.approx(expected)
    assert chunk_start(grid.first) == datetime(1970, 1, 5, 2, tzinfo=UTC)
