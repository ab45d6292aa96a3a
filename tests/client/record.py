"""Requests of one format, recorded once and replayed against every later platform.

Record them anew: `python -m tests.client.record FORMAT`, into `recorded/FORMAT`. A format that
was released is never recorded again: its senders are in use.
"""

import gzip
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from safetensors.numpy import save
from seqwatch import Monitor, Options, Router
from sqlalchemy.orm import sessionmaker

from api.main import create_app
from core.settings import Settings
from db.migrate import upgrade
from db.session import connect, unit_of_work
from services.access.api_keys import create_key
from tests.client.api import Answer, Api
from tests.pipeline.world import ARROW, JSON, MSGPACK, body

RECORDED = Path(__file__).parent / "recorded"
EXPECTED = "expected.json"
MODEL = "/v1/models/load"
START = datetime(2026, 1, 5, tzinfo=UTC)
WEIGHTS = save({"weight": np.arange(2.0)})
CONTRACT: dict[str, Any] = {
    "features": [
        {"name": "load", "max_length": 4},
        {"name": "wind"},
        {"name": "area", "dtype": "category", "optional": True},
    ],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 4,
    "horizon": 2,
}
# What the platform keeps of the requests, as its own routes return it.
LISTS = ("predictions", "predictions?version=reference", "quarantine", "versions")
# Of the moment of the replay, of defaults that may change, and words for people.
_IGNORED = frozenset(
    {"id", "received_at", "created_at", "arrived_at", "recorded_at", "last_received_at"}
    | {"contract", "monitors", "policy", "detail", "instance", "reason", "title", "type"}
)
# Set by whoever sends it.
_HOP = frozenset({"host", "connection", "content-length", "accept-encoding", "authorization"})

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def to_bytes(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in sorted(self.headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Recorded":
        head, _, content = stored.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, path, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        return cls(method=method, path=path, headers=headers, body=content)


def replay(client: TestClient, folder: Path) -> dict[str, Any]:
    """Send the recorded requests in order; return every answer, and what is stored then."""
    answers: Row = {}
    for path in sorted(folder.glob("*.http")):
        request = Recorded.from_bytes(path.read_bytes())
        answer = client.request(
            request.method, request.path, headers=request.headers, content=request.body
        )
        is_json = "json" in answer.headers.get("content-type", "")
        found = answer.json() if is_json else hashlib.sha256(answer.content).hexdigest()
        answers[path.stem] = {"status": answer.status_code, "body": found}
    stored = {one: client.get(f"{MODEL}/{one}").json()["items"] for one in LISTS}
    found = {"answers": answers, "stored": stored}
    return {name: {k: _compared(v) for k, v in one.items()} for name, one in found.items()}


def differences(recorded: Any, found: Any, at: str = "") -> Iterator[str]:
    """Yield where what was recorded is not found; fields that are new are no difference."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name, value in recorded.items():
            yield from differences(value, found.get(name), f"{at}.{name}")
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for i, (one, other) in enumerate(zip(recorded, found, strict=True)):
            yield from differences(one, other, f"{at}[{i}]")
    elif recorded != found:
        yield f"{at[1:]}: recorded {recorded!r}, found {found!r}"


def _compared(found: Any) -> Any:
    """Leave out what is not compared: null stands for a field that is absent, too."""
    if isinstance(found, dict):
        compared = {k: _compared(v) for k, v in found.items() if k not in _IGNORED}
        return {k: v for k, v in compared.items() if v not in (None, [], {}, "")}
    return [_compared(one) for one in found] if isinstance(found, list) else found


def _requests() -> Iterator[tuple[str, Recorded]]:
    """Yield what is recorded: the client's own requests, and the other documented formats."""
    yield "model", _put("", {"contract": CONTRACT, "description": "recorded"})
    reference = [{"start": START.isoformat(), "end": _at(4)}]
    yield "version-v1", _put("/versions/v1", {"manifest": {"seed": 7}, "reference": reference})
    yield "version-v2", _put("/versions/v2", {"objective": 0.4})
    yield (
        "artifact",
        Recorded(
            method="PUT",
            path=f"{MODEL}/versions/v1/artifact",
            headers={"content-type": "application/octet-stream"},
            body=WEIGHTS,
        ),
    )
    yield "champion", _put("/champion", {"version": "v1", "expected_rev": 0})
    past = [_row(f"reference-{i}", i, output=None, version=None) for i in range(4)]
    yield "reference-json", _sent("reference", JSON, past[:2])
    yield "reference-arrow", _sent("reference", ARROW, past[2:])
    yield from _routing()
    yield from _by_client("client-json", Options())
    yield from _by_client("client-gzip", Options(compress=True))
    for kind, media in {"json": JSON, "msgpack": MSGPACK, "arrow": ARROW}.items():
        rows = [_row(f"{kind}-{i}", i) for i in range(2)]
        yield f"predictions-{kind}", _sent("predictions", media, rows)
        rows = [_row(f"{kind}-gzip-{i}", i) for i in range(2)]
        yield f"predictions-{kind}-gzip", _sent("predictions", media, rows, packed=True)
        labels = [{"prediction_id": f"{kind}-{i}", "actual": {"load": [7.0]}} for i in range(2)]
        yield f"labels-{kind}", _sent("labels", media, labels)
    rows = [_row(f"columns-{i}", i) for i in range(2)]
    columns = {name: [row[name] for row in rows] for name in rows[0] if name not in _GROUPS}
    groups = {
        name: {k: [row[name][k] for row in rows] for k in rows[0][name]} for name in _GROUPS
    }
    yield (
        "predictions-columns",
        Recorded(
            method="POST",
            path=f"{MODEL}/predictions",
            headers={"content-type": JSON, "idempotency-key": "columns"},
            body=json.dumps({"columns": columns | groups}).encode(),
        ),
    )


_GROUPS = ("features", "output")


def _at(hour: int) -> str:
    return (START + timedelta(hours=hour)).isoformat()


def _row(name: str, hour: int, **fields: Any) -> Row:
    defaults: Row = {
        "prediction_id": name,
        "version": "v1",
        "at": _at(hour),
        "entity": "site-1",
        "features": {"load": [1.0, 2.5], "wind": [3.0], "area": ["north"]},
        "output": {"load": [7.25, 7.5]},
    }
    return {k: value for k, value in (defaults | fields).items() if value is not None}


def _put(path: str, document: Row) -> Recorded:
    return Recorded(
        method="PUT",
        path=f"{MODEL}{path}",
        headers={"content-type": JSON},
        body=json.dumps(document).encode(),
    )


def _sent(feed: str, media: str, rows: Sequence[Row], *, packed: bool = False) -> Recorded:
    content = body(media, rows)
    name = rows[0]["prediction_id"]
    headers = {"content-type": media, "idempotency-key": f"{feed}-{name}"}
    if packed:
        headers["content-encoding"], content = "gzip", gzip.compress(content, mtime=0)
    return Recorded(method="POST", path=f"{MODEL}/{feed}", headers=headers, body=content)


def _by_client(name: str, options: Options) -> Iterator[tuple[str, Recorded]]:
    """Record what the client library sends for rows with all fields, and for bad ones."""
    api = Api()
    api.start()
    monitor = Monitor(api.url, "key", "load", options=options, contract=CONTRACT)
    monitor.log(
        _row(
            f"{name}-full",
            5,
            session_id="s-1",
            step_index=0,
            session_start=True,
            session_end=False,
            cold_start=True,
            queue_length=2,
            batch_size=8,
            latency_seconds=0.25,
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
            cost=0.002,
            worker="w-1",
        )
    )
    arrays = {"features": np.array([[1.0, 2.0], [np.nan, 4.0]]), "output": np.ones((2, 1))}
    monitor.log(_row(f"{name}-arrays", 6, **arrays))
    shadow = {"version": "v2", "shadow": True, "session_id": "s-1", "step_index": 1}
    monitor.log(_row(f"{name}-shadow", 6, **shadow))
    monitor.log(_row(f"{name}-error", 7, output=None, status="error"))
    monitor.log(_row(f"{name}-infinite", 8, output={"load": [float("inf"), 1.0]}))
    monitor.log(_row(f"{name}-unknown", 8, features={"oil": [1.0]}))
    with monitor.predict(**_row(f"{name}-timed", 9, output=None)) as prediction:
        prediction.output = {"load": [1.5, 2.5]}
    assert monitor.flush()
    monitor.label(prediction_id=f"{name}-full", actual={"load": [7.0]})
    monitor.label(entity="site-1", target_at=_at(7), actual={"load": [7.5]})
    monitor.label(prediction_id=f"{name}-timed", actual={"load": [7.5, None]})
    monitor.label(prediction_id=f"{name}-full", actual={"oil": [1.0]})
    assert monitor.flush()
    monitor.close()
    api.stop()
    for seen in api.seen:
        kept = {k: value for k, value in seen.headers.items() if k not in _HOP}
        feed = seen.path.rpartition("/")[2]
        yield (
            f"{feed}-{name}",
            Recorded(method="POST", path=seen.path, headers=kept, body=seen.body),
        )


def _routing() -> Iterator[tuple[str, Recorded]]:
    """Record how the client library follows the routing, and fetches an artifact."""
    api = Api()
    api.start()
    document = {"model": "load", "epoch": 2, "champion": {"version": "v1", "sha256": None}}
    api.document = Answer(
        status=200, body=json.dumps(document).encode(), headers={"ETag": '"2"'}
    )
    api.artifact = Answer(status=200, body=WEIGHTS)
    with TemporaryDirectory() as cache:
        router = Router(api.url, "key", "load", cache=Path(cache))
        assert router.refresh()
        assert router.refresh()
        router.fetch_artifact("v1", hashlib.sha256(WEIGHTS).hexdigest())
        router.close()
    api.stop()
    for name, seen in zip(("routing", "routing-again", "weights"), api.seen, strict=True):
        kept = {k: value for k, value in seen.headers.items() if k not in _HOP}
        yield name, Recorded(method="GET", path=seen.path, headers=kept, body=b"")


def record(folder: Path) -> None:
    """Write the requests into a folder, and beside them what this platform makes of them."""
    folder.mkdir(parents=True)
    for i, (name, request) in enumerate(_requests(), start=1):
        (folder / f"{i:02}-{name}.http").write_bytes(request.to_bytes())
    with TemporaryDirectory() as made:
        settings = Settings(
            database_url=f"sqlite:///{made}/seqwatch.sqlite",
            lake=Path(made) / "lake",
            artifacts=Path(made) / "artifacts",
        )
        engine = connect(settings.database_url)
        upgrade(engine)
        sessions = sessionmaker(engine, expire_on_commit=False)
        with unit_of_work(sessions) as session:
            key = create_key(session, "recorder", ["admin"], None, START)
        headers = {"Authorization": f"Bearer {key}"}
        with TestClient(create_app(settings, sessions), headers=headers) as client:
            found = replay(client, folder)
        engine.dispose()
    (folder / EXPECTED).write_text(_by_line(found), "utf-8")


def _by_line(found: dict[str, dict[str, Any]]) -> str:
    """Write JSON with a line for each answer and for each stored row."""
    rows = {
        name: "[\n" + ",\n".join(json.dumps(one) for one in items) + "\n]"
        for name, items in found["stored"].items()
    }
    answers = {name: json.dumps(one) for name, one in found["answers"].items()}
    parts = [
        ",\n".join(f"{json.dumps(name)}: {text}" for name, text in part.items())
        for part in (answers, rows)
    ]
    return f'{{"answers": {{\n{parts[0]}\n}}, "stored": {{\n{parts[1]}\n}}}}\n'


if __name__ == "__main__":
    record(RECORDED / sys.argv[1])
