"""What a file may hold: read as it is meant, or refused with the row; never a traceback."""

import base64
import json
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from cli.importing import reading
from core.durations import HOUR
from core.errors import Unprocessable
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature
from services.ingest.mapping import layout as mapping
from services.ingest.mapping.layout import MappingOptions, Unit
from services.ingest.mapping.shaping import Shaper

CONTRACT = Contract(
    features=(
        Feature(name="load"),
        Feature(name="valve", minimum=0, maximum=1),
        Feature(name="area", dtype=Dtype.CATEGORY),
    ),
    targets=("load",),
    step=HOUR,
    input_length=4,
    horizon=1,
)


def shaped(path: Path, **options: Any) -> list[dict[str, Any]]:
    """Return the predictions of a file as the interface would take them."""
    source = reading.find(path)
    layout = mapping.lay_out(source.columns, CONTRACT, MappingOptions(version="v1", **options))
    shaper = Shaper(layout, CONTRACT, source.digest)
    rows: list[dict[str, Any]] = []
    for table in source.read(layout.columns):
        rows += shaper.predictions(table, len(rows)).to_pylist()
    return rows


def csv(folder: Path, *lines: str, head: str = "at,load,valve,area,entity") -> Path:
    path = folder / "past.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def parquet(folder: Path, **columns: Any) -> Path:
    path = folder / "past.parquet"
    pq.write_table(pa.table({"at": ["2026-01-01T00:00:00Z"], **columns}), path)
    return path


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "NaN", "NULL", "n/a"])
def test_words_for_null_are_texts_where_the_field_is_one(tmp_path: Path, word: str) -> None:
    path = csv(
        tmp_path,
        f"2026-01-01T00:00:00Z,1,0,{word},{word}",
        "2026-01-01T01:00:00Z,,,,",
    )
    row, empty = shaped(path)
    assert (row["features.area"], row["entity"]) == (word, word)
    assert (empty["features.area"], empty["entity"], empty["features.load"]) == (None,) * 3


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "NaN", "NULL"])
def test_words_for_null_are_missing_numbers(tmp_path: Path, word: str) -> None:
    (row,) = shaped(csv(tmp_path, f"2026-01-01T00:00:00Z,{word},1,a,e"))
    assert row["features.load"] is None


