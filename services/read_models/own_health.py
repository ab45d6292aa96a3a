"""Prometheus gauges about the job queue: whether workers run, and how far they are behind.

Read from the database at each scrape. Described in docs/metrics.md.
"""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.tables import Run
from services.read_models.exposition import Gauge


def own_health(session: Session, now: datetime) -> Iterator[Gauge]:
    """Read the lag of each job that has an open run, and the heartbeat of the workers.

    Parameters
    ----------
    session
        The open transaction.
    now
        Wall time.
    """
    lag = Gauge(
        "seqwatch_job_lag_seconds",
        "Age of the oldest unfinished run of a job.",
        labels=["job_name"],  # `job` is the label that Prometheus gives a target
    )
    oldest = (
        select(Run.job, func.min(Run.created_at))
        .where(Run.finished_at.is_(None))
        .group_by(Run.job)
    )
    for job, since in session.execute(oldest):
        lag.add_metric([job], max((now - since).total_seconds(), 0.0))
    yield lag
    beat = Gauge("seqwatch_heartbeat_timestamp_seconds", "When a worker last finished a run.")
    newest = session.scalar(select(func.max(Run.finished_at)))
    if newest is not None:
        beat.add_metric([], newest.timestamp())
    yield beat
