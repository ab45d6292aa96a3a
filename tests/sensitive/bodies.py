"""A secret in every place of every body that a caller can write."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec
import pyarrow as pa

from core.schema.contract import Contract
from services.ingest.batch import ALIASES, Format
from services.ingest.formats.decompress import Packing

SECRET = "Zx81Secret"
SECRET_NUMBER = 31337.4242
TRACE = "5ec2e7" * 5 + "5e"  # a secret in hex

CONTRACT = Contract.from_json(
    {
        "features": [
            {"name": "load"},
            {"name": "income", "sensitivity": "bucket", "bucket_edges": [0, 20000, 40000]},
            {"name": "pin", "sensitivity": "drop", "optional": True},
            {"name": "illness", "dtype": "category", "sensitivity": "hash"},
            {"name": "name", "dtype": "category", "sensitivity": "drop"},
        ],
        "targets": ["load"],
        "step": "PT1H",
        "input_length": 2,
        "horizon": 2,
        "sensitive_fields": {
            "entity": "hash",
            "session_id": "hash",
            "trace_id": "drop",
            "worker": "drop",
        },
    }
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One request."""

    feed: str
    content: bytes
    headers: dict[str, str]
    is_good: bool = False

    @property
    def is_plain_json(self) -> bool:
        kind, packing = self.headers["content-type"], self.headers.get("content-encoding")
        return kind == Format.JSON and packing is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """One way to write rows down."""

    format: str
    write: Callable[[Any], bytes]
    packing: str | None = None
    pack: Callable[[bytes], bytes] = field(default=bytes)

    def body(self, feed: str, content: Any, *, is_good: bool = False) -> Body:
        headers = {"content-type": self.format, "seqwatch-contract": CONTRACT.digest}
        if self.packing:
            headers["content-encoding"] = self.packing
        return Body(
            feed=feed, content=self.pack(self.write(content)), headers=headers, is_good=is_good
        )


def arrow(rows: Any) -> bytes:
    table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


WRITERS = {
    Format.JSON: lambda content: json.dumps(content).encode(),
    Format.MSGPACK: msgspec.msgpack.encode,
    Format.ARROW: arrow,
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": lambda body: bytes(pa.compress(body, "zstd", asbytes=True)),
}


def writings() -> Iterator[Writing]:
    """Yield every format, under each of its names, and every packing: new ones fail here."""
    for name in (*Format, *ALIASES):
        kind = ALIASES.get(str(name), name)
        yield Writing(format=str(name), write=WRITERS[Format(kind)])
        for packing in Packing:
            yield Writing(
                format=str(name),
                write=WRITERS[Format(kind)],
                packing=str(packing),
                pack=PACKERS[str(packing).removeprefix("x-")],
            )


def prediction(number: int, **changes: Any) -> Row:
    return {
        "prediction_id": f"p-{number}",
        "version": "v1",
        "at": "2026-01-01T00:00:00+00:00",
        "entity": f"{SECRET}-entity",
        "session_id": f"{SECRET}-session",
        "trace_id": f"{SECRET}-trace",
        "worker": f"{SECRET}-worker",
        "features": {
            "load": [1.0, 2.0],
            "income": [SECRET_NUMBER, None],
            "pin": [SECRET_NUMBER],
            "illness": [f"{SECRET}-illness", None],
            "name": [f"{SECRET}-name"],
        },
        "output": {"load": [1.0, 2.0]},
    } | changes


def label(number: int, **changes: Any) -> Row:
    return {
        "entity": f"{SECRET}-entity",
        "target_at": "2026-01-01T01:00:00+00:00",
        "actual": {"load": [1.0, 2.0]},
    } | changes


def with_feature(row: Row, name: str, value: Any) -> Row:
    return row | {"features": row["features"] | {name: value}}


def bad_rows(row: Row) -> Iterator[Row]:
    """Yield rows that are refused, each with a secret where none is expected."""
    nested = {SECRET: {"deep": [SECRET, {SECRET: SECRET_NUMBER}]}}
    for name in row:
        yield row | {name: nested}
        if name not in (
            "prediction_id",
            "version",
            "entity",
            "session_id",
            "trace_id",
            "worker",
        ):
            yield row | {name: SECRET}
            yield row | {name: [SECRET]}
    yield row | {SECRET: 1}
    yield row | {"unheard_of": SECRET}
    for name in ("status", "latency_seconds", "cost", "step_index", "cold_start", "batch_size"):
        yield row | {name: SECRET}
    yield row | {"status": f"{SECRET} " * 100}
    if "features" in row:
        yield with_feature(row, SECRET, [1.0])
        yield with_feature(row, "load", SECRET)
        yield with_feature(row, "load", [SECRET])
        yield with_feature(row, "load", nested)
        yield with_feature(row, "income", [float("inf"), SECRET_NUMBER])
        yield with_feature(row, "illness", [f"{SECRET} " * 100])
        yield with_feature(row, "illness", [f"{SECRET}\0"])
        yield row | {"output": {"load": [SECRET, SECRET]}}
        yield row | {"output": {SECRET: [1.0, 2.0]}}
        yield {name: value for name, value in row.items() if name != "at"}


def columns(row: Row) -> Any:
    return {
        "columns": {
            name: {child: [one] for child, one in value.items()}
            if isinstance(value, dict)
            else [value]
            for name, value in row.items()
        }
    }


def bodies() -> Iterator[Body]:
    """Yield every body."""
    for number, writing in enumerate(writings()):
        is_arrow = writing.format == Format.ARROW
        for feed, row in (("predictions", prediction(number)), ("labels", label(number))):
            yield writing.body(feed, [row] if is_arrow else {"rows": [row]}, is_good=True)
            if not is_arrow:
                other = row | {"prediction_id": f"c-{number}"}
                yield writing.body(feed, columns(other), is_good=True)
            # Decompression and names of formats end before rows are read: a few show that.
            is_plain = writing.format in [one.value for one in Format] and not writing.packing
            for bad in islice(bad_rows(row), None if is_plain else 3):
                try:
                    yield writing.body(feed, [bad] if is_arrow else {"rows": [row, bad]})
                    if not is_arrow:
                        yield writing.body(feed, columns(bad))
                except (pa.ArrowException, UnicodeEncodeError, OverflowError):
                    continue  # not every thought can be written in every format
        yield from _broken(writing, number)


def _broken(writing: Writing, number: int) -> Iterator[Body]:
    """Yield bodies that no reader understands."""
    is_arrow = writing.format == Format.ARROW
    row = prediction(number)
    whole = writing.write([row] if is_arrow else {"rows": [row]})
    for content in (whole[:-40], SECRET.encode() + whole, SECRET.encode()):
        headers = {"content-type": writing.format}
        if writing.packing:
            headers["content-encoding"] = writing.packing
        yield Body(feed="predictions", content=writing.pack(content), headers=headers)
        yield Body(feed="predictions", content=content, headers=headers)
    if not is_arrow:
        for thought in (SECRET, [SECRET], {"rows": SECRET}, {"rows": [SECRET, {SECRET: 1}]}):
            yield writing.body("predictions", thought)
        yield writing.body("predictions", {"rows": [row], SECRET: SECRET})
        yield writing.body("predictions", {"columns": {SECRET: [1], "version": ["a", "b"]}})
        yield writing.body("predictions", {"columns": {"version": SECRET}})
