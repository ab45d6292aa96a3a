import sqlite3
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, TimeoutError

from core.errors import StaleChampion
from db.session import connect
from lake.storage import LakeAstray
from services.platform_faults.outage import described, is_outage


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("from SQLite")
    error.sqlite_errorcode = code
    return error


def wrapped() -> Exception:
    try:
        try:
            raise ConnectionResetError("by peer")
        except OSError as error:
            raise RuntimeError("cannot read the weights") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(OSError(28, "No space left on device"), True, id="disk full"),
        pytest.param(FileNotFoundError("lake"), True, id="a folder that is gone"),
        pytest.param(ConnectionRefusedError(), True, id="nobody listens"),
        pytest.param(httpx.ConnectTimeout("slow"), True, id="the network"),
        pytest.param(LakeAstray("the lake ends at group 0"), True, id="another lake"),
        pytest.param(TimeoutError("QueuePool limit"), True, id="no connection is free"),
        pytest.param(
            OperationalError("SELECT", None, sqlite_error(sqlite3.SQLITE_FULL)),
            True,
            id="SQLite on a full disk",
        ),
        pytest.param(
            DBAPIError("SELECT", None, Exception("server closed"), connection_invalidated=True),
            True,
            id="a connection that broke",
        ),
        pytest.param(sqlite_error(sqlite3.SQLITE_BUSY), True, id="SQLite is locked"),
        pytest.param(wrapped(), True, id="raised from an outage"),
        pytest.param(
            ExceptionGroup("all", [OSError(), ExceptionGroup("some", [OSError()])]),
            True,
            id="a group of outages",
        ),
        pytest.param(
            ExceptionGroup("all", [OSError(), KeyError("load")]), False, id="a bug among them"
        ),
        pytest.param(
            OperationalError("SELECT", None, sqlite_error(sqlite3.SQLITE_ERROR)),
            False,
            id="no such table",
        ),
        pytest.param(
            IntegrityError("INSERT", None, sqlite_error(sqlite3.SQLITE_CONSTRAINT)),
            False,
            id="a constraint",
        ),
        pytest.param(KeyError("load"), False, id="a bug"),
        pytest.param(StaleChampion("changed"), False, id="a race"),
        pytest.param(pa.ArrowInvalid("not a Parquet file"), False, id="a broken file"),
    ],
)
def test_outages_are_distinguished_from_errors_of_our_own(
    error: Exception, expected: bool
) -> None:
    assert is_outage(error) is expected


def test_a_postgresql_that_does_not_listen_is_an_outage() -> None:
    engine = connect("postgresql+psycopg://nobody@127.0.0.1:9/none")
    with pytest.raises(OperationalError) as caught:
        engine.connect()
    assert is_outage(caught.value)


def test_a_statement_that_is_wrong_is_no_outage(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT nothing FROM nowhere"))
    engine.dispose()
    assert not is_outage(caught.value)


def test_a_lake_that_is_gone_is_an_outage_however_it_is_found(tmp_path: Path) -> None:
    lake, rows = tmp_path / "lake", pa.table({"n": [1]})
    write_deltalake(lake, rows)
    table = DeltaTable(lake)
    lake.rename(tmp_path / "away")
    with pytest.raises(Exception) as opened:  # noqa: PT011 - whatever the library raises
        DeltaTable(lake)
    with pytest.raises(Exception) as read:  # noqa: PT011
        table.to_pyarrow_dataset().to_table()
    with pytest.raises(Exception) as written:  # noqa: PT011
        write_deltalake(table, rows, mode="append")
    assert all(is_outage(caught.value) for caught in (opened, read, written))


def test_a_cause_names_the_error_and_quotes_no_row() -> None:
    detail = "duplicate key value\nDETAIL:  Key (entity)=(secret) already exists."
    error = IntegrityError("INSERT INTO finding ...", {"entity": "secret"}, Exception(detail))
    assert described(error) == "IntegrityError: duplicate key value"
    assert described(ExceptionGroup("one", [ValueError("x" * 9999)])).startswith(
        "ValueError: x"
    )
    assert len(described(ValueError("x" * 9999))) == 300
    assert described(KeyError()) == "KeyError"
