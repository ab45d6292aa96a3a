"""A stream whose rows cannot be processed is set aside, and stops no other."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from alerts.platform import PlatformFault
from api.main import create_app
from core.clock import utcnow
from core.durations import DAY, HOUR
from core.errors import Conflict
from core.policy import Policy
from core.schema.contract import Contract
from core.schema.feature import Feature, Sensitivity
from core.schema.rows import Kind, Stage
from core.settings import Settings
from db.queries.log import inbox, positions
from db.session import read_only, unit_of_work
from db.tables import (
    AuditEvent,
    Inbox,
    InboxPayload,
    Model,
    PendingEvent,
    PlatformAlert,
    Quarantine,
    Scope,
)
from db.tables.kserve import Part
from monitors.summaries.summary import N
from services.access.api_keys import create_key
from services.access.capacity import full_aside
from services.aggregation import fold as folding
from services.aggregation import row_summaries
from services.aggregation.fold import PATIENCE, fold_all
from services.kserve.pairing import sweep
from services.platform_faults import platform_alerts, set_aside
from services.platform_faults.set_aside import FIRST_DELAY, LONGEST_DELAY, Aside
from services.retention import discard as discarding
from services.retention.archive import archive_all
from services.retention.discard import Discarded, discard
from services.retention.retention import retain_all
from tests.databases import ON_SQLITE
from tests.fold.test_fold import send, stored
from tests.streams import START, add_model, keep, prediction, table, waiting_rows

LATE = START + PATIENCE


def poison(number: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a row that was accepted before magnitudes were limited."""
    return prediction(START, number, features={"load": [1e200], "wind": [1e200]}, **fields)


def aside(sessions: sessionmaker[Session], model_id: UUID) -> list[Aside]:
    with read_only(sessions) as session:
        return set_aside.of_model(session, model_id)


def firing(sessions: sessionmaker[Session]) -> list[str]:
    with read_only(sessions) as session:
        return [alert.subject for alert in platform_alerts.open_alerts(session)]


def test_one_stream_that_cannot_be_folded_stops_no_other(
    sessions: sessionmaker[Session],
) -> None:
    ill = add_model(sessions)
    well = [add_model(sessions, name=f"well-{i}") for i in range(2)]
    send(sessions, ill, poison())
    for model_id in well:
        send(sessions, model_id, prediction(START))

    assert fold_all(sessions, LATE) == 2

    assert all(stored(sessions, model_id).moments[:, 0, N].sum() == 1 for model_id in well)
    (row,) = aside(sessions, ill)
    assert (row.stream, row.stage, row.since, row.attempts) == ("predictions", "fold", LATE, 1)
    assert "no finite value up to 1e+100" in row.error
    assert firing(sessions) == ["grid: fold of predictions"]


def test_a_stream_set_aside_is_tried_again_ever_more_rarely_and_goes_on_by_itself(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START))
    now, delays = LATE, []
    with monkeypatch.context() as older:
        older.setattr("services.aggregation.fold.summarise_rows", lambda *_: 1 / 0)
        for _ in range(10):
            fold_all(sessions, now)
            (row,) = aside(sessions, model_id)
            delays.append(row.not_before - now)
            assert fold_all(sessions, row.not_before - timedelta(seconds=1)) == 0
            now = row.not_before
    assert delays[:2] == [FIRST_DELAY, 2 * FIRST_DELAY]
    assert delays[-1] == LONGEST_DELAY

    assert fold_all(sessions, now) == 1
    assert aside(sessions, model_id) == []
    assert firing(sessions) == []
    with read_only(sessions) as session:
        (alert,) = session.scalars(select(PlatformAlert)).all()
        assert (alert.kind, alert.resolved_at) == (PlatformFault.STREAM_SET_ASIDE, now)


