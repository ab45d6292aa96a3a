"""Settings of the installation, read once at start."""

import base64
import ssl
from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    FilePath,
    IPvAnyNetwork,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from core.errors import Unprocessable
from core.lake_root import Bucket, lake_root
from core.streams import SUMMARIES, Retention


class _FromFiles(EnvSettingsSource):
    """Reads `SEQWATCH_X_FILE` where `SEQWATCH_X` is a secret that a file keeps."""

    def get_field_value(
        self, field: FieldInfo, field_name: str
    ) -> tuple[str | None, str, bool]:
        path, _, is_complex = super().get_field_value(field, f"{field_name}_FILE")
        if path is None:
            return None, field_name, is_complex
        name = f"{self.env_prefix}{field_name}".upper()
        if super().get_field_value(field, field_name)[0] is not None:
            raise ValueError(f"{name} and {name}_FILE are both set: which one holds?")
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\n"), field_name, is_complex
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{name}_FILE: {error}") from error


def _seconds(given: object) -> object:
    """Read a bare number as seconds, also from the environment, where it is text."""
    try:
        return float(given) if isinstance(given, str) else given
    except ValueError:
        return given


Duration = Annotated[timedelta, BeforeValidator(_seconds), Field(gt=timedelta(0))]
DurationOrZero = Annotated[timedelta, BeforeValidator(_seconds), Field(ge=timedelta(0))]


class LogFormat(StrEnum):
    """How a process writes its log."""

    TEXT = "text"
    JSON = "json"


