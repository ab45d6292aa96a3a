"""Everything that an operator may set, read once at start."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, IPvAnyNetwork
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _positive(text: str) -> object:
    return Field(gt=timedelta(0), description=text)


class Settings(BaseSettings):
    """Read from `SEQWATCH_…` in the environment; durations in seconds or ISO 8601.

    Every field is described in docs/settings.md; a test compares the two.
    """

    model_config = SettingsConfigDict(
        env_prefix="SEQWATCH_", frozen=True, extra="forbid", secrets_dir=None
    )

    database_url: str = "sqlite:///var/seqwatch.sqlite"
    lake: Path = Path("var/lake")
    artifacts: Path = Path("var/artifacts")
    reports: Path = Path("var/reports")
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    public_url: str = "http://127.0.0.1:8765"

    max_body_bytes: int = Field(default=32 * 2**20, ge=1024)
    max_rows: int = Field(default=100_000, ge=1)
    max_backlog_bytes: int = Field(default=4 * 2**30, ge=2**20)

    fold_every: Annotated[timedelta, _positive("")] = timedelta(seconds=2)
    archive_every: Annotated[timedelta, _positive("")] = timedelta(seconds=30)
    judge_every: Annotated[timedelta, _positive("")] = timedelta(seconds=10)
    deliver_every: Annotated[timedelta, _positive("")] = timedelta(seconds=2)
    lease: Annotated[timedelta, _positive("")] = timedelta(seconds=60)
    keep_runs: timedelta = timedelta(days=7)
    keep_receipts: timedelta = timedelta(days=14)

    trainer_threads: int = Field(default=2, ge=1)
    training_time: Annotated[timedelta, _positive("")] = timedelta(minutes=30)

    # Receivers inside one's own network are refused unless the operator lists them.
    webhook_allow: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    webhook_timeout: Annotated[timedelta, _positive("")] = timedelta(seconds=15)

    # For tests of the safety net only: the next challenger's weights are scrambled.
    sabotage_challenger: bool = False
    bypass_gate: bool = False
