"""A secret sent in every field of every format is found nowhere."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.settings import Settings
from core.window import Window
from db.session import read_only, unit_of_work
from db.tables import MismatchDay, Model, Quarantine
from lake.reading import Log
from services.access.api_keys import create_key
from services.aggregation.fold import PATIENCE, fold_all
from services.models.registry import Registration, register
from services.retention.archive import archive_all
from tests.ingest.test_durability import running
from tests.sensitive.bodies import CONTRACT, SECRET, TRACE, Body, bodies
from tests.sensitive.search import everything_in, everything_stored, found_in

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def token(sessions: sessionmaker[Session]) -> str:
    with unit_of_work(sessions) as session:
        register(session, Registration(name="grid", contract=CONTRACT), utcnow())
        return create_key(session, "sender", ["ingest", "read", "operate"], None, utcnow())


def send(client: httpx.Client | TestClient, body: Body) -> Any:
    headers = body.headers | {"traceparent": f"00-{TRACE}-{'1' * 16}-01"}
    if not body.is_good:
        headers["seqwatch-contract"] = SECRET
    return client.post(f"/v1/models/grid/{body.feed}", content=body.content, headers=headers)


def questions() -> Iterator[str]:
    """Yield what somebody could ask afterwards."""
    yield "/metrics"
    for rest in ("", "/monitors", "/predictions?limit=1000", "/quarantine?limit=1000"):
        yield f"/v1/models/grid{rest}"


def send_and_ask(
    client: httpx.Client | TestClient, some: Iterable[Body], settings: Settings, engine: Engine
) -> Iterator[tuple[str, bytes]]:
    """Yield all that is returned and stored, while rows wait and when they are archived."""
    for body in some:
        answer = send(client, body)
        assert answer.status_code in ((200,) if body.is_good else (200, 400, 422)), answer.text
        yield f"answer to {body.headers}", answer.content
    yield from everything_stored(engine)
    sessions = sessionmaker(engine)
    later = utcnow() + 2 * PATIENCE
    fold_all(sessions, later)
    archive_all(sessions, settings.lake, later)
    for question in questions():
        answer = client.get(question)
        yield question, answer.content + str(answer.headers).encode()
    yield from everything_stored(engine)


def leaks(outputs: Iterable[tuple[str, bytes]]) -> list[tuple[str, list[bytes]]]:
    return [(where, forms) for where, what in outputs if (forms := found_in(what))]


def test_a_secret_in_json_is_stored_and_returned_nowhere(
    settings: Settings,
    sessions: sessionmaker[Session],
    engine: Engine,
    token: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = [body for body in bodies() if body.is_plain_json]
    key = {"Authorization": f"Bearer {token}"}
    with TestClient(create_app(settings, sessions), headers=key) as client:
        outputs = [*send_and_ask(client, plain, settings, engine)]
        found = client.get(f"/v1/models/grid/sessions/{SECRET}-session")
    assert len(plain) > 50
    assert leaks(outputs) == []
    assert leaks([("log", caplog.text.encode())]) == []
    assert found.status_code == 200  # whoever knows the session still finds it

    with read_only(sessions) as session:
        model_id = session.scalars(select(Model.id)).one()
        reasons = {*session.scalars(select(MismatchDay.reason))}
        kept = session.scalars(select(Quarantine.content)).all()
    assert reasons >= {"type", "unknown_field", "missing", "text", "contract", "not_finite"}
    ids = [(row.get("prediction_id"), row.get("version"), row.get("entity")) for row in kept]
    assert ("p-0", "v1", "(masked)") in ids
    rows = Log(settings.lake, model_id).predictions(
        Window(DAY, DAY + timedelta(days=1)), ["features", "session_id", "trace_id", "worker"]
    )
    assert rows is not None
    assert rows.num_rows >= 2  # what fits is kept, without its secrets
    assert set(rows["trace_id"].to_pylist() + rows["worker"].to_pylist()) == {None}
    (name,) = {*rows["session_id"].to_pylist()}
    (features,) = {str(each) for each in rows["features"].to_pylist()}
    assert len(name) == 32
    assert "'income': [30000.0, None]" in features
    assert "pin" not in features
    assert "'name'" not in features


@pytest.mark.slow
def test_a_secret_in_any_format_is_in_no_file_of_a_real_server(
    settings: Settings, sessions: sessionmaker[Session], engine: Engine, token: str
) -> None:
    assert isinstance(settings.lake, Path)
    folder = settings.lake.parent
    with running(settings, log=folder / "server.log") as (address, _):
        key = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=address, headers=key, timeout=30) as client:
            outputs = [*send_and_ask(client, bodies(), settings, engine)]
    assert leaks(outputs) == []
    assert leaks(everything_in(folder)) == []
    assert any(folder.rglob("*.parquet"))
