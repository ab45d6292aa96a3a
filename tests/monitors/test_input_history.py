"""The hours of a part of a history are those of the part read alone."""

from dataclasses import fields, replace
from datetime import timedelta

import numpy as np

from core.window import Window
from monitors.summaries.input_history import InputHistory
from monitors.summaries.summary import freeze
from monitors.summaries.values import Column, repeats, summarise
from tests.monitors.streams import START

HOURS = 240


def test_hours_of_a_part_are_a_view_of_those_of_the_whole() -> None:
    values = np.random.default_rng(3).normal(size=HOURS)
    first = int(START.timestamp() // 3600)
    chunks = first + np.delete(np.arange(HOURS), np.s_[100:130])  # a gap
    column = Column(
        values=values[: chunks.size],
        chunks=chunks,
        repeats=repeats(values[: chunks.size], np.arange(chunks.size) == 0),
    )
    edges = freeze({"load": values})
    window = Window(START, START + timedelta(hours=HOURS))
    whole = InputHistory(
        window=window, edges=edges, measured=(0,), kept=(0,), summary=summarise([column], edges)
    )
    half = Window(START + timedelta(hours=HOURS // 2), window.end)
    alone = replace(whole).within(half).hours
    assert len(whole.hours) == HOURS
    cut = whole.within(half).hours
    assert np.shares_memory(cut.mean, whole.hours.mean)
    for field in fields(alone):
        np.testing.assert_array_equal(getattr(cut, field.name), getattr(alone, field.name))
