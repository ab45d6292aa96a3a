"""Command: a process of this machine trains; the request is its standard input, as JSON."""

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from core.plugins import SECRET
from notify.trainer import Platform, Refused, Start, Started, StartRequest, TrainerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Program and arguments, and a password that it finds in its environment."""

    command: list[str]
    password: str = field(default="", metadata=SECRET, repr=False)

    def __post_init__(self) -> None:
        if not self.command or not Path(self.command[0]).is_absolute():
            raise ValueError("command: must begin with an absolute path")


def start(config: Config, request: StartRequest, _: Platform) -> Start:
    """Start the process, detached; the token is in no file that has a name."""
    environment = os.environ | {"PASSWORD": config.password}
    with TemporaryFile() as file:
        file.write(request.to_json())
        file.seek(0)
        given = [(os.POSIX_SPAWN_DUP2, file.fileno(), 0)]
        program = config.command[0]
        try:
            pid = os.posix_spawn(
                program, config.command, environment, file_actions=given, setsid=True
            )
        except OSError as error:
            return Refused(reason=f"{program}: {error.strerror}")
    return Started(reference=f"process {pid}")


def cancel(_: Config, reference: str, __: Platform) -> None:
    """End the process, and what it has started."""
    try:
        os.killpg(int(reference.removeprefix("process ")), signal.SIGTERM)
    except ProcessLookupError:
        return


KIND = TrainerKind(
    name="command",
    question="Starts a process of this machine.",
    config=Config,
    start=start,
    cancel=cancel,
)
