"""The real parts that tests run against: both databases, made by the migrations."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import routing
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

from core.lake_root import LakeRoot
from core.settings import Settings
from db.migrate import upgrade
from db.session import connect
from tests import objectstore, postgres
from tests.databases import Databases
from tests.templates import SQLITE, Templates


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without the garbage collector, which searches the imported modules in vain."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the slow tests what runs on PostgreSQL as on SQLite, step by step."""
    for item in items:
        database = getattr(item, "callspec", None) and item.callspec.params.get("database_url")  # type: ignore[attr-defined]
        if database == "postgresql" and item.get_closest_marker("sqlite_first"):
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def routes_built_once() -> Iterator[None]:
    """Copy the state of a route from the application that included it first.

    FastAPI builds the validators of all routes again for each application, at its first
    request: 0.13 s, in a thousand tests. Only the overrides of dependencies differ.
    """
    populate: Any = routing._populate_api_route_state
    built: dict[tuple[int, str, str], dict[str, Any]] = {}

    def populate_once(route: Any, path: str, endpoint: Any, **given: Any) -> None:
        if isinstance(route, routing._EffectiveRouteContext):
            overrides = given.pop("dependency_overrides_provider")
            key = id(route.original_route), path, repr(given)
            if key not in built:
                populate(route, path, endpoint, **given)
                built[key] = {**vars(route)}  # with the route: its id stays taken
            vars(route).update(built[key] | {"dependency_overrides_provider": overrides})
        else:
            populate(route, path, endpoint, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routing, "_populate_api_route_state", populate_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Share what clients trust: to read the certificates takes 0.03 s."""
    with pytest.MonkeyPatch.context() as patch:
        shared = cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", shared)
        yield


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 1, 8, tzinfo=UTC)


@pytest.fixture(scope="session")
def object_store() -> Iterator[objectstore.Running]:
    with objectstore.serving() as store:
        yield store


@pytest.fixture(params=["folder", "s3"])
def lake_root(request: pytest.FixtureRequest, tmp_path: Path) -> LakeRoot:
    """An empty place for the prediction log, once per kind."""
    if request.param == "folder":
        return tmp_path / "a lake"
    store: objectstore.Running = request.getfixturevalue("object_store")
    return store.bucket(uuid4().hex)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    given = os.environ.get("SEQWATCH_TEST_POSTGRES_URL")
    if given:
        url = make_url(given).set(drivername="postgresql+psycopg")
        yield url.render_as_string(hide_password=False)
    else:
        with postgres.running() as url_of_our_own:
            yield url_of_our_own


@pytest.fixture(scope="session")
def databases(postgres_url: str) -> Iterator[Databases]:
    databases = Databases(postgres_url)
    yield databases
    databases.drop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A clean database, once per kind.

    For one kind only: `@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)`.
    """
    if request.param == "sqlite":
        path = tmp_path / SQLITE
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
    else:
        databases: Databases = request.getfixturevalue("databases")
        with databases.lent() as url:
            yield url


@pytest.fixture(scope="session")
def engines() -> dict[str, Engine]:
    """The first engine of each kind."""
    return {}


@pytest.fixture
def engine(database_url: str, engines: dict[str, Engine]) -> Iterator[Engine]:
    engine = connect(database_url)
    first = engines.setdefault(engine.dialect.name, engine)
    # Statements that were compiled for one engine need not be for another.
    engine.dialect, engine._compiled_cache = first.dialect, first._compiled_cache
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _write_without_sync)
    if engine is first:
        engine.connect().close()  # the dialect learns of what version its server is
    yield engine
    engine.dispose()


def _write_without_sync(connection: Any, _: object) -> None:
    """Leave it to the operating system when the disk is written: no test cuts the power."""
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return sessionmaker(engine, expire_on_commit=False)  # as in production


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp("templates"))


Once = Callable[..., Any]


@pytest.fixture
def once(templates: Templates, sessions: sessionmaker[Session], tmp_path: Path) -> Once:
    """Call a builder with `sessions`, `tmp_path` and what is given, once per process.

    Each later test gets a copy of the database and of the folder. The builder finds
    both empty, and a test calls one builder.
    """
    return partial(templates.once, sessions=sessions, folder=tmp_path)


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One open session, rolled back at the end; not beside anything else that writes."""
    with sessions() as session:
        yield session


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_url,
        lake=tmp_path / "lake",
        artifacts=tmp_path / "artifacts",
        reports=tmp_path / "reports",
    )
