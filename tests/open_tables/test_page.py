"""The page describes the columns that there are, its SQL runs, and columns are only added."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from db.migrate import upgrade
from db.session import connect
from services.open_tables.publish import publish_all
from services.open_tables.registry import TABLES
from tests.conftest import Once
from tests.db import fill
from tests.db.fill import N_SERVED, NOW
from tests.open_tables import results, world
from tests.open_tables.document import PAGE, described
from tests.templates import SQLITE

STORED = Path(__file__).parent / "schemas.json"


def test_every_column_is_described_as_it_is_declared() -> None:
    page = PAGE.read_text("utf-8")
    assert described(page) == page, "run python -m tests.open_tables.document"


def test_columns_are_only_added() -> None:
    """A column that was published keeps its name and its type: readers depend on it."""
    now = {
        table.name: {field.name: str(field.type) for field in table.schema} for table in TABLES
    }
    before = json.loads(STORED.read_text())
    for name, columns in before.items():
        assert columns.items() <= now[name].items(), f"{name}: a column was removed or changed"
    added = {
        name: sorted(columns.keys() - before.get(name, {}).keys())
        for name, columns in now.items()
    }
    assert not any(added.values()), f"add them to {STORED.name}: {added}"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_sql_and_the_python_of_the_page_run(
    sessions: sessionmaker[Session],
    tmp_path: Path,
    once: Once,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    once(world.filled)
    lake = tmp_path / "lake"
    publish_all(sessions, lake, NOW)
    duckdb = world.database(lake)
    page = PAGE.read_text("utf-8")
    blocks = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    views, error_by_day, as_of = blocks
    for name in re.findall(r"delta_scan\('var/lake/published/(\w+)'\)", views):
        assert (lake / "published" / name / "_delta_log").is_dir()
    found = duckdb.sql(error_by_day).fetchall()
    assert len(found) >= N_SERVED
    assert {model for model, *_ in found} == {"load"}
    assert duckdb.sql(as_of).to_arrow_table().num_rows == len(world.rows(lake, "findings"))
    [without_extension] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "lake").symlink_to(lake)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(without_extension, names)
    assert names["findings"].num_rows == len(world.rows(lake, "findings"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_cause_that_names_an_entity_is_not_published(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    model_id = results.add_model(sessions, kind="silence")
    results.add(sessions, model_id, 2, cause="entity Meier is silent")
    publish_all(sessions, tmp_path / "lake", NOW)
    for table in ("findings", "alerts"):
        assert {row["cause"] for row in world.rows(tmp_path / "lake", table)} == {""}
    assert not [
        path
        for path in (tmp_path / "lake" / "published").rglob("*")
        if path.is_file() and b"Meier" in path.read_bytes()
    ]


def test_an_upgrade_publishes_what_was_found_before(tmp_path: Path) -> None:
    manifest = fill.restore(fill.FILLED / "0100.tar.xz", tmp_path)
    settings = fill.settings_of(tmp_path, f"sqlite:///{tmp_path / SQLITE}")
    engine = connect(settings.database_url)
    upgrade(engine)
    sessions = sessionmaker(engine, expire_on_commit=False)

    publish_all(sessions, settings.lake, NOW)

    n_items = manifest.n_items
    assert len(world.rows(settings.lake, "findings")) == n_items[f"{fill.MODEL}/findings"]
    assert len(world.rows(settings.lake, "alerts")) == n_items["/v1/flips"]
    days = {row["day"] for row in world.rows(settings.lake, "accuracy")}
    assert len(days) >= N_SERVED
    engine.dispose()
