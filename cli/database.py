"""The database, as commands of the shell use it."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.limits import AS_INSTALLED, Limits
from core.settings import Settings
from db.migrate import check, upgrade
from db.queries import models
from db.session import connect, unit_of_work
from db.tables import Scope
from services.access.api_keys import create_key


@contextmanager
def connected(settings: Settings) -> Iterator[sessionmaker[Session]]:
    """Give one command its sessions."""
    engine = connect(settings.database_url, settings.credentials_key)
    try:
        check(engine)
        yield sessionmaker(engine, expire_on_commit=False)
    finally:
        engine.dispose()


def migrate(settings: Settings, _: argparse.Namespace | None = None) -> int:
    """Bring the database to the newest schema."""
    engine = connect(settings.database_url)
    upgrade(engine)
    engine.dispose()
    return 0


def make_key(
    settings: Settings,
    name: str,
    scopes: Sequence[str],
    model: str | None,
    limits: Limits = AS_INSTALLED,
) -> str:
    """Make a key and return it; only its digest is stored."""
    with connected(settings) as sessions, unit_of_work(sessions) as session:
        model_id = models.find(session, model).id if model else None
        return create_key(session, name, {Scope(s) for s in scopes}, model_id, utcnow(), limits)


def key(settings: Settings, given: argparse.Namespace) -> int:
    """Make a key and print it."""
    limits = Limits(**{name: getattr(given, f"max_{name}") for name in Limits.__slots__})
    print(make_key(settings, given.name, given.scope, given.model, limits))
    return 0
