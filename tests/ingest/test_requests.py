from collections.abc import Iterator
from concurrent.futures import Future
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.errors import BatchMismatch, Busy, Malformed, NotFound
from core.settings import Settings
from core.terms import Terms
from db.session import read_only, unit_of_work
from db.tables import Inbox, Model, Receipt
from services.access.api_keys import create_key
from services.access.capacity import BacklogLimit
from services.ingest import Accepted, Batch, Committer, Feed, Format
from tests.ingest.conftest import CONTRACT, PREDICTIONS, Stored, answered, as_json, prediction
from tests.problems import error_of

TERMS = Terms(contract=CONTRACT)


def test_the_same_batch_again_changes_nothing_and_is_reported_as_duplicate(
    client: TestClient, stored: Stored
) -> None:
    batch = {"batch_id": "b-1", "rows": [prediction()]}
    assert client.post(PREDICTIONS, json=batch).json()["duplicate"] is False
    again = client.post(PREDICTIONS, json=batch)
    assert again.status_code == 200
    assert again.json() == answered(1, duplicate=True)
    assert len(stored()) == 1


def test_the_same_id_with_other_content_is_refused(client: TestClient, stored: Stored) -> None:
    key = {"Idempotency-Key": "b-1"}
    client.post(PREDICTIONS, json=prediction(), headers=key)
    other = client.post(PREDICTIONS, json=prediction(prediction_id="p-2"), headers=key)
    assert other.status_code == 409
    assert error_of(other) == "BatchMismatch"
    assert len(stored()) == 1


def test_without_an_id_the_body_names_the_batch(client: TestClient) -> None:
    assert client.post(PREDICTIONS, json=prediction()).json()["duplicate"] is False
    assert client.post(PREDICTIONS, json=prediction()).json()["duplicate"] is True


def test_an_id_in_the_body_goes_before_the_header(
    client: TestClient, sessions: sessionmaker[Session]
) -> None:
    batch = {"batch_id": "inside", "rows": [prediction()]}
    client.post(PREDICTIONS, json=batch, headers={"Idempotency-Key": "outside"})
    with read_only(sessions) as session:
        assert session.scalars(select(Receipt.batch_id)).one() == "inside"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        pytest.param({"Content-Type": "text/csv"}, 415, "UnsupportedFormat", id="CSV"),
        pytest.param({"Content-Type": ""}, 415, "UnsupportedFormat", id="no content type"),
        pytest.param({"Content-Encoding": "br"}, 415, "UnsupportedFormat", id="Brotli"),
        pytest.param({"Content-Encoding": "gzip, zstd"}, 415, "UnsupportedFormat", id="twice"),
        pytest.param({"Content-Encoding": "gzip"}, 400, "Malformed", id="not gzip at all"),
        pytest.param({"Content-Encoding": "zstd"}, 400, "Malformed", id="not zstd at all"),
        pytest.param(
            {"Content-Length": "65537"},
            413,
            "TooLarge",
            id="a declared length that is too long",
        ),
        pytest.param({"Authorization": ""}, 401, "Unauthorized", id="no key"),
        pytest.param({"Authorization": "Bearer sw_x"}, 401, "Unauthorized", id="unknown key"),
        pytest.param({"Idempotency-Key": "x" * 201}, 422, "Unprocessable", id="endless id"),
    ],
)
def test_a_request_is_refused_by_its_headers(
    client: TestClient, stored: Stored, headers: dict[str, str], status: int, error: str
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    answer = client.post(PREDICTIONS, content=as_json(prediction()), headers=sent)
    assert answer.status_code == status
    assert error_of(answer) == error
    assert stored() == []


def test_a_body_without_length_is_counted_as_it_comes(
    client: TestClient, stored: Stored
) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b" " * 1000] * 66

    headers = {"Content-Type": "application/json"}
    answer = client.post(PREDICTIONS, content=chunks(), headers=headers)
    assert answer.status_code == 413
    assert stored() == []


def test_an_unknown_model_is_not_found(client: TestClient) -> None:
    answer = client.post("/v1/models/nobody/predictions", json=prediction())
    assert answer.status_code == 404


def test_only_ingest_keys_may_send(
    client: TestClient, sessions: sessionmaker[Session], stored: Stored
) -> None:
    with unit_of_work(sessions) as session:
        other = Model(name="other", contract=CONTRACT, created_at=utcnow())
        session.add(other)
        session.flush()
        tokens = [
            create_key(session, "reader", ["read"], None, utcnow()),
            create_key(session, "sender of another", ["ingest"], other.id, utcnow()),
        ]
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}"}
        assert client.post(PREDICTIONS, json=prediction(), headers=headers).status_code == 403
    assert stored() == []


