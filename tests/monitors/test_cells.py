"""Counts by cell, added to what is stored."""

import numpy as np

from monitors.slo.cells import CellCounts, added, from_many, merged, summarise, to_bytes

HOUR_US = 3_600_000_000


def counts(seed: int, hour: int, n: int) -> CellCounts:
    chance = np.random.default_rng(seed)
    at = hour * HOUR_US + chance.integers(HOUR_US, size=n)
    return summarise(at, chance.integers(200, size=n), chance.integers(32, size=n))


def test_rows_that_are_added_to_together_are_as_each_alone() -> None:
    together = [
        (to_bytes(counts(hour, hour, n)), counts(hour + 1, hour, 50))
        for hour, n in ((500_000, 1), (0, 3), (500_000, 4_000), (499_999, 300))
    ]
    found = added(together)
    assert found == [blob for row in together for blob in added([row])]
    for blob, (old, new) in zip(found, together, strict=True):
        whole, expected = from_many([blob]), merged([from_many([old]), new])
        np.testing.assert_array_equal(whole.keys, expected.keys)
        np.testing.assert_array_equal(whole.counts, expected.counts)
