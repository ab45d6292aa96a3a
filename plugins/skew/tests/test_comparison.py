"""Each fault is named, alone and in pairs, and noise never is."""

from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest

from monitors.summaries.summary import Floats
from seqwatch_skew.alignment import lagged
from seqwatch_skew.comparison import FeatureSkew, Pairs, compare
from seqwatch_skew.faults import MIN_PAIRS, Fault, Verdict
from tests.monitors.streams import CHANNELS, etth1, plant

N_ROWS = 960  # forty days, or ten windows of 96 steps
N_STEPS = 96
NAMES = ("a", "b", "c", "d", "e", "f")
Change = Callable[[Floats], Floats]


@pytest.fixture(scope="module", params=["generated", "etth1"])
def rows(request: pytest.FixtureRequest) -> Floats:
    """Values of six sensors in float64, of which no two are multiples of each other."""
    if request.param == "etth1":
        return etth1()[:N_ROWS, [0, 1, 2, 3, 4, 6]]
    return plant(N_ROWS // 24)


def pairs(offline: Floats, online: Floats, **more: object) -> Pairs:
    return Pairs(names=NAMES[: offline.shape[-1]], offline=offline, online=online, **more)  # type: ignore[arg-type]


def first(offline: Floats, online: Floats, **more: object) -> FeatureSkew:
    return compare(pairs(offline, online, **more))[0]


def kinds(skew: FeatureSkew) -> tuple[Fault, ...]:
    return tuple(named.fault for named in skew.faults)


def on_first(change: Change) -> Change:
    """Change the first feature only."""

    def changed(values: Floats) -> Floats:
        out = values.copy()
        out[..., :1] = change(values[..., :1])
        return out

    return changed


def late(values: Floats) -> Floats:
    return lagged(values.T, 1).T


def swapped(values: Floats) -> Floats:
    return values[..., [1, 0, *range(2, values.shape[-1])]]


def filled(values: Floats) -> Floats:
    out = values.copy()
    out[::9] = -1.0
    return out


def half_precision(values: Floats) -> Floats:
    return values.astype(np.float16).astype(float)


CENTER, SCALE = 7.3, 5.1
CHANGES: dict[Fault, Change] = {
    Fault.UNIT: on_first(lambda x: 1000 * x),
    Fault.SCALE: on_first(lambda x: 1.37 * x),
    Fault.OFFSET: on_first(lambda x: x + 4.2),
    Fault.AFFINE: on_first(lambda x: 0.8 * x - 3.1),
    Fault.DOUBLE_SCALING: on_first(lambda x: (x - CENTER) / SCALE),
    Fault.NOT_SCALED: on_first(lambda x: x * SCALE + CENTER),
    Fault.LAG: late,
    Fault.REVERSED: lambda x: x[::-1],
    Fault.COLUMN_SWAP: swapped,
    Fault.DTYPE: on_first(half_precision),
    Fault.FILL_VALUE: on_first(filled),
    Fault.CLIPPED: on_first(lambda x: np.minimum(x, np.quantile(x, 0.8))),
    Fault.MISSING: on_first(lambda x: np.where(np.arange(len(x))[:, None] % 9, x, np.nan)),
}


@pytest.mark.parametrize("fault", [pytest.param(f, id=f.value) for f in CHANGES])
def test_a_fault_is_named(rows: Floats, fault: Fault) -> None:
    skew = first(rows, CHANGES[fault](rows), scaler={"a": (CENTER, SCALE)})
    assert (skew.verdict, kinds(skew)) == (Verdict.EXPLAINED, (fault,))
    assert skew.left is not None
    assert skew.left < 1e-9


# The order in which the ladder undoes them: what stands elsewhere, what moved, what was scaled.
MOVED = (Fault.COLUMN_SWAP, Fault.LAG, Fault.REVERSED)
SCALED = (Fault.UNIT, Fault.SCALE, Fault.OFFSET, Fault.AFFINE, Fault.DOUBLE_SCALING)
PAIRS = [
    *product((Fault.FILL_VALUE, Fault.MISSING), (*MOVED, *SCALED)),
    *product((Fault.CLIPPED,), SCALED),
    *product(MOVED, SCALED),
    (Fault.COLUMN_SWAP, Fault.LAG),
    (Fault.COLUMN_SWAP, Fault.REVERSED),
    (Fault.MISSING, Fault.FILL_VALUE),
]


@pytest.mark.parametrize("pair", [pytest.param(p, id="+".join(p)) for p in PAIRS])
def test_two_faults_at_once_are_both_named(rows: Floats, pair: tuple[Fault, Fault]) -> None:
    online = CHANGES[pair[1]](rows)
    if pair[0] is Fault.MISSING:
        online = online.copy()
        online[3::7] = np.nan
    else:
        online = CHANGES[pair[0]](online)
    if pair[0] in MOVED and pair[1] in SCALED:  # the scaled column is now another's
        online = CHANGES[pair[1]](CHANGES[pair[0]](rows))
    skew = first(rows, online, scaler={"a": (CENTER, SCALE)})
    assert skew.verdict is Verdict.EXPLAINED
    assert {*kinds(skew)} == {*pair}


def test_a_rounded_unit_is_two_faults(rows: Floats) -> None:
    skew = first(rows, CHANGES[Fault.DTYPE](CHANGES[Fault.UNIT](rows)))
    assert kinds(skew) == (Fault.UNIT, Fault.DTYPE)


@pytest.mark.parametrize(
    ("change", "unit"),
    [
        pytest.param(lambda x: 32 + 1.8 * x, "Celsius to degrees Fahrenheit", id="Fahrenheit"),
        pytest.param(lambda x: (x - 32) / 1.8, "Fahrenheit to degrees Celsius", id="Celsius"),
        pytest.param(lambda x: x + 273.15, "Celsius to kelvin", id="kelvin"),
        pytest.param(lambda x: 0.001 * x, "kilo, undone", id="a thousandth"),
        pytest.param(lambda x: 3.6 * x, "m/s to km/h", id="speed"),
        pytest.param(np.radians, "degrees to radians", id="angle"),
        pytest.param(lambda x: -x, "the sign", id="sign"),
    ],
)
def test_a_known_unit_is_called_by_its_name(rows: Floats, change: Change, unit: str) -> None:
    [named] = first(rows, on_first(change)(rows)).faults
    assert named.fault is Fault.UNIT
    assert unit in str(named.parameters["unit"])


@pytest.mark.parametrize(
    "change", [pytest.param(1.0137, id="near 1"), pytest.param(990.0, id="near 1000")]
)
def test_a_factor_that_is_near_a_known_one_is_not_called_so(
    rows: Floats, change: float
) -> None:
    [named] = first(rows, on_first(lambda x: change * x)(rows)).faults
    assert named.fault is Fault.SCALE
    assert named.parameters["factor"] == pytest.approx(change)


@pytest.mark.parametrize(
    ("cast", "name"),
    [
        pytest.param(half_precision, "float16", id="float16"),
        pytest.param(np.trunc, "an integer, cut off", id="int"),
        pytest.param(np.round, "an integer, rounded", id="rounded"),
        pytest.param(lambda x: np.round(x, 1), "1 decimals", id="decimal"),
        pytest.param(lambda x: np.round(x / 0.4) * 0.4, "levels", id="levels"),
        pytest.param(lambda x: np.floor(x / 0.4) * 0.4, "levels", id="levels, cut off"),
    ],
)
def test_a_cast_is_named(rows: Floats, cast: Change, name: str) -> None:
    skew = first(rows, on_first(cast)(rows))
    assert [(n.fault, n.parameters["type"]) for n in skew.faults] == [(Fault.DTYPE, name)]


def test_single_precision_is_named_and_is_no_skew() -> None:
    rows = plant(10)
    skew = first(rows, rows.astype(np.float32).astype(float))
    assert (skew.verdict, skew.is_skewed) == (Verdict.CLOSE, False)
    assert skew.faults[0].parameters["type"] == "float32"
    assert skew.max_ulp is not None
    assert 0 < skew.max_ulp <= 0.5  # rounding to the nearest is off by half a step at most


def test_steps_of_windows_may_be_reversed_or_late(rows: Floats) -> None:
    windows = rows.reshape(-1, N_STEPS, rows.shape[1])
    assert kinds(first(windows, windows[:, ::-1])) == (Fault.REVERSED,)
    moved = np.stack([lagged(window.T, -2).T for window in windows])
    [named] = first(windows, moved).faults
    assert (named.fault, named.parameters["steps"]) == (Fault.LAG, -2.0)


@pytest.mark.parametrize("hours", [-11, -5, 2, 9])
def test_several_whole_hours_are_a_time_zone(rows: Floats, hours: int) -> None:
    seconds = 1.7e9 + 3600.0 * np.arange(len(rows))
    skew = first(rows, lagged(rows.T, hours).T, seconds=seconds)
    [named] = skew.faults
    assert (named.fault, named.parameters["seconds"]) == (Fault.TIME_ZONE, 3600.0 * hours)
    assert skew.also == ((Fault.LAG,),)


def test_a_lag_of_one_hour_may_be_either(rows: Floats) -> None:
    skew = first(rows, late(rows), step_seconds=3600.0)
    assert (kinds(skew), skew.also) == ((Fault.LAG,), ((Fault.TIME_ZONE,),))


def test_rows_are_put_in_the_order_of_their_times_and_gaps_are_seen(rows: Floats) -> None:
    order = np.random.default_rng(3).permutation(len(rows))[: len(rows) * 3 // 4]
    seconds = 3600.0 * np.arange(len(rows))
    skew = first(rows[order], lagged(rows.T, 3).T[order], seconds=seconds[order])
    assert skew.faults[0].parameters["seconds"] == 10_800.0


def test_a_calendar_feature_of_scattered_rows_shows_the_time_zone() -> None:
    minutes = np.sort(np.random.default_rng(5).choice(30 * 96, 800, replace=False)) * 15
    hour = (minutes / 60.0) % 24

    def features(hour: Floats) -> Floats:
        return np.stack([np.sin(np.pi * hour / 12), hour], axis=1)

    found = compare(pairs(features(hour), features((hour - 2) % 24), seconds=minutes * 60.0))
    for skew in found:
        [named] = skew.faults
        assert (named.fault, named.parameters["seconds"]) == (Fault.TIME_ZONE, 7_200.0)


def test_a_fault_of_some_rows_states_of_how_many(rows: Floats) -> None:
    online = rows.copy()
    online[: N_ROWS // 4] *= 1000
    [named] = first(rows, online).faults
    assert named.fault is Fault.UNIT
    assert named.parameters["share"] == pytest.approx(0.25, abs=0.01)


def test_a_rotation_of_columns_is_named_for_each(rows: Floats) -> None:
    found = compare(pairs(rows, rows[:, [1, 2, 0, 3, 4, 5]]))
    held = [[named.parameters.get("column") for named in skew.faults] for skew in found]
    assert held == [["b"], ["c"], ["a"], [], [], []]


def test_a_column_that_stands_in_two_places_is_named(rows: Floats) -> None:
    found = compare(pairs(rows, rows[:, [1, 1, 2, 3, 4, 5]]))
    assert [kinds(skew) for skew in found][:2] == [(Fault.COLUMN_SWAP,), ()]


def test_small_noise_upon_a_fault_does_not_hide_it(rows: Floats) -> None:
    noise = np.random.default_rng(2).normal(0, 0.003, rows.shape) * rows.std(axis=0)
    skew = first(rows, CHANGES[Fault.UNIT](rows + noise))
    assert kinds(skew) == (Fault.UNIT,)
    assert skew.left == pytest.approx(0.003, rel=0.1)


def test_identical_rows_have_no_fault(rows: Floats) -> None:
    for skew in compare(pairs(rows, rows.copy())):
        assert (skew.verdict, skew.equal_rate, skew.faults) == (Verdict.EQUAL, 1.0, ())


def test_missing_agrees_with_missing(rows: Floats) -> None:
    rows = rows.copy()
    rows[5:9] = np.nan
    skew = first(rows, rows)
    assert (skew.verdict, skew.n_missing, skew.n) == (Verdict.EQUAL, 0, N_ROWS - 4)


@pytest.mark.parametrize("size", [1e-4, 0.01, 0.3, 3.0])
@pytest.mark.parametrize("n_rows", [MIN_PAIRS, 300])
def test_noise_is_given_no_name(size: float, n_rows: int) -> None:
    """Of 20 columns each: a name for noise has a probability below 1e-12 (faults.py)."""
    rng = np.random.default_rng(int(1e4 * size) + n_rows)
    named = []
    for _ in range(10):
        walk = rng.normal(size=(n_rows, 2)).cumsum(axis=0)  # smooth: any lag is nearly right
        noise = rng.normal(size=walk.shape) * size * walk.std(axis=0)
        found = compare(pairs(walk, walk + noise))
        named += [kinds(skew) for skew in found if skew.verdict is not Verdict.UNEXPLAINED]
    assert named == []


def test_unrelated_columns_are_given_no_name(rows: Floats) -> None:
    online = np.random.default_rng(4).normal(rows.mean(), rows.std(), rows.shape)
    assert {skew.verdict for skew in compare(pairs(rows, online))} == {Verdict.UNEXPLAINED}
    counts = np.random.default_rng(4).poisson(5, rows.shape).astype(float)
    assert {skew.verdict for skew in compare(pairs(rows, counts))} == {Verdict.UNEXPLAINED}


def test_counts_with_noise_are_given_no_name() -> None:
    rng = np.random.default_rng(6)
    counts = rng.poisson(9, size=(400, 1)).astype(float)
    assert first(counts, counts + rng.integers(-1, 2, counts.shape)).faults == ()


@pytest.mark.parametrize("fault", [pytest.param(f, id=f.value) for f in CHANGES])
def test_too_few_rows_are_given_no_name(rows: Floats, fault: Fault) -> None:
    few = rows[: MIN_PAIRS - 2]
    skew = first(few, CHANGES[fault](few))
    assert (skew.verdict, skew.faults) == (Verdict.UNDETERMINED, ())


def test_what_never_varies_shows_nothing() -> None:
    still = np.full((50, 1), 5.0)
    assert first(still, still + 1).verdict is Verdict.UNDETERMINED
    assert first(still, still).verdict is Verdict.EQUAL


def test_a_level_that_became_another_is_no_fill_value() -> None:
    coin = np.random.default_rng(7).integers(0, 2, size=(200, 1)).astype(float)
    online = np.where(np.arange(200)[:, None] % 5 == 0, 1.0, coin)
    assert first(coin, online).verdict is Verdict.UNEXPLAINED


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: np.log1p(x - x.min(axis=0)), id="logarithm"),
        pytest.param(np.square, id="square"),
        pytest.param(lambda x: np.tanh((x - x.mean(axis=0)) / x.std(axis=0)), id="squashed"),
        pytest.param(lambda x: (x + lagged(x.T, 1).T)[1:] / 2, id="moving average"),
        pytest.param(lambda x: x[np.arange(len(x)) // 2 * 2], id="sample and hold"),
        pytest.param(lambda x: x.cumsum(axis=0), id="sum so far"),
        pytest.param(lambda x: np.diff(x, axis=0), id="difference"),
        pytest.param(lambda x: np.random.default_rng(1).permutation(x), id="shuffled"),
        pytest.param(lambda x: x + x[:, [1, 2, 3, 4, 5, 0]], id="sum of two columns"),
    ],
)
def test_what_has_no_name_here_is_given_none(rows: Floats, change: Change) -> None:
    online = change(rows)
    found = compare(pairs(rows[len(rows) - len(online) :], online))
    assert [skew.verdict for skew in found] == [Verdict.UNEXPLAINED] * 6


def test_both_ends_may_be_clipped(rows: Floats) -> None:
    low, high = np.quantile(rows, [0.1, 0.8], axis=0)
    for skew in compare(pairs(rows, np.clip(rows, low, high))):
        assert kinds(skew) == (Fault.CLIPPED, Fault.CLIPPED)


def test_few_pairs_suffice_for_a_fill_value_of_a_fine_sensor(rows: Floats) -> None:
    online = rows[:60].copy()
    online[[5, 17, 30, 31, 50], 0] = -1.0
    [named] = first(rows[:60], online).faults
    assert (named.fault, named.parameters["value"]) == (Fault.FILL_VALUE, -1.0)


def test_where_two_names_fit_both_are_reported() -> None:
    ramp = np.arange(100.0)[:, None]
    skew = first(ramp[1:], late(ramp)[1:])
    assert {kinds(skew), *skew.also} == {(Fault.OFFSET,), (Fault.LAG,)}


def test_what_is_concealed_holds_no_value(rows: Floats) -> None:
    for fault, change in CHANGES.items():
        skew = first(rows, change(rows), scaler={"a": (CENTER, SCALE)}).concealed()
        shown = {name for named in skew.faults for name in named.parameters}
        assert kinds(skew) == (fault,)
        assert shown & {"value", "offset", "width"} == set()
        assert (skew.max_abs, skew.max_ulp) == (None, None)
        assert all(named.message for named in skew.faults)


def test_huge_and_tiny_values_are_compared() -> None:
    rows = plant(10)[:, :1]
    for size in (1e-30, 1e30):
        assert kinds(first(size * rows, 1000 * size * rows)) == (Fault.UNIT,)


@pytest.mark.parametrize(
    ("offline", "online", "seconds"),
    [
        pytest.param((9, 1), (8, 1), None, id="other shape"),
        pytest.param((9,), (9,), None, id="one axis"),
        pytest.param((9, 2), (9, 2), None, id="more features than names"),
        pytest.param((9, 1), (9, 1), 8, id="fewer times"),
        pytest.param((9, 4, 1), (9, 4, 1), 9, id="times for windows"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    offline: tuple[int, ...], online: tuple[int, ...], seconds: int | None
) -> None:
    times = None if seconds is None else np.arange(float(seconds))
    with pytest.raises(ValueError, match=r"shape|name|time"):
        Pairs(names=("a",), offline=np.ones(offline), online=np.ones(online), seconds=times)


def test_the_names_are_those_of_the_channels() -> None:
    table = etth1()[:200]
    found = compare(Pairs(names=CHANNELS, offline=table, online=swapped(table)))
    assert [named.parameters["column"] for named in found[0].faults] == ["HULL"]


def test_every_single_fault_is_tried_in_pairs() -> None:
    tried = {frozenset(pair) for pair in PAIRS}
    baseline = {Fault.FILL_VALUE, *MOVED, *SCALED}
    never = [{*pair} for pair in combinations(SCALED, 2)]  # two lines are one line
    never.append({Fault.LAG, Fault.REVERSED})  # a lag of what is reversed is a lead
    wanted = {frozenset(pair) for pair in combinations(baseline, 2)}
    assert wanted - tried - {frozenset(pair) for pair in never} == set()
