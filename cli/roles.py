"""The three roles of the platform, each one process."""

import gc
import signal
import threading
from types import FrameType

import anyio.lowlevel
import numpy as np
import pyarrow as pa
import uvicorn
from sqlalchemy.orm import Session, sessionmaker

from core.settings import Settings
from db.session import connect

IDLE_SECONDS = 0.1  # pause of a worker when no job was due
TRAINER_IDLE_SECONDS = 0.5


def _sessions(settings: Settings) -> sessionmaker[Session]:
    return sessionmaker(connect(settings.database_url), expire_on_commit=False)


def _until_signalled() -> threading.Event:
    stop = threading.Event()

    def ask(_: int, __: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return stop


def serve(settings: Settings, fd: int | None = None) -> int:
    """Serve the REST interface and the pages until stopped.

    Parameters
    ----------
    settings
        Name the address.
    fd
        A socket that listens already: served in place of the address.
    """
    from api.main import create_app
    from api.server.http_protocol import protocol

    load_ahead()
    app = create_app(settings, _sessions(settings))
    # What was imported stays: a collection that visits it all again halts every
    # request for a tenth of a second.
    gc.collect()
    gc.freeze()
    # Requests leave no cycles behind: searching for them a hundred times a second is
    # a tenth of the work of the smallest.
    gc.set_threshold(50_000, 20, 100)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        fd=fd,
        loop="uvloop",
        http=protocol(settings),  # type: ignore[arg-type]
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
    )
    return 0


def load_ahead() -> None:
    """Load what libraries load when they are first asked: no request waits seconds for it.

    And let Arrow keep the memory of the last bodies for the next: by default it is given
    back, and a sixth of the work of a large body was to be given it again.
    """
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    pa.array(np.zeros(1))  # Arrow imports pandas
    anyio.run(anyio.lowlevel.checkpoint)


def work(settings: Settings) -> int:
    """Tick and work until stopped; the runs in hand are finished first."""
    from jobs.ticker import Ticker
    from jobs.wiring import GROUPS, jobs
    from jobs.worker import Worker

    stop = _until_signalled()
    sessions = _sessions(settings)
    wired = jobs(settings, sessions)
    threads = [
        threading.Thread(
            target=Worker(settings, sessions, wired, group).run, args=(stop, IDLE_SECONDS)
        )
        for group in GROUPS
    ]
    ticker = Ticker(settings, sessions)
    ticker.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ticker.stop()
    return 0


def train(settings: Settings) -> int:
    """Train requested challengers until stopped."""
    from services.rollouts.trainer import Trainer

    stop = _until_signalled()
    Trainer(settings, _sessions(settings)).run(stop, TRAINER_IDLE_SECONDS)
    return 0
