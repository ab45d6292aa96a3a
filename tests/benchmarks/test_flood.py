"""The flood of the benchmark, for a few seconds."""

import pytest

from benchmarks.flood import measure


@pytest.mark.slow
def test_a_flood_without_a_key_holds_up_nobody_who_has_one() -> None:
    bars = {bar.name: bar for bar in measure(seconds=4, rounds=2)}
    # How much is sent depends on what else the machine does.
    assert [bar for name, bar in bars.items() if name != "flood: sent" and not bar.is_met] == []
