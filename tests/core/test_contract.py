"""What a contract holds beyond the columns, and the name that stays the same."""

import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from core.errors import Unprocessable
from core.schema.calendar import Calendar, Weekday
from core.schema.contract import Contract
from core.schema.evolution import absorb, apart, compare, known_digests, succeed
from core.schema.feature import Feature
from core.terms import Terms
from tests.core.test_declarations import CONTRACT

AREA = {"name": "area", "dtype": "category", "vocabulary": ["north", "south"]}
FULL: dict[str, Any] = {
    **CONTRACT,
    "features": [
        {"name": "load"},
        {"name": "wind", "minimum": 0, "maximum": 60, "optional": True},
        {"name": "age", "sensitivity": "bucket", "bucket_edges": [0, 18, 65]},
        AREA,
    ],
    "stride": 24,
    "padding": "left",
    "padding_value": -1,
    "scaler": {"load": [30, 4.5]},
    "label_map": ["calm", "storm"],
    "sensitive_fields": {"session_id": "hash", "worker": "drop"},
}


def with_feature(number: int, **changed: Any) -> dict[str, Any]:
    features = [dict(feature) for feature in FULL["features"]]
    features[number] |= changed
    return {**FULL, "features": features}


def test_a_contract_of_the_first_days_keeps_its_digest() -> None:
    assert Contract.from_json(CONTRACT).digest == (
        "3e6a206d6ee3ad8e73ecf198e9396ed7e2765e75fcefce1c1ddaf4efe013b805"
    )


def test_a_stored_contract_is_the_declared_one() -> None:
    contract = Contract.from_json(FULL)
    assert contract.to_json()["features"][3] == {
        **AREA,
        "unit": "",
        "min_length": 1,
        "max_length": 4096,
    }
    assert Contract.from_json(contract.to_json()) == contract
    assert Contract.from_json(contract.to_json()).digest == contract.digest


@pytest.mark.parametrize(
    "spelt_out",
    [
        pytest.param({"stride": 1, "padding": "none"}, id="defaults of the contract"),
        pytest.param({"zone": "UTC", "calendar": {"holidays": []}}, id="no zone, no calendar"),
        pytest.param(
            {"features": [{"name": "load", "dtype": "number", "optional": False}]},
            id="defaults of a feature",
        ),
        pytest.param({"widens": ["a" * 64]}, id="what it has replaced"),
    ],
)
def test_the_digest_does_not_see(spelt_out: dict[str, Any]) -> None:
    plain = Contract.from_json(CONTRACT)
    assert Contract.from_json({**CONTRACT, **spelt_out}).digest == plain.digest


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"stride": 2}, id="stride"),
        pytest.param({"zone": "Asia/Tokyo"}, id="zone"),
        pytest.param({"calendar": {"holidays": ["2026-12-25"]}}, id="calendar"),
        pytest.param({"padding": "right"}, id="padding"),
        pytest.param({"scaler": {"load": [30, 4]}}, id="scaler"),
        pytest.param({"label_map": ["storm", "calm"]}, id="label map"),
        pytest.param({"sensitive_fields": {"worker": "drop"}}, id="sensitive fields"),
        pytest.param(with_feature(1, maximum=61), id="range"),
        pytest.param(with_feature(2, bucket_edges=[0, 65]), id="buckets"),
        pytest.param(with_feature(2, context=True), id="a context feature"),
        pytest.param(with_feature(3, vocabulary=["south", "north"]), id="vocabulary"),
    ],
)
def test_the_digest_sees(changed: dict[str, Any]) -> None:
    full = Contract.from_json(FULL)
    assert Contract.from_json({**FULL, **changed}).digest != full.digest


