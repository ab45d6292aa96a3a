"""Look for a secret everywhere, as it is and in disguise."""

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine, text

from db.base import Base
from tests.sensitive.bodies import SECRET, SECRET_NUMBER, TRACE


def disguises() -> Iterator[bytes]:
    """Yield the forms in which a secret could be found."""
    plain = SECRET.encode()
    yield from (plain, plain.lower(), plain[::-1], plain.hex().encode(), TRACE.encode())
    yield SECRET.encode("utf-16-le")
    for shift in range(3):  # base64 writes three bytes together, wherever the text begins
        coded = base64.b64encode(b"\0" * shift + plain)
        yield coded[4 if shift else 0 : len(coded) - 4]
    for name in ("entity", "session", "trace", "worker", "illness", "name"):
        digest = hashlib.sha256(f"{SECRET}-{name}".encode())
        yield from (digest.digest(), digest.hexdigest().encode())
    yield from (struct.pack("<d", SECRET_NUMBER), struct.pack(">d", SECRET_NUMBER))
    yield repr(SECRET_NUMBER).encode()


def found_in(content: bytes) -> list[bytes]:
    """Return the disguises that some bytes hold."""
    return [form for form in disguises() if form in content]


def everything_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file of a folder as it is; a table of the lake also unpacked."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes()
            if path.suffix == ".parquet":
                yield f"{path} unpacked", as_text(pq.ParquetFile(path).read())


def everything_stored(engine: Engine) -> Iterator[tuple[str, bytes]]:
    """Yield every row of every table; a payload of the inbox also unpacked."""
    with engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            for row in connection.execute(text(f"SELECT * FROM {table.name}")):
                for value in row:
                    yield table.name, _flat(value)
                    if table.name == "inbox" and isinstance(value, bytes | memoryview):
                        yield "a payload", as_text(pa.ipc.open_stream(bytes(value)).read_all())


def as_text(table: pa.Table) -> bytes:
    return repr(table.to_pylist()).encode() + str(table.schema).encode()


def _flat(value: Any) -> bytes:
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode()
