"""JSON lines: a file, or a folder of files, with one object a line.

A page holds rows of files with the same columns. The watermark is the largest value of a
column with the ids of the rows that have it: of rows with equal values none is lost, also
where some are added later, and none is read twice.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from sources.kind import SECRET, Json, Page, SourceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Where the lines are, the columns that order rows, and a password, of no use here."""

    path: str
    watermark: str = "at"
    id: str = "id"
    password: str = field(default="", metadata=SECRET, repr=False)

    def __post_init__(self) -> None:
        if not Path(self.path).is_absolute():
            raise ValueError("path: must be absolute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row, the columns of its file, and its place in the order."""

    row: dict[str, Any]
    columns: tuple[str, ...]
    value: Any
    id: str


def lines_of(path: Path, config: Config) -> Iterator[Line]:
    """Yield the rows of one file; a line that is being written is left for later."""
    texts = path.read_text("utf-8").split("\n")[:-1]
    rows = [json.loads(text) for text in texts if text.strip()]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    for row in rows:
        value, own = row[config.watermark], str(row[config.id])
        yield Line(row=row, columns=columns, value=value, id=own)


def column_of(values: list[Any]) -> pa.Array:
    """Return values of one type as they are, and others as texts."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array(
            [one if isinstance(one, str) or one is None else json.dumps(one) for one in values]
        )


def pull(config: Config, after: Json, limit: int) -> Page:
    """Return the first rows behind a watermark."""
    assert after is None or isinstance(after, dict)
    path = Path(config.path)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    lines = [line for file in files for line in lines_of(file, config)]
    if after is not None:
        value, read = after["value"], {*after["ids"]}
        lines = [
            line
            for line in lines
            if line.value > value or (line.value == value and line.id not in read)
        ]
    lines.sort(key=lambda line: (line.value, line.id))
    columns = lines[0].columns if lines else ()
    n = next((i for i, one in enumerate(lines) if one.columns != columns), len(lines))
    shown = lines[: min(n, limit)]
    table = pa.table(
        {name: column_of([one.row.get(name) for one in shown]) for name in columns}
    )
    return Page(
        table=table,
        watermark=after if not shown else mark(shown, after),
        is_last=len(shown) == len(lines),
    )


def mark(shown: list[Line], after: dict[str, Any] | None) -> Json:
    """Return the last value of a page, with the ids of all rows that have it."""
    value = shown[-1].value
    ids = [line.id for line in shown if line.value == value]
    before = after["ids"] if after is not None and after["value"] == value else []
    return {"value": value, "ids": [*before, *ids]}


KIND = SourceKind(name="jsonl", question="Reads files of JSON lines.", config=Config, pull=pull)
