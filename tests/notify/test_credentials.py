"""Configurations of channels are encrypted where there is a key, in both databases."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet
from fastapi.testclient import TestClient
from pydantic import ValidationError
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.settings import Settings
from db.encrypted import UNREADABLE
from db.session import connect, unit_of_work
from db.tables import Scope
from services.access.api_keys import create_key
from services.alerting.deliver import deliver_all
from tests.notify.receiver import Receiver
from tests.notify.test_deliver import add_channel, outbox
from tests.notify.test_slow_channels import queue

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

WithKeys = Callable[..., sessionmaker[Session]]


@pytest.fixture
def with_keys(sessions: sessionmaker[Session], database_url: str) -> Iterator[WithKeys]:
    """Return sessions of a process with these keys, on one database; `sessions` has none."""
    engines: list[Engine] = []

    def connected(*keys: str) -> sessionmaker[Session]:
        engines.append(connect(database_url, keys))
        return sessionmaker(engines[-1], expire_on_commit=False)

    yield connected
    for engine in engines:
        engine.dispose()


@pytest.fixture
def key(sessions: sessionmaker[Session], now: datetime) -> str:
    with unit_of_work(sessions) as session:
        return create_key(session, "admin", {Scope.ADMIN}, None, now)


def api(settings: Settings, sessions: sessionmaker[Session], key: str) -> TestClient:
    headers = {"Authorization": f"Bearer {key}"}
    return TestClient(create_app(settings, sessions), headers=headers)


def stored(sessions: sessionmaker[Session]) -> str:
    with sessions() as session:
        return str(session.execute(text("SELECT config FROM channel")).scalar_one())


def put(client: TestClient, **config: Any) -> Any:
    url = "https://hooks.example/0451"
    answer = client.put("/v1/channels/on-call", json={"config": {"url": url, **config}})
    assert answer.status_code in (200, 201), answer.text
    return answer


def test_with_a_key_nothing_of_a_configuration_is_readable_in_the_database(
    settings: Settings, sessions: sessionmaker[Session], with_keys: WithKeys, key: str
) -> None:
    client = api(settings, with_keys(NEW), key)
    tag = put(client, secret=SECRET).headers["ETag"]
    assert "fernet" in stored(sessions)
    assert SECRET not in stored(sessions)
    assert "0451" not in stored(sessions)
    answer = client.get("/v1/channels/on-call")
    assert answer.json()["config"]["url"] == "https://hooks.example/0451"
    assert answer.headers["ETag"] == tag
    assert put(client).headers["ETag"] == tag, "the secret was kept"


def test_without_a_key_it_is_stored_as_before(
    settings: Settings, sessions: sessionmaker[Session], key: str
) -> None:
    put(api(settings, sessions, key), secret=SECRET)
    assert SECRET in stored(sessions)


def test_what_was_stored_without_a_key_stays_readable_and_is_encrypted_when_written(
    settings: Settings, sessions: sessionmaker[Session], with_keys: WithKeys, key: str
) -> None:
    tag = put(api(settings, sessions, key), secret=SECRET).headers["ETag"]
    client = api(settings, with_keys(NEW), key)
    assert client.get("/v1/channels/on-call").headers["ETag"] == tag
    assert SECRET in stored(sessions)
    assert put(client).headers["ETag"] == tag
    assert SECRET not in stored(sessions)


def test_a_new_key_before_the_old_one_is_a_rotation(
    settings: Settings, sessions: sessionmaker[Session], with_keys: WithKeys, key: str
) -> None:
    tag = put(api(settings, with_keys(OLD), key), secret=SECRET).headers["ETag"]
    during = api(settings, with_keys(NEW, OLD), key)
    assert during.get("/v1/channels/on-call").headers["ETag"] == tag
    assert put(during).headers["ETag"] == tag
    after = api(settings, with_keys(NEW), key)
    assert after.get("/v1/channels/on-call").headers["ETag"] == tag


def test_a_channel_that_no_key_decrypts_stops_no_other_and_is_repaired_by_a_put(
    settings: Settings,
    sessions: sessionmaker[Session],
    with_keys: WithKeys,
    key: str,
    receiver: Receiver,
    sender: Any,
    now: datetime,
) -> None:
    put(api(settings, with_keys(OLD), key), secret=SECRET)
    add_channel(sessions, "other", receiver.url, now, "page")
    for name in ("on-call", "other"):
        queue(sessions, name, 1, now)
    lost = with_keys(OTHER)
    assert deliver_all(lost, sender, lambda: now) == 2
    assert len(receiver.received) == 1
    [waiting] = [row for row in outbox(sessions) if not row.delivered]
    assert "no key in SEQWATCH_CREDENTIALS_KEY decrypts it" in str(waiting.last_error)
    client = api(settings, lost, key)
    assert client.get("/v1/channels/on-call").json()["config"] == {UNREADABLE: True}
    assert "no key" in client.post("/v1/channels/on-call/test").json()["error"]
    made = put(client)
    assert made.json()["secret"].startswith("whsec_"), "another one, as the old one is lost"
    assert client.get("/v1/channels/on-call").json()["config"]["url"].endswith("/0451")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_answer_log_or_audit_entry_shows_a_secret(
    settings: Settings,
    sessions: sessionmaker[Session],
    with_keys: WithKeys,
    key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    given: dict[str, dict[str, Any]] = {
        "slack": {"url": "https://hooks.slack.com/services/0451"},
        "email": {
            "host": "mail.example",
            "username": "me",
            "password": "0451",
            "sender": "a@b.example",
            "to": ["c@d.example"],
        },
        "pagerduty": {"routing_key": "0451"},
        "jira_service_management": {"api_key": "0451"},
        "apprise": {"url": "tgram://0451/1"},
    }
    client = api(settings, with_keys(NEW), key)
    shown = []
    with caplog.at_level(logging.DEBUG):
        for kind, config in given.items():
            path = f"/v1/channels/{kind}"
            shown.append(client.put(path, json={"kind": kind, "config": config}).text)
            shown.append(client.get(path).text)
            shown.append(
                client.put(path, json={"kind": kind, "config": {**config, "x": 1}}).text
            )
            shown.append(client.delete(path).text)
        for path in ("/v1/channels", "/v1/configuration"):
            answer = client.get(path)
            assert answer.status_code == 200, path
            shown.append(answer.text)
    with sessions() as session:
        audit = [*session.execute(text("SELECT * FROM audit_event"))]
    assert len(audit) >= 2 * len(given)
    assert "0451" not in str(audit)
    assert "0451" not in "".join(shown)
    assert "0451" not in caplog.text


@pytest.mark.parametrize(
    "keys",
    ["short", "c2hvcnQ=", f"{NEW} nonsense", "ü" * 44],
    ids=["short", "too few bytes", "one of two", "not ASCII"],
)
def test_what_is_no_key_is_refused_at_the_start_without_being_shown(keys: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(credentials_key=keys)
    [fault] = refused.value.errors(include_input=False)
    assert fault["msg"].endswith("is not 32 bytes in URL-safe base64")


def test_keys_come_from_a_file_one_a_line(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").write_text(f"{NEW}\n{OLD}\n")
    monkeypatch.setenv("SEQWATCH_CREDENTIALS_KEY_FILE", str(tmp_path / "keys"))
    assert Settings().credentials_key == (NEW, OLD)
