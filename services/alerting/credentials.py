"""Channels whose stored credentials cannot be decrypted send nothing, and stop no other."""

from collections.abc import Mapping

from db.encrypted import UNREADABLE
from notify import channel
from notify.channel import Group, Retry, Sent
from notify.sender import Sender

REASON = "its configuration is encrypted, and no key in SEQWATCH_CREDENTIALS_KEY decrypts it"


def send(kind: str, config: Mapping[str, object], group: Group, sender: Sender) -> Sent:
    """Make one attempt through a channel; every failure is a result, none is raised.

    Parameters
    ----------
    kind
        Name of the kind.
    config
        As it was read from the database.
    group
        What is sent.
    sender
        Makes the request.
    """
    if UNREADABLE in config:
        return Retry(error=REASON)
    return channel.send(kind, config, group, sender)
