"""The middleware, driven as an ASGI server drives it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from seqwatch import Monitor, Options
from seqwatch.asgi import App, Message, Receive, Scope, Send, Watch
from seqwatch.request import current, trace_id_of

from tests.client.api import Api

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()
FAST = Options(linger_seconds=0.01, defaults={"version": "v1"})


def _scope(path: str = "/predict", **more: object) -> dict[str, Any]:
    return {"type": "http", "path": path, "headers": [(b"traceparent", TRACEPARENT)], **more}


def _serve(app: App, scope: Scope) -> list[Message]:
    """Run one request; return the messages that reached the server."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(_awaited(app(scope, receive, send)))
    return sent


async def _awaited(done: Awaitable[None]) -> None:
    await done


def _app(serve: Callable[[], None], status: int = 200, *, is_late: bool = False) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not is_late:
            serve()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        if is_late:
            serve()
        await send({"type": "http.response.body", "body": b"2", "more_body": False})

    return app


def _logged(api: Api, run: Callable[[Monitor], None]) -> dict[str, Any]:
    monitor = Monitor(api.url, "k", "load", options=FAST)
    run(monitor)
    assert monitor.flush()
    monitor.close()
    (row,) = (row for seen in api.seen for row in seen.rows)
    return row


@pytest.mark.parametrize(
    ("code", "status"), [(200, "ok"), (422, "ok"), (500, "error"), (504, "timeout")]
)
def test_a_row_learns_trace_status_and_time_from_its_request(
    api: Api, code: int, status: str
) -> None:
    def run(monitor: Monitor) -> None:
        app = Watch(_app(lambda: _log(monitor), code))
        assert len(_serve(app, _scope())) == 3

    row = _logged(api, run)
    assert (row["trace_id"], row["status"]) == (TRACE, status)
    assert row["latency_seconds"] > 0


def test_a_row_waits_for_the_response_to_begin_and_no_longer(api: Api) -> None:
    def run(monitor: Monitor) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            _log(monitor)
            assert monitor.counts().logged == 0
            await send({"type": "http.response.start", "status": 200, "headers": []})
            assert monitor.counts().logged == 1

        _serve(Watch(app), _scope())

    assert _logged(api, run)["status"] == "ok"


def test_a_row_logged_while_the_body_is_streamed_goes_on_at_once(api: Api) -> None:
    row = _logged(api, lambda m: _run(Watch(_app(lambda: _log(m), is_late=True))))
    assert (row["trace_id"], row["status"]) == (TRACE, "ok")


def test_a_status_that_a_row_sets_itself_is_kept(api: Api) -> None:
    row = _logged(api, lambda m: _run(Watch(_app(lambda: _log(m, status="degraded")))))
    assert row["status"] == "degraded"


def test_the_exception_of_a_service_passes_and_its_row_has_status_error(api: Api) -> None:
    def run(monitor: Monitor) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            _log(monitor)
            raise RuntimeError("the host's own")

        with pytest.raises(RuntimeError, match="the host's own"):
            _serve(Watch(app), _scope())

    assert _logged(api, run)["status"] == "error"


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(_scope("/health"), id="another path"),
        pytest.param({"type": "lifespan"}, id="no request"),
    ],
)
def test_what_is_not_watched_is_untouched(api: Api, scope: dict[str, Any]) -> None:
    row = _logged(api, lambda m: _run(Watch(_app(lambda: _log(m)), ["/predict"]), scope))
    assert {"trace_id", "status", "latency_seconds"} & set(row) == set()


def test_messages_reach_the_server_as_the_service_sent_them() -> None:
    plain = _serve(_app(lambda: None), _scope())
    assert _serve(Watch(_app(lambda: None)), _scope()) == plain
    assert current.get() is None


def test_a_thread_of_the_service_belongs_to_the_request(api: Api) -> None:
    def run(monitor: Monitor) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.to_thread(_log, monitor)
            await send({"type": "http.response.start", "status": 200, "headers": []})

        _serve(Watch(app), _scope())

    assert _logged(api, run)["trace_id"] == TRACE


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        pytest.param(TRACEPARENT.decode(), TRACE, id="a traceparent"),
        pytest.param(f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE, id="of a later version"),
        pytest.param(f"ff-{TRACE}-00f067aa0ba902b7-01", None, id="of the forbidden version"),
        pytest.param(f"00-{'0' * 32}-00f067aa0ba902b7-01", None, id="without a trace"),
        pytest.param(f"{TRACEPARENT.decode()}-more", None, id="longer than its version is"),
        pytest.param("nonsense", None, id="of another kind"),
        pytest.param(None, None, id="none"),
    ],
)
def test_a_traceparent_is_read_as_the_standard_defines_it(
    header: str | None, trace_id: str | None
) -> None:
    assert trace_id_of(header) == trace_id


def _log(monitor: Monitor, **fields: object) -> None:
    monitor.log(features={"load": [1.0]}, **fields)


def _run(app: App, scope: dict[str, Any] | None = None) -> None:
    _serve(app, scope or _scope())
