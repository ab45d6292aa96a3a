"""The three roles of the platform, each one process."""

import argparse
import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from importlib.abc import MetaPathFinder
from types import FrameType

import anyio.lowlevel
import numpy as np
import pyarrow as pa
import uvicorn
from sqlalchemy.orm import Session, sessionmaker
from uvicorn.config import LOGGING_CONFIG

from core.schema.task import TASKS
from core.settings import LogFormat, Settings
from db import migrate
from db.session import connect
from lake import storage
from retrain.drill import NO_DRILL, Drill
from services.platform_faults.outage import described, is_outage
from services.telemetry.spans import tracing

log = logging.getLogger(__name__)

# Pauses when no job was due: of the queues that somebody waits for, and of the others.
IDLE_SECONDS, LONG_IDLE_SECONDS = 0.1, 0.5
LONGEST_STOP = timedelta(seconds=60)


def _sessions(settings: Settings) -> sessionmaker[Session]:
    """Open the database, unless it or a folder is of an earlier installation."""
    engine = connect(settings.database_url, settings.credentials_key)
    try:
        migrate.check(engine)
        storage.check(settings.lake, "the prediction log")
        storage.check(settings.artifacts, "the folder of artifacts")
    except Exception as error:
        if not is_outage(error):
            raise
        log.warning("at the start: %s", described(error))  # what is away may come back
    return sessionmaker(engine, expire_on_commit=False)


def until_signalled(longest: timedelta = LONGEST_STOP) -> threading.Event:
    """Return an event that is set by SIGTERM and SIGINT.

    A process that has not ended `longest` after the signal writes where its threads are to
    the standard error and ends: other workers take its runs over when their leases end.
    """
    stop = threading.Event()

    def ask(_: int, __: FrameType | None) -> None:
        limit = threading.Timer(longest.total_seconds(), _end)
        limit.daemon = True
        limit.start()
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return stop


def serve(settings: Settings, given: argparse.Namespace) -> int:
    """Serve the REST interface and the pages until stopped.

    Parameters
    ----------
    settings
        Name the address.
    given
        `fd` is a socket that listens already: served in place of the address.
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
        log_config=LOGGING_CONFIG if settings.log_format is LogFormat.TEXT else None,
        host=settings.host,
        port=settings.port,
        fd=given.fd,
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

    Arrow imports pandas at its first conversion, if it can: 40 MB that no request needs. Here
    it cannot; a plug-in that imports pandas later can.
    """
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    sys.meta_path.insert(0, _NoPandas())
    pa.array(np.zeros(1)).is_valid().to_numpy(zero_copy_only=False)
    sys.meta_path.pop(0)
    pa.array([1])  # dateutil
    TASKS.names()
    anyio.run(anyio.lowlevel.checkpoint)


class _NoPandas(MetaPathFinder):
    """While it is installed, pandas cannot be imported."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _end() -> None:
    sys.stderr.write("the process did not end in time after the signal; its threads:\n")
    faulthandler.dump_traceback(all_threads=True)
    os._exit(1)


def run_threads(targets: Sequence[Callable[[], None]]) -> None:
    """Run each target in a thread of its own until all have returned.

    The main thread wakes each second: a signal that the kernel hands to another thread is
    handled by the main thread, and does not wake it.
    """
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(1.0)


def work(settings: Settings, _: argparse.Namespace) -> int:
    """Tick and work until stopped; the runs in hand are finished first, if they can be."""
    from jobs.ticker import Ticker
    from jobs.wiring import jobs
    from jobs.worker import Queue, Worker

    stop = until_signalled()
    sessions = _sessions(settings)
    wired = jobs(settings, sessions)
    spans = tracing(settings, "worker")
    ticker = Ticker(settings, sessions)
    ticker.start()
    idle = dict.fromkeys(Queue, LONG_IDLE_SECONDS)
    idle |= dict.fromkeys((Queue.FOLD, Queue.DELIVERY), IDLE_SECONDS)
    run_threads(
        [
            partial(
                Worker(settings, sessions, wired, queue, tracer=spans.tracer).run,
                stop,
                idle[queue],
            )
            for queue in Queue
        ]
    )
    ticker.stop()
    spans.stop()
    return 0


def train(settings: Settings, _: argparse.Namespace, drill: Drill = NO_DRILL) -> int:
    """Train requested challengers until stopped."""
    from jobs.training import training
    from jobs.worker import Worker

    stop = until_signalled()
    sessions = _sessions(settings)
    spans = tracing(settings, "trainer")
    trainer = Worker(
        settings, sessions, training(settings, sessions, drill), tracer=spans.tracer
    )
    run_threads([partial(trainer.run, stop, LONG_IDLE_SECONDS)])
    spans.stop()
    return 0
