"""A worker or a trainer that dies, as if by `kill -9`, at one named point."""

from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import sessionmaker

from core.settings import Settings
from db.session import connect
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from tests.archive.crashing import arm


def settings_of(url: str, folder: Path) -> Settings:
    """Return settings under which a dead trainer is replaced after two seconds."""
    return Settings(
        database_url=url,
        lake=folder / "lake",
        artifacts=folder / "artifacts",
        lease=timedelta(seconds=2),
        trainer_threads=1,
    )


def evaluate(url: str, model_id: UUID, slot: datetime, *point: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    arm(*point)
    evaluate_slot(sessions, Baselines(), model_id, slot, slot)


def train(url: str, folder: Path, *point: str) -> None:
    from tests.services.seasons import train_once

    sessions = sessionmaker(connect(url), expire_on_commit=False)
    arm(*point)
    train_once(settings_of(url, folder), sessions)
