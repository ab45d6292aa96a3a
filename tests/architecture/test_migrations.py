"""The tables in the code and the tables that the migrations make are the same."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from core.errors import EarlierInstallation, Unprocessable
from db.migrate import CONFIG, check, upgrade
from db.session import connect
from db.tables import Base


def run(engine: Engine, name: str, *arguments: str) -> None:
    config = Config(CONFIG)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        getattr(command, name)(config, *arguments)
        connection.commit()


def test_the_migrations_make_the_tables_that_the_code_declares(engine: Engine) -> None:
    run(engine, "check")  # raises where the two differ


def test_a_database_from_before_the_first_release_is_refused_and_left_alone(
    tmp_path: Path,
) -> None:
    engine = connect(f"sqlite:///{tmp_path}/old.sqlite")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0016')")
    for act in (upgrade, check):
        with pytest.raises(EarlierInstallation, match=r"schema 0016.*seqwatch import"):
            act(engine)
    assert inspect(engine).get_table_names() == ["alembic_version"]


def test_an_empty_database_is_to_be_migrated_and_a_newer_one_is_left_to_its_servers(
    engine: Engine, tmp_path: Path
) -> None:
    with pytest.raises(Unprocessable, match="seqwatch migrate"):
        check(connect(f"sqlite:///{tmp_path}/empty.sqlite"))
    check(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    check(engine)


def test_the_migrations_form_one_line() -> None:
    scripts = ScriptDirectory.from_config(Config(CONFIG))
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1


def test_every_constraint_has_a_name() -> None:
    nameless = [
        f"{table.name}: {constraint!r}"
        for table in Base.metadata.sorted_tables
        for constraint in table.constraints
        if constraint.name is None
    ]
    assert nameless == []
