"""Table of the jobs: name, queue and use case of each."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.errors import AppError
from core.settings import Settings
from core.stored import from_attributes
from db.queries.log import late_hours
from db.queries.queue import runs
from db.queries.queue.runs import Claim
from db.session import unit_of_work
from jobs.ticker import PURGE_EVERY, RETAIN_EVERY
from jobs.worker import Job, Queue
from notify.sender import Sender
from services.aggregation.fold import fold_all
from services.alerting import alarm_counts, dispatch
from services.alerting.alert_transitions import REPORT_JOB
from services.alerting.deliver import deliver_all
from services.evaluation import failed_slots, schedule
from services.evaluation.baseline_cache import Baselines
from services.evaluation.by_clock.live import LiveMonitors
from services.evaluation.reevaluate import evaluate_again, reevaluate
from services.evaluation.slots import evaluate_until, waiting
from services.kserve.pairing import sweep
from services.labels.label_join import Pace, join_all
from services.open_tables import publish
from services.read_models import backtests
from services.read_models.reports import report_writer
from services.retention import deletion, erasure, erasure_requests, rebuild, retention
from services.retention.archive import archive_all, forget_receipts
from services.retention.catch_up import catch_up
from services.rollouts import canary, deadlines, trainer, training_runs
from services.rollouts.start_training import Starter
from services.sources import definitions
from services.sources import pull as pulling
from services.summaries.roll_up import roll_up_all


def jobs(settings: Settings, sessions: sessionmaker[Session]) -> Mapping[str, Job]:
    """Return the jobs by name, each bound to this process's database and folders."""
    sender = Sender.of(settings)

    live = LiveMonitors(sessions)

    def fold(_: Claim) -> None:
        fold_all(sessions, utcnow())
        live.run(utcnow())

    pace = Pace(settings.join_every)

    def archive(_: Claim) -> None:
        archive_all(sessions, settings.lake, utcnow(), settings.archive_after)
        join_all(sessions, settings.lake, utcnow(), pace)

    def publish_results(_: Claim) -> None:
        publish.publish_all(sessions, settings.lake, utcnow())

    def deliver(_: Claim) -> None:
        deliver_all(sessions, sender, utcnow, lambda: dispatch.flush_all(sessions, utcnow()))

    puller = pulling.Puller(settings, sessions, utcnow)

    def pull(claim: Claim) -> None:
        puller.run(UUID(claim.subject))

    def pair_events(_: Claim) -> None:
        sweep(sessions, utcnow, settings.kserve_wait)

    return {
        "fold": Job(Queue.FOLD, fold),
        "kserve": Job(Queue.FOLD, pair_events),
        "deliver": Job(Queue.DELIVERY, deliver),
        "archive": Job(Queue.ARCHIVE, archive),
        publish.JOB: Job(Queue.ARCHIVE, publish_results),
        **_evaluating(settings, sessions),
        **starting(settings, sessions, sender),
        definitions.JOB: Job(Queue.PULL, pull, pulling.record_failure),
        **_requested(settings, sessions),
        **_tidying(settings, sessions),
    }


def _evaluating(settings: Settings, sessions: sessionmaker[Session]) -> Mapping[str, Job]:
    """Return the jobs that evaluate days of models, with what references teach in memory."""
    baselines = Baselines()

    def evaluate_day(claim: Claim) -> None:
        model_id, now = UUID(claim.subject), utcnow()
        found = waiting(sessions, model_id)
        slots = found.slots
        if slots and slots[0] <= claim.slot:  # else a run before has evaluated it with its own
            if found.is_behind:
                catch_up(sessions, settings.lake, model_id, now)
            until = max(claim.slot, slots[-1])
            evaluate_until(sessions, baselines, model_id, until, now, slots)
        if deadlines.under_way(sessions, model_id):
            canary.evaluate(sessions, model_id, utcnow())
            deadlines.expire(sessions, utcnow(), model_id)

    def reevaluate_late(claim: Claim) -> None:
        model_id, now = UUID(claim.subject), utcnow()
        catch_up(sessions, settings.lake, model_id, now)
        if not reevaluate(sessions, baselines, model_id, now).is_whole:
            with unit_of_work(sessions) as session:
                runs.ask(session, "reevaluate", now, now, claim.subject)

    def retry_failed_slots(claim: Claim) -> None:
        model_id, now = UUID(claim.subject), utcnow()
        catch_up(sessions, settings.lake, model_id, now)
        evaluate_again(sessions, baselines, model_id, claim.slot, now)

    return {
        schedule.JOB: Job(Queue.EVALUATION, evaluate_day),
        "reevaluate": Job(Queue.EVALUATION, reevaluate_late),
        failed_slots.RETRY_JOB: Job(Queue.EVALUATION, retry_failed_slots),
    }


def starting(
    settings: Settings, sessions: sessionmaker[Session], sender: Sender
) -> Mapping[str, Job]:
    """Return the jobs that start and cancel trainings."""
    starter = Starter(settings, sessions, sender)
    return {
        training_runs.START_JOB: Job(Queue.TRAINERS, starter.start, trainer.record_failure),
        training_runs.CANCEL_JOB: Job(Queue.TRAINERS, starter.cancel, final=(AppError,)),
    }


def _requested(settings: Settings, sessions: sessionmaker[Session]) -> Mapping[str, Job]:
    """Return the jobs that somebody asks for, and that may take long."""

    def backtest(claim: Claim) -> None:
        backtests.run(sessions, claim, utcnow)

    def report(claim: Claim) -> None:
        report_writer.write(sessions, settings.lake, settings.reports, UUID(claim.subject))

    def rebuild_summaries(claim: Claim) -> None:
        rebuild.rebuild(sessions, settings.lake, rebuild.Request.of(claim.subject), utcnow())

    on_failure = backtests.record_failure
    return {
        backtests.JOB: Job(Queue.BULK, backtest, on_failure, final=(AppError,)),
        REPORT_JOB: Job(Queue.BULK, report),
        rebuild.JOB: Job(Queue.BULK, rebuild_summaries),
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
        retention.retain_all(sessions, settings.lake, utcnow())
        roll_up_all(sessions, settings.summary_retention, utcnow())
        alarm_counts.keep_all(sessions)

    def purge(_: Claim) -> None:
        now = utcnow()
        with unit_of_work(sessions) as session:
            # Receipts are as old as this job has run often: a clock that is set forward for
            # a while makes nobody forget what a client may send again.
            n_purges = settings.keep_receipts // PURGE_EVERY + 1
            before, routine = now - settings.keep_runs, now - RETAIN_EVERY
            runs.purge(session, before, routine, keep="purge", newest=n_purges)
            backtests.purge(session, before)
            late_hours.purge(session, now)
            since = runs.nth_finished(session, "purge", n_purges)
            if since is not None:
                forget_receipts(session, min(since, now - settings.keep_receipts))
        deadlines.expire(sessions, now)

    def delete_files(claim: Claim) -> None:
        places = from_attributes(deletion.Places, settings)
        deletion.delete_files(sessions, places, claim.subject, utcnow())

    return {
        "retain": Job(Queue.ARCHIVE, retain),
        "purge": Job(Queue.ARCHIVE, purge),
        erasure_requests.JOB: Job(Queue.BULK, erase),
        deletion.JOB: Job(Queue.BULK, delete_files),
    }