@pytest.mark.parametrize(
    ("unit", "count"), [("s", 1767225600), ("ms", 1767225600000), ("us", 1767225600000000)]
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_epoch_is_read_in_every_format(
    tmp_path: Path, unit: str, count: int, form: str
) -> None:
    if form == "csv":
        path = csv(tmp_path, f"{count},1,0,a,e")
    else:
        path = tmp_path / "past.parquet"
        pq.write_table(pa.table({"at": [count], "load": [1.0]}), path)
    (row,) = shaped(path, epoch=Unit(unit))
    assert row["at"] == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("count", [2**62, -(2**62)])
def test_an_epoch_beyond_every_calendar_is_left_to_the_platform(
    tmp_path: Path, count: int
) -> None:
    (row,) = shaped(csv(tmp_path, f"{count},1,0,a,e"), epoch=Unit.SECONDS)
    assert row["at"].year in (1, 9999)
    with pytest.raises(Unprocessable, match="row 0, at"):
        shaped(csv(tmp_path, f"{10**30},1,0,a,e"), epoch=Unit.SECONDS)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("count", [2**62, -(2**62)])
def test_a_timestamp_beyond_every_calendar_is_clipped_and_not_wrapped(
    tmp_path: Path, unit: str, zone: str | None, count: int
) -> None:
    moments = pa.array([count], pa.int64()).cast(pa.timestamp(unit, tz=zone))
    pq.write_table(pa.table({"at": moments, "load": [1.0]}), tmp_path / "past.parquet")
    (row,) = shaped(tmp_path / "past.parquet", timezone="Europe/Berlin")
    if unit != "ns":
        assert row["at"].year in (1, 9999)


def test_rfc_3339_may_be_written_in_lower_case(tmp_path: Path) -> None:
    rows = shaped(csv(tmp_path, "2026-01-01t00:00:00z,1,0,a,e", "2026-01-01T01:00:00Z,1,0,a,e"))
    assert [row["at"].hour for row in rows] == [0, 1]


@pytest.mark.parametrize(
    ("local", "message"),
    [
        pytest.param("2026-03-29 02:30:00", "does not exist in Europe/Berlin", id="skipped"),
        pytest.param("2026-10-25 02:30:00", "exists twice in Europe/Berlin", id="repeated"),
    ],
)
def test_a_local_time_that_a_zone_has_not_once_is_named_with_its_row(
    tmp_path: Path, local: str, message: str
) -> None:
    path = csv(tmp_path, *["2026-01-01 00:00:00,1,0,a,e"] * 5, f"{local},1,0,a,e")
    with pytest.raises(Unprocessable, match=f"row 5, at: {message}"):
        shaped(path, timezone="Europe/Berlin")


def test_dates_are_midnight_in_the_zone(tmp_path: Path) -> None:
    path = tmp_path / "past.parquet"
    pq.write_table(pa.table({"at": [date(2026, 1, 1)], "load": [1.0]}), path)
    assert shaped(path, timezone="UTC")[0]["at"] == datetime(2026, 1, 1, tzinfo=UTC)


def test_decimals_become_floats_and_booleans_stay_for_the_platform(tmp_path: Path) -> None:
    path = parquet(tmp_path, load=[Decimal("1.25")], valve=[True])
    (row,) = shaped(path)
    assert (row["features.load"], row["features.valve"]) == (1.25, True)


def test_booleans_in_text_are_numbers_only_where_a_range_of_0_to_1_is_declared(
    tmp_path: Path,
) -> None:
    rows = shaped(
        csv(tmp_path, "2026-01-01T00:00:00Z,1,true,a,e", "2026-01-01T01:00:00Z,1,False,a,e")
    )
    assert [row["features.valve"] for row in rows] == [1.0, 0.0]
    with pytest.raises(Unprocessable, match=r"row 1, features\.load: expected double"):
        shaped(csv(tmp_path, "2026-01-01T00:00:00Z,1,1,a,e", "2026-01-01T01:00:00Z,true,0,a,e"))


@pytest.mark.parametrize(
    "cell", ["9007199254740993", '"[1, 9007199254740993]"', "-1" + "0" * 20]
)
def test_an_integer_beyond_2_to_the_53_in_text_is_named_with_its_row(
    tmp_path: Path, cell: str
) -> None:
    good = "[1]" if "[" in cell else "9007199254740992"
    path = csv(
        tmp_path, f"2026-01-01T00:00:00Z,{good},0,a,e", f"2026-01-01T00:00:00Z,{cell},0,a,e"
    )
    with pytest.raises(Unprocessable, match=r"row 1, features\.load: an integer beyond 2\^53"):
        shaped(path)


def test_an_integer_beyond_2_to_the_53_in_parquet_is_left_to_the_platform(
    tmp_path: Path,
) -> None:
    assert shaped(parquet(tmp_path, load=[2**53 + 1]))[0]["features.load"] == 2**53 + 1


def test_a_category_may_be_a_list_and_a_text_may_hold_a_line_break(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        '2026-01-01T00:00:00Z,"[1.0,null]",0,"[""a"",""NA""]","two\nlines"',
        '2026-01-01T01:00:00Z,"[2.0]",0,"[null]",e',
    )
    first, second = shaped(path)
    assert (first["features.area"], first["entity"]) == (["a", "NA"], "two\nlines")
    assert (first["features.load"], second["features.area"]) == ([1.0, None], [None])


def test_a_category_in_brackets_is_a_text(tmp_path: Path) -> None:
    path = csv(tmp_path, "2026-01-01T00:00:00Z,1,0,[x],e")
    assert shaped(path)[0]["features.area"] == "[x]"


def write(folder: Path, table: pa.Table, **how: Any) -> None:
    write_deltalake(str(folder), table, mode="append", **how)


TABLE = pa.table(
    {"at": [f"2026-01-01T0{i}:00:00Z" for i in range(4)], "load": [0.0, 1.0, 2.0, 3.0]}
)
WIDER = TABLE.append_column("valve", pa.array([1.0] * 4)).append_column("area", [["a"] * 4])


def grown(folder: Path) -> None:
    write(folder, TABLE)
    write(folder, WIDER, schema_mode="merge")


def deleted(folder: Path) -> None:
    grown(folder)
    DeltaTable(str(folder)).delete("load >= 2")


def merged(folder: Path) -> None:
    grown(folder)
    changes = DeltaTable(str(folder)).merge(
        WIDER.slice(0, 1), "t.load = s.load", source_alias="s", target_alias="t"
    )
    changes.when_matched_update_all().when_not_matched_insert_all().execute()


def empty(folder: Path) -> None:
    DeltaTable.create(str(folder), schema=WIDER.schema)


def emptied(folder: Path) -> None:
    grown(folder)
    DeltaTable(str(folder)).delete()


def by_day(folder: Path) -> None:
    dated = WIDER.set_column(0, "at", pa.array([date(2026, 1, i) for i in range(1, 5)]))
    write(folder, dated, partition_by=["at"])


@pytest.mark.parametrize(
    ("make", "n_rows"),
    [
        pytest.param(grown, 8, id="its schema grew"),
        pytest.param(deleted, 4, id="rows were deleted"),
        pytest.param(merged, 8, id="rows were merged"),
        pytest.param(empty, 0, id="empty"),
        pytest.param(emptied, 0, id="every row was deleted"),
        pytest.param(by_day, 4, id="partitioned by a date"),
    ],
)
def test_a_delta_table_is_read_as_it_stands(
    tmp_path: Path, make: Callable[[Path], None], n_rows: int
) -> None:
    make(tmp_path / "table")
    rows = shaped(tmp_path / "table", timezone="UTC")
    assert len(rows) == n_rows
    assert all(row["features.load"] < 4 for row in rows)
    assert reading.find(tmp_path / "table").n_rows == n_rows


def _vector(rows: list[int]) -> dict[str, Any]:
    """Return a deletion vector as the log of a Delta table stores a small one."""
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16)
    bitmap += b"".join(struct.pack("<H", row) for row in rows)
    content = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    python = (
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    )
    delta = (
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    )
    padded = content + b"\0" * (-len(content) % 4)
    text = base64.b85encode(padded).decode().translate(str.maketrans(python, delta))
    return {
        "storageType": "i",
        "pathOrInlineDv": text,
        "sizeInBytes": len(content),
        "cardinality": len(rows),
    }


def test_rows_that_a_deletion_vector_names_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "table"
    write(path, TABLE, configuration={"delta.enableDeletionVectors": "true"})
    whole = reading.find(path).digest
    (log,) = (path / "_delta_log").glob("*.json")
    (added,) = [
        entry["add"]
        for line in log.read_text().splitlines()
        if "add" in (entry := json.loads(line))
    ]
    gone = {"path": added["path"], "dataChange": True, "deletionTimestamp": 0}
    again = {**added, "deletionVector": _vector([0, 2])}
    (log.parent / "00000000000000000001.json").write_text(
        json.dumps({"remove": gone}) + "\n" + json.dumps({"add": again}) + "\n"
    )
    assert [row["features.load"] for row in shaped(path)] == [1.0, 3.0]
    assert reading.find(path).digest != whole


def test_a_delta_table_with_mapped_columns_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "table"
    write(path, TABLE)
    (log,) = (path / "_delta_log").glob("*.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "metaData" in line:
            line["metaData"]["configuration"] = {"delta.columnMapping.mode": "name"}
    log.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(Unprocessable, match="mapping"):
        shaped(path)
