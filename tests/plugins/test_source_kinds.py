"""Every kind of source gives each row once; one that is unavailable stops nothing else."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cli.main import main
from core.errors import Unprocessable
from core.plugins import Loaded
from monitors.registry import NoParams
from sources import kind as extension
from sources.kind import SOURCES, Json, Page, SourceKind
from tests.plugins.source_world import NOW, TIED, Row, append, label


# How each kind is given rows, and what its configuration then is.
def in_a_file(folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    append(folder / "rows.jsonl", rows)
    return {"path": str(folder / "rows.jsonl"), "password": "hunter2"}


CASES: dict[str, Callable[[Path, Sequence[Row]], dict[str, Any]]] = {"jsonl": in_a_file}


def pages(name: str, config: Mapping[str, Any], after: Json, limit: int) -> list[Page]:
    found: list[Page] = []
    while not found or not found[-1].is_last:
        found.append(extension.pull(name, config, after, limit))
        after = json.loads(extension.written(found[-1].watermark))
    return found


def ids(found: Sequence[Page]) -> list[str]:
    return [row["id"] for page in found for row in page.table.to_pylist()]


@pytest.mark.usefixtures("plugins")
def test_every_kind_is_under_contract() -> None:
    assert set(SOURCES.names()) == set(CASES)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", CASES)
def test_every_configuration_is_checked_survives_json_and_keeps_its_secrets(
    name: str, tmp_path: Path
) -> None:
    kind, config = SOURCES.find(name), CASES[name](tmp_path, TIED)
    stored = kind.stored(config)
    assert kind.stored(json.loads(json.dumps(stored))) == stored
    with pytest.raises(Unprocessable, match="no nonsense; known: "):
        kind.stored({**config, "nonsense": 1})
    with pytest.raises(Unprocessable):
        kind.stored({})
    with pytest.raises(Unprocessable):
        kind.stored(dict.fromkeys(config, 1))
    assert kind.secrets.isdisjoint(kind.public(stored))
    assert "hunter2" not in repr(kind.parsed(stored))


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("name", CASES)
def test_every_kind_gives_each_row_once_whatever_the_size_of_a_page(
    name: str, limit: int, tmp_path: Path
) -> None:
    config = CASES[name](tmp_path, TIED)
    found = pages(name, config, None, limit)
    assert ids(found) == [row["id"] for row in TIED]
    assert all(page.table.num_rows <= limit for page in found)
    again = pages(name, config, None, limit)
    assert [one.watermark for one in again] == [one.watermark for one in found]
    end = json.loads(extension.written(found[-1].watermark))
    [nothing] = pages(name, config, end, limit)
    assert (nothing.table.num_rows, nothing.is_last) == (0, True)
    late = [label(-1, 6), label(99, 6), label(100, 7)]  # ties that come after they were read
    CASES[name](tmp_path, late)
    assert sorted(ids(pages(name, config, end, limit))) == sorted(row["id"] for row in late)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", CASES)
def test_every_kind_raises_where_its_source_is_away(name: str, tmp_path: Path) -> None:
    config = CASES[name](tmp_path, TIED)
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(OSError, match="No such file"):
        extension.pull(name, config, None, 10)


PAGE = Page(table=pa.table({"id": [1]}), watermark=1, is_last=True)


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        pytest.param(None, "no Page", id="nothing"),
        pytest.param(Page(table=[], watermark=1, is_last=True), "no Page", id="no table"),
        pytest.param(
            Page(table=pa.table({"id": [1, 2]}), watermark=1, is_last=True), "2 rows", id="many"
        ),
        pytest.param(
            Page(table=PAGE.table, watermark=NOW, is_last=True),  # type: ignore[arg-type]
            "no plain JSON",
            id="no JSON",
        ),
        pytest.param(
            Page(table=PAGE.table, watermark=float("nan"), is_last=True), "JSON", id="NaN"
        ),
        pytest.param(
            Page(table=PAGE.table, watermark=0, is_last=True), "not moved", id="it stands"
        ),
        pytest.param(
            Page(table=pa.table({}), watermark=0, is_last=False), "not moved", id="no end"
        ),
    ],
)
def test_what_is_no_page_is_refused(
    returned: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = SourceKind(name="bad", question="?", config=NoParams, pull=lambda *_: returned)
    monkeypatch.setitem(SOURCES.__dict__, "_loaded", Loaded(plugins={"bad": bad}))
    with pytest.raises(Unprocessable, match=f"kind of source 'bad': .*{why}"):
        extension.pull("bad", {}, 0, 1)


@pytest.mark.usefixtures("plugins")
def test_broken_and_clashing_plug_ins_are_listed_and_stop_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plugins"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "jsonl Reads files of JSON lines." in printed
    assert "warehouse UNAVAILABLE: broken-source: ModuleNotFoundError" in printed
    assert "jsonl (zz-another-jsonl) UNAVAILABLE: the name 'jsonl' is in use" in printed
    with pytest.raises(Unprocessable, match="'warehouse' is unavailable"):
        SOURCES.find("warehouse")
