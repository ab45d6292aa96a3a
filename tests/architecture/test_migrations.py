"""The tables in the code and the tables that the migrations make are the same."""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from db.migrate import CONFIG, upgrade
from db.tables import Base


def run(engine: Engine, name: str, *arguments: str) -> None:
    config = Config(CONFIG)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        getattr(command, name)(config, *arguments)
        connection.commit()


def test_the_migrations_make_the_tables_that_the_code_declares(engine: Engine) -> None:
    run(engine, "check")  # raises where the two differ


def test_every_migration_can_be_undone_and_done_again(engine: Engine) -> None:
    run(engine, "downgrade", "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    upgrade(engine)
    assert set(Base.metadata.tables) < set(inspect(engine).get_table_names())
    run(engine, "check")


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
