"""Notifications as they are stored, and the schemas of what vendors accept."""

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from alerts.message import Type, absolute, compose
from notify.channel import Group
from tests.architecture.source import ROOT

AT = datetime(2026, 1, 8, 6, 0, 4, tzinfo=UTC)
CAUSE = "HULL scaled by 1.80 since 2026-01-05T05:00Z"
DATA: dict[str, Any] = {
    "model": "load",
    "monitor": "input_fault",
    "kind": "input_fault",
    "severity": "page",
    "cause": CAUSE,
    "reason": "breached",
    "version": "v1",
    "value": 1.8,
    "threshold": 1.15,
    "since": "2026-01-08T00:00:00Z",
    "runbook_url": "https://wiki.example/load",
    "finding_url": "/findings/50f92c89-7e58-4e99-96b0-b71330fa84c3",
}
ROLLOUT = {
    "model": "load",
    "rollout": "6c1f3c1e-0000-4000-8000-000000000000",
    "phase": "promoted",
    "event": "promote",
    "severity": "ticket",
    "cause": "better on 1,096 sessions",
    "champion": "v1",
    "challenger": "v2",
    "since": "2026-01-08T00:00:00Z",
}
GROUPED = DATA | {
    "group_key": '{}:{alertname="input_fault"}',
    "alerts": [
        {
            "fingerprint": f"{number:016x}",
            "labels": {"alertname": "input_fault", "model": model, "empty": ""},
            "annotations": {"summary": "scaled"},
            "starts_at": "2026-01-08T00:00:00Z",
            "ends_at": None if model == "load" else "2026-01-08T05:00:00Z",
        }
        for number, model in enumerate(("load", "wind"))
    ],
}


def group(kind: Type | str = Type.ALERT_FIRING, /, at: datetime = AT, **changed: Any) -> Group:
    """Return the group of one notification, of an alert unless it is of another type."""
    is_rollout = kind.startswith("rollout")
    body = compose(
        Type.CHANNEL_TEST, AT, "/models/load", (ROLLOUT if is_rollout else DATA) | changed
    )
    body = json.dumps(json.loads(body) | {"type": str(kind)}).encode()
    return Group(id="0e9c1b4e", at=at, bodies=(absolute(body, "https://watch.example"),))


@cache
def _schema(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / "tests" / "schemas" / f"{name}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def accepted(name: str, content: Any) -> Any:
    """Return a body, if a schema accepts it; else the test fails with the reasons."""
    assert [error.message for error in _schema(name).iter_errors(content)] == []
    return content
