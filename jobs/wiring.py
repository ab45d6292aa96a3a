"""Which use case does each job?"""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.queries import runs
from db.queries.runs import Claim
from db.session import unit_of_work
from jobs.worker import Job
from notify.webhook import Sender
from services import canary, erasure, erasure_requests, reporting, reports, retention
from services.archive import archive_all, forget_receipts
from services.baselines import Baselines
from services.deliver import deliver_all
from services.fold import fold_all
from services.join import join_all
from services.judge import judge
from services.kserve.pairing import sweep
from services.rejudging import rejudge


def jobs(settings: Settings, sessions: sessionmaker[Session]) -> Mapping[str, Job]:
    """Return the jobs by name, each bound to this process's database and folders."""
    baselines = Baselines(sessions)
    sender = Sender(
        allow=settings.webhook_allow,
        timeout=settings.webhook_timeout,
        public_url=settings.public_url,
    )

    def fold(_: Claim) -> None:
        fold_all(sessions, utcnow())

    def archive(_: Claim) -> None:
        archive_all(sessions, settings.lake, utcnow())
        join_all(sessions, settings.lake, utcnow())

    def judge_day(claim: Claim) -> None:
        # What was received before the day closed counts, however busy the other jobs are.
        fold(claim)
        archive(claim)
        model_id = UUID(claim.subject)
        judge(sessions, baselines, model_id, claim.slot, utcnow())
        canary.look(sessions, model_id, utcnow())

    def rejudge_late(claim: Claim) -> None:
        fold(claim)
        archive(claim)
        model_id, now = UUID(claim.subject), utcnow()
        if not rejudge(sessions, baselines, model_id, now).is_whole:
            with unit_of_work(sessions) as session:
                runs.ask(session, "rejudge", now, now, claim.subject)

    def report(claim: Claim) -> None:
        reporting.write(sessions, settings.lake, settings.reports, UUID(claim.subject))

    def deliver(_: Claim) -> None:
        deliver_all(sessions, sender, utcnow)

    def make_of_one_half(_: Claim) -> None:
        sweep(sessions, utcnow, settings.kserve_wait)

    return {
        "fold": fold,
        "archive": archive,
        "kserve": make_of_one_half,
        "judge": judge_day,
        "rejudge": rejudge_late,
        reports.JOB: report,
        "deliver": deliver,
        **_tidying(settings, sessions),
    }


def _tidying(settings: Settings, sessions: sessionmaker[Session]) -> Mapping[str, Job]:
    """Return the jobs that remove what is not to be kept."""

    def erase(claim: Claim) -> None:
        model_id = UUID(claim.subject)
        try:
            erasure.erase(sessions, settings.lake, model_id, utcnow())
        except Exception as error:
            erasure.fail(sessions, model_id, error)
            raise

    def retain(_: Claim) -> None:
        retention.retain_all(sessions, settings.lake)

    def purge(_: Claim) -> None:
        now = utcnow()
        with unit_of_work(sessions) as session:
            runs.purge(session, now - settings.keep_runs)
            forget_receipts(session, now - settings.keep_receipts)

    return {erasure_requests.JOB: erase, "retain": retain, "purge": purge}
