"""A series with a season, logged as a forecaster logs it, and trainers for it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import Kind
from core.settings import Settings
from db.session import connect, read_only, unit_of_work
from db.tables import Model, Rollout, RolloutEvent, Version
from jobs.ticker import Ticker, trainings
from jobs.training import training
from jobs.wiring import starting
from jobs.worker import Worker
from notify.sender import Sender
from retrain.drill import NO_DRILL, Drill
from services.aggregation.fold import fold_all
from services.retention.catch_up import catch_up
from services.rollouts import retraining
from services.rollouts.retraining import Cause
from tests.services.crashing import settings_of
from tests.streams import START, add_model, keep, label, prediction, table

N_DAYS, CHANGE, STEPS = 130, 70, 8  # days, the day of the change, steps a day
CONTRACT = Contract(
    features=(Feature(name="load"),),
    targets=("load",),
    step=3 * HOUR,
    input_length=8,
    horizon=4,
)


def daily(n_days: int = N_DAYS, noise: float = 0.2) -> NDArray[np.float64]:
    """Return values (day, step) that swing every 16 hours, and from `CHANGE` on every 12.

    No day repeats the one before until then: the seasonal naive is easily beaten.
    """
    step = np.arange(STEPS * n_days)
    cycle = 2 * np.pi * step / STEPS
    level = np.where(step < STEPS * CHANGE, np.sin(1.5 * cycle), 2 * np.sin(2 * cycle))
    chance = np.random.default_rng(5)
    return (level + noise * chance.standard_normal(len(step))).reshape(n_days, STEPS)


class Seasons:
    """One model, its log and its rollouts."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.engine = connect(url)
        self.sessions = sessionmaker(self.engine, expire_on_commit=False)

    def log(self, days: NDArray[np.float64], first: int = 0) -> None:
        """Keep days in the inbox: one prediction and one label each."""
        with read_only(self.sessions) as session:
            model = session.scalars(select(Model.id)).first()
        model_id = model or add_model(self.sessions, CONTRACT)
        rows, labels = [], []
        for number, values in enumerate(days, start=first):
            midnight = START + number * DAY
            features = {"load": values.tolist()}
            output = {"load": [0.0] * CONTRACT.horizon}
            at = midnight + (STEPS - 1) * CONTRACT.step
            rows.append(prediction(at, features=features, output=output))
            labels.append(label(midnight, values.tolist()))
        keep(self.sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, CONTRACT))
        keep(self.sessions, model_id, Kind.LABELS, table(Kind.LABELS, labels, CONTRACT))
        fold_all(self.sessions, START + HOUR)  # it does not wait for more

    def request(self, key: str, onset: datetime | None = None) -> UUID:
        with unit_of_work(self.sessions) as session:
            cause = Cause(reason="a test", onset=onset)
            made = retraining.request(session, "grid", cause, idempotency_key=key, now=START)
            return made.id

    def settings(self, **changes: object) -> Settings:
        return settings_of(self.url, self.folder).model_copy(update=changes)

    def train(self, drill: Drill = NO_DRILL, **changes: object) -> bool:
        return train_once(self.settings(**changes), self.sessions, drill)

    def rollout(self, rollout_id: UUID) -> Rollout:
        with read_only(self.sessions) as session:
            rollout = session.get_one(Rollout, rollout_id)
            session.expunge(rollout)
            return rollout

    def events(self, rollout_id: UUID) -> list[tuple[str, str]]:
        with read_only(self.sessions) as session:
            rows = session.scalars(
                select(RolloutEvent)
                .where(RolloutEvent.rollout_id == rollout_id)
                .order_by(RolloutEvent.recorded_at)
            )
            return [(row.event, row.cause) for row in rows]

    def versions(self) -> list[Version]:
        with read_only(self.sessions) as session:
            found = session.scalars(select(Version).order_by(Version.name)).all()
            session.expunge_all()
            return [*found]


def train_once(
    settings: Settings, sessions: sessionmaker[Session], drill: Drill = NO_DRILL
) -> bool:
    """Ask for what is due, and start it, as the worker does; let a trainer take one run."""
    Ticker(settings, sessions).ask(trainings)
    start_once(settings, sessions)
    return Worker(settings, sessions, training(settings, sessions, drill)).once()


def start_once(settings: Settings, sessions: sessionmaker[Session]) -> bool:
    """Let a worker start, or cancel, one training."""
    sender = Sender(allow=(), timeout=timedelta(seconds=5), public_url=settings.public_url)
    return Worker(settings, sessions, starting(settings, sessions, sender)).once()


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Seasons]:
    seasons = Seasons(url, folder)
    yield seasons
    seasons.engine.dispose()


def seasoned(migrated_file: Path, folder: Path) -> None:
    """Train v1 on what was before the change, then log and join what came after it."""
    shutil.copy(migrated_file, folder / "seqwatch.sqlite")
    with opened(f"sqlite:///{folder}/seqwatch.sqlite", folder) as seasons:
        values = daily()
        seasons.log(values[:CHANGE])
        seasons.request("first")
        assert seasons.train()
        seasons.log(values[CHANGE:], first=CHANGE)
        [v1] = seasons.versions()
        catch_up(seasons.sessions, seasons.settings().lake, v1.model_id, START + HOUR)
