"""The flood of the benchmark, for a few seconds."""

import pytest

from benchmarks.flood import measure


@pytest.mark.slow
def test_a_flood_without_a_key_holds_up_nobody_who_has_one() -> None:
    lines = measure(seconds=4, rounds=2)
    assert not [line for line in lines if "MISSED" in line], lines
    assert " 0 refused" in lines[3]
