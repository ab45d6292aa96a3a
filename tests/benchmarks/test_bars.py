from importlib.util import find_spec

import pytest

from benchmarks.bar import Bar, parse
from benchmarks.bars import BENCHMARKS, moved


@pytest.mark.parametrize(
    ("figure", "limits", "is_met"),
    [
        pytest.param(7.0, {"at_least": 5.0}, True, id="above the least"),
        pytest.param(4.9, {"at_least": 5.0}, False, id="below the least"),
        pytest.param(5.0, {"at_most": 5.0}, True, id="at the most"),
        pytest.param(5.1, {"at_most": 5.0}, False, id="above the most"),
        pytest.param(float("nan"), {"at_most": 5.0}, False, id="not a number"),
    ],
)
def test_a_bar_is_met_within_its_limit(
    figure: float, limits: dict[str, float], is_met: bool
) -> None:
    assert Bar(name="x", figure=figure, unit="s", **limits).is_met is is_met


def test_a_bar_is_read_back_from_the_line_that_it_prints() -> None:
    bar = Bar(name="fold: 8 features", figure=1.5, unit="rows/s", at_least=1.0)
    assert parse(bar.line()) == bar
    assert parse("disk: 6,000 flushes/s") is None


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        pytest.param(109.0, "", id="within a tenth"),
        pytest.param(150.0, "+50% from 100", id="up"),
        pytest.param(50.0, "-50% from 100", id="down"),
    ],
)
def test_a_figure_that_moved_is_named(figure: float, expected: str) -> None:
    bar = Bar(name="x", figure=figure, unit="", at_least=1.0)
    assert moved(bar, {"x": 100.0}) == expected
    assert moved(bar, {}) == ""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_exists(name: str) -> None:
    assert find_spec(BENCHMARKS[name][0])