def test_one_and_one_point_nought_are_one_number() -> None:
    as_ints = Contract.from_json(with_feature(1, maximum=60))
    assert Contract.from_json(with_feature(1, maximum=60.0)).digest == as_ints.digest
    assert replace(as_ints, padding_value=-1).digest == as_ints.digest


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"stride": 0}, "stride must be 1 to 10000", id="standing still"),
        pytest.param({"padding": "top"}, "padding", id="no such side"),
        pytest.param(
            {"padding": "none"}, "padding_value is for padding left or right", id="no padding"
        ),
        pytest.param({"padding_value": float("nan")}, "padding_value must be", id="no number"),
        pytest.param({"scaler": {"rain": [0, 1]}}, "scaler: 'rain' is no number", id="unknown"),
        pytest.param({"scaler": {"area": [0, 1]}}, "scaler: 'area' is no number", id="texts"),
        pytest.param({"scaler": {"load": [0, 0]}}, "scaler: 'load' needs a", id="no scale"),
        pytest.param({"label_map": ["a", "a"]}, "label_map", id="one class twice"),
        pytest.param(
            {"sensitive_fields": {"step": "hash"}},
            "no 'step'; known: entity",
            id="no such field",
        ),
        pytest.param(
            {"sensitive_fields": {"entity": "bucket"}},
            "'entity' can be dropped or hashed",
            id="a text in a bucket",
        ),
        pytest.param(with_feature(1, minimum=70), "'wind': needs minimum", id="no range"),
        pytest.param(with_feature(1, maximum=float("inf")), "'wind': minimum and", id="no end"),
        pytest.param(
            with_feature(1, vocabulary=["a"]),
            "'wind': vocabulary is for",
            id="words for a number",
        ),
        pytest.param(
            with_feature(1, sensitivity="hash"),
            "'wind': sensitivity hash is for",
            id="the hash of a measurement",
        ),
        pytest.param(
            with_feature(1, bucket_edges=[1, 2]), "'wind': bucket_edges are for", id="no bucket"
        ),
        pytest.param(
            with_feature(2, bucket_edges=[1]),
            "'age': sensitivity bucket needs 2",
            id="one edge",
        ),
        pytest.param(
            with_feature(2, bucket_edges=[2, 1]),
            "'age': bucket_edges must be",
            id="falling edges",
        ),
        pytest.param(
            with_feature(3, minimum=1), "'area': minimum and maximum", id="least text"
        ),
        pytest.param(
            with_feature(3, sensitivity="bucket", bucket_edges=[1, 2]),
            "'area': sensitivity",
            id="a bucket of texts",
        ),
        pytest.param(
            with_feature(3, vocabulary=["a", "a"]),
            "'area': vocabulary names",
            id="a text twice",
        ),
        pytest.param(with_feature(3, vocabulary=[""]), "'area': a text of the", id="no text"),
        pytest.param(
            with_feature(0, sensitivity="drop"),
            "'load': sensitivity drop, but a target",
            id="a secret that is forecast",
        ),
        pytest.param(
            {**CONTRACT, "features": [{"name": "x", "sensitivity": "drop"}]},
            "nothing to watch",
            id="everything dropped",
        ),
    ],
)
def test_a_contradiction_is_refused_by_name(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Unprocessable, match=message):
        Contract.from_json({**FULL, **changed})


