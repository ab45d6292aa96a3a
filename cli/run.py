"""The whole platform on one machine."""

import argparse
import signal
import threading
from pathlib import Path

from sqlalchemy import select

from cli.database import connected, make_key, migrate
from cli.processes import Supervisor, listening, platform_command
from core.clock import utcnow
from core.settings import Settings
from db.session import read_only
from db.tables import ApiKey

# Where this machine reaches a server that listens on all its addresses.
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
ROLES = ("api", "worker", "trainer")


def run(settings: Settings, given: argparse.Namespace) -> int:
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
        if given.fresh_key or not _has_key(settings):
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
    with connected(settings) as sessions, read_only(sessions) as session:
        return session.scalar(select(ApiKey.id).limit(1)) is not None
