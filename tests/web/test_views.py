"""Every typed view is drawn on a page, and described in the API."""

from typing import get_args

import numpy as np
import pytest

from monitors import show
from monitors.show import (
    Bars,
    CellKind,
    Column,
    HeatMap,
    Histogram,
    Line,
    Matrix,
    Series,
    Table,
    Text,
    View,
    checked,
)
from web.rendering import _pages
from web.views import drawn
from web.words import NOTHING

SERIES = (
    Series(name="window", values=(0.5, None)),
    Series(name="reference", values=(0.25, 0.75), is_baseline=True),
)
ROW = ("a <b>", 0.5, 1200, 0.25, (1.0, None))
VIEWS: list[tuple[View, list[str]]] = [
    (Text(title="Why", text="It is <so>."), ["It is &lt;so&gt;."]),
    (
        Table(
            title="Parts",
            columns=(
                Column(name="Part", unit=CellKind.TEXT),
                Column(name="Score", limit=0.4),
                Column(name="Count", unit=CellKind.COUNT),
                Column(name="Share", unit=CellKind.SHARE),
                Column(name="Mean", unit=CellKind.CHANGE),
            ),
            rows=(ROW,),
            note="By part.",
        ),
        ["a &lt;b&gt;", 'class="number over"', "1,200", "25", f"1 → {NOTHING}", "By part."],
    ),
    (Line(title="Load", x=(0.0, 60.0), series=SERIES), ["data-chart", "reference"]),
    (Bars(title="Away", names=("x", "y"), series=SERIES), ["<meter", "0.75"]),
    (Histogram(title="Values", edges=(0.0, 1.0, 2.0), series=SERIES), ["data-chart"]),
    (
        HeatMap(title="Hours", rows=("mon",), columns=("0", "1"), values=((0.0, 2.0),)),
        ["heat-0", "heat-5"],
    ),
    (
        Matrix(
            title="Classes",
            names=("calm", "storm"),
            values=((8.0, 1.0), (None, 3.0)),
            row_title="label",
            column_title="predicted",
        ),
        ["label by row", "calm", NOTHING],
    ),
]


@pytest.mark.parametrize(("view", "parts"), VIEWS)
def test_a_view_is_drawn(view: View, parts: list[str]) -> None:
    page = "{% import 'views.html' as views %}{{ views.view(view, 'id', drawn) }}"
    html = _pages().from_string(page).render(view=view, drawn=drawn(view))
    assert f"<h2>{view.title}" in html
    for part in parts:
        assert part in html


@pytest.mark.parametrize(
    "view",
    [
        "x",
        Table(title="t", columns=(Column(name="a"),), rows=((1.0, 2.0),)),
        Table(title="t", columns=(Column(name="a"), Column(name="b")), rows=(("x", "y"),)),
        Table(
            title="t",
            columns=(Column(name="a"), Column(name="b", unit=CellKind.CHANGE)),
            rows=(("x", None),),
        ),
        Bars(title="b", names=("x", "y", "z"), series=SERIES),
        HeatMap(title="h", rows=("a", "b"), columns=("c",), values=((1.0,),)),
        Line(title="l", x=(float("nan"), 1.0), series=SERIES),
    ],
)
def test_what_cannot_be_shown_is_refused(view: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        checked([view])


def test_numbers_of_numpy_and_what_is_not_finite_are_shown() -> None:
    values = ((float(np.float64(1.0)), float("inf")),)
    heat = HeatMap(title="h", rows=("a",), columns=("b", "c"), values=values)
    [shown] = checked([heat])
    assert isinstance(shown, HeatMap)
    assert shown.values == ((1.0, None),)
    columns = (Column(name="a", unit=CellKind.TEXT), Column(name="n", unit=CellKind.COUNT))
    many = Table(title="t", columns=columns, rows=(("x", 7),) * 2_000)
    [table] = checked([many])
    assert isinstance(table, Table)
    assert len(table.rows) == 1_000
    assert table.rows[0] == ("x", 7)


def test_all_of_them() -> None:
    assert {type(view) for view, _ in VIEWS} == {*get_args(show.View)}