class Settings(BaseSettings):
    """Read from `SEQWATCH_…` in the environment; durations in seconds or ISO 8601.

    Every field is described in docs/settings.md; a test compares the two.
    """

    model_config = SettingsConfigDict(
        env_prefix="SEQWATCH_", frozen=True, extra="forbid", secrets_dir=None
    )

    database_url: str = "sqlite:///var/seqwatch.sqlite"
    # How an object store is reached; before `lake`, which takes it up. It may hold secrets.
    lake_options: dict[str, str] = Field(default={}, repr=False)
    lake: Path | Bucket = Path("var/lake")
    artifacts: Path = Path("var/artifacts")
    reports: Path = Path("var/reports")
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    public_url: str = "http://127.0.0.1:8765"

    max_connections: int = Field(default=10_000, ge=10)
    max_connections_per_address: int = Field(default=4_000, ge=1)
    # Their header X-Forwarded-For names the client.
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    max_body_bytes: int = Field(default=32 * 2**20, ge=1024)
    max_rows: int = Field(default=100_000, ge=1)
    max_backlog_bytes: int = Field(default=4 * 2**30, ge=2**20)
    max_backlog_age: Duration = timedelta(hours=1)
    max_waiting_bytes: int = Field(default=128 * 2**20, ge=2**20, validate_default=True)
    max_rows_per_second: int = Field(default=0, ge=0)  # of one key; 0: as many as there are
    body_time: Duration = timedelta(seconds=60)
    min_free_bytes: int = Field(default=2**30, ge=0)

    fold_every: Duration = timedelta(seconds=2)
    archive_every: Duration = timedelta(seconds=30)
    archive_after: Duration = Field(default=timedelta(minutes=5), validate_default=True)
    join_every: Duration = timedelta(minutes=10)
    publish_every: DurationOrZero = timedelta(minutes=5)  # 0: never
    evaluate_every: Duration = timedelta(seconds=10)
    reevaluate_every: Duration = timedelta(minutes=15)
    deliver_every: Duration = timedelta(seconds=2)
    lease: Duration = timedelta(seconds=60)
    keep_runs: Duration = timedelta(days=7)
    keep_receipts: Duration = timedelta(days=14)
    keep_slice_summaries: Duration = SUMMARIES.slice
    keep_grain_summaries: Duration = SUMMARIES.grain
    keep_hour_summaries: Duration = Field(default=SUMMARIES.hour, validate_default=True)
    keep_day_summaries: Duration | None = SUMMARIES.day  # None: for ever
    kserve_wait: Duration = timedelta(minutes=10)

    trainer_threads: int = Field(default=1, ge=1)
    training_time: Duration = timedelta(minutes=30)

    # Receivers inside one's own network are refused unless the operator lists them.
    webhook_allow: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    webhook_timeout: Duration = timedelta(seconds=15)
    # Through which receivers outside `webhook_allow` are reached; it may hold a password.
    egress_proxy: str = Field(default="", repr=False)
    ca_bundle: FilePath | None = None  # trusted beside the system's certificates
    apprise_services: Annotated[frozenset[str], NoDecode] = frozenset()
    # Fernet keys, one a line: the first encrypts, all decrypt.
    credentials_key: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)

    log_format: LogFormat = LogFormat.TEXT
    otlp_endpoint: str = ""  # empty: no spans
    trace_url: str = ""  # of a trace in its backend; empty: no links

    @field_validator("otlp_endpoint", "trace_url")
    @classmethod
    def _web_address(cls, given: str, field: ValidationInfo) -> str:
        if given and not given.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        if given and field.field_name == "trace_url" and "{trace_id}" not in given:
            raise ValueError("must contain {trace_id}")
        return given

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, given: str) -> str:
        if not given.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError(
                "must be sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
            )
        return given

    @field_validator("max_waiting_bytes")
    @classmethod
    def _room_for_any_body(cls, given: int, others: ValidationInfo) -> int:
        if given < 2 * others.data.get("max_body_bytes", 0):
            raise ValueError(
                "must be at least twice SEQWATCH_MAX_BODY_BYTES: half is kept for other keys"
            )
        return given

    @field_validator("archive_after")
    @classmethod
    def _before_backlog_is_old(cls, given: timedelta, others: ValidationInfo) -> timedelta:
        if given >= others.data.get("max_backlog_age", timedelta.max):
            raise ValueError(
                "must be less than SEQWATCH_MAX_BACKLOG_AGE: rows wait so long for the "
                "archive, and /ready would be 503"
            )
        return given

    @field_validator("keep_day_summaries", mode="before")
    @classmethod
    def _for_ever(cls, given: object) -> object:
        """Read an empty text as no end."""
        return None if given == "" else given

    @field_validator("keep_hour_summaries", "keep_day_summaries")
    @classmethod
    def _longer_than_finer(
        cls, given: timedelta | None, others: ValidationInfo
    ) -> timedelta | None:
        for name in ("keep_slice_summaries", "keep_grain_summaries", "keep_hour_summaries"):
            if given is not None and given < others.data.get(name, given):
                raise ValueError(f"must not be less than SEQWATCH_{name.upper()}")
        return given

    @field_validator("lake", mode="before")
    @classmethod
    def _place(cls, given: object, others: ValidationInfo) -> object:
        """Read a folder or the URL of an object store."""
        if not isinstance(given, str):
            return given
        return lake_root(given, others.data.get("lake_options"))

    @field_validator("egress_proxy")
    @classmethod
    def _http_proxy(cls, given: str) -> str:
        try:
            parts = urlsplit(given)
            is_proxy = bool(parts.scheme == "http" and parts.hostname and parts.port != 0)
            is_proxy &= parts.path in ("", "/") and not parts.query
        except ValueError:
            is_proxy = False
        if given and not is_proxy:
            raise ValueError("must be http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")
        return given

    @field_validator("ca_bundle", mode="before")
    @classmethod
    def _no_file(cls, given: object) -> object:
        """Read an empty text as no file."""
        return None if given == "" else given

    @field_validator("ca_bundle")
    @classmethod
    def _certificates(cls, given: Path | None) -> Path | None:
        if given is not None:
            try:
                ssl.create_default_context(cafile=given)
            except (ssl.SSLError, OSError):
                raise ValueError(f"{given} holds no certificates in PEM") from None
        return given

    @field_validator("credentials_key", mode="before")
    @classmethod
    def _lines(cls, given: object) -> object:
        return tuple(given.split()) if isinstance(given, str) else given

    @field_validator("credentials_key")
    @classmethod
    def _fernet_keys(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for number, key in enumerate(given, start=1):
            try:
                is_key = len(base64.urlsafe_b64decode(key)) == 32
            except ValueError:
                is_key = False
            if not is_key:
                raise ValueError(f"key {number} is not 32 bytes in URL-safe base64")
        return given

    @field_validator("trusted_proxies", "webhook_allow", "apprise_services", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        """Read a list as people write it in an environment: with commas."""
        return [part for part in given.split(",") if part] if isinstance(given, str) else given

    @property
    def summary_retention(self) -> Retention:
        """For what the policy of a model leaves open."""
        return Retention(
            slice=self.keep_slice_summaries,
            grain=self.keep_grain_summaries,
            hour=self.keep_hour_summaries,
            day=self.keep_day_summaries,
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then files named in the environment, then the environment."""
        return init_settings, _FromFiles(settings_cls), env_settings


# Of the importer, the client's examples, and the folder of real series.
_OTHERS = frozenset({"SEQWATCH_KEY", "SEQWATCH_URL", "SEQWATCH_SPOOL", "SEQWATCH_DATA"})


def check_names(environment: Iterable[str]) -> None:
    """Refuse environment variables that look like settings and are none.

    Raises
    ------
    Unprocessable
        Naming each, and the known name that is most like it.

    Examples
    --------
    >>> check_names(["HOME", "SEQWATCH_LAKE", "SEQWATCH_DATABASE_URL_FILE"])
    >>> check_names(["SEQWATCH_LAEK"])
    Traceback (most recent call last):
    core.errors.Unprocessable: SEQWATCH_LAEK is no setting; did you mean SEQWATCH_LAKE?
    """
    settings = [f"SEQWATCH_{name}".upper() for name in Settings.model_fields]
    known = _OTHERS.union(settings, (f"{name}_FILE" for name in settings))
    faults = []
    for name in sorted(environment):
        if not name.startswith("SEQWATCH_") or name.startswith("SEQWATCH_TEST_"):
            continue
        if name not in known:
            like = get_close_matches(name, settings, n=1, cutoff=0.0)
            faults.append(f"{name} is no setting; did you mean {like[0]}?")
    if faults:
        raise Unprocessable("\n".join(faults))
