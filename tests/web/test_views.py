"""Every typed view is drawn on a page, and described in the API."""

from typing import get_args

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
    html = _pages.from_string(page).render(view=view, drawn=drawn(view))
    assert f"<h2>{view.title}" in html
    for part in parts:
        assert part in html


def test_all_of_them() -> None:
    assert {type(view) for view, _ in VIEWS} == {*get_args(show.View)}
