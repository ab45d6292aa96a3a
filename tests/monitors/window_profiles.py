"""Rows that carry windows of a stream, and what is kept of their inside."""

import numpy as np

from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats, Ints, Summary, chunk_at
from monitors.temporal import window_profile_sums
from monitors.temporal.window_profile_schema import LAGS, Joint, Layout, Numbers, Symbols
from monitors.temporal.window_profile_sums import Lists
from tests.monitors.streams import START

STEPS = 12
SYMBOLS = Symbols(name="s", texts=("a", "b", "c"))


def layout_of(n_features: int, padding: float | None = None, scale: float = 1.0) -> Layout:
    """Return the layout of features f0, f1, ... that lie around 10."""
    names = tuple(f"f{i}" for i in range(n_features))
    blocks = tuple(
        Numbers(name=name, centre=10.0 * scale, scale=3.0 * scale, lags=LAGS, padding=padding)
        for name in names
    )
    joint = Joint(
        title="features together",
        names=tuple(sorted(names)),
        centres=(10.0 * scale,) * n_features,
        scales=(3.0 * scale,) * n_features,
        steps=STEPS,
    )
    return Layout(blocks=(*blocks, joint) if n_features > 1 else blocks)


def windows(values: Floats) -> Floats:
    """Cut one row an hour out of hourly values, (row, feature, step)."""
    padded = np.concatenate([np.repeat(values[:1], STEPS - 1, axis=0), values])
    return np.lib.stride_tricks.sliding_window_view(padded, STEPS, axis=0)


def sums(layout: Layout, rows: Floats, hours: Ints) -> Summary:
    """Sum up rows that end at some hours since START."""
    n, n_features, length = rows.shape
    lists = {
        f"f{i}": Lists(values=rows[:, i].ravel(), lengths=np.full(n, length))
        for i in range(n_features)
    }
    days = (chunk_at(START) + hours) // HOURS
    phase = 2 * np.pi * (hours % HOURS) / HOURS
    parts = []
    for block in layout.blocks:
        if isinstance(block, Numbers):
            figures = window_profile_sums.of_numbers(block, lists[block.name], phase)
        else:
            assert isinstance(block, Joint)
            figures = window_profile_sums.of_windows(
                block, tuple(lists[name] for name in block.names)
            )
        parts.append(window_profile_sums.by_day(figures, days, block.edges))
    return window_profile_sums.beside(parts)


def kept_of(layout: Layout, values: Floats) -> Summary:
    """Sum up one row an hour."""
    return sums(layout, windows(values), np.arange(len(values)))
