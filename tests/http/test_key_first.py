"""No byte of a body is read before the key, or on pages the cookie, is accepted."""

import asyncio
import json
import re
import threading
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker
from starlette.types import ASGIApp, Message

from api.main import ALERTMANAGER, ROUTERS, create_app
from api.server.json_route import MAX_JSON_BYTES, JsonRoute, LargeJsonRoute
from core.settings import Settings
from services.ingest import Feed
from tests.http.conftest import Server, read_answer, serving
from web import findings, lookup, orders, pages, signing
from web.rendering import PageRoute

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

UNKNOWN = f"sw_{'x' * 43}"


@pytest.fixture
def app(settings: Settings, sessions: sessionmaker[Session], token: str) -> Any:
    return create_app(settings, sessions)


def ask(app: ASGIApp, method: str, path: str, **headers: str) -> int:
    """Ask without a body, and fail where one is read."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("x", 80),
        "client": ("192.0.2.1", 1),
        "headers": [
            (name.lower().replace("_", "-").encode(), value.encode())
            for name, value in headers.items()
        ],
    }

    async def serve() -> None:
        await app(scope, receive, send)

    asyncio.run(serve())
    return int(sent[0]["status"])


ROUTES = [
    route
    for part in (*ROUTERS, *ALERTMANAGER, pages, signing, findings, orders, lookup)
    for route in part.router.routes
    if isinstance(route, APIRoute)
]


def asked() -> list[tuple[str, str]]:
    """Return a method and an address for every route."""
    found = [("POST", f"/v1/models/m/{feed}") for feed in Feed] + [("POST", "/v1/kserve")]
    for route in ROUTES:
        path = re.sub(r"{(backtest|finding|rollout)_id}", str(uuid4()), route.path)
        found += [(method, re.sub(r"[{}]", "", path)) for method in route.methods or ()]
    return found


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no key"),
        pytest.param({"Authorization": f"Bearer {UNKNOWN}"}, id="an unknown key"),
        pytest.param({"Authorization": "Bearer x"}, id="what cannot be a key"),
        pytest.param({"Cookie": f"seqwatch_session={'x' * 43}"}, id="an unknown cookie"),
    ],
)
@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x"]
)
def test_no_route_reads_a_body_of_a_stranger(
    app: Any, headers: dict[str, str], content_type: str
) -> None:
    assert len(asked()) > 60
    for method, path in asked():
        if (method, path) != ("POST", "/login"):
            status = ask(
                app, method, path, Content_Type=content_type, Content_Length="9", **headers
            )
            assert status in (200, 303, 401, 404, 405, 422, 503), (method, path)
            if path.startswith(("/v1/", "/api/v2/")):
                assert status == 401, (method, path)


def test_a_sign_in_reads_no_multipart_and_nothing_large(app: Any) -> None:
    multipart = {"Content_Type": "multipart/form-data; boundary=x", "Content_Length": "9"}
    assert ask(app, "POST", "/login", **multipart) == 415
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert ask(app, "POST", "/login", Content_Length="16385", **form) == 413


def test_sign_ins_are_limited_by_address(app: Any) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded", "Content_Length": "16385"}
    statuses = [ask(app, "POST", "/login", **form) for _ in range(40)]
    assert statuses[:30] == [413] * 30
    assert 429 in statuses


def test_every_route_with_a_body_reads_it_within_limits(app: Any) -> None:
    with_body = [route for route in ROUTES if route.body_field]
    assert len(with_body) > 10
    assert {type(route) for route in with_body} == {JsonRoute, LargeJsonRoute, PageRoute}


@pytest.mark.parametrize(
    "path", ["/v1/models/", "/health/", "/login/", "/models/grid/", "/static/", "/static"]
)
def test_a_trailing_slash_is_not_found_and_never_a_redirect(
    app: Any, token: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {token}", "Host": "evil.example"}
    answer = TestClient(app, follow_redirects=False).get(path, headers=headers)
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_a_stalled_json_body_is_given_up(settings: Settings, sessions: Any, token: str) -> None:
    short = settings.model_copy(update={"body_time": timedelta(seconds=0.3)})
    with serving(create_app(short, sessions), short) as server:
        for path, method in {
            "/v1/models/x": "PUT",
            "/v1/models/grid/skew": "POST",
            "/v1/models/grid/predictions": "POST",
        }.items():
            connection = server.connect()
            connection.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{".encode()
            )
            assert read_answer(connection)[0] == 408
            connection.close()


def test_a_json_body_may_have_so_many_bytes(app: Any, token: str) -> None:
    client = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    headers = {"Content-Type": "application/json"}
    for path, most in {
        "/v1/models/x": MAX_JSON_BYTES,
        "/v1/configuration": LargeJsonRoute.max_bytes,
    }.items():
        for n_bytes, status in {most: 400, most + 1: 413}.items():
            answer = client.put(path, content=b"[" * n_bytes, headers=headers)
            assert answer.status_code == status


def test_a_large_json_body_is_read_as_a_small_one_is(app: Any, token: str) -> None:
    client = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    text = "x" * 70_000
    answer = client.put("/v1/models/grid", json={"nonsense": text})
    assert answer.status_code == 422
    assert "nonsense" in answer.json()["detail"]
    broken = client.put(
        "/v1/models/grid",
        content=json.dumps(text)[:-1],
        headers={"Content-Type": "application/json"},
    )
    assert broken.status_code == 400


def test_json_without_a_key_does_not_hold_up_others(server: Server) -> None:
    body = b"[" + b"[]," * 10_000_000 + b"[]]"
    slowest = 0.0

    def attack() -> None:
        for _ in range(3):
            try:
                httpx.put(f"http://127.0.0.1:{server.port}/v1/models/x", content=body)
            except httpx.TransportError:
                continue

    thread = threading.Thread(target=attack)
    thread.start()
    while thread.is_alive():
        started = time.monotonic()
        httpx.get(f"http://127.0.0.1:{server.port}/health", timeout=30)
        slowest = max(slowest, time.monotonic() - started)
    assert slowest < 2.0  # it was 5 s for one of them
