from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network

import pytest

from notify.sender import Sender
from tests.notify.receiver import Receiver, running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running() as receiver:
        yield receiver


@pytest.fixture
def sender() -> Sender:
    """A sender whose operator allows this machine."""
    return Sender(
        allow=[ip_network("127.0.0.0/8"), ip_network("::1/128")],
        timeout=timedelta(seconds=5),
        public_url="https://watch.example/",
    )
