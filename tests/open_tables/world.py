"""An installation that was filled through the API, and what its open tables hold."""

from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from core.lake_root import LakeRoot
from lake import published, storage
from services.open_tables.registry import TABLES
from tests.db import fill


def filled(sessions: sessionmaker[Session], folder: Path) -> str:
    """Fill an installation; return the key of its API."""
    settings = fill.settings_of(folder, str(sessions.kw["bind"].url))
    return fill.fill(settings, sessions).key


def api(sessions: sessionmaker[Session], folder: Path, key: str) -> TestClient:
    settings = fill.settings_of(folder, str(sessions.kw["bind"].url))
    headers = {"Authorization": f"Bearer {key}"}
    return TestClient(fill.app_of(settings, sessions), headers=headers)


def read(lake: LakeRoot, name: str) -> pa.Table:
    """Return every row of an open table."""
    table = published.open_table(lake, name)
    assert table is not None
    return table.to_pyarrow_dataset(filesystem=storage.file_system(table)).to_table()


def rows(lake: LakeRoot, name: str) -> list[dict[str, Any]]:
    return read(lake, name).to_pylist()  # type: ignore[no-any-return]


def database(lake: LakeRoot) -> duckdb.DuckDBPyConnection:
    """Return DuckDB with each open table under its name: its extension may not be installed."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for table in TABLES:
        connection.register(table.name, read(lake, table.name))
    return connection


def newest(lake: LakeRoot, name: str, key: str) -> list[dict[str, Any]]:
    """Return the newest rows of each key, with the query of docs/open-tables.md."""
    query = (
        f"SELECT * FROM {name} "
        f"QUALIFY rank() OVER (PARTITION BY {key} ORDER BY recorded_at DESC) = 1"
    )
    return database(lake).sql(query).to_arrow_table().to_pylist()  # type: ignore[no-any-return]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
