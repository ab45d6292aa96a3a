"""What every kind of finding names, read from what the monitors write."""

from datetime import UTC, datetime

import pytest

from monitors.data_quality.flaws import DataQualityDetail, Fact, Flaw
from monitors.detail import Detail, FeatureScore, ImplicatedFeature, ScoreDetail, ViewDetail
from monitors.input_fault.fault_types import FaultKind
from monitors.input_fault.input_fault import InputFault, InputFaultDetail

DAY = datetime(2026, 1, 8, tzinfo=UTC)


def fault(feature: str, *, until: datetime | None = None) -> InputFault:
    return InputFault(feature=feature, kind=FaultKind.SCALE, amount=1.8, since=DAY, until=until)


def flaw(fact: Fact, feature: str | None) -> Flaw:
    return Flaw(fact=fact, feature=feature, value=1.0, baseline=0.0, limit=0.1)


def test_a_fault_that_is_over_is_not_named() -> None:
    detail = InputFaultDetail(faults=(fault("a", until=DAY), fault("b")))
    assert detail.implicated_features == (
        ImplicatedFeature(feature="b", message="scaled by 1.80 since 2026-01-08T00:00Z"),
    )
    assert [each.feature for each in detail.open_faults] == ["b"]
    assert detail.started == DAY


def test_a_flaw_of_rows_names_nothing_and_a_feature_is_named_once() -> None:
    flaws = (
        flaw(Fact.VOLUME, None),
        flaw(Fact.NEW_CATEGORY, "b"),
        flaw(Fact.MISSING, "a"),
        flaw(Fact.GAP, "b"),
    )
    found = DataQualityDetail(flaws=flaws).implicated_features
    assert [(each.feature, each.message) for each in found] == [
        ("b", "new category"),
        ("a", "missing"),
    ]


@pytest.mark.parametrize(
    ("detail", "order"),
    [
        pytest.param(
            ScoreDetail(features={"a": FeatureScore(), "b": FeatureScore(score=0.5)}),
            ["b", "a"],
            id="no score",
        ),
        pytest.param(
            ViewDetail(features={"a": {"flatline": None}, "b": {"flatline": 0.5}}),
            ["b", "a"],
            id="no view",
        ),
        pytest.param(ScoreDetail(), [], id="none"),
    ],
)
def test_what_has_no_score_comes_last(detail: Detail, order: list[str]) -> None:
    assert [each.feature for each in detail.implicated_features] == order


def test_the_highest_view_is_the_view() -> None:
    views = {"flatline": 0.5, "periodic_hold": None, "arrival": 0.7}
    [found] = ViewDetail(features={"a": views}).implicated_features
    assert (found.view, found.score, found.views) == ("arrival", 0.7, views)
