"""The whole platform on one machine."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, select
from sqlalchemy.orm import sessionmaker

from cli.processes import Supervisor, listening, platform_command
from core.clock import utcnow
from core.errors import Malformed
from core.limits import AS_INSTALLED, Limits
from core.settings import Settings
from db.migrate import upgrade
from db.queries import models
from db.session import connect, unit_of_work
from db.tables import ApiKey, Scope
from services.access.api_keys import audit, create_key
from services.evaluation import failed_slots
from services.retention import erasure_requests, rebuild

# Where this machine reaches a server that listens on all its addresses.
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
ROLES = ("api", "worker", "trainer")


@contextmanager
def _connected(settings: Settings) -> Iterator[Engine]:
    engine = connect(settings.database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def migrate(settings: Settings) -> None:
    """Bring the database to the newest schema."""
    with _connected(settings) as engine:
        upgrade(engine)


def make_key(
    settings: Settings,
    name: str,
    scopes: Sequence[str],
    model: str | None,
    limits: Limits = AS_INSTALLED,
) -> str:
    """Make a key and return it; only its digest is stored."""
    with _connected(settings) as engine, unit_of_work(sessionmaker(engine)) as session:
        model_id = models.find(session, model).id if model else None
        return create_key(session, name, {Scope(s) for s in scopes}, model_id, utcnow(), limits)


def ask_to_erase(settings: Settings, model: str, field: str, whom: str) -> UUID:
    """Ask for an erasure and return its id; a worker does it."""
    with _connected(settings) as engine, unit_of_work(sessionmaker(engine)) as session:
        model_id = models.find(session, model).id
        asked = erasure_requests.ask(session, model_id, field, whom, "the shell", utcnow())
        detail = {"erasure": str(asked.id), "field": field}
        audit(session, "the shell", "erasure.ask", model, detail, utcnow())
        return asked.id


def ask_to_evaluate(settings: Settings, model: str, slot: str | None) -> list[datetime]:
    """Ask for slots that failed to be evaluated again and return them; a worker does it.

    Raises
    ------
    Malformed
        If the slot is no moment.
    """
    try:
        at = None if slot is None else datetime.fromisoformat(slot)
    except ValueError as error:
        raise Malformed(f"--slot: {error}") from None
    with _connected(settings) as engine, unit_of_work(sessionmaker(engine)) as session:
        if at is not None and at.tzinfo is None:
            at = models.zone_of(models.find(session, model)).utc(at.replace(tzinfo=UTC))
        slots = failed_slots.ask_again(session, model, at, utcnow())
        detail = {"slots": [one.isoformat() for one in slots]}
        audit(session, "the shell", "evaluation.retry", model, detail, utcnow())
        return slots


def ask_to_rebuild(
    settings: Settings, model: str, streams: Sequence[str], since: str | None
) -> None:
    """Request that a worker rebuild the summaries of a model from its prediction log.

    Raises
    ------
    Malformed
        If the day is none.
    """
    try:
        first = None if since is None else date.fromisoformat(since)
    except ValueError as error:
        raise Malformed(f"--since: {error}") from None
    with _connected(settings) as engine, unit_of_work(sessionmaker(engine)) as session:
        model_id = models.find(session, model).id
        asked = rebuild.Request(model_id=model_id, since=first, streams=tuple(streams))
        rebuild.ask(session, asked, utcnow())
        detail = {"streams": [*streams], "since": since}
        audit(session, "the shell", "summaries.rebuild", model, detail, utcnow())


def run(settings: Settings, *, fresh_key: bool) -> int:
    """Migrate, then keep api, worker and trainer alive until Ctrl-C.

    A key is made, and the address printed, once the API answers.

    Raises
    ------
    Unprocessable
        If nothing can listen on the host and port of the settings.
    DidNotStart
        If the API ends instead of serving.
    """
    listener = listening(settings.host, settings.port)
    migrate(settings)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    supervisor = Supervisor(logs=Path("var/log"), listener=listener)
    for role in ROLES:
        supervisor.start(role, platform_command(role, listener))
    own = EVERY_ADDRESS.get(settings.host, settings.host)
    try:
        supervisor.wait_until_healthy("api", f"{_url(own, settings.port)}/health")
        if fresh_key or not _has_key(settings):
            name = f"admin made {utcnow():%Y-%m-%dT%H:%M:%SZ}"
            print("Your admin key, shown this once:", make_key(settings, name, ["admin"], None))
        url = _url(settings.host, settings.port)
        print(f"Seqwatch is at {url}  (logs in var/log, Ctrl-C ends)", flush=True)
        stop.wait()
    finally:
        supervisor.stop()
    return 0


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _has_key(settings: Settings) -> bool:
    with _connected(settings) as engine, sessionmaker(engine)() as session:
        return session.scalar(select(ApiKey.id).limit(1)) is not None
