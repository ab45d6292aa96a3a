"""Ask a new server for the first time, and print which modules that made it load.

`python -m tests.ingest.first_request FOLDER`, in a process of its own.
"""

import asyncio
import sys
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy.orm import Session, sessionmaker
from starlette.types import Message, Scope

from api.main import create_app
from cli.roles import load_ahead
from core.clock import utcnow
from core.settings import Settings
from db.migrate import upgrade
from db.session import connect, unit_of_work
from db.tables import Model
from services.access.api_keys import create_key
from tests.ingest.conftest import CONTRACT, as_json, prediction


def main(folder: Path) -> None:
    url = f"sqlite:///{folder / 'seqwatch.sqlite'}"
    sessions: sessionmaker[Session] = sessionmaker(connect(url), expire_on_commit=False)
    upgrade(sessions.kw["bind"])
    with unit_of_work(sessions) as session:
        session.add(Model(name="grid", contract=CONTRACT, created_at=utcnow()))
        token = create_key(session, "sender", ["ingest"], None, utcnow())
    settings = Settings(database_url=url, lake=folder / "lake", artifacts=folder / "artifacts")
    load_ahead()
    status, loaded = asyncio.run(ask(create_app(settings, sessions), token))
    sys.stdout.write(" ".join([str(status), *sorted(loaded)]))


async def ask(app: FastAPI, token: str) -> tuple[int, set[str]]:
    body = as_json({"rows": [prediction(), prediction(prediction_id="p-2")]})
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/models/grid/predictions",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async with app.router.lifespan_context(app):
        before = {*sys.modules}
        await app(scope, receive, send)
    return sent[0]["status"], {*sys.modules} - before


if __name__ == "__main__":
    main(Path(sys.argv[1]))
