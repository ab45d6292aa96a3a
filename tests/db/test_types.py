from datetime import datetime

import numpy as np
import pytest
from sqlalchemy import LargeBinary, func, select, type_coerce, update
from sqlalchemy.orm import Session, sessionmaker

from core.streams import Level
from db.session import read_only, unit_of_work
from db.tables import SummaryRow
from monitors.summaries.streams import INPUT
from tests.stored import series_of
from tests.streams import add_model

RAW = type_coerce(SummaryRow.payload, LargeBinary)
NOISE = np.random.default_rng(0).bytes(2_000)


def store(sessions: sessionmaker[Session], payload: bytes, now: datetime) -> None:
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        key = {"series_id": series_of(session, INPUT, model_id, "v1"), "start": now}
        session.add(SummaryRow(**key, level=Level.HOUR, payload=payload))


@pytest.mark.parametrize(
    ("payload", "most"),
    [
        pytest.param(b"\x02" + b"\x00" * 999, 50, id="repetitive bytes are compressed"),
        pytest.param(b"\x02" + NOISE, 2_001, id="noise is stored as it is"),
        pytest.param(b"\xff" + NOISE, 2_050, id="bytes that begin with the mark"),
        pytest.param(b"\x02", 1, id="one byte"),
        pytest.param(b"", 0, id="no bytes"),
    ],
)
def test_a_summary_is_read_as_it_was_written(
    sessions: sessionmaker[Session], now: datetime, payload: bytes, most: int
) -> None:
    store(sessions, payload, now)
    with read_only(sessions) as session:
        assert session.scalar(select(SummaryRow.payload)) == payload
        size = session.scalar(select(func.length(RAW)))
    assert size is not None
    assert size <= most


def test_a_summary_of_before_the_compression_is_still_read(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    before = b"\x02" + b"\x00" * 999
    store(sessions, b"\x02", now)
    with unit_of_work(sessions) as session:
        raw = type_coerce(before, LargeBinary)
        session.execute(update(SummaryRow).values(payload=raw))
    with read_only(sessions) as session:
        assert session.scalar(select(func.length(RAW))) == len(before)
        assert session.scalar(select(SummaryRow.payload)) == before
