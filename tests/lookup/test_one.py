"""One prediction by its id, and one session from its first step to its last."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.masking import hashed
from db.session import unit_of_work
from db.tables import Model
from lake import search
from services.read_models.lookup import paged
from tests.lookup.conftest import Get, Place
from tests.streams import START, label, prediction


def test_an_id_is_found_in_the_inbox_and_in_the_lake(get: Get, place: Place) -> None:
    place.send(prediction(START, prediction_id="s17:4/a b"), prediction(START + DAY, 1))
    place.send_labels(label(START + HOUR, [0.5]))

    from_inbox = get("predictions/s17:4/a b")
    place.archive()
    from_lake = get("predictions/s17:4/a b")

    assert from_inbox["label"]["error"] == {"load": [0.5, None, None]}
    assert from_inbox | {"kept_in": "lake"} == from_lake


@pytest.mark.parametrize("is_archived", [False, True])
def test_of_an_id_that_was_sent_twice_the_first_is_found(
    get: Get, place: Place, is_archived: bool
) -> None:
    place.send(prediction(START, prediction_id="p", cost=1.0))
    place.archive()
    again = prediction(START + HOUR, prediction_id="p", cost=2.0)
    place.send(again, received_at=START + HOUR)
    if is_archived:
        place.archive()

    found = get("predictions/p")

    assert (found["cost"], found["sent"], found["kept_in"]) == (1.0, 2, "lake")


def test_of_an_id_that_two_days_used_the_newest_is_found(get: Get, place: Place) -> None:
    place.send(*(prediction(START + i * DAY, prediction_id="p") for i in range(3)))
    place.archive()

    assert get("predictions/p")["at"] == "2026-01-07T00:00:00Z"
    near = get("predictions/p", at="2026-01-04T18:00:00Z")
    assert near["at"] == "2026-01-05T00:00:00Z"


@pytest.mark.parametrize("path", ["predictions/unknown", "sessions/unknown"])
def test_what_is_not_there_is_not_found(get: Get, place: Place, path: str) -> None:
    place.send(prediction(START))
    place.archive()
    assert get(path, 404)["type"] == "urn:seqwatch:error:NotFound"


def test_an_id_is_not_searched_far_from_a_given_time(get: Get, place: Place) -> None:
    place.send(prediction(START, prediction_id="p"))
    assert "of that time" in get("predictions/p", 404, at="2026-01-20T00:00:00Z")["detail"]


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time be up after one file is read."""
    monkeypatch.setattr(paged, "PATIENCE", timedelta(0))
    monkeypatch.setattr(search, "FIRST_SCAN", 1)


def spread_over(place: Place, n_days: int) -> None:
    for day in range(n_days):
        at = START + day * DAY
        place.send(
            prediction(at, prediction_id=f"p{day}", session_id="long" if day == 0 else None),
            prediction(at + HOUR, prediction_id=f"q{day}"),
        )
        place.archive()


@pytest.mark.usefixtures("no_time")
def test_a_search_that_runs_out_of_time_returns_how_far_it_came_and_goes_on(
    get: Get, place: Place
) -> None:
    spread_over(place, 4)
    reached, answer = [], get("predictions/p0", 404)
    while "title" in answer:
        assert answer["title"] == "Not found yet"
        reached.append(answer["searched_back_to"][:10])
        answer = get(
            "predictions/p0", 404 if len(reached) < 3 else 200, cursor=answer["next_cursor"]
        )

    assert reached == ["2026-01-07", "2026-01-06", "2026-01-05"]
    assert answer["prediction_id"] == "p0"


@pytest.mark.usefixtures("no_time")
def test_a_page_that_runs_out_of_time_returns_how_far_it_searched(
    get: Get, place: Place
) -> None:
    spread_over(place, 4)
    first = get("predictions", session="long")
    assert (first["items"], first["searched_back_to"][:10]) == ([], "2026-01-07")

    found, answer = [], first
    while answer["next_cursor"]:
        answer = get("predictions", session="long", cursor=answer["next_cursor"])
        found += [row["prediction_id"] for row in answer["items"]]
    assert found == ["p0"]


@pytest.mark.usefixtures("no_time")
def test_a_session_is_searched_for_as_long_as_it_takes(get: Get, place: Place) -> None:
    spread_over(place, 4)
    answer = get("sessions/long")
    assert (answer["items"], answer["first"], answer["n_rows"]) == ([], None, 0)
    while not answer["items"]:
        answer = get("sessions/long", cursor=answer["next_cursor"])
    assert [row["prediction_id"] for row in answer["items"]] == ["p0"]


def steps(n: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        prediction(
            START + i * HOUR,
            prediction_id=f"s:{i}",
            session_id="s",
            step_index=i,
            session_start=i == 0,
            session_end=i == n - 1,
            **fields,
        )
        for i in range(n)
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("limit", [1, 10, 35, 36, 100])
def test_a_session_is_returned_in_order_across_inbox_and_lake(
    get: Get, place: Place, limit: int
) -> None:
    rows = steps(36)
    place.send(*rows[1::2], prediction(START, 1, session_id="other"))
    place.archive()
    place.send(*rows[::2])

    steps_found: list[Any] = []
    cursor: str | None = None
    while not steps_found or cursor:
        answer = get("sessions/s", limit=limit, **({"cursor": cursor} if cursor else {}))
        steps_found += answer["items"]
        cursor = answer["next_cursor"]
        assert (answer["n_rows"], answer["session_id"]) == (36, "s")
        assert (answer["first"], answer["last"]) == (
            "2026-01-05T00:00:00Z",
            "2026-01-06T11:00:00Z",
        )

    assert [row["step_index"] for row in steps_found] == [*range(36)]
    assert (steps_found[0]["session_start"], steps_found[-1]["session_end"]) == (True, True)


def test_steps_of_one_moment_are_ordered_by_their_number(get: Get, place: Place) -> None:
    at_once = [row | {"at": START} for row in steps(12)]
    place.send(*reversed(at_once))
    place.archive()

    first = get("sessions/s", limit=7)
    rest = get("sessions/s", limit=7, cursor=first["next_cursor"])

    assert [row["step_index"] for row in first["items"] + rest["items"]] == [*range(12)]


def test_a_session_that_rested_is_whole(get: Get, place: Place) -> None:
    rested = [
        prediction(START + days * DAY, i, session_id="s") for i, days in enumerate((0, 6, 12))
    ]
    between = [prediction(START + i * DAY, 100 + i) for i in range(13)]
    place.send(*rested[:2], *between)
    place.archive()
    place.send(rested[2])
    assert len(get("sessions/s")["items"]) == 3


def test_what_the_contract_hashes_is_found_by_what_the_service_sent(
    get: Get, place: Place, sessions: sessionmaker[Session]
) -> None:
    key = bytes(range(32))
    with unit_of_work(sessions) as session:
        session.get_one(Model, place.model_id).mask_key = key
    stored = {
        "session_id": hashed(key, "session_id", "alice"),
        "entity": hashed(key, "entity", "pump-3"),
    }
    place.send(prediction(START, prediction_id="p") | stored)
    place.archive()

    assert [row["prediction_id"] for row in get("sessions/alice")["items"]] == ["p"]
    assert len(get("predictions", entity="pump-3")["items"]) == 1
    assert get("predictions", entity="pump-4")["items"] == []
