"""Predictions as a file: what comes out is what is in the log."""

import csv
import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from cli.main import main
from core.durations import DAY, HOUR
from core.settings import Settings
from tests.lookup.conftest import Place
from tests.streams import START, label, prediction

EXPORT = "/v1/models/grid/export"


def read(content: bytes, form: str) -> pa.Table:
    if form == "parquet":
        return pq.read_table(io.BytesIO(content))
    return pa.ipc.open_stream(content).read_all()


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["at"], row["prediction_id"]))


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_what_comes_out_is_what_was_sent(client: TestClient, place: Place, form: str) -> None:
    sent = [
        prediction(
            START + i * HOUR,
            i,
            features={"load": [i / 3, None], "wind": []},
            output=None if i % 5 == 0 else {"load": [1.0, 2.0, i / 7]},
            session_id=None if i % 2 else "s",
        )
        for i in range(50)
    ]
    place.send(*sent[:20])
    place.archive()
    place.send(*sent[20:40])
    place.archive()
    place.send(*sent[40:])

    answer = client.get(EXPORT, params={"format": form})

    assert answer.headers["content-disposition"] == f'attachment; filename="grid.{form}"'
    rows = in_order(read(answer.content, form).to_pylist())
    assert [
        {name: row[name] for name in sent[0]} | {"session_id": row["session_id"]}
        for row in rows
    ] == [row | {"received_at": START} for row in sent]


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_a_model_without_rows_is_a_file_with_columns(
    client: TestClient, place: Place, form: str
) -> None:
    content = client.get(EXPORT, params={"format": form}).content
    if form == "csv":
        assert content.startswith(b'"prediction_id","version","at"')
        assert content.count(b"\n") == 1
    else:
        assert read(content, form).num_rows == 0
        assert "features" in read(content, form).column_names


def test_filters_repeats_and_labels_are_as_in_the_lists(
    client: TestClient, place: Place
) -> None:
    place.send(prediction(START, prediction_id="p", cost=2.0), received_at=START + HOUR)
    place.archive()
    place.send(
        prediction(START + HOUR, prediction_id="p", cost=1.0),
        prediction(START + HOUR, prediction_id="p", cost=1.0),
        prediction(START + HOUR, prediction_id="q", entity="e2"),
        prediction(START + DAY, prediction_id="p", cost=3.0),
    )
    place.send_labels(label(START + 2 * HOUR, [0.5]))

    params = {"format": "arrow", "with_labels": "true", "entity": "e1"}
    rows = in_order(read(client.get(EXPORT, params=params).content, "arrow").to_pylist())

    assert [(row["prediction_id"], row["cost"]) for row in rows] == [("p", 1.0), ("p", 3.0)]
    assert [row["actual"] for row in rows] == [{"load": [0.5, None, None]}, None]
    assert [row["error"] for row in rows] == [{"load": [0.5, None, None]}, None]
    labelled = client.get(EXPORT, params=params | {"labelled": "false"}).content
    assert [row["cost"] for row in read(labelled, "arrow").to_pylist()] == [3.0]


def test_a_cell_is_plain_text_and_no_formula(client: TestClient, place: Place) -> None:
    place.send(
        prediction(
            START + timedelta(microseconds=1),
            prediction_id='=HYPERLINK("x")',
            entity='a "b", c\nd',
            worker="-1",
            trace_id="@t",
            cost=-0.5,
            features={"load": [-1.0, None], "wind": []},
        )
    )
    text = client.get(EXPORT).text
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["prediction_id"], row["worker"], row["trace_id"]) == (
        '\'=HYPERLINK("x")',
        "'-1",
        "'@t",
    )
    assert row["entity"] == 'a "b", c\nd'
    assert (row["cost"], row["session_id"]) == ("-0.5", "")
    assert row["at"] == "2026-01-05T00:00:00.000001Z"
    assert json.loads(row["features.load"]) == [-1.0, None]
    assert json.loads(row["output.load"]) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_shell_writes_the_same_file(
    place: Place,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("database_url", "lake"):
        monkeypatch.setenv(f"SEQWATCH_{name.upper()}", str(getattr(settings, name)))
    place.send(*(prediction(START + i * HOUR, i) for i in range(30)))
    place.archive()
    target = tmp_path / "out.parquet"

    done = main(["export", "grid", str(target), "--since", "2026-01-05T06:00:00Z"])

    assert done == 0
    assert pq.read_table(target).num_rows == 24
    assert "24 rows" in capsys.readouterr().err
    assert [*tmp_path.glob("*.unfinished")] == []
    assert main(["export", "grid", str(tmp_path / "out")]) == 1
    assert main(["export", "grid", str(target), "--since", "yesterday"]) == 1
    assert main(["export", "nothing", str(target)]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_an_export_of_two_million_rows_takes_no_more_memory_than_one_of_a_few(
    tmp_path: Path, form: str
) -> None:
    most = {}
    for n_rows in (100_000, 2_000_000):
        folder = tmp_path / str(n_rows)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "tests.lookup.heavy", str(folder), str(n_rows), form],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
        exported, n_bytes, most[n_rows] = map(int, done.stdout.split())
        assert exported == n_rows
        assert n_bytes > n_rows
    # The ids of a day are compared by eight bytes each: a million of them is 8 MB, sorted 16.
    assert most[2_000_000] < most[100_000] + 100 * 2**20
