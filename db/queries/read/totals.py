"""Rows of totals, of all models in one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import literal, select, union_all
from sqlalchemy.orm import Session

from db.tables import Champion, Model, Rollout, SummaryRow, Version


def of_all(
    session: Session, streams: Collection[str], by_version: str, start: datetime
) -> Sequence[Any]:
    """Return model, stream, version and payload of the totals of all models.

    Parameters
    ----------
    session
        The open transaction.
    streams
        Of all versions together: rows without a version.
    by_version
        The stream that is also read of single versions: the champion, and those of the open
        rollout. A model has at most three, however many it had.
    start
        Of every row of totals.
    """
    together = (
        select(Model.name, SummaryRow.stream, SummaryRow.version, SummaryRow.payload)
        .join(SummaryRow, SummaryRow.model_id == Model.id)
        .where(
            SummaryRow.stream.in_(streams), SummaryRow.start == start, SummaryRow.version == ""
        )
    )
    served = union_all(
        select(Champion.version_id.label("id")),
        *(
            select(part.label("id")).where(Rollout.finished_at.is_(None))
            for part in (Rollout.base_id, Rollout.challenger_id)
        ),
    ).subquery()
    named = select(Version.model_id, Version.name).join(served, served.c.id == Version.id)
    each = named.distinct().subquery()
    apart = (
        select(Model.name, literal(by_version), SummaryRow.version, SummaryRow.payload)
        .select_from(each)
        .join(Model, Model.id == each.c.model_id)
        .join(
            SummaryRow,
            (SummaryRow.model_id == each.c.model_id)
            & (SummaryRow.stream == by_version)
            & (SummaryRow.start == start)
            & (SummaryRow.version == each.c.name),
        )
    )
    return session.execute(union_all(together, apart)).all()