def test_the_entry_at_fault_is_named_and_those_before_it_are_folded(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    model_id = add_model(sessions)
    for i in range(5):
        send(sessions, model_id, prediction(START, i))
    with unit_of_work(sessions) as session:
        entries = session.scalars(select(Inbox.id).order_by(Inbox.id)).all()
        spoiled = entries[3]
        session.execute(
            update(InboxPayload)
            .where(InboxPayload.entry_id == spoiled)
            .values(content=b"no Arrow")
        )

    assert fold_all(sessions, LATE) == 3

    (row,) = aside(sessions, model_id)
    assert row.item == f"entry {spoiled}"
    assert stored(sessions, model_id).moments[:, 0, N].sum() == 3
    moved = discard(sessions, tmp_path, model_id, Kind.PREDICTIONS, "ann", LATE)
    assert moved == Discarded(n_batches=1, n_rows=1)
    assert fold_all(sessions, LATE) == 1


def test_discarded_rows_go_to_quarantine_and_the_stream_goes_on(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, poison(1), poison(2))
    fold_all(sessions, LATE)
    send(sessions, model_id, prediction(START, 3))

    moved = discard(sessions, tmp_path, model_id, Kind.PREDICTIONS, "ann", LATE)

    assert moved == Discarded(n_batches=1, n_rows=2)
    with read_only(sessions) as session:
        rows = session.scalars(select(Quarantine).order_by(Quarantine.row)).all()
        assert [(r.row, r.field, r.reason) for r in rows] == [
            (0, "features.load", "out_of_range"),
            (1, "features.load", "out_of_range"),
        ]
        assert rows[0].content["features"]["load"] == [1e200]
        (event,) = session.scalars(select(AuditEvent)).all()
        assert (event.actor, event.action, event.detail["rows"]) == ("ann", "log.discard", 2)
    assert firing(sessions) == []
    assert fold_all(sessions, LATE) == 1
    with pytest.raises(Conflict, match="nothing is set aside of predictions"):
        discard(sessions, tmp_path, model_id, Kind.PREDICTIONS, "ann", LATE)


def test_the_good_rows_of_an_entry_stay_and_are_folded(
    sessions: sessionmaker[Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summarise = row_summaries.summarise_rows

    def breaking(rows: Any, contract: Any, edges: Any) -> Any:
        if "p-7" in [each.partition("-2026")[0] for each in rows["prediction_id"].to_pylist()]:
            raise ZeroDivisionError
        return summarise(rows, contract, edges)

    monkeypatch.setattr("services.aggregation.fold.summarise_rows", breaking)
    model_id = add_model(sessions)
    send(sessions, model_id, *(prediction(START, i) for i in range(20)))
    fold_all(sessions, LATE)

    moved = discard(sessions, tmp_path, model_id, Kind.PREDICTIONS, "ann", LATE)

    assert moved == Discarded(n_batches=1, n_rows=1)
    with read_only(sessions) as session:
        (row,) = session.scalars(select(Quarantine)).all()
        assert (row.row, row.reason) == (7, "cannot be folded: ZeroDivisionError")
    assert fold_all(sessions, LATE) == 19


def test_a_discard_that_is_cut_off_has_changed_nothing(
    sessions: sessionmaker[Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, poison())
    fold_all(sessions, LATE)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(discarding, "_finish", dies)
    with pytest.raises(KeyboardInterrupt):
        discard(sessions, tmp_path, model_id, Kind.PREDICTIONS, "ann", LATE)

    with read_only(sessions) as session:
        assert session.scalars(select(Quarantine)).all() == []
    assert len(waiting_rows(sessions)) == 1
    assert len(aside(sessions, model_id)) == 1


def test_an_entry_that_was_discarded_meanwhile_is_not_folded(
    sessions: sessionmaker[Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START))
    decode = folding.decode

    def meanwhile(payloads: Any) -> Any:
        with unit_of_work(sessions) as session:
            (entry,) = session.scalars(select(Inbox.id)).all()
            positions.take_out(session, entry, None)
        return decode(payloads)

    monkeypatch.setattr(folding, "decode", meanwhile)

    assert folding.fold(sessions, model_id, Kind.PREDICTIONS, LATE) == 0
    with read_only(sessions) as session:
        assert positions.position(session, model_id, Kind.PREDICTIONS) == (0, 0)


def test_of_a_model_with_sensitive_values_no_value_is_reported(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    contract = Contract(
        features=(Feature(name="load"), Feature(name="wind")),
        targets=("load",),
        step=HOUR,
        input_length=4,
        horizon=3,
        sensitive_fields={"entity": Sensitivity.HASH},
    )
    model_id = add_model(sessions, contract)
    send(sessions, model_id, poison(entity="a hash"))
    fold_all(sessions, LATE)
    (row,) = aside(sessions, model_id)
    assert row.error == "ValueError in freeze"

    discard(sessions, tmp_path, model_id, Kind.PREDICTIONS, "ann", LATE)

    with read_only(sessions) as session:
        content = session.scalars(select(Quarantine.content)).one()
    assert "a hash" not in str(content)
    assert "1e+200" not in str(content)
    assert content["version"] == "v1"


def test_retention_of_one_model_that_fails_stops_no_other(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    ill, well = add_model(sessions), add_model(sessions, name="well")
    for model_id in (ill, well):
        send(sessions, model_id, prediction(START), prediction(START + 720 * HOUR, 1))
    fold_all(sessions, LATE)
    archive_all(sessions, tmp_path, LATE)
    with unit_of_work(sessions) as session:
        session.get_one(Model, ill).policy_text = '{"keep_rows": "ages"}'
        session.get_one(Model, well).policy = Policy(keep_rows=20 * DAY)

    assert retain_all(sessions, tmp_path, LATE) == 1

    assert [row.stage for row in aside(sessions, ill)] == [Stage.RETENTION]


def test_events_of_one_model_that_cannot_be_read_stop_no_other(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    ill, well = add_model(sessions), add_model(sessions, name="well")
    half = b'{"at": "2026-01-05T00:00:00+00:00", "version": "v1", "rows": [null], "faults": {}}'
    for model_id, payload in ((ill, b"no JSON"), (well, half)):
        with unit_of_work(sessions) as session:
            session.add(
                PendingEvent(
                    model_id=model_id,
                    event_id="e-1",
                    part=Part.RESPONSE,
                    payload=payload,
                    received_at=START,
                )
            )

    assert sweep(sessions, lambda: LATE, timedelta(seconds=1)) == 1

    (row,) = aside(sessions, ill)
    assert (row.stage, row.item) == (Stage.PAIRING, "event e-1")
    moved = discard(sessions, tmp_path, ill, Kind.PREDICTIONS, "ann", LATE)
    assert moved == Discarded(n_batches=1, n_rows=1)
    assert sweep(sessions, lambda: LATE, timedelta(seconds=1)) == 0
    assert aside(sessions, ill) == []


def test_a_stream_set_aside_takes_no_room_from_those_that_go_on(
    sessions: sessionmaker[Session],
) -> None:
    ill, well = add_model(sessions), add_model(sessions, name="well")
    keep(sessions, ill, Kind.PREDICTIONS, table(Kind.PREDICTIONS, [poison()]), START - HOUR)
    fold_all(sessions, LATE)
    send(sessions, well, prediction(START))

    with read_only(sessions) as session:
        waiting = inbox.backlog(session)

    (n_bytes,) = waiting.aside.values()
    assert (waiting.oldest, [*waiting.aside]) == (START, [(ill, Kind.PREDICTIONS)])
    assert full_aside(waiting, 5 * n_bytes) == frozenset()
    assert full_aside(waiting, 3 * n_bytes) == {(ill, Kind.PREDICTIONS)}


@ON_SQLITE
def test_it_is_shown_counted_and_discarded_over_http(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, poison())
    fold_all(sessions, LATE)
    with unit_of_work(sessions) as session:
        token = create_key(session, "k", [Scope.OPERATE, Scope.READ], None, utcnow())
    app = create_app(settings, sessions)
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:
        (stopped,) = client.get("/v1/models/grid").json()["set_aside"]
        assert (stopped["stream"], stopped["stage"], stopped["attempts"]) == (
            "predictions",
            "fold",
            1,
        )
        line = 'seqwatch_streams_set_aside{model="grid",stream="predictions",stage="fold"} 1.0'
        assert line in client.get("/metrics").text
        assert "degraded: 1 stream_set_aside" in client.get("/ready").text

        path = "/v1/models/grid/streams/predictions/discard"
        assert client.post(path).json() == {"stream": "predictions", "batches": 1, "rows": 1}
        assert client.post(path).status_code == 409
        assert client.post("/v1/models/grid/streams/moon/discard").status_code == 422
        assert client.get("/v1/models/grid").json()["set_aside"] == []


@ON_SQLITE
def test_a_batch_of_an_older_version_that_was_discarded_is_a_duplicate(
    sessions: sessionmaker[Session], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        scopes = [Scope.OPERATE, Scope.INGEST, Scope.READ]
        token = create_key(session, "k", scopes, None, utcnow())
    row = {
        "prediction_id": "a",
        "version": "v1",
        "at": START.isoformat(),
        "features": {"load": 1.0, "wind": 1e200},
        "output": {"load": [1.0, 2.0, 3.0]},
    }
    app = create_app(settings, sessions)
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:

        def sent() -> Any:
            named = {"Idempotency-Key": "b-1"}
            return client.post("/v1/models/grid/predictions", json=row, headers=named).json()

        with monkeypatch.context() as older:
            older.setattr("services.ingest.validation.validate_lists.LARGEST", 1e300)
            assert sent()["accepted"] == 1
        later = utcnow() + PATIENCE
        assert fold_all(sessions, later) == 0
        assert len(aside(sessions, model_id)) == 1
        path = "/v1/models/grid/streams/predictions/discard"
        assert client.post(path).json()["rows"] == 1
        again = sent()
        assert (again["accepted"], again["duplicate"]) == (1, True)
        (bad,) = client.get("/v1/models/grid/quarantine").json()["items"]
        named = (bad["batch_id"], bad["row"], bad["field"], bad["reason"])
        assert named == ("b-1", 0, "features.wind", "out_of_range")
        good = row | {"prediction_id": "b", "features": {"load": 1.0, "wind": 2.0}}
        assert client.post("/v1/models/grid/predictions", json=good).json()["accepted"] == 1
    assert fold_all(sessions, utcnow() + PATIENCE) == 1
