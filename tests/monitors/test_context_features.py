from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from core.window import Window
from monitors.context_features import without
from monitors.sources import ProfileHistory
from monitors.summaries import summary
from monitors.summaries.grains import on_grid
from monitors.summaries.input_history import InputHistory
from monitors.summaries.summary import Edges
from monitors.temporal.window_profile_schema import Joint, Layout, Numbers

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = Window(START, START + timedelta(days=1))
NAMES = ("load", "wind", "kind", "load [shop=1]", "wind [shop=1]")


def history() -> InputHistory:
    return InputHistory(
        window=DAY,
        edges=Edges(names=NAMES, values=np.zeros((5, 3))),
        measured=(0, 1, 3, 4),
        kept=(0, 1, 2, 3, 4),
        summary=summary.empty(5, 4),
        n_total=2,
    )


def test_a_context_feature_goes_with_its_segments() -> None:
    part = without(history(), {"wind"})
    assert (part.measured, part.kept, part.n_total) == ((0, 3), (0, 2, 3), 1)
    assert part.hours.names == ("load", "load [shop=1]")


def test_hours_that_are_laid_out_stay_laid_out() -> None:
    whole = history()
    laid_out = whole.hours
    part = without(whole, {"wind"})
    assert part.__dict__["hours"].names == ("load", "load [shop=1]")
    assert laid_out.names == whole.hours.names


def test_a_feature_of_the_total_may_be_named_like_one_of_a_segment() -> None:
    edges = Edges(names=("wind [shop=1]", *NAMES[1:]), values=np.zeros((5, 3)))
    assert without(replace(history(), edges=edges), {"wind"}).measured == (0, 3)


def test_grains_and_profiles_lose_it_too() -> None:
    grains = on_grid(summary.empty(2, 0), ("load", "wind"), DAY, timedelta(minutes=5))
    assert without(grains, {"wind"}).names == ("load",)
    assert without(grains, {"wind"}).mean.shape == (288, 1)
    one = Numbers(name="load", centre=0.0, scale=1.0, lags=(1,))
    names = ("load", "wind")
    joint = Joint(title="all", names=names, centres=(0.0, 0.0), scales=(1.0, 1.0), steps=2)
    layout = Layout(blocks=(one, replace(one, name="wind"), joint))
    profiles = ProfileHistory(
        first=START, layout=layout, summary=summary.empty(len(layout.columns), 4)
    )
    left = without(profiles, {"wind"})
    assert left.layout.blocks == (one,)
    assert left.summary.moments.shape[1] == len(one.columns)


def test_what_holds_no_input_stays() -> None:
    assert without(None, {"wind"}) is None
    assert without(whole := history(), frozenset()) is whole