@pytest.mark.parametrize(
    ("changed", "widening"),
    [
        pytest.param({}, "", id="nothing"),
        pytest.param(with_feature(0, unit="MW"), "unit", id="a unit"),
        pytest.param(with_feature(0, max_length=8192), "lengths", id="longer lists"),
        pytest.param(with_feature(0, optional=True), "optional", id="no longer required"),
        pytest.param(with_feature(1, maximum=90), "range", id="a wider range"),
        pytest.param(with_feature(1, maximum=None), "range", id="no bound"),
        pytest.param(
            with_feature(3, vocabulary=["north", "south", "sea"]),
            "vocabulary",
            id="one more text",
        ),
        pytest.param(with_feature(3, sensitivity="hash"), "stricter", id="hashed from now on"),
        pytest.param(
            with_feature(2, sensitivity="drop", bucket_edges=()),
            "stricter",
            id="dropped from now on",
        ),
        pytest.param(
            {"label_map": ["calm", "storm", "hail"]}, "label_map", id="one more class"
        ),
        pytest.param(
            {"sensitive_fields": {**FULL["sensitive_fields"], "entity": "hash"}},
            "sensitive_fields.entity",
            id="one more secret",
        ),
        pytest.param(
            {
                "features": [*FULL["features"], {"name": "rain", "optional": True}],
                "scaler": {**FULL["scaler"], "rain": [1, 2]},
            },
            r"features.rain \(new\)",
            id="an optional feature",
        ),
        pytest.param({"segment_by": FULL["features"][3]["name"]}, "segment_by", id="segments"),
    ],
)
def test_what_only_widens_the_contract(changed: dict[str, Any], widening: str) -> None:
    change = compare(Contract.from_json(FULL), Contract.from_json({**FULL, **changed}))
    assert change.breaking == ()
    assert len(change.widening) == bool(changed)
    assert all(re.search(widening, name) for name in change.widening)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"input_length": 48}, id="another look-back"),
        pytest.param({"horizon": 12}, id="another horizon"),
        pytest.param({"step": "PT15M"}, id="another step"),
        pytest.param({"targets": ["price"]}, id="another target"),
        pytest.param({"stride": 1}, id="another stride"),
        pytest.param({"padding": "right"}, id="the other side"),
        pytest.param({"padding_value": 0}, id="another padding"),
        pytest.param({"scaler": {"load": [30, 5]}}, id="another scale"),
        pytest.param({"scaler": {}}, id="no scale"),
        pytest.param({"label_map": ["storm", "calm"]}, id="classes swapped"),
        pytest.param({"sensitive_fields": {"worker": "drop"}}, id="a secret exposed"),
        pytest.param({"features": FULL["features"][:-1]}, id="a feature less"),
        pytest.param({"features": [*FULL["features"], {"name": "rain"}]}, id="a feature more"),
        pytest.param({"features": FULL["features"][::-1]}, id="another order"),
        pytest.param(with_feature(0, min_length=2), id="longer lists only"),
        pytest.param(with_feature(0, minimum=0), id="a bound where none was"),
        pytest.param(with_feature(1, optional=False), id="optional no more"),
        pytest.param(with_feature(1, maximum=50), id="a narrower range"),
        pytest.param(with_feature(2, bucket_edges=[0, 65]), id="other buckets"),
        pytest.param(
            with_feature(2, sensitivity="none", bucket_edges=()), id="stored as it is"
        ),
        pytest.param(with_feature(3, dtype="number", vocabulary=()), id="a number now"),
        pytest.param(with_feature(3, vocabulary=["north"]), id="a text less"),
        pytest.param(
            with_feature(3, vocabulary=["sea", "north", "south"]), id="texts renumbered"
        ),
        pytest.param(with_feature(3, vocabulary=[]), id="any text"),
    ],
)
def test_what_breaks_the_contract(changed: dict[str, Any]) -> None:
    change = compare(Contract.from_json(FULL), Contract.from_json({**FULL, **changed}))
    assert len(change.breaking) == 1


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        pytest.param({"input_length": 48, "stride": 2, "scaler": {}}, (), id="preprocessing"),
        pytest.param({"features": FULL["features"][:2]}, (), id="fewer features"),
        pytest.param(with_feature(1, maximum=5), (), id="a narrower range"),
        pytest.param({"horizon": 12}, ("horizon",), id="another horizon"),
        pytest.param({"sensitive_fields": {}}, ("sensitive_fields",), id="secrets exposed"),
        pytest.param(
            with_feature(1, dtype="category", minimum=None, maximum=None),
            ("features.wind (dtype)",),
            id="texts for numbers",
        ),
        pytest.param(
            with_feature(3, sensitivity="hash"),
            ("features.area (sensitivity)",),
            id="hashed by one version only",
        ),
    ],
)
def test_what_a_version_may_have_of_its_own(
    changed: dict[str, Any], found: tuple[str, ...]
) -> None:
    assert apart(Contract.from_json(FULL), Contract.from_json({**FULL, **changed})) == found


def test_a_log_gains_what_a_version_adds_and_knows_the_old_name() -> None:
    log = Contract.from_json(CONTRACT)
    rain = Feature(name="rain", minimum=0)
    version = replace(log, features=(rain, *log.features), input_length=48)
    grown = absorb(log, version)
    assert grown.feature_names == ("load", "rain")
    assert grown.features[1] == replace(rain, optional=True)
    assert grown.input_length == log.input_length
    assert known_digests(grown, {"v2": version}) == {log.digest, grown.digest, version.digest}
    assert absorb(grown, version) is grown
    assert succeed(grown, grown).widens == (log.digest,)


