"""One model from registration to the import of its export, through the public interface."""

import argparse
import io
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import uvicorn
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from cli.importing.arguments import add_import
from cli.importing.command import run
from core.durations import DAY
from core.settings import Settings
from core.window import Window
from db.queries import models
from db.session import read_only, unit_of_work
from db.tables import Finding, Inbox, Quarantine
from services.access.api_keys import create_key
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.labels.label_join import join_all
from services.models import champion_pointer
from services.retention.archive import archive_all
from tests.streams import START

N_REFERENCE, N_SERVED = 12, 3  # days
NOW = START + 36_500 * DAY  # when the worker runs, whatever the clock of the machine shows
SERVED = START + N_REFERENCE * DAY
JSON, MSGPACK = "application/json", "application/msgpack"
ARROW = "application/vnd.apache.arrow.stream"

Row = dict[str, Any]


@dataclass(kw_only=True)
class Platform:
    """A running API with its database and its lake; the worker is driven by hand."""

    settings: Settings
    sessions: sessionmaker[Session]
    http: httpx.Client
    browser: httpx.Client
    folder: Path
    key: str
    n_models: int = 0

    def register(self, contract: Mapping[str, Any], *, with_reference: bool = True) -> str:
        """Register a model with one version that serves; return its name."""
        self.n_models += 1
        model = f"m{self.n_models}"
        self.call("PUT", f"/v1/models/{model}", json={"contract": contract})
        self.call("PUT", f"/v1/models/{model}/versions/v1", json={})
        with unit_of_work(self.sessions) as session:
            version = models.find_version(session, models.find(session, model).id, "v1")
            if with_reference:
                version.reference = (Window(START, SERVED),)
            champion_pointer.move(session, version.model_id, version.id, 0, START)
        return model

    def call(self, method: str, path: str, **given: Any) -> httpx.Response:
        answer = self.http.request(method, path, **given)
        assert answer.status_code in (200, 201), f"{path}: {answer.status_code} {answer.text}"
        return answer

    def send(self, model: str, feed: str, kind: str, rows: Sequence[Row]) -> tuple[int, int]:
        """Send rows in one format; return how many were accepted and quarantined."""
        answer = self.http.post(
            f"/v1/models/{model}/{feed}",
            content=body(kind, rows),
            headers={"Content-Type": kind},
        )
        assert answer.status_code in (200, 422), f"{answer.status_code} {answer.text}"
        counts = answer.json()
        assert "accepted" in counts, counts
        accepted, quarantined = counts["accepted"], counts["quarantined"]
        assert accepted + quarantined == len(rows), counts
        return accepted, quarantined

    def work(self, model: str) -> None:
        """Fold, archive, join and evaluate; nothing may be left or fail."""
        fold_all(self.sessions, NOW)
        archive_all(self.sessions, self.settings.lake, NOW)
        join_all(self.sessions, self.settings.lake, NOW)
        with read_only(self.sessions) as session:
            model_id = models.find(session, model).id
            waiting = session.scalar(
                select(func.count()).select_from(Inbox).where(Inbox.model_id == model_id)
            )
            assert waiting == 0, f"{waiting} batches are stuck"
        baselines = Baselines()
        for day in range(1, N_SERVED + 1):
            evaluate_slot(self.sessions, baselines, model_id, SERVED + day * DAY, NOW)

    def findings(self, model: str) -> list[Finding]:
        with read_only(self.sessions) as session:
            model_id = models.find(session, model).id
            query = select(Finding).where(Finding.model_id == model_id).order_by(Finding.id)
            found = [*session.scalars(query)]
            session.expunge_all()
            return found

    def open_pages(self, model: str) -> None:
        """Open every page and every list that shows the model."""
        paths = ["/", "/alerts", f"/models/{model}", f"/models/{model}/quarantine"]
        paths += [f"/models/{model}/predictions"]
        for path in paths + [f"/findings/{each.id}" for each in self.findings(model)]:
            answer = self.browser.get(path)
            assert answer.status_code == 200, f"{path}: {answer.status_code}"
        for path in ("", "/predictions", "/quarantine", "/monitors"):
            self.call("GET", f"/v1/models/{model}{path}")
        self.call("GET", "/v1/models")
        self.call("GET", "/metrics")

    def export(self, model: str, form: str) -> bytes:
        params = {"format": form, "version": "v1"}
        return self.call("GET", f"/v1/models/{model}/export", params=params).content

    def bring(self, model: str, form: str, exported: bytes) -> int:
        """Import an export with the command of the shell."""
        path = self.folder / f"{model}.{form}"
        path.write_bytes(exported)
        parser = argparse.ArgumentParser()
        add_import(parser)
        key = self.folder / "key"
        key.write_text(self.key)
        given = [model, str(path), "--url", str(self.http.base_url), "--key-file", str(key)]
        given += ["--state", str(self.folder / "state"), "--no-backtest"]
        return run(self.settings, parser.parse_args(given))

    def n_quarantined(self, model: str) -> int:
        with read_only(self.sessions) as session:
            model_id = models.find(session, model).id
            query = select(func.count()).select_from(Quarantine)
            return session.scalar(query.where(Quarantine.model_id == model_id)) or 0


def body(kind: str, rows: Sequence[Row]) -> bytes:
    """Write rows in one of the formats that the interface reads."""
    if kind == ARROW:
        plain = [{**row, "at": row["at"]} if "at" in row else row for row in rows]
        sink = pa.BufferOutputStream()
        table = pa.Table.from_pylist(plain)
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return bytes(sink.getvalue().to_pybytes())
    if kind == MSGPACK:
        return msgspec.msgpack.encode({"rows": rows})
    return json.dumps({"rows": rows}).encode()


def comparable(content: bytes) -> list[Row]:
    """Return the rows of a Parquet export in one order, without the time of receipt."""
    rows = pq.read_table(io.BytesIO(content)).to_pylist()
    for row in rows:
        del row["received_at"]
    return sorted(rows, key=lambda row: str(row["prediction_id"]))


@contextmanager
def platform(
    settings: Settings, sessions: sessionmaker[Session], folder: Path
) -> Iterator[Platform]:
    """Serve the API on a free port of this machine."""
    with unit_of_work(sessions) as session:
        key = create_key(session, "pipeline", ["admin"], None, START)
    app = create_app(settings, sessions)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and time.monotonic() < until:
        threading.Event().wait(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    keyed = {"Authorization": f"Bearer {key}"}
    try:
        with (
            httpx.Client(base_url=url, headers=keyed, timeout=60) as http,
            httpx.Client(base_url=url, headers={"Origin": url}, timeout=60) as browser,
        ):
            answer = browser.post("/login", data={"key": key})
            assert answer.status_code == 303, answer.text
            yield Platform(
                settings=settings,
                sessions=sessions,
                http=http,
                browser=browser,
                folder=folder,
                key=key,
            )
    finally:
        server.should_exit = True
        thread.join()
