"""Predictions by filter, newest first, across inbox and lake."""

from datetime import timedelta
from itertools import chain
from typing import Any

import pytest

from core.durations import DAY, HOUR
from core.schema.rows import REFERENCE
from tests.lookup.conftest import Get, Place
from tests.streams import START, label, prediction


def ids(answer: Any) -> list[str]:
    return [row["prediction_id"] for row in answer["items"]]


def pages(get: Get, **params: Any) -> list[list[str]]:
    """Follow the cursor to the end."""
    found, cursor = [], None
    while True:
        answer = get("predictions", **params, **({"cursor": cursor} if cursor else {}))
        found.append(ids(answer))
        cursor = answer["next_cursor"]
        if cursor is None:
            return found


def spread(place: Place, n: int = 60) -> list[str]:
    """Send hourly rows, a third each to the lake, as a folded group, and unfolded."""
    rows = [prediction(START + i * HOUR, i, prediction_id=f"p{i:03}") for i in range(n)]
    mixed = rows[::3], rows[1::3], rows[2::3]
    place.send(*mixed[0])
    place.archive()
    place.send(*mixed[1])
    place.fold()
    place.send(*mixed[2])
    return [row["prediction_id"] for row in reversed(rows)]


def test_rows_of_inbox_and_lake_come_newest_first(get: Get, place: Place) -> None:
    newest_first = spread(place)

    answer = get("predictions")

    assert ids(answer) == newest_first
    assert (answer["next_cursor"], answer["searched_back_to"]) == (None, None)
    assert [row["kept_in"] for row in answer["items"][-3:]] == ["inbox", "inbox", "lake"]


@pytest.mark.parametrize("limit", [1, 5, 11, 12, 13])
def test_pages_lead_through_all_rows_once(get: Get, place: Place, limit: int) -> None:
    newest_first = spread(place, n=12)

    found = pages(get, limit=limit)

    assert [name for page in found for name in page] == newest_first
    assert all(len(page) == limit for page in found[:-1])


def test_a_cursor_holds_while_rows_move_to_the_lake(get: Get, place: Place) -> None:
    newest_first = spread(place)
    first = get("predictions", limit=25)
    place.archive()
    rest = get("predictions", limit=100, cursor=first["next_cursor"])

    assert ids(first) + ids(rest) == newest_first
    assert {row["kept_in"] for row in rest["items"]} == {"lake"}


def test_rows_of_one_moment_are_paged_too(get: Get, place: Place) -> None:
    place.send(*(prediction(START, prediction_id=f"p{i:02}") for i in range(12)))
    place.archive()
    place.send(*(prediction(START, prediction_id=f"q{i:02}") for i in range(12)))

    found = pages(get, limit=5)

    assert [len(page) for page in found] == [5, 5, 5, 5, 4]
    assert sorted(chain(*found)) == [f"{kind}{i:02}" for kind in "pq" for i in range(12)]


def test_every_field_comes_back_as_it_was_sent(get: Get, place: Place) -> None:
    sent = prediction(
        START + timedelta(microseconds=1),
        features={"load": [1.5, None], "wind": []},
        output=None,
        entity=None,
        session_id="s",
        step_index=3,
        latency_seconds=0.25,
        session_start=True,
        cold_start=False,
        queue_length=2,
        batch_size=8,
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        cost=1e-9,
        worker="w",
        status="error",
    )
    place.send(sent)
    from_inbox = get("predictions")["items"][0]
    place.archive()
    from_lake = get("predictions")["items"][0]

    assert from_inbox | {"kept_in": "lake"} == from_lake
    moments = {"at": "2026-01-05T00:00:00.000001Z", "received_at": "2026-01-05T00:00:00Z"}
    left_out = {"session_end": None}
    found = {"kept_in": "lake", "sent": 1, "label": None}
    assert from_lake == sent | moments | left_out | found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("params", "found"),
    [
        pytest.param({}, "abcde", id="all but past input"),
        pytest.param({"since": START + DAY}, "de", id="since, included"),
        pytest.param({"until": START + DAY}, "abc", id="until, not included"),
        pytest.param({"since": START + HOUR, "until": START + DAY}, "bc", id="both"),
        pytest.param({"version": "v2"}, "b", id="version"),
        pytest.param({"version": REFERENCE}, "r", id="past input by name"),
        pytest.param({"entity": "e2"}, "c", id="entity"),
        pytest.param({"session": "s1"}, "d", id="session"),
        pytest.param({"status": "timeout"}, "e", id="status"),
        pytest.param({"shadow": "true"}, "b", id="in shadow"),
        pytest.param({"trace_id": "t1"}, "a", id="trace"),
        pytest.param({"labelled": "true"}, "a", id="labelled"),
        pytest.param({"labelled": "false"}, "bcde", id="not labelled"),
        pytest.param({"version": "v2", "entity": "e2"}, "", id="nothing fits"),
    ],
)
@pytest.mark.parametrize("is_archived", [False, True])
def test_filters(
    get: Get, place: Place, params: dict[str, Any], found: str, is_archived: bool
) -> None:
    place.send(
        prediction(START, prediction_id="a", trace_id="t1"),
        prediction(START + HOUR, prediction_id="b", version="v2", shadow=True),
        prediction(START + 2 * HOUR, prediction_id="c", entity="e2"),
        prediction(START + DAY, prediction_id="d", session_id="s1"),
        prediction(START + DAY + HOUR, prediction_id="e", status="timeout"),
        prediction(START, prediction_id="r", version=REFERENCE, output=None),
    )
    place.send_labels(label(None, [1.0], prediction_id="a", entity=None))
    if is_archived:
        place.archive()

    asked = {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in params.items()
    }
    assert sorted(chain(*pages(get, limit=2, **asked))) == [*found]