def test_a_row_may_leave_out_what_some_version_does_not_take() -> None:
    log = Contract.from_json(FULL)
    short = replace(log, features=log.features[:3], scaler={})
    terms = Terms(contract=log, by_version={"v0": short})
    assert terms.omittable == {"wind", "area"}
    assert terms.nullable == {"wind"}
    assert Terms(contract=log).omittable == {"wind"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param({"segment_by": "load"}, "neither a category", id="a number"),
        pytest.param({"segment_by": "moon"}, "neither a category", id="no feature"),
        pytest.param(
            {"segment_by": "entity", "sensitive_fields": {"entity": "drop"}},
            "entity is dropped",
            id="what is never stored",
        ),
    ],
)
def test_segments_are_defined_by_a_stored_field(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unprocessable, match=f"segment_by: .*{reason}"):
        Contract.from_json({**FULL, **changed})
    hashed = {"segment_by": "entity", "sensitive_fields": {"entity": "hash"}}
    assert Contract.from_json({**FULL, **hashed}).segment_by == "entity"


def test_segments_may_begin_but_neither_change_nor_end() -> None:
    old = Contract.from_json(FULL)
    apart_by = Contract.from_json({**FULL, "segment_by": "entity"})
    assert old.to_json().keys() == apart_by.to_json().keys() - {"segment_by"}
    assert compare(apart_by, old).breaking == ("segment_by",)
    other = Contract.from_json({**FULL, "segment_by": FULL["features"][3]["name"]})
    assert compare(apart_by, other).breaking == ("segment_by",)
    assert apart(apart_by, old) == ()  # a version need not name them
    assert apart(old, apart_by) == ("segment_by",)


WEEK = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param({"zone": "Europe/Berln"}, "zone: .*similar: Europe/Berlin", id="zone"),
        pytest.param({"zone": 2}, "zone", id="a zone that is a number"),
        pytest.param({"calendar": {"days": []}}, "unknown days", id="an unknown entry"),
        pytest.param({"calendar": 5}, "calendar", id="a calendar that is a number"),
        pytest.param({"calendar": {"holidays": ["25.12."]}}, "holidays", id="no date"),
        pytest.param({"calendar": {"business_days": ["Monday"]}}, "monday", id="no weekday"),
        pytest.param(
            {"calendar": {"business_days": ["friday", "monday"]}},
            "in order from monday",
            id="order",
        ),
        pytest.param(
            {"calendar": {"holidays": ["2026-12-25", "2026-01-01"]}}, "ascend", id="dates"
        ),
        pytest.param(
            {"calendar": {"business_days": WEEK, "holidays": ["2026-12-25"]}},
            "names all seven",
            id="a holiday without a day that it is like",
        ),
    ],
)
def test_zone_and_calendar_are_refused_by_name(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unprocessable, match=reason):
        Contract.from_json({**FULL, **changed})


def test_a_zone_stays_and_a_calendar_may_change() -> None:
    old = Contract.from_json(FULL)
    tokyo = Contract.from_json({**FULL, "zone": "Asia/Tokyo"})
    assert compare(old, tokyo).breaking == compare(tokyo, old).breaking == ("zone",)
    assert apart(tokyo, old) == ("zone",)
    holiday = Contract.from_json({**FULL, "calendar": {"holidays": ["2026-12-25"]}})
    assert holiday.to_json()["calendar"] == {"holidays": ["2026-12-25"]}
    assert Contract.from_json(holiday.to_json()) == holiday
    assert compare(old, holiday).widening == compare(holiday, old).widening == ("calendar",)
    assert old.digest in succeed(old, holiday).widens


def test_a_holiday_is_like_a_day_without_business() -> None:
    plain = Calendar()
    friday = date(2026, 12, 25)
    assert plain.weekday(friday) == 4
    assert plain.alike(friday, 35) == [friday - timedelta(days=7 * n) for n in range(1, 6)]
    gulf = Calendar(
        business_days=(Weekday.MONDAY, Weekday.THURSDAY, Weekday.SUNDAY), holidays=(friday,)
    )
    assert gulf.weekday(friday) == 5
    assert gulf.alike(friday, 14) == [date(2026, 12, 19), date(2026, 12, 12)]
    assert gulf.alike(date(2027, 1, 2), 14) == [date(2026, 12, 26), friday, date(2026, 12, 19)]
