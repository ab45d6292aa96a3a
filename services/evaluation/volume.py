"""Volume of rows of an event day, and of the same weekday before."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from core.window import Window
from db.queries.log import contract_violations, row_counters
from monitors.data_quality.data_quality import LOOK_BACK_WEEKS
from monitors.data_quality.flaws import DayVolume
from services.aggregation import serving

WEEK = timedelta(days=7)


def of_day(session: Session, model_id: UUID, day: Window) -> DayVolume:
    """Read the number of rows of one event day, and of the same weekday before.

    Rows of the reference are no measure of how many should come: a whole day
    of it may be one row.
    """
    weekdays = [
        Window(day.start - back * WEEK, day.end - back * WEEK)
        for back in range(1, LOOK_BACK_WEEKS + 1)
    ]
    return DayVolume(
        n_rows=serving.n_rows(session, model_id, day),
        baseline=tuple(serving.n_rows(session, model_id, one) for one in weekdays),
        n_duplicates=row_counters.repeated_on(session, model_id, day.start.date()),
        refused=contract_violations.of_days(session, model_id, day),
    )