def test_what_is_sent_twice_is_shown_once_as_it_was_received_first(
    get: Get, place: Place
) -> None:
    """The same rule as for accuracy: by id, within an event day."""
    place.send(
        prediction(START, prediction_id="p", latency_seconds=2.0), received_at=START + HOUR
    )
    place.send(prediction(START, prediction_id="p", latency_seconds=1.0), received_at=START)
    place.archive()
    place.send(
        prediction(START + 3 * HOUR, prediction_id="p", latency_seconds=3.0),
        received_at=START + DAY,
    )
    place.send(prediction(START + DAY, prediction_id="p", latency_seconds=4.0))

    answer = get("predictions")

    shown = [(row["at"], row["latency_seconds"], row["sent"]) for row in answer["items"]]
    assert shown == [("2026-01-06T00:00:00Z", 4.0, 1), ("2026-01-05T00:00:00Z", 1.0, 3)]


@pytest.mark.parametrize("labels_archived", [False, True])
@pytest.mark.parametrize("rows_archived", [False, True])
def test_labels_meet_their_predictions_wherever_both_are(
    get: Get, place: Place, rows_archived: bool, labels_archived: bool
) -> None:
    place.send(
        prediction(START, prediction_id="p", output={"load": [1.0, 2.0, 3.0]}),
        prediction(START, prediction_id="q", entity="e9"),
    )
    labels = [
        label(START + HOUR, [5.0, 2.5], arrived_at=START + 4 * HOUR),
        label(None, [9.0], prediction_id="p", arrived_at=START + 5 * HOUR),
    ]
    if rows_archived:
        place.archive()
    place.send_labels(*labels)
    if labels_archived:
        place.archive()

    by_id = {row["prediction_id"]: row["label"] for row in get("predictions")["items"]}

    assert by_id == {
        "p": {
            "actual": {"load": [9.0, 2.5, None]},
            "error": {"load": [-8.0, -0.5, None]},
            "loss": 4.25,
            "arrived_at": "2026-01-05T05:00:00Z",
        },
        "q": None,
    }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"cursor": "x"}, id="no cursor"),
        pytest.param({"cursor": "WyIwMDAxLTAxLTAxVDAwOjAwOjAwIixudWxsXQ"}, id="no zone"),
        pytest.param({"since": "2026-01-05T00:00:00"}, id="time without zone"),
        pytest.param({"since": "0001-01-01T00:00:00+14:00"}, id="before any calendar"),
        pytest.param({"limit": 1001}, id="too many"),
        pytest.param({"status": "fine"}, id="unknown status"),
        pytest.param(
            {"since": "2026-01-05T00:00:00Z", "until": "2026-01-05T00:00:00Z"}, id="empty span"
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(get: Get, params: dict[str, Any]) -> None:
    assert get("predictions", 422, **params)["title"] == "Unprocessable"


def test_a_model_without_rows_has_an_empty_page(get: Get) -> None:
    assert get("predictions") == {
        "items": [],
        "next_cursor": None,
        "searched_back_to": None,
    }
