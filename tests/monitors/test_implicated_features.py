"""What every kind of finding names, read from what the monitors write."""

from datetime import UTC, datetime

import pytest

from monitors.data_quality.flaws import Fact, Flaw
from monitors.explanation.implicated_features import (
    ImplicatedFeature,
    named,
    open_faults,
    started,
)
from monitors.finding import Json
from monitors.input_fault.fault_types import FaultKind
from monitors.input_fault.input_fault import Fault

DAY = datetime(2026, 1, 8, tzinfo=UTC)


def fault(feature: str, *, until: datetime | None = None) -> Fault:
    return Fault(feature=feature, kind=FaultKind.SCALE, amount=1.8, since=DAY, until=until)


def flaw(fact: Fact, feature: str | None) -> dict[str, Json]:
    return Flaw(fact=fact, feature=feature, value=1.0, baseline=0.0, limit=0.1).to_json()


def test_a_fault_that_is_over_is_not_named() -> None:
    detail = {"faults": [fault("a", until=DAY).to_json(), fault("b").to_json()]}
    assert named(detail) == (
        ImplicatedFeature(feature="b", message="scaled by 1.80 since 2026-01-08T00:00Z"),
    )
    assert [each.feature for each in open_faults(detail)] == ["b"]
    assert started(detail) == DAY


def test_a_flaw_of_rows_names_nothing_and_a_feature_is_named_once() -> None:
    flaws = [
        flaw(Fact.VOLUME, None),
        flaw(Fact.NEW_CATEGORY, "b"),
        flaw(Fact.MISSING, "a"),
        flaw(Fact.GAP, "b"),
    ]
    found = named({"flaws": flaws, "quality": {"a": {}, "b": {}, "c": {}}})
    assert [(each.feature, each.message) for each in found] == [
        ("b", "new category"),
        ("a", "missing"),
    ]


@pytest.mark.parametrize(
    ("features", "order"),
    [
        pytest.param({"a": {"score": None}, "b": {"score": 0.5}}, ["b", "a"], id="no score"),
        pytest.param(
            {"a": {"flatline": None}, "b": {"flatline": 0.5}}, ["b", "a"], id="no view"
        ),
        pytest.param({"a": 1.0, "b": 2.0}, ["b", "a"], id="bare numbers"),
        pytest.param({}, [], id="none"),
    ],
)
def test_what_has_no_score_comes_last(features: dict[str, Json], order: list[str]) -> None:
    assert [each.feature for each in named({"features": features})] == order


def test_the_highest_view_is_the_view() -> None:
    detail: dict[str, Json] = {
        "features": {"a": {"flatline": 0.5, "periodic_hold": None, "arrival": 0.7}}
    }
    [found] = named(detail)
    assert (found.view, found.score) == ("arrival", 0.7)
    assert found.views == {"flatline": 0.5, "periodic_hold": None, "arrival": 0.7}


def test_a_finding_without_features_names_none() -> None:
    assert named({"coverage": 0.9, "per_step": []}) == ()
    assert started({"coverage": 0.9}) is None
