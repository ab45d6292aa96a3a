"""The job of the trainer process: `seqwatch worker` does not know it, and loads no PyTorch."""

from collections.abc import Mapping

from sqlalchemy.orm import Session, sessionmaker

from core.errors import AppError
from core.settings import Settings
from jobs.worker import Job, Queue
from retrain.drill import NO_DRILL, Drill
from retrain.training.fit import limit_threads
from services.rollouts import training_runs
from services.rollouts.trainer import Trainer, record_failure


def training(
    settings: Settings, sessions: sessionmaker[Session], drill: Drill = NO_DRILL
) -> Mapping[str, Job]:
    """Return the job that trains, by name."""
    limit_threads(settings.trainer_threads)
    train = Trainer(settings, sessions, drill).train
    return {training_runs.JOB: Job(Queue.BULK, train, record_failure, final=(AppError,))}
