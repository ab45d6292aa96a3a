"""File: one JSON line for each notification."""

from dataclasses import dataclass
from pathlib import Path

from notify.channel import ChannelKind, Delivered, Group, Retry, Sent
from notify.sender import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The file that lines are appended to."""

    path: str

    def __post_init__(self) -> None:
        if not Path(self.path).is_absolute():
            raise ValueError("path: must be absolute")


def send(config: Config, group: Group, _: Sender) -> Sent:
    """Append the notifications."""
    try:
        with Path(config.path).open("ab") as file:
            file.writelines(body + b"\n" for body in group.bodies)
    except OSError as error:
        return Retry(error=f"{type(error).__name__}: {config.path}")
    return Delivered()


KIND = ChannelKind(
    name="file", question="Appends JSON lines to a file.", config=Config, send=send
)
