"""A channel from another distribution works from its registration to its delivery."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip
from cli.main import main
from core.clock import utcnow
from core.errors import Unprocessable
from core.plugins import Loaded
from monitors.registry import NoParams
from notify import channel
from notify.channel import CHANNELS, ChannelKind, Delivered, Group, Retry
from notify.sender import Sender
from services.alerting.deliver import deliver_all
from tests.api.conftest import Clients, app, as_key, stranger
from tests.notify.conftest import receiver, sender
from tests.notify.receiver import Receiver
from tests.notify.test_deliver import RecordFlip, add_channel, outbox, record_flip
from tests.plugins.conftest import uninstalled

__all__ = ["app", "as_key", "receiver", "record_flip", "sender", "stranger"]  # fixtures

BODY = b'{"type":"channel.test","timestamp":"2026-01-08T00:00:00Z","data":{"url":"/"}}'
# A configuration of each kind, whose receiver is not there.
CONFIGS: dict[str, dict[str, Any]] = {
    "alertmanager": {"url": "http://127.0.0.1:1", "token": "0451-secret"},
    "apprise": {"url": "json://127.0.0.1:1/0451-secret"},
    "email": {
        "host": "127.0.0.1",
        "port": 1,
        "username": "me",
        "password": "0451-secret",
        "sender": "seqwatch@example.com",
        "to": ["on-call@example.com"],
    },
    "jira_service_management": {"url": "http://127.0.0.1:1", "api_key": "0451-secret"},
    "pagerduty": {"url": "http://127.0.0.1:1", "routing_key": "0451secret"},
    "slack": {"url": "http://127.0.0.1:1/0451-secret"},
    "teams": {"url": "http://127.0.0.1:1/0451-secret"},
    "webhook": {"url": "http://127.0.0.1:1/"},
    "file": {"path": "/no/such/folder/file"},
}


@pytest.fixture
def admin(as_key: Clients) -> TestClient:
    return as_key("admin")


@pytest.mark.usefixtures("plugins")
def test_every_kind_is_under_contract() -> None:
    assert set(CHANNELS.names()) == set(CONFIGS)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_is_checked_and_survives_json(name: str) -> None:
    kind = CHANNELS.find(name)
    stored = kind.stored(CONFIGS[name])
    assert kind.stored(json.loads(json.dumps(stored))) == stored
    with pytest.raises(Unprocessable, match="no nonsense; known: "):
        kind.stored({**CONFIGS[name], "nonsense": 1})
    with pytest.raises(Unprocessable):
        kind.stored({})
    with pytest.raises(Unprocessable):
        kind.stored(dict.fromkeys(CONFIGS[name], 1))
    assert {*kind.secrets} <= {*stored}
    shown = repr(kind.parsed(stored))
    assert [one for one in kind.secrets if stored[one] and stored[one] in shown] == []


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_returns_why_an_attempt_failed(
    name: str, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    group = Group(id="1", at=utcnow(), bodies=(BODY,))
    config = CHANNELS.find(name).stored(CONFIGS[name])
    sent = channel.send(name, config, group, sender)
    assert isinstance(sent, Retry)
    assert sent.error
    assert "\n" not in sent.error
    assert "0451" not in sent.error
    assert "0451" not in caplog.text


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        pytest.param(None, "None is neither Delivered", id="nothing"),
        pytest.param(Delivered(status="x"), "Expected `int", id="a text"),  # type: ignore[arg-type]
        pytest.param(
            Retry(error="busy", after="soon"),  # type: ignore[arg-type]
            "Invalid ISO8601 duration",
            id="no duration",
        ),
    ],
)
def test_what_is_no_result_is_a_failed_attempt(
    returned: Any, why: str, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = ChannelKind(name="bad", question="?", config=NoParams, send=lambda *_: returned)
    monkeypatch.setitem(CHANNELS.__dict__, "_loaded", Loaded(plugins={"bad": kind}))
    sent = channel.send("bad", {}, Group(id="1", at=utcnow(), bodies=(BODY,)), sender)
    assert isinstance(sent, Retry)
    assert why in sent.error


@pytest.mark.usefixtures("plugins")
def test_an_alert_is_delivered_through_a_plug_in(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    admin: TestClient,
    sender: Sender,
    tmp_path: Path,
) -> None:
    path = tmp_path / "alerts.jsonl"
    body = {"kind": "file", "config": {"path": str(path)}, "severities": ["page"]}
    made = admin.put("/v1/channels/diary", json=body)
    assert made.status_code == 201, made.text
    assert {"kind": "file", "config": {"path": str(path)}}.items() <= made.json().items()
    assert (made.json()["url"], made.json()["secret"]) == (None, None)
    assert admin.post("/v1/channels/diary/test").json()["error"] is None
    record_flip(Flip.FIRED)
    record_flip(Flip.RESOLVED)
    assert deliver_all(sessions, sender, utcnow) == 2
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    types = ["channel.test", "alert.firing", "alert.resolved"]
    assert [line["type"] for line in lines] == types
    assert lines[1]["data"]["url"] == "https://watch.example/models/grid"
    assert all(row.delivered for row in outbox(sessions))


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param({"kind": "fax"}, "no kind of channel 'fax'; known: ", id="kind"),
        pytest.param({"kind": "file"}, "path", id="nothing"),
        pytest.param({"kind": "file", "config": {"path": "x"}}, "absolute", id="value"),
        pytest.param({"kind": "file", "config": {"path": 1}}, "str", id="type"),
        pytest.param({"kind": "file", "url": "https://x"}, "no url; known: path", id="field"),
    ],
)
def test_a_configuration_that_is_none_is_refused(
    admin: TestClient, body: dict[str, Any], why: str
) -> None:
    answer = admin.put("/v1/channels/diary", json=body)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_secret_is_kept_until_the_kind_changes(admin: TestClient, tmp_path: Path) -> None:
    path, url = "/v1/channels/on-call", "https://hooks.example/x"
    first = admin.put(path, json={"config": {"url": url}})
    assert first.json()["secret"].startswith("whsec_")
    tag = first.headers["ETag"]
    again = admin.put(path, json={"url": url})
    assert (again.headers["ETag"], again.json()["secret"]) == (tag, None)
    assert admin.get(path).json()["config"] == {"url": url, "format": "standard"}
    admin.put(path, json={"kind": "file", "config": {"path": str(tmp_path / "x")}})
    back = admin.put(path, json={"url": url})
    assert (back.status_code, back.json()["secret"][:6]) == (200, "whsec_")
    assert back.headers["ETag"] != tag


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_that_was_uninstalled_is_retried_and_stops_no_other(
    sessions: sessionmaker[Session],
    plugins: None,
    site: Path,
    record_flip: RecordFlip,
    admin: TestClient,
    sender: Sender,
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    path = tmp_path / "alerts.jsonl"
    admin.put("/v1/channels/diary", json={"kind": "file", "config": {"path": str(path)}})
    now = utcnow()
    add_channel(sessions, "on-call", receiver.url, now, "page")
    record_flip(Flip.FIRED)
    with uninstalled(site):
        assert deliver_all(sessions, sender, lambda: now) == 2
        assert receiver.types == ["alert.firing"]
        [waiting] = [row for row in outbox(sessions) if not row.delivered]
        assert str(waiting.last_error).startswith("no kind of channel 'file'; known: ")
        assert admin.get("/v1/channels/diary").json()["config"] == {}
        tried = admin.post("/v1/channels/diary/test").json()
        assert tried["error"] == waiting.last_error
    assert deliver_all(sessions, sender, lambda: now + timedelta(minutes=1)) == 1
    assert path.read_bytes().count(b"\n") == 1


@pytest.mark.usefixtures("plugins")
def test_broken_and_clashing_plug_ins_are_listed_and_stop_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plugins"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "file Appends JSON lines to a file." in printed
    assert "pager UNAVAILABLE: broken-channel: ModuleNotFoundError" in printed
    assert "webhook (another-webhook) UNAVAILABLE: the name 'webhook' is in use" in printed
    with pytest.raises(Unprocessable, match="'pager' is unavailable"):
        CHANNELS.find("pager")
