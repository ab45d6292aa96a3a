"""The service as it runs, with an API that is real HTTP, and weights that are one number."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from examples.forecaster.app import ServiceSettings
from tests.forecaster.registry import VALUES, Registry, Start, ask, item


def test_a_step_is_forecast_and_logged(registry: Registry, start: Start) -> None:
    registry.publish(v1=b"100")
    with start() as service:
        (answer,) = ask(service, item())
        ask(service, item(step_index=1, end=True))
        assert service.get("/health").json()["versions"] == ["v1"]
    assert answer["output"] == {"load": [106.0] * 3, "oil": [160.0] * 3}
    rows = registry.logged()
    assert list(rows) == ["s:0:v1", "s:1:v1"]
    first, last = rows.values()
    assert first["features"] == VALUES
    assert first["output"] == answer["output"]
    assert first["status"] == "ok"
    assert (first["session_start"], first["session_end"]) == (True, False)
    assert (last["session_start"], last["session_end"]) == (False, True)
    assert (first["shadow"], first["cold_start"], last["cold_start"]) == (False, True, False)
    assert first["latency_seconds"] > 0


def test_every_session_is_scored_by_the_other_version_too(
    registry: Registry, start: Start
) -> None:
    registry.publish(v1=b"100", v2=b"200", share_bp=5000, is_shadowed=True)
    names = [f"s-{i}" for i in range(20)]
    with start() as service:
        answers = ask(service, *(item(name) for name in names))
    served = {one["session_id"]: one["version"] for one in answers}
    assert set(served.values()) == {"v1", "v2"}
    rows = registry.logged()
    assert len(rows) == 40
    for name in names:
        other = {"v1": "v2", "v2": "v1"}[served[name]]
        assert rows[f"{name}:0:{served[name]}"]["shadow"] is False
        assert rows[f"{name}:0:{other}:shadow"]["shadow"] is True
        assert rows[f"{name}:0:{other}:shadow"]["version"] == other


def test_a_session_stays_with_the_version_that_began_it(
    registry: Registry, start: Start
) -> None:
    registry.publish(v1=b"100", v2=b"200", share_bp=0)
    with start() as service:
        ask(service, item())
        registry.publish(v1=b"100", v2=b"200", share_bp=10_000)
        _refresh(service)
        pinned, new = ask(service, item(step_index=1), item("t"))
    assert (pinned["version"], new["version"]) == ("v1", "v2")


def test_after_a_roll_back_its_sessions_go_on_with_the_champion(
    registry: Registry, start: Start
) -> None:
    registry.publish(v1=b"100", v2=b"200", share_bp=10_000)
    with start() as service:
        assert ask(service, item())[0]["version"] == "v2"
        registry.publish(v1=b"100")
        _refresh(service)
        (answer,) = ask(service, item(step_index=1, values={"load": [7.0], "oil": [70.0]}))
    assert answer["version"] == "v1"
    assert answer["output"]["load"][0] == 107.0


@pytest.mark.parametrize(
    "challenger",
    [
        pytest.param(b"-1", id="it breaks down when asked"),
        pytest.param(b"\x80pickle", id="it is no weights"),
        pytest.param(b"nan", id="it predicts what is not a number"),
    ],
)
def test_a_challenger_that_fails_is_replaced_and_its_failure_logged(
    registry: Registry, start: Start, challenger: bytes
) -> None:
    registry.publish(v1=b"100", v2=challenger, share_bp=10_000, is_shadowed=True)
    with start() as service:
        (answer,) = ask(service, item())
    assert answer["version"] == "v1"
    assert answer["output"]["load"][0] == 106.0
    rows = registry.logged()
    assert {name: row["status"] for name, row in rows.items()} == {
        "s:0:v2": "error",
        "s:0:v1": "degraded",
    }
    assert "output" not in rows["s:0:v2"]


def test_a_shadow_that_fails_is_logged_and_not_felt(registry: Registry, start: Start) -> None:
    registry.publish(v1=b"100", v2=b"-1", share_bp=0, is_shadowed=True)
    with start() as service:
        (answer,) = ask(service, item())
    assert answer["version"] == "v1"
    statuses = {name: row["status"] for name, row in registry.logged().items()}
    assert statuses == {"s:0:v1": "ok", "s:0:v2:shadow": "error"}


def test_a_champion_that_fails_is_an_error_that_is_logged(
    registry: Registry, start: Start
) -> None:
    registry.publish(v1=b"-1")
    with start() as service:
        response = service.post("/sessions/steps", json={"items": [item()]})
        assert response.status_code == 500
        assert response.json()["error"] == "VersionFailed"
    assert registry.logged()["s:0:v1"]["status"] == "error"


def test_after_a_restart_lost_sessions_are_named_and_can_be_given_back(
    registry: Registry, start: Start
) -> None:
    registry.publish(v1=b"100")
    with start() as service:
        before = ask(service, item())
    with start() as service:
        response = service.post(
            "/sessions/steps", json={"items": [item(step_index=1), item("t")]}
        )
        assert response.status_code == 409
        assert response.json()["error"] == "UnknownSession"
        assert response.json()["sessions"] == ["s"]
        again = ask(service, item())
    assert again == before


def test_a_request_that_is_sent_again_is_logged_under_the_same_ids(
    registry: Registry, start: Start
) -> None:
    registry.publish(v1=b"100")
    with start() as service:
        assert ask(service, item()) == ask(service, item())
    assert [row["prediction_id"] for rows in registry.kept.values() for row in rows] == [
        "s:0:v1"
    ] * 2


def test_the_service_goes_on_and_restarts_without_seqwatch(
    registry: Registry, start: Start
) -> None:
    registry.publish(v1=b"100")
    with start() as service:
        registry.stop()
        ask(service, item())
    with start() as service:
        ask(service, item("t"))
        registry.start()
        assert service.get("/health").json()["ready"]
    assert set(registry.logged()) == {"s:0:v1", "t:0:v1"}


def test_what_seqwatch_confirms_is_written_down(
    registry: Registry, start: Start, tmp_path: Path
) -> None:
    registry.publish(v1=b"100")
    with start() as service:
        ask(service, item("s"), item("t"))
    written = (tmp_path / "acknowledged").read_text().splitlines()
    assert written == list(registry.logged()) == ["s:0:v1", "t:0:v1"]


def test_without_any_version_the_service_reports_that_it_is_not_ready(start: Start) -> None:
    with start() as service:
        assert service.get("/health").status_code == 503
        response = service.post("/sessions/steps", json={"items": [item()]})
        assert response.status_code == 503
        assert response.json()["error"] == "Busy"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"start": False}, "belong together", id="context without start"),
        pytest.param({"context": None}, "belong together", id="start without context"),
        pytest.param(
            {"values": {"load": [1.0]}}, "exactly load, oil", id="a channel is missing"
        ),
        pytest.param(
            {"values": {"load": [1.0], "oil": []}}, "equal length", id="channels differ"
        ),
        pytest.param({"values": {"load": [], "oil": []}}, "empty", id="no values"),
        pytest.param(
            {"context": {"load": [1.0], "oil": [1.0]}}, "are needed", id="short context"
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    registry: Registry, start: Start, fields: dict[str, object], reason: str
) -> None:
    registry.publish(v1=b"100")
    with start() as service:
        response = service.post("/sessions/steps", json={"items": [item() | fields]})
    assert response.status_code == 422
    assert reason in response.json()["detail"]
    assert not registry.kept


def _refresh(service: TestClient) -> None:
    """Make the service read the routing now, instead of waiting for its next read."""
    app: Any = service.app
    assert app.state.router.refresh()


def test_the_readme_names_every_setting_and_every_module() -> None:
    folder = Path(__file__).parents[2] / "examples" / "forecaster"
    text = (folder / "README.md").read_text()
    settings = [f"`FORECASTER_{name.upper()}`" for name in ServiceSettings.model_fields]
    modules = [f"`{path.name}`" for path in folder.glob("[!_]*.py")]
    assert [name for name in settings + modules if name not in text] == []
