"""Texts that UTF-8 or a database cannot hold are refused, wherever they stand."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from api.server.json_route import parsed
from core.settings import Settings

LITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@LITE
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(r'{"description": "a\ud800b"}', id="half a pair in a value"),
        pytest.param(r'{"a": [{"\udc00": 1}]}', id="half a pair in a name"),
        pytest.param(r'["\u0000"]', id="NUL"),
        pytest.param(r'["' + "x" * 70_000 + r'\u0000"]', id="NUL in a large body"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models/grid", "/v1/models/grid/versions/v1"])
def test_a_text_that_cannot_be_stored_is_refused(
    settings: Settings, sessions: sessionmaker[Session], token: str, path: str, body: str
) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = TestClient(create_app(settings, sessions)).put(path, content=body, headers=headers)
    assert answer.status_code == 400
    assert "NUL or half a surrogate pair" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(rb'"\ud83d\ude00"', "\U0001f600", id="a whole pair"),
        pytest.param(rb'"\\u0000 \\ud800"', r"\u0000 \ud800", id="escaped backslashes"),
    ],
)
def test_other_escapes_are_read(body: bytes, value: Any) -> None:
    assert parsed(body) == value