def test_the_description_names_the_three_ways_in(
    client: TestClient, settings: Settings
) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {f"/v1/models/{{model}}/{feed}" for feed in Feed} <= paths.keys()


class Sender:
    """Submits before the committer runs, so that all land in one group."""

    def __init__(
        self, sessions: sessionmaker[Session], model: str, max_backlog_bytes: int = 10**9
    ) -> None:
        self.committer = Committer(
            sessions, max_rows=100, backlog_limit=BacklogLimit(max_backlog_bytes)
        )
        with read_only(sessions) as session:
            self.model_id = session.scalars(select(Model.id).where(Model.name == model)).one()
        self.answers: list[Future[Accepted]] = []

    def submit(self, body: bytes, **changes: object) -> None:
        batch = {
            "model_id": self.model_id,
            "model": "grid",
            "terms": TERMS,
            "feed": Feed.PREDICTIONS,
            "format": Format.JSON,
            "body": body,
            **changes,
        }
        self.answers.append(self.committer.submit(Batch(**batch)))  # type: ignore[arg-type]

    def run(self) -> list[Accepted | BaseException]:
        self.committer.start()
        self.committer.stop()
        return [answer.exception(timeout=10) or answer.result() for answer in self.answers]


def batch_of(batch_id: str, *ids: str) -> bytes:
    rows = [prediction(prediction_id=each) for each in ids]
    return as_json({"batch_id": batch_id, "rows": rows})


def test_batches_of_one_group_are_distinguished(
    sessions: sessionmaker[Session], model: str, stored: Stored
) -> None:
    sender = Sender(sessions, model)
    sender.submit(batch_of("a", "p-1", "p-2"))
    sender.submit(batch_of("a", "p-1", "p-2"))
    sender.submit(batch_of("a", "p-3"))
    sender.submit(b"{")
    sender.submit(batch_of("b", "p-4", ""))
    first, same, other, broken, partial = sender.run()
    assert first == Accepted(n_accepted=2, n_quarantined=0)
    assert same == Accepted(n_accepted=2, n_quarantined=0, is_duplicate=True)
    assert isinstance(other, BatchMismatch)
    assert isinstance(broken, Malformed)
    assert isinstance(partial, Accepted)
    assert (partial.n_accepted, partial.n_quarantined) == (1, 1)
    assert [row["prediction_id"] for row in stored()] == ["p-1", "p-2", "p-4"]


def test_a_group_is_one_entry_of_the_inbox(sessions: sessionmaker[Session], model: str) -> None:
    sender = Sender(sessions, model)
    for i in range(50):
        sender.submit(batch_of(f"b-{i}", f"p-{i}"))
    sender.run()
    with read_only(sessions) as session:
        assert session.scalars(select(Inbox.n_rows)).all() == [50]


def test_one_batch_that_the_database_refuses_does_not_harm_the_others(
    sessions: sessionmaker[Session], model: str, stored: Stored
) -> None:
    sender = Sender(sessions, model)
    sender.submit(batch_of("a", "p-1"))
    sender.submit(batch_of("b", "p-2"), model_id=uuid4(), model="gone")
    sender.submit(batch_of("c", "p-3"))
    first, gone, last = sender.run()
    assert isinstance(gone, NotFound)
    assert isinstance(first, Accepted)
    assert isinstance(last, Accepted)
    assert [row["prediction_id"] for row in stored()] == ["p-1", "p-3"]


def test_nothing_more_is_taken_while_the_archive_is_far_behind(
    sessions: sessionmaker[Session], model: str
) -> None:
    sender = Sender(sessions, model, max_backlog_bytes=1)
    sender.committer.start()
    try:
        sender.submit(batch_of("a", "p-1"))
        sender.answers[0].result(timeout=10)
        sender.committer.read_backlog()
        with pytest.raises(Busy, match="archive"):
            sender.submit(batch_of("b", "p-2"))
        with unit_of_work(sessions) as session:
            session.execute(delete(Inbox))
        sender.committer.read_backlog()
        sender.submit(batch_of("b", "p-2"))
    finally:
        sender.committer.stop()


def test_a_closed_committer_takes_nothing(sessions: sessionmaker[Session], model: str) -> None:
    sender = Sender(sessions, model)
    sender.run()
    with pytest.raises(Busy, match="shutting down"):
        sender.submit(batch_of("a", "p-1"))
