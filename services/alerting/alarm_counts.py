"""Counts of alarms and evaluated days, kept beside the alerts of each model."""

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.queries.read import false_alarm_rates
from db.session import read_only, unit_of_work
from db.tables import Model


def keep_all(sessions: sessionmaker[Session]) -> None:
    """Count those of every model anew, each in a transaction of its own."""
    with read_only(sessions) as session:
        model_ids = session.scalars(select(Model.id)).all()
    for model_id in model_ids:
        with unit_of_work(sessions) as session:
            false_alarm_rates.keep(session, [model_id])
