"""A scaler that fits is left alone; one that is applied twice, or not at all, is named."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Floats
from seqwatch_skew.comparison import Pairs, compare
from seqwatch_skew.golden import MIN_VECTORS, evaluate
from seqwatch_skew.scaler_comparison import MIN_DAYS, Logged, Parity, parity
from tests.monitors.streams import CHANNELS, ar1, etth1, grid

CENTER, SCALE = 20.0, 5.0
SCALER = {"f0": (CENTER, SCALE)}


def raw(n_days: int = 28, phi: float = 0.9, seed: int = 1) -> Floats:
    return CENTER + SCALE * ar1(phi, (n_days * HOURS, 1), seed)


def scaled(values: Floats) -> Floats:
    return (values - CENTER) / SCALE


def hours(values: Floats, sd: float = 0.0) -> Hourly:
    """Lay values on hours; within an hour nothing varies by default."""
    return replace(grid(values), sd=np.full(values.shape, sd))


def verdict(values: Floats, logged: Logged = Logged.RAW) -> Parity:
    [found] = parity(hours(values), SCALER, logged)
    return found.verdict


@pytest.mark.parametrize(
    ("values", "logged", "expected"),
    [
        pytest.param(raw(), Logged.RAW, Parity.PARITY, id="raw as declared"),
        pytest.param(scaled(raw()), Logged.SCALED, Parity.PARITY, id="scaled as declared"),
        pytest.param(scaled(raw()), Logged.RAW, Parity.DOUBLE_SCALING, id="scaled before"),
        pytest.param(
            scaled(scaled(raw())), Logged.SCALED, Parity.DOUBLE_SCALING, id="scaled twice"
        ),
        pytest.param(raw(), Logged.SCALED, Parity.NOT_SCALED, id="not scaled"),
        pytest.param(1.8 * raw() + 32, Logged.RAW, Parity.OTHER_SCALER, id="other unit"),
        pytest.param(0.01 * raw(), Logged.SCALED, Parity.OTHER_SCALER, id="other scaler"),
        pytest.param(raw() + 1.6 * SCALE, Logged.RAW, Parity.MOVED, id="another season"),
        pytest.param(scaled(raw() + 0.8 * SCALE), Logged.RAW, Parity.DOUBLE_SCALING, id="both"),
        pytest.param(raw(MIN_DAYS - 1), Logged.RAW, Parity.UNDETERMINED, id="few days"),
        pytest.param(np.full((672, 1), np.nan), Logged.RAW, Parity.UNDETERMINED, id="nothing"),
        pytest.param(np.full((672, 1), CENTER), Logged.RAW, Parity.UNDETERMINED, id="still"),
    ],
)
def test_the_input_shows_what_became_of_the_scaler(
    values: Floats, logged: Logged, expected: Parity
) -> None:
    assert verdict(values, logged) is expected


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_a_sound_scaler_is_seldom_called_off(phi: float) -> None:
    """200 streams at a nominal 1 %; the errors of six batches are themselves estimated.

    On 500 other streams 1.2, 1.4 and 2.4 % were called off. At 2.4 % more than 13 of 200
    have a probability below one in 1,000.
    """
    assert stats.binom.sf(13, 200, 0.024) < 1e-3
    seeds = range(1_000, 1_200)
    off = sum(verdict(raw(28, phi, seed)) is not Parity.PARITY for seed in seeds)
    assert off <= 13


def test_missing_days_and_hours_are_left_out() -> None:
    values = raw(35)
    values[24 * 5 : 24 * 9] = np.nan
    values[3::7] = np.nan
    [found] = parity(hours(values), SCALER)
    assert (found.verdict, found.n_days) == (Parity.PARITY, 31)


def test_the_spread_within_hours_counts() -> None:
    [found] = parity(hours(CENTER + 1e-3 * scaled(raw()), sd=SCALE), SCALER)
    assert found.sd == pytest.approx(1.0, abs=0.01)


def test_a_memory_costs_effective_days() -> None:
    worth = []
    for phi in (0.0, 0.99):
        [found] = parity(hours(raw(120, phi)), SCALER)
        assert found.n_effective is not None
        worth.append(found.n_effective)
    assert worth[1] < worth[0] / 3


def test_features_without_a_scaler_are_not_evaluated() -> None:
    values = np.concatenate([raw(), raw(seed=2)], axis=1)
    assert [found.name for found in parity(hours(values), {"f1": (CENTER, SCALE)})] == ["f1"]


def test_what_is_concealed_is_the_verdict_alone() -> None:
    [found] = parity(hours(raw()), SCALER)
    assert found.concealed().mean is None
    assert found.concealed().verdict is found.verdict


def months(change: str, logged: Logged) -> dict[str, Counter[Parity]]:
    """Evaluate each of 17 months of ETTh1 by the scaler of all of them."""
    table = etth1()
    center, scale = table.mean(axis=0), table.std(axis=0)
    scaler = {
        name: (float(c), float(s)) for name, c, s in zip(CHANNELS, center, scale, strict=True)
    }
    values = table if change == "raw" else (table - center) / scale
    found: dict[str, Counter[Parity]] = {name: Counter() for name in CHANNELS}
    for start in range(0, len(table) - 27 * HOURS, 28 * HOURS):
        month = replace(hours(values[start : start + 28 * HOURS]), names=CHANNELS)
        for one in parity(month, scaler, logged):
            found[one.name][one.verdict] += 1
    return found


@pytest.mark.parametrize(
    ("change", "logged"),
    [
        pytest.param("raw", Logged.RAW, id="raw"),
        pytest.param("scaled", Logged.SCALED, id="scaled"),
    ],
)
def test_seasons_of_a_real_year_are_not_taken_for_faults(change: str, logged: Logged) -> None:
    total = sum(months(change, logged).values(), Counter[Parity]())
    assert total[Parity.DOUBLE_SCALING] == total[Parity.NOT_SCALED] == 0
    assert total[Parity.PARITY] + total[Parity.MOVED] >= 0.98 * total.total()


@pytest.mark.parametrize(
    ("change", "logged", "wrong"),
    [
        pytest.param("scaled", Logged.RAW, Parity.DOUBLE_SCALING, id="scaled twice"),
        pytest.param("raw", Logged.SCALED, Parity.NOT_SCALED, id="not scaled"),
    ],
)
def test_faults_are_named_where_seasons_cannot_do_as_much(
    change: str, logged: Logged, wrong: Parity
) -> None:
    """Of seven sensors, in two the scaler moves the input by more than seasons do."""
    found = months(change, logged)
    for name in ("HUFL", "LUFL"):
        assert found[name][wrong] >= 12, found[name]


def evaluate_days(n_rows: int, *, off: bool = False) -> tuple[Floats, Floats]:
    before = np.random.default_rng(1).normal(size=(n_rows, 2))
    after = before.astype(np.float32).astype(float)
    return before, after + (np.array([0.0, 0.01]) if off else 0.0)


@pytest.mark.parametrize(
    ("n_rows", "off", "n_absent", "reasons"),
    [
        pytest.param(MIN_VECTORS, False, 0, 0, id="float32 arithmetic passes"),
        pytest.param(MIN_VECTORS - 1, False, 0, 1, id="too few vectors"),
        pytest.param(MIN_VECTORS, True, 0, 1, id="a hundredth is too much"),
        pytest.param(MIN_VECTORS, False, 2, 1, id="not all were answered"),
        pytest.param(MIN_VECTORS - 1, True, 2, 3, id="all of it"),
    ],
)
def test_a_replay_passes_when_enough_vectors_agree(
    n_rows: int, off: bool, n_absent: int, reasons: int
) -> None:
    before, after = evaluate_days(n_rows, off=off)
    found = compare(Pairs(names=("a", "b"), offline=before, online=after))
    verdict = evaluate(found, n_rows, n_absent)
    assert len(verdict.reasons) == reasons
    assert verdict.passed is (reasons == 0)
    assert verdict.off == (("b",) if off else ())
