"""What a file's columns become, and what is refused in plain words."""

from typing import Any

import pyarrow as pa
import pytest

from cli.importing.arguments import columns_of
from core.errors import Unprocessable
from services.ingest.mapping.layout import MappingOptions, Unit, lay_out
from services.ingest.mapping.shaping import Shaper
from tests.streams import CONTRACT

COLUMNS = ("when", "load_mw", "wind", "h1", "h2", "h3", "seen")
MAP = {
    "at": ("when",),
    "features.load": ("load_mw",),
    "features.wind": ("wind",),
    "output.load": ("h1", "h2", "h3"),
}


def shaper(columns: dict[str, tuple[str, ...]] | None = None, **options: Any) -> Shaper:
    mapping = MappingOptions(columns=columns or MAP, version="v1", **options)
    return Shaper(lay_out(COLUMNS, CONTRACT, mapping), CONTRACT, "d" * 64)


def rows(when: pa.Array | None = None, **columns: Any) -> pa.Table:
    plain: dict[str, Any] = {
        "when": pa.array(["2026-01-05T01:00:00Z"]) if when is None else when,
        "load_mw": ["1.5"],
        "wind": ["2"],
        "h1": ["1"],
        "h2": [None],
        "h3": ["3"],
        "seen": ["7"],
    }
    return pa.table(plain | columns)


def test_columns_become_fields_lists_and_ids() -> None:
    made = shaper(entity="e1").predictions(rows(), 41).to_pylist()[0]
    assert made.pop("at").isoformat() == "2026-01-05T01:00:00+00:00"
    assert made == {
        "prediction_id": "d" * 16 + ":41",
        "version": "v1",
        "entity": "e1",
        "features.load": 1.5,
        "features.wind": 2.0,
        "output.load": [1.0, None, 3.0],
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(["at"], "expected FIELD=COLUMN", id="no column"),
        pytest.param(["at=a", "at=b"], "mapped twice", id="twice"),
        pytest.param(["at=,"], "expected FIELD=COLUMN", id="an empty column"),
    ],
)
def test_what_is_no_mapping(given: list[str], message: str) -> None:
    with pytest.raises(Unprocessable, match=message):
        columns_of(given)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        pytest.param({"feature.load": ("wind",)}, "no field 'feature.load'", id="field"),
        pytest.param({"at": ("time",)}, "no column 'time' for at", id="column"),
        pytest.param({"at": ("when", "seen")}, "one value", id="two columns for one value"),
        pytest.param({"features.load": ("load_mw",)}, "map at", id="no time"),
        pytest.param({"at": ("seen",)}, "", id="the feature is found by its own name"),
    ],
)
def test_what_cannot_be_laid_out_is_reported(
    columns: dict[str, tuple[str, ...]], message: str
) -> None:
    options = MappingOptions(columns=columns, version="v1")
    if not message:
        assert lay_out(COLUMNS, CONTRACT, options).fields["features.wind"] == ("wind",)
        return
    with pytest.raises(Unprocessable, match=message):
        lay_out(COLUMNS, CONTRACT, options)


def test_a_version_has_to_be_named() -> None:
    with pytest.raises(Unprocessable, match="state version"):
        lay_out(COLUMNS, CONTRACT, MappingOptions(columns=MAP))


@pytest.mark.parametrize(
    ("when", "options", "expected"),
    [
        pytest.param(["2026-07-01 12:00:00"], {"timezone": "UTC"}, "12:00", id="naive, UTC"),
        pytest.param(
            ["2026-07-01 12:00:00"], {"timezone": "Europe/Berlin"}, "10:00", id="naive, summer"
        ),
        pytest.param(["2026-07-01T12:00:00+02:00"], {}, "10:00", id="with its own zone"),
        pytest.param([1_782_907_200], {"epoch": Unit.SECONDS}, "12:00", id="seconds"),
        pytest.param([1_782_907_200_000], {"epoch": Unit.MILLISECONDS}, "12:00", id="ms"),
    ],
)
def test_times(when: list[object], options: dict[str, Any], expected: str) -> None:
    made = shaper(**options).predictions(rows(pa.array(when)), 0)
    assert made["at"][0].as_py().strftime("%Y-%m-%d %H:%M") == f"2026-07-01 {expected}"


@pytest.mark.parametrize(
    ("when", "options", "message"),
    [
        pytest.param(["2026-07-01 12:00:00"], {}, "state it as timezone", id="naive"),
        pytest.param([5], {}, "unit as epoch", id="numbers"),
        pytest.param(["noon"], {"timezone": "UTC"}, "row 40, at: not an ISO", id="no time"),
        pytest.param(
            ["2026-10-25 02:30:00"], {"timezone": "Europe/Berlin"}, "twice", id="twice a year"
        ),
    ],
)
def test_times_that_are_refused(
    when: list[object], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(Unprocessable, match=message):
        shaper(**options).predictions(rows(pa.array(when)), 40)


def test_mixed_zones_are_refused() -> None:
    times = pa.array(["2026-07-01T12:00:00Z", "2026-07-01T13:00:00"])
    two = pa.concat_tables([rows(), rows()]).set_column(0, "when", times)
    with pytest.raises(Unprocessable, match="no zone, and other times"):
        shaper().predictions(two, 0)


def test_no_value_of_a_row_is_in_an_error() -> None:
    with pytest.raises(Unprocessable) as refused:
        shaper().predictions(rows(load_mw=["secret"]), 7)
    assert str(refused.value) == "row 7, features.load: expected double"


def test_a_series_is_input_and_labels_by_entity_and_time() -> None:
    options = {"is_series": True, "entity": "e1"}
    made = shaper(MAP | {"actual.load": ("load_mw",)}, **options)
    two = pa.concat_tables([rows(), rows(load_mw=pa.array([None], pa.string()))])
    labels, places = made.labels(two, 10)
    assert labels.column_names == ["actual.load", "entity", "target_at"]
    assert (labels["actual.load"].to_pylist(), places.to_pylist()) == ([1.5], [10])


def test_lists_as_json_text() -> None:
    made = shaper(MAP | {"output.load": ("h1",)})
    assert made.predictions(rows(h1=["[1, 2, null]"]), 0)["output.load"].to_pylist() == [
        [1.0, 2.0, None]
    ]
    with pytest.raises(Unprocessable, match=r"row 3, .* not a list"):
        made.predictions(rows(h1=["[1, x]"]), 3)
