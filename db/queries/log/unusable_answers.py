"""Counts of unusable answers by version and session."""

import secrets
from collections.abc import Collection, Mapping
from datetime import date
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from db import dialect
from db.queries.upsert import upsert
from db.tables import DirtyDay, Rollout, UnusableAnswer
from retrain.rollout import Phase

# Model, version, session, whether in shadow, event day.
Key = tuple[UUID, str, str, bool, date]


def add(session: Session, counted: Mapping[Key, int]) -> None:
    """Add to what is counted, and have the sessions of these days scored again."""
    rows = [
        {
            "model_id": model_id,
            "day": day,
            "version": version,
            "session_id": session_id,
            "shadow": shadow,
            "n": n,
        }
        for (model_id, version, session_id, shadow, day), n in sorted(counted.items())
    ]  # in one order: no deadlocks
    if not rows:
        return
    keys = ["model_id", "day", "version", "session_id", "shadow"]
    insert = dialect.insert(session, UnusableAnswer)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=keys, set_={"n": UnusableAnswer.n + insert.excluded.n}
        ),
        rows,
    )
    compared = session.scalars(
        select(Rollout.model_id).where(
            Rollout.phase == Phase.CANARY,
            Rollout.model_id.in_({row["model_id"] for row in rows}),
        )
    ).all()
    # A number that no archive gives: they count upwards from 1. A join that began before
    # it sees another, and does not take the mark away.
    rev = -1 - secrets.randbits(30)
    days = {(row["model_id"], row["day"]) for row in rows if row["model_id"] in compared}
    marks = [{"model_id": model_id, "day": day, "rev": rev} for model_id, day in sorted(days)]
    upsert(session, DirtyDay, marks)


def of_sessions(
    session: Session, model_id: UUID, versions: Collection[str], first: date, last: date
) -> dict[tuple[str, str, bool], int]:
    """Return how many of some days there are: by session, version and whether in shadow."""
    of = UnusableAnswer
    rows = session.execute(
        select(of.session_id, of.version, of.shadow, func.sum(of.n))
        .where(
            of.model_id == model_id,
            of.day >= first,
            of.day <= last,
            of.version.in_(versions),
        )
        .group_by(of.session_id, of.version, of.shadow)
    )
    return {(name, version, shadow): int(n) for name, version, shadow, n in rows}


def forget(session: Session, model_id: UUID, before: date) -> None:
    """Delete what is counted of days before one."""
    session.execute(
        delete(UnusableAnswer).where(
            UnusableAnswer.model_id == model_id, UnusableAnswer.day < before
        )
    )
