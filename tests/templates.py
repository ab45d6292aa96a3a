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
from uuid import uuid4

from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session, sessionmaker

from db.session import connect

SQLITE = "seqwatch.sqlite"  # in the folder of a test


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A database, a folder, and what the builder returned, pickled."""

    url: URL
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
        key = engine.dialect.name, f"{build.__module__}.{build.__qualname__}", repr(given)
        if key not in self._known:
            made = build(sessions, folder, *given)
            self._known[key] = self._keep(engine, folder, _dump(made, sessions, folder))
            return made
        template = self._known[key]
        engine.dispose()
        _copy(template.url, engine.url)
        shutil.copytree(template.files, folder, dirs_exist_ok=True)
        return _Load(io.BytesIO(template.built), sessions, folder).load()

    def drop(self) -> None:
        """Drop the databases of a server; files go with their folder."""
        for template in self._known.values():
            if template.url.get_backend_name() == "postgresql":
                _on_server(template.url, f"DROP DATABASE {template.url.database} WITH (FORCE)")

    def _keep(self, engine: Engine, folder: Path, built: bytes) -> Template:
        place = self._folder / str(len(self._known))
        shutil.copytree(folder, place, ignore=shutil.ignore_patterns(f"{SQLITE}*"))
        engine.dispose()
        if engine.dialect.name == "sqlite":
            url = engine.url.set(database=f"{place}.sqlite")
        else:
            url = engine.url.set(database=f"seqwatch_{uuid4().hex}")
        _copy(engine.url, url)
        return Template(url=url, files=place, built=built)


def _copy(source: URL, target: URL) -> None:
    if source.get_backend_name() == "sqlite":
        with (
            closing(sqlite3.connect(str(source.database))) as original,
            closing(sqlite3.connect(str(target.database))) as copy,
        ):
            copy.execute("PRAGMA synchronous=OFF")
            original.backup(copy)
    else:
        _on_server(
            source,
            f"DROP DATABASE IF EXISTS {target.database} WITH (FORCE)",
            f"CREATE DATABASE {target.database} TEMPLATE {source.database}",
        )


def _on_server(url: URL, *statements: str) -> None:
    text = url.set(database="postgres").render_as_string(hide_password=False)
    server = connect(text).execution_options(isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    server.dispose()


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
