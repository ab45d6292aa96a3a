"""One contract for every view, and what each of them is there to see."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from monitors.statistics.view import View
from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import Floats
from monitors.temporal.panel import panel_views
from monitors.temporal.views.autocorrelation import autocorrelation
from monitors.temporal.views.flatline import flatline
from monitors.temporal.views.noise_floor import noise_floor
from tests.monitors.streams import ar1, days, grid, plant

WINDOW, STEP = 7 * 24, 24
every_view = pytest.mark.parametrize("view", panel_views(), ids=lambda view: view.name)


def evaluation(view: View, values: Floats) -> Floats:
    return view.statistics(grid(values), WINDOW, STEP)


@pytest.fixture(scope="module")
def stream() -> Floats:
    return plant(30)


@every_view
def test_every_window_that_fits_is_evaluated(view: View, stream: Floats) -> None:
    seen = evaluation(view, stream)
    n_windows = (len(stream) - view.before - WINDOW) // STEP + 1
    assert seen.shape == (n_windows, stream.shape[1], len(view.parts))
    assert np.isfinite(seen).all()


@every_view
@pytest.mark.parametrize("n_hours", [0, 1, 24, WINDOW - 1])
def test_a_stretch_without_a_window_gives_none(view: View, n_hours: int) -> None:
    assert evaluation(view, np.zeros((n_hours, 2))).shape == (0, 2, len(view.parts))


@every_view
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x * 0, id="constant zero"),
        pytest.param(lambda x: x * 0 + 7.3, id="constant"),
        pytest.param(lambda x: x * 1e-300, id="tiny"),
        pytest.param(lambda x: x * 1e150, id="huge"),
        pytest.param(
            lambda x: np.where(np.arange(len(x))[:, None] % 5 > 2, np.nan, x), id="NaN"
        ),
        pytest.param(lambda x: np.where(np.arange(len(x))[:, None] < 400, 1.0, x), id="begins"),
    ],
)
def test_no_input_gives_infinity_or_a_warning(
    view: View, stream: Floats, change: Callable[[Floats], Floats]
) -> None:
    assert not np.isinf(evaluation(view, change(stream))).any()


@every_view
@pytest.mark.parametrize("scale", [1e-300, 1e150])
def test_a_unit_moves_all_windows_alike(view: View, stream: Floats, scale: float) -> None:
    """A logarithm is shifted and the rest stays: windows differ by as much as before."""
    plain, scaled = evaluation(view, stream), evaluation(view, stream * scale)
    np.testing.assert_allclose(scaled - scaled[0], plain - plain[0], atol=1e-6)


@every_view
def test_nothing_but_missing_hours_gives_nan(view: View, stream: Floats) -> None:
    assert np.isnan(evaluation(view, stream * np.nan)).all()


@every_view
def test_a_window_needs_half_of_its_hours(view: View, stream: Floats) -> None:
    gone = stream.copy()
    gone[300 : 300 + 120, 0] = np.nan
    seen = evaluation(view, gone)
    start = view.before + STEP * np.arange(len(seen))
    missing = np.clip(np.minimum(start + WINDOW, 420) - np.maximum(start, 300), 0, None)
    assert np.isnan(seen[missing == 120, 0]).all()
    assert (missing == 120).any()
    assert np.isfinite(seen[missing == 0]).all()
    assert np.isfinite(seen[:, 1:]).all()


@every_view
def test_features_in_another_order_give_the_same_in_that_order(
    view: View, stream: Floats
) -> None:
    order = np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_allclose(
        evaluation(view, stream[:, order]),
        evaluation(view, stream)[:, order],
        rtol=1e-9,
        atol=1e-9,
    )


@every_view
def test_how_the_stretch_is_cut_changes_nothing(view: View, stream: Floats) -> None:
    whole = view.statistics(grid(stream), WINDOW, STEP)
    part = view.statistics(days(grid(stream), 4, 25), WINDOW, STEP)
    np.testing.assert_allclose(part, whole[4 : 4 + len(part)], rtol=1e-9, atol=1e-9)


@every_view
def test_a_wild_hour_is_seen_by_its_own_windows_only(view: View, stream: Floats) -> None:
    wild = stream.copy()
    wild[500] = 1e150
    plain, seen = evaluation(view, stream), evaluation(view, wild)
    start = view.before + STEP * np.arange(len(seen))
    apart = (start + WINDOW <= 500) | (start - view.before > 500)
    assert apart.sum() > 10
    np.testing.assert_allclose(seen[apart], plain[apart], rtol=1e-9, atol=1e-9)


def held(x: Floats) -> Floats:
    held: Floats = np.repeat(x[::2], 2, axis=0)
    return held


def noisy(x: Floats) -> Floats:
    noise = np.random.default_rng(1).normal(size=x.shape)
    noisy: Floats = x + 0.3 * x.std(axis=0) * noise
    return noisy


def shuffled(x: Floats) -> Floats:
    blocks = x.reshape(-1, 6, x.shape[1])
    shuffled: Floats = np.random.default_rng(2).permutation(blocks).reshape(x.shape)
    return shuffled


def stuck_for_a_day(x: Floats) -> Floats:
    stuck = x.copy()
    stuck[48:72] = stuck[48]
    return stuck


def apart(x: Floats) -> Floats:
    moved = x.copy()
    moved[:, 0] = np.roll(x[:, 0], 24 * 3)
    return moved


@pytest.mark.parametrize(
    ("change", "view", "statistic", "sign"),
    [
        pytest.param(held, "periodic_hold", "every 2 h", 1, id="held for two hours"),
        pytest.param(held, "first_difference", "repeats", 1, id="held: it repeats"),
        pytest.param(noisy, "noise_floor", "log quiet bend", 1, id="noise"),
        pytest.param(noisy, "spectrum", "log fast", 1, id="noise is fast"),
        pytest.param(noisy, "cross_feature_share", "log own step", 1, id="noise is not shared"),
        pytest.param(shuffled, "spectrum", "log middle", 1, id="blocks of 6 h shuffled"),
        pytest.param(shuffled, "autocorrelation", "lag 24", -1, id="shuffled: no day"),
        pytest.param(shuffled, "seasonal_difference", "log spread", 1, id="shuffled: differs"),
        pytest.param(stuck_for_a_day, "flatline", "longest run", 1, id="stuck for a day"),
        pytest.param(
            apart, "cross_feature_share", "log own level", 1, id="one sensor three days late"
        ),
        pytest.param(
            lambda x: np.roll(x, 6, axis=0), "daily_profile", "midnight", -1, id="time zone"
        ),
        pytest.param(lambda x: x * 1.5, "daily_profile", "log spread", 1, id="scaled"),
    ],
)
def test_a_view_sees_what_it_is_there_for(
    change: Callable[[Floats], Floats], view: str, statistic: str, sign: int
) -> None:
    """Farther from the other 40 weeks than any of them is from their middle."""
    values = plant(41 * 7 + 1, seed=3)
    (own,) = [one for one in panel_views() if one.name == view]
    at = [part.name for part in own.parts].index(statistic)
    baseline = own.statistics(grid(values[24 - own.before :], 1), WINDOW, WINDOW)[:, 0, at]
    start = 24 + 20 * WINDOW
    values[start : start + WINDOW] = change(values[start : start + WINDOW])
    found = own.statistics(grid(values[24 - own.before :], 1), WINDOW, WINDOW)[20, 0, at]
    middle = np.median(baseline)
    assert sign * (found - middle) > np.abs(baseline - middle).max()


def test_arrival_is_seen_in_two_ways_and_volume_in_none(stream: Floats) -> None:
    plain = grid(stream)
    n = plain.n.copy() * 4.0
    n_missing = plain.n_missing.copy()
    n_missing[:, 1] = 4.0
    mean = stream.copy()
    mean[::4, 2] = np.nan
    arrived = Hourly(
        names=plain.names,
        first=plain.first,
        n=n,
        n_missing=n_missing,
        n_repeat=plain.n_repeat,
        mean=mean,
        sd=plain.sd,
    )
    seen = panel_views()[-1].statistics(arrived, WINDOW, STEP)[-1]
    assert np.sin(seen[:3, 0]) ** 2 == pytest.approx([0.0, 0.5, 0.0])
    assert np.sin(seen[:3, 1]) ** 2 == pytest.approx([0.0, 0.0, 0.25])


def test_the_correlations_are_those_of_the_textbook() -> None:
    series = ar1(0.8, (WINDOW, 1), 7)
    seen = autocorrelation().statistics(grid(series), WINDOW, STEP)[0, 0]
    away = series[:, 0] - series.mean()
    for place, lag in enumerate((1, 2, 3, 6, 24)):
        rho = (
            away[lag:]
            @ away[:-lag]
            / np.sqrt((away[lag:] ** 2).sum() * (away[:-lag] ** 2).sum())
        )
        assert math.tanh(seen[place]) == pytest.approx(rho)


def test_the_quiet_hours_are_those_of_the_day_and_not_all_the_small_bends() -> None:
    """Six hours of each day bend by 2, the others by 100; one quiet hour is never there."""
    values = np.zeros((2 + WINDOW, 1))
    values[:, 0] = 25.0 * (-1.0) ** np.arange(len(values))
    night = np.arange(len(values)) % 24 < 9
    values[night] *= 0.02
    seen = noise_floor().statistics(grid(values), WINDOW, STEP)[0, 0, 0]
    assert seen == pytest.approx(math.log(2.0))
    values[5::24] = np.nan
    gaps = noise_floor().statistics(grid(values), WINDOW, STEP)[0, 0, 0]
    assert np.isfinite(gaps)


def test_the_longest_run_is_counted_hour_by_hour(stream: Floats) -> None:
    values = stream[: WINDOW + 1, :1].copy()
    values[30:41] = values[30]  # ten steps of nothing
    values[100:105] = values[100]
    seen = flatline().statistics(grid(values), WINDOW, STEP)[0, 0, 0]
    assert seen == pytest.approx(math.log(1 + 10))
