"""What becomes of the slots of each job that passed while no ticker or worker ran."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from services.aggregation.folded import REBUILD_JOB
from services.alerting.alert_transitions import REPORT_JOB
from services.evaluation import failed_slots, schedule
from services.open_tables import publish
from services.read_models import backtests
from services.retention import deletion, erasure_requests
from services.rollouts import training_runs
from services.sources import definitions

Asked: TypeAlias = tuple[str, str, datetime]  # job, subject and slot of a run


class CatchUp(StrEnum):
    """Policy of a job for slots that were missed. Described in docs/operate.md."""

    ALL = "all"
    """Each gets a run, the oldest first."""
    LATEST = "latest"
    """One run about each subject stands for all: of the newest slot, none while one is open."""


POLICIES: Mapping[str, CatchUp] = {
    # Slots of monitors and SLOs, and what people or events ask for: none may be lost.
    schedule.JOB: CatchUp.ALL,
    failed_slots.RETRY_JOB: CatchUp.ALL,
    "reevaluate": CatchUp.ALL,  # a day stays marked until it was evaluated again
    backtests.JOB: CatchUp.ALL,
    REBUILD_JOB: CatchUp.ALL,
    deletion.JOB: CatchUp.ALL,
    training_runs.START_JOB: CatchUp.ALL,
    training_runs.CANCEL_JOB: CatchUp.ALL,
    training_runs.JOB: CatchUp.ALL,
    # A run does whatever waits, however many slots were missed. So does `fold`: it reads rows,
    # and evaluates by the clock, from where it was.
    "fold": CatchUp.LATEST,
    "archive": CatchUp.LATEST,  # compaction, with `retain`
    "retain": CatchUp.LATEST,
    publish.JOB: CatchUp.LATEST,
    "deliver": CatchUp.LATEST,
    "kserve": CatchUp.LATEST,
    "purge": CatchUp.LATEST,
    definitions.JOB: CatchUp.LATEST,
    erasure_requests.JOB: CatchUp.LATEST,
    REPORT_JOB: CatchUp.LATEST,
}


def to_ask(wanted: Iterable[Asked], unfinished: Collection[Asked]) -> set[Asked]:
    """Return the runs to ask for, by the policy of their jobs.

    Parameters
    ----------
    wanted
        Runs that are due.
    unfinished
        Runs of these jobs that wait or run.

    Examples
    --------
    >>> days = [datetime(2026, 1, day) for day in (1, 2, 3)]
    >>> wanted = [("evaluate", "m", day) for day in days]
    >>> sorted(slot.day for _, _, slot in to_ask(wanted, wanted[:1]))
    [2, 3]
    >>> [slot.day for _, _, slot in to_ask([("fold", "", day) for day in days], [])]
    [3]
    >>> to_ask([("fold", "", days[2])], [("fold", "", days[0])])
    set()
    """
    found, newest = set[Asked](), dict[tuple[str, str], datetime]()
    is_open = {(job, subject) for job, subject, _ in unfinished}
    for job, subject, slot in wanted:
        if POLICIES[job] is CatchUp.ALL:
            found.add((job, subject, slot))
        elif (job, subject) not in is_open:
            newest[job, subject] = max(slot, newest.get((job, subject), slot))
    late = {(job, subject, slot) for (job, subject), slot in newest.items()}
    return (found - {*unfinished}) | late
