"""The document is the one that callers know, and clients can be generated from it."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from api.server.examples import BODIES
from db.session import unit_of_work
from services.access.api_keys import create_key
from tests.api.document import committed, current, taken_away

# Each needs other packages than we do, so that it has an environment of its own.
GENERATOR = "openapi-python-client==0.29.1"
LINTER = "@redocly/cli@2.77.0"

ROUND_TRIP = """
import sys
from generated import AuthenticatedClient
from generated.api.ingest import send_labels
from generated.api.models import list_models, put_model, read_model
from generated.models import LabelsRow, ModelPut, Problem

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
body = ModelPut.from_dict({put_model!r})
with client:
    made = put_model.sync("load", client=client, body=body)
    assert made.name == "load", made
    assert made.contract.features[0].name == "load"
    read = read_model.sync_detailed("load", client=client)
    assert read.headers["etag"].startswith('"')
    stale = put_model.sync_detailed("load", client=client, body=body, if_match='"stale"')
    assert stale.status_code == 412 and isinstance(stale.parsed, Problem)
    page = list_models.sync(client=client, limit=1)
    assert [one.name for one in page.items] == ["load"] and page.next_cursor is None
    row = LabelsRow.from_dict({label!r})
    kept = send_labels.sync("load", client=client, body=row)
    assert kept.accepted == 1, kept
    absent = read_model.sync("absent", client=client)
    assert absent.type_.endswith(":NotFound"), absent
"""


def test_the_copy_of_the_document_is_current() -> None:
    old, new = committed(), current()
    assert old == new, (
        "the OpenAPI document has changed; taken away: "
        f"{taken_away(old, new) or 'nothing'}. Write that into CHANGELOG.md, then run "
        "python -m tests.api.document"
    )


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_generated_client_makes_the_round_trip(
    app: FastAPI, tmp_path: Path, now: datetime
) -> None:
    place = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    installed = subprocess.run(
        [place / "bin" / "pip", "install", "-q", GENERATOR], capture_output=True, check=False
    )
    if installed.returncode:
        pytest.skip(f"{GENERATOR} cannot be installed here")
    document = Path(__file__).parent / "openapi.json"
    made = subprocess.run(
        [
            place / "bin" / "openapi-python-client",
            "generate",
            f"--path={document}",
            f"--output-path={tmp_path / 'generated'}",
            "--meta=none",
        ],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"},
    )
    output = made.stdout + made.stderr
    assert "will not be generated" not in output, output
    assert "Unable to" not in output, output
    with unit_of_work(app.state.platform.sessions) as session:
        key = create_key(session, "generated", ["admin"], None, now)
    label = BODIES["send_labels"]["rows"][0]
    code = ROUND_TRIP.format(put_model=BODIES["put_model"], label=label)
    with served(app) as url:
        subprocess.run(
            [place / "bin" / "python", "-c", code, url, key],
            check=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "NO_PROXY": "*"},
        )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npx") is None, reason="needs Node.js")
def test_a_linter_finds_no_error(tmp_path: Path) -> None:
    document = Path(__file__).parent / "openapi.json"
    found = subprocess.run(
        ["npx", "--yes", LINTER, "lint", str(document), "--max-problems=50"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if "npm error" in found.stderr:
        pytest.skip(f"{LINTER} cannot be installed here")
    assert found.returncode == 0, found.stdout + found.stderr
