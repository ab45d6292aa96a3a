"""Databases and folders that are filled once per test process, and copied for each test."""

import io
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from tests.databases import TABLES, Contents, contents, fill

SQLITE = "seqwatch.sqlite"  # in the folder of a test


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The contents of a database, a folder, and what the builder returned, pickled."""

    database: Path | Contents
    files: Path
    built: bytes


class Templates:
    """The templates of one test process.

    Parameters
    ----------
    folder
        Where their files are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, str, str], Template] = {}

    def once(
        self,
        build: Callable[..., Any],
        *given: object,
        sessions: sessionmaker[Session],
        folder: Path,
    ) -> Any:
        """Fill an empty database and folder, or copy what was built before.

        Parameters
        ----------
        build
            Called with `sessions`, `folder` and `given`. What it returns may refer to
            the first two: a copy of it refers to those of the test that asks for it.
        sessions, folder
            The database and the folder of the test.
        """
        engine: Engine = sessions.kw["bind"]
        assert _is_empty(engine), "fixtures that write come after those that copy"
        key = engine.dialect.name, f"{build.__module__}.{build.__qualname__}", repr(given)
        if key not in self._known:
            made = build(sessions, folder, *given)
            self._known[key] = self._keep(engine, folder, _dump(made, sessions, folder))
            return made
        template = self._known[key]
        if isinstance(template.database, Path):
            _copy_sqlite(template.database, _path(engine))
        else:
            fill(_url(engine), template.database)
        shutil.copytree(template.files, folder, dirs_exist_ok=True)
        return _Load(io.BytesIO(template.built), sessions, folder).load()

    def _keep(self, engine: Engine, folder: Path, built: bytes) -> Template:
        place = self._folder / str(len(self._known))
        shutil.copytree(folder, place, ignore=shutil.ignore_patterns(f"{SQLITE}*"))
        if engine.dialect.name == "sqlite":
            kept = place.with_suffix(".sqlite")
            _copy_sqlite(_path(engine), kept)
            return Template(database=kept, files=place, built=built)
        return Template(database=contents(_url(engine)), files=place, built=built)


def _is_empty(engine: Engine) -> bool:
    rows = " OR ".join(f"EXISTS (SELECT 1 FROM {table})" for table in TABLES)
    with engine.connect() as connection:
        return not connection.exec_driver_sql(f"SELECT {rows}").scalar()


def _url(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def _path(engine: Engine) -> Path:
    return Path(engine.url.database or "")


def _copy_sqlite(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA synchronous=OFF")
        original.backup(copy)


def _dump(made: object, sessions: sessionmaker[Session], folder: Path) -> bytes:
    """Pickle an object; `sessions` and paths below `folder` by reference."""

    class Dump(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            if obj is sessions:
                return "sessions", ""
            if isinstance(obj, Path) and obj.is_relative_to(folder):
                return "path", str(obj.relative_to(folder))
            return None

    content = io.BytesIO()
    Dump(content).dump(made)
    return content.getvalue()


class _Load(pickle.Unpickler):
    def __init__(
        self, content: io.BytesIO, sessions: sessionmaker[Session], folder: Path
    ) -> None:
        super().__init__(content)
        self._sessions, self._folder = sessions, folder

    def persistent_load(self, pid: Any) -> object:
        kind, path = pid
        return self._sessions if kind == "sessions" else self._folder / path
