"""The whole platform on one machine."""

import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import sessionmaker

from cli.processes import Supervisor, platform_command
from core.clock import utcnow
from core.settings import Settings
from db.migrate import upgrade
from db.queries import models
from db.session import connect, unit_of_work
from db.tables import ApiKey, Scope
from services.access import create_key

ROLES = ("api", "worker", "trainer")


def make_key(settings: Settings, name: str, scopes: Sequence[str], model: str | None) -> str:
    """Make a key and return it; only its digest is stored."""
    sessions = sessionmaker(connect(settings.database_url), expire_on_commit=False)
    with unit_of_work(sessions) as session:
        model_id = models.find(session, model).id if model else None
        return create_key(session, name, {Scope(s) for s in scopes}, model_id, utcnow())


def run(settings: Settings, *, fresh_key: bool) -> int:
    """Migrate, then keep api, worker and trainer alive until Ctrl-C."""
    upgrade(connect(settings.database_url))
    if fresh_key or not _has_key(settings):
        name = f"admin made {utcnow():%Y-%m-%dT%H:%M:%SZ}"
        print("Your admin key, shown this once:", make_key(settings, name, ["admin"], None))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    supervisor = Supervisor(logs=Path("var/log"))
    for role in ROLES:
        supervisor.start(role, platform_command(role))
    print(
        f"Seqwatch is at http://{settings.host}:{settings.port}  (logs in var/log, Ctrl-C ends)"
    )
    try:
        stop.wait()
    finally:
        supervisor.stop()
    return 0


def _has_key(settings: Settings) -> bool:
    sessions = sessionmaker(connect(settings.database_url))
    with sessions() as session:
        return session.scalar(select(ApiKey.id).limit(1)) is not None
