"""A dispatcher of its own process: flushes groups and delivers, until it is killed."""

import sys
import time
from datetime import timedelta
from ipaddress import ip_network

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from core.clock import utcnow
from db.session import connect
from notify.sender import Sender
from services.alerting import dispatch
from services.alerting.deliver import deliver_all


def main(url: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    sender = Sender(
        allow=[ip_network("127.0.0.0/8")],
        timeout=timedelta(seconds=1),
        public_url="https://watch.example",
    )
    while True:
        try:
            dispatch.flush_all(sessions, utcnow())
            deliver_all(sessions, sender, utcnow)
        except DBAPIError:  # another replica holds what this one wants: as a job, once more
            time.sleep(0.05)
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
