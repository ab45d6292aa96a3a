"""Look for a text in every file of a folder: as it is, and inside of what packs it."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def traces(folder: Path, text: str) -> list[str]:
    """Return the files that hold the text, relative to the folder, and how."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        name = str(path.relative_to(folder))
        if any(form in content for form in forms(text)):
            found.append(f"{name}: plain")
        if path.suffix == ".parquet" and holds(path, text):
            found.append(f"{name}: in a column or a statistic")
        found += [f"{name}: {where}" for where in packed(content) if text in where]
        found += [f"{name}: in a packed stream" for each in streams(content) if text in each]
    return found


def forms(text: str) -> Iterator[bytes]:
    yield text.encode()
    yield text.encode().hex().encode()
    yield text.encode("utf-16-le")


def packed(content: bytes) -> Iterator[str]:
    """Yield nothing for files that are not compressed as a whole."""
    try:
        yield zlib.decompress(content).decode(errors="replace")
    except zlib.error:
        return


def streams(content: bytes) -> Iterator[str]:
    """Yield every Arrow stream that lies somewhere in the content, as JSON."""
    start = content.find(b"\xff\xff\xff\xff")
    while start >= 0:
        try:
            table = pa.ipc.open_stream(content[start:]).read_all()
        except (pa.ArrowInvalid, OSError, pa.ArrowNotImplementedError, MemoryError):
            pass
        else:
            yield as_text(table)
        start = content.find(b"\xff\xff\xff\xff", start + 4)


def holds(path: Path, text: str) -> bool:
    file = pq.ParquetFile(path)
    return text in as_text(file.read()) or text in str(file.metadata.to_dict())


def as_text(table: pa.Table) -> str:
    def plain(value: Any) -> str:
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    return json.dumps(table.to_pylist(), default=plain)
