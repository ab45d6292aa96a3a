"""Storage of the tables: a folder, or a bucket of an object store.

The libraries are imported where they are used: most processes open no table at once.
Delta's own library reaches both. Arrow reads files faster, so it is handed a
file system of its own wherever it has one.
"""

import ctypes
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from core.errors import EarlierInstallation
from core.lake_root import Bucket, LakeRoot

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyarrow import fs

# An append is a file that must not be there yet. The store is asked to refuse it otherwise:
# S3 and its kin do since 2024, and without that two archivers could both believe they won.
SAFE = {"aws_conditional_put": "etag"}

# A store that does not answer fails the run, which is tried again: no thread waits for minutes.
PATIENCE = {
    "timeout": "20s",
    "connect_timeout": "5s",
    "max_retries": "4",
    "retry_timeout": "30s",
}

# What deltalake calls things, and what Arrow does.
_S3 = {
    "aws_access_key_id": "access_key",
    "aws_secret_access_key": "secret_key",
    "aws_session_token": "session_token",
    "aws_region": "region",
    "aws_default_region": "region",
}


# Linux flushes one file system at a time: the others' writers do not wait.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

MARK, FORMAT = "seqwatch-format", "1"  # a file below each root, and what it holds


class LakeAstray(RuntimeError):
    """Lake and database do not belong together: one of them is gone, restored or replaced."""


def uri_of(root: LakeRoot, *parts: str) -> str:
    """Return the address of a table below the root, as Delta takes it."""
    match root:
        case Bucket():
            return "/".join([root.url, *parts])
        case _:
            return str(root.joinpath(*parts))


def options_of(root: LakeRoot) -> dict[str, str] | None:
    """Return how Delta reaches the root; None for a folder."""
    if not isinstance(root, Bucket):
        return None
    given = {name.lower(): value for name, value in root.options}
    return {**(SAFE if root.url.startswith("s3:") else {}), **PATIENCE, **given}


def make_room(root: LakeRoot, *parts: str) -> None:
    """Make the folder of a table; an object store needs none."""
    if not isinstance(root, Bucket):
        root.joinpath(*parts).mkdir(parents=True, exist_ok=True)


def sync(root: LakeRoot) -> None:
    """Make durable what was written below a folder; an object store has done so itself.

    Raises
    ------
    OSError
        If the disk cannot.
    """
    if isinstance(root, Bucket):
        return
    place = os.open(root, os.O_RDONLY)
    try:
        if _LIBC is None:
            os.sync()
        elif _LIBC.syncfs(place):
            raise OSError(ctypes.get_errno(), "syncfs failed", str(root))
    finally:
        os.close(place)


def is_empty(root: LakeRoot) -> bool:
    """Return whether a folder is missing or holds nothing; of an object store, False."""
    return not isinstance(root, Bucket) and not _names(root)


def mark(root: LakeRoot) -> None:
    """Write the number of the format below a root, unless it is there."""
    if isinstance(root, Bucket):
        from pyarrow import fs

        place = _place(root.url, options_of(root) or {})
        if place.get_file_info(MARK).type is fs.FileType.NotFound:
            with place.open_output_stream(MARK) as stream:
                stream.write(FORMAT.encode())
    elif not (root / MARK).exists():
        root.mkdir(parents=True, exist_ok=True)
        (root / MARK).write_text(FORMAT)


def check(root: LakeRoot, what: str) -> None:
    """Refuse a folder, or a place in an object store, that an earlier version has filled.

    Raises
    ------
    EarlierInstallation
        If it holds anything and not the number of this format; nothing is written.
    """
    if isinstance(root, Bucket):
        from pyarrow import fs

        place = _place(root.url, options_of(root) or {})
        infos = place.get_file_info(fs.FileSelector("", allow_not_found=True))
        names = {info.base_name for info in infos} - {MARK}
        is_marked = len(infos) > len(names)
        found = place.open_input_stream(MARK).read().decode() if is_marked else ""
    else:
        names, own = _names(root), root / MARK
        found = own.read_text() if own.is_file() else ""
    if found != FORMAT if found else names:
        raise EarlierInstallation(f"{what} {root}")


def _names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()} - {MARK} if root.is_dir() else set()


def opened(root: LakeRoot, *parts: str, version: int | None = None) -> "DeltaTable | None":
    """Return the newest state of a table, or a past version; None where there is no table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        # Not `is_deltatable`, which lets no other thread of the process run while it waits.
        return DeltaTable(
            uri_of(root, *parts), version=version, storage_options=options_of(root)
        )
    except TableNotFoundError:
        return None


def again(table: "DeltaTable") -> "DeltaTable":
    """Open the newest state of a table, reached in the same way."""
    return type(table)(table.table_uri, storage_options=table._storage_options)


def file_system(table: "DeltaTable") -> "fs.FileSystem":
    """Return what Arrow reads the files of a table through.

    Not the one that deltalake lends, where there is a choice: it calls back into
    Python from threads that may outlive the interpreter, and then the process
    aborts as it ends.
    """
    return _place(table.table_uri, table._storage_options or {}, table)


def remove(root: LakeRoot, *parts: str) -> None:
    """Remove everything below a place; begun again after a crash, it removes what is left."""
    if not isinstance(root, Bucket):
        with suppress(FileNotFoundError):
            shutil.rmtree(root.joinpath(*parts))
        return
    from pyarrow import fs

    place = _place(uri_of(root, *parts), options_of(root) or {})
    for info in place.get_file_info(fs.FileSelector("", recursive=True, allow_not_found=True)):
        if info.type is fs.FileType.File:
            place.delete_file(info.path)


def _place(
    uri: str, options: dict[str, str], table: "DeltaTable | None" = None
) -> "fs.FileSystem":
    from pyarrow import fs

    address = urlparse(uri)
    match address.scheme:
        case "" | "file":
            return fs.SubTreeFileSystem(unquote(address.path), fs.LocalFileSystem())
        case "s3":
            return fs.SubTreeFileSystem(f"{address.netloc}{address.path}", _s3(options))
        case _:
            pass
    from deltalake.fs import DeltaStorageHandler

    if table is not None:
        return fs.PyFileSystem(DeltaStorageHandler.from_table(table._table))
    return fs.PyFileSystem(DeltaStorageHandler(uri, options))


def _s3(options: dict[str, str]) -> "fs.S3FileSystem":
    from pyarrow import fs

    given = {_S3[name]: value for name, value in options.items() if name in _S3}
    endpoint = options.get("aws_endpoint_url", os.environ.get("AWS_ENDPOINT_URL", ""))
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        given |= {"endpoint_override": host, "scheme": scheme or "https"}
    return fs.S3FileSystem(connect_timeout=5, request_timeout=20, **given)
