"""The processes of the demonstration, and where they keep their things."""

import json
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import executable
from typing import Any

from cli.database import make_key
from cli.demo.platform import Platform
from cli.demo.receiver import Receiver
from cli.processes import Supervisor, listening, platform_command
from cli.run import ROLES
from core.settings import Settings
from db.migrate import upgrade
from db.session import connect

MODEL = "transformers"
START_SECONDS = 60.0


@dataclass(kw_only=True)
class Stage:
    """Api, worker, trainer, the forecasting service and a receiver of webhooks, on loopback.

    Attributes
    ----------
    folder
        Where everything is kept; emptied at the start.
    port
        Of the platform; the service takes the next one, the receiver the one after.
    drill
        Options of `cli.demo.drill`, which is the trainer where there are any.
    """

    folder: Path
    port: int
    drill: Sequence[str] = ()
    key: str = ""
    supervisor: Supervisor = field(init=False)
    receiver: Receiver = field(init=False)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        listener = listening("127.0.0.1", self.port)
        for port in (self.port + 1, self.port + 2):
            listening("127.0.0.1", port).close()  # taken later, by the service and the receiver
        self.settings = Settings(
            database_url=f"sqlite:///{self.folder / 'seqwatch.sqlite'}",
            lake=self.folder / "lake",
            artifacts=self.folder / "artifacts",
            reports=self.folder / "reports",
            port=self.port,
            public_url=self.url,
        )
        self.secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        self.supervisor = Supervisor(
            logs=self.folder / "log", environment=self._environment(), listener=listener
        )
        self.receiver = Receiver(self.secret, self.port + 2)

    @property
    def url(self) -> str:
        """Where the platform answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def service_url(self) -> str:
        """Where the forecasting service answers."""
        return f"http://127.0.0.1:{self.port + 1}"

    def start(self) -> Platform:
        """Start the platform and the receiver; return a client with every right."""
        upgrade(connect(self.settings.database_url))
        self.key = make_key(self.settings, "demo", ["admin"], None)
        commands = {role: platform_command(role, self.supervisor.listener) for role in ROLES}
        if self.drill:
            commands["trainer"] = [executable, "-m", "cli.demo.drill", *self.drill]
        for role, command in commands.items():
            self.supervisor.start(role, command)
        self.receiver.start()
        platform = Platform.at(self.url, self.key)
        self.supervisor.wait_until_healthy("api", f"{self.url}/health")
        platform.ask("GET", "/ready")
        severities = ["page", "ticket"]
        channel = {"url": self.receiver.url, "secret": self.secret, "severities": severities}
        platform.ask("PUT", "/v1/channels/on-call", json=channel)
        (self.folder / "stage.json").write_text(json.dumps(self._summary()))
        return platform

    def start_service(self, model: str) -> None:
        """Start the forecasting service, with a key that opens only its own model."""
        key = make_key(self.settings, "forecaster", ["ingest"], model)
        self.supervisor.environment = {
            **self.supervisor.environment,
            "FORECASTER_SEQWATCH_KEY": key,
            "FORECASTER_SEQWATCH_URL": self.url,
            "FORECASTER_PORT": str(self.port + 1),
            "FORECASTER_MODEL": model,
            "FORECASTER_FOLDER": str(self.folder / "forecaster"),
            "FORECASTER_LOOK_EVERY": "PT0.25S",
        }
        self.supervisor.start("forecaster", [executable, "-m", "examples.forecaster.service"])
        service = Platform.at(self.service_url)
        service.wait("/health", lambda health: health["ready"], START_SECONDS)

    def stop(self) -> None:
        """Stop everything."""
        self.supervisor.stop()
        self.receiver.stop()

    def _summary(self) -> dict[str, Any]:
        return {"url": self.url, "service_url": self.service_url, "model": MODEL}

    def _environment(self) -> dict[str, str]:
        """Return the settings of the platform's processes: real ones, in fast time."""
        return {
            "SEQWATCH_DATABASE_URL": self.settings.database_url,
            "SEQWATCH_LAKE": str(self.settings.lake),
            "SEQWATCH_ARTIFACTS": str(self.settings.artifacts),
            "SEQWATCH_REPORTS": str(self.settings.reports),
            "SEQWATCH_PORT": str(self.port),
            "SEQWATCH_PUBLIC_URL": self.url,
            "SEQWATCH_WEBHOOK_ALLOW": "127.0.0.0/8",
            "SEQWATCH_FOLD_EVERY": "2",
            "SEQWATCH_ARCHIVE_EVERY": "10",
            "SEQWATCH_ARCHIVE_AFTER": "0.1",
            "SEQWATCH_JOIN_EVERY": "0.1",
            "SEQWATCH_EVALUATE_EVERY": "0.2",
            "SEQWATCH_DELIVER_EVERY": "0.5",
            "SEQWATCH_LEASE": "6",
        }
