"""Summaries by segment, bounded in number.

Every row belongs to one place of `SLOTS`: that of its value, if the value has a
name of its own; `OTHER` if it came after all names were given; `NONE` without
a value. A summary by segment has a chunk per hour and place. It is a summary
like any other: it is merged, cut and stored as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import numpy as np

from core.streams import Additive
from monitors.baselines.feature_weights import Weights
from monitors.false_alarms.warm_up import MIN_WINDOWS, WarmingUp
from monitors.slo.cells import N_PLACES, NO_SEGMENT
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.moments import nothing
from monitors.summaries.serialization import added, from_many, to_bytes
from monitors.summaries.streams import as_one_hour
from monitors.summaries.summary import Edges, Ints, Summary, chunk_start, merge

MOST = 16  # segments with a name of their own
OTHER, NONE, FIRST = 0, NO_SEGMENT, 2  # places: of the rest, of no value, of the first name
SLOTS = N_PLACES  # above them all
_LONGEST = 64  # characters of a name in a label: longer ones go by their number


def keys(chunks: Ints, places: Ints) -> Ints:
    """Return the chunks of a summary by segment.

    Examples
    --------
    >>> keys(np.array([7, 7]), np.array([OTHER, FIRST]))
    array([224, 226])
    """
    return chunks * SLOTS + places


def total(by_segment: Summary) -> Summary:
    """Return the summary of all segments together.

    Parameters
    ----------
    by_segment
        A chunk per hour and place.
    """
    hours = by_segment.chunks // SLOTS
    whole = replace(by_segment, chunks=hours)
    return whole if (np.diff(hours) > 0).all() else merge(whole, whole.select(0, 0))


def by_hour(by_segment: Summary) -> Iterable[tuple[datetime, Summary]]:
    """Return each hour apart, with all its places."""
    for hour in np.unique(by_segment.chunks // SLOTS).tolist():
        yield chunk_start(hour), by_segment.select(hour * SLOTS, (hour + 1) * SLOTS)


def _as_one_hour(by_segment: Summary, start: datetime) -> Summary:
    return as_one_hour(by_segment, start, SLOTS)


# All segments of an hour in one row: they are read, and written, together.
INPUT_BY_SEGMENT = Additive(
    name="input_by_segment",
    to_bytes=to_bytes,
    from_many=from_many,
    added=added,
    split=by_hour,
    whole=_as_one_hour,
)
OUTPUT_BY_SEGMENT = replace(INPUT_BY_SEGMENT, name="output_by_segment")


def of_place(by_segment: Summary, place: int) -> Summary:
    """Return the summary of one segment, hour by hour.

    Examples
    --------
    >>> from monitors.summaries.summary import empty
    >>> of_place(empty(7), NONE).chunks.size
    0
    """
    own = by_segment.chunks % SLOTS == place
    return Summary(
        chunks=by_segment.chunks[own] // SLOTS,
        moments=by_segment.moments[own],
        counts=by_segment.counts[own],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Name of a segment.

    Attributes
    ----------
    by
        The field that defines the segments.
    names
        By place, of those that have one.
    hides
        Whether names are left out of findings and alerts: they are
        sent to others, and kept when a name is erased.
    """

    by: str
    names: Mapping[int, str]
    hides: bool = False

    def __call__(self, place: int) -> str:
        """Return the label of a place, different from that of every other.

        Examples
        --------
        >>> label = Label(by="shop", names={2: "17"})
        >>> label(2), label(NONE), label(OTHER)
        ('shop=17', 'no shop', 'other shop')
        >>> Label(by="entity", names={2: "somebody"}, hides=True)(2)
        'entity #1'
        """
        if place == OTHER:
            return f"other {self.by}"
        if place == NONE:
            return f"no {self.by}"
        name = self.names.get(place, "")
        if self.hides or len(name) > _LONGEST or "[" in name or place not in self.names:
            return f"{self.by} #{place - FIRST + 1}"
        return f"{self.by}={name}"


def beside(
    whole: Summary, edges: Edges, by_segment: Summary, features: Sequence[int], label: Label
) -> tuple[Edges, Summary]:
    """Lay the segments beside the total, as if they were more features.

    Parameters
    ----------
    whole, edges
        Of all segments together.
    by_segment
        A chunk per hour and place, on the same edges.
    features
        The places of the features that are laid out.
    label
        Names the segments.

    Returns
    -------
    edges
        Behind the features, "load [shop=17]" for each segment that has a name
        or is without a value. What is pooled is left out: its members change,
        and so it drifts when nothing does.
    summary
        On the hours of `whole`.
    """
    places = [place for place in (*label.names, NONE) if place != OTHER]
    n_hours, n_features, n_bins = whole.counts.shape
    width = n_features + len(places) * len(features)
    moments = nothing(n_hours, width)
    counts = np.zeros((n_hours, width, n_bins), dtype=np.uint32)
    moments[:, :n_features], counts[:, :n_features] = whole.moments, whole.counts
    names, values = [*edges.names], [*edges.values]
    for i, place in enumerate(places):
        own = of_place(by_segment, place).of([*features])
        at = np.flatnonzero(np.isin(whole.chunks, own.chunks))
        start = n_features + i * len(features)
        moments[at, start : start + len(features)] = own.moments
        counts[at, start : start + len(features)] = own.counts
        names += [f"{edges.names[k]} [{label(place)}]" for k in features]
        values += [edges.values[k] for k in features]
    return (
        Edges(names=tuple(names), values=np.array(values)),
        Summary(chunks=whole.chunks, moments=moments, counts=counts),
    )


def with_enough(hours: Hourly, n_total: int, window_days: int) -> Hourly:
    """Leave out the segments whose reference is too short to evaluate them by.

    Parameters
    ----------
    hours
        The reference; the features of the total come first.
    n_total
        How many of them there are; they stay.
    window_days
        Length of a window: 19 are needed.
    """
    n_days = np.isfinite(hours.mean).sum(axis=0) / HOURS
    enough = n_days // window_days >= MIN_WINDOWS
    enough[:n_total] = True
    return hours.of(np.flatnonzero(enough).tolist())


def blocks(names: Sequence[str], n_total: int) -> tuple[tuple[int, ...], ...]:
    """Return the places of the features of the total, then of each segment.

    Examples
    --------
    >>> blocks(["a", "b", "a [shop=1]", "b [shop=1]", "a [shop=2]"], 2)
    ((0, 1), (2, 3), (4,))
    """
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        found.setdefault(segment_of(name) if i >= n_total else "", []).append(i)
    return tuple(map(tuple, found.values()))


def segment_of(name: str) -> str:
    """Return which segment a feature laid out by `beside` belongs to.

    Examples
    --------
    >>> segment_of("load [shop=17]")
    'shop=17'
    """
    return name.rpartition(" [")[2].removesuffix("]")


def feature_of(name: str) -> str:
    """Return which feature one laid out by `beside` is of a segment of.

    Examples
    --------
    >>> feature_of("load [shop=17]")
    'load'
    """
    return name.removesuffix(f" [{segment_of(name)}]")


def inherit(weights: Weights, names: Sequence[str], n_total: int) -> Weights:
    """Return weights with those of the features of segments, which are those of the total.

    Parameters
    ----------
    weights
        As they were stated; a segment's own counts.
    names
        Those of the total first.
    n_total
        How many of them there are.

    Examples
    --------
    >>> inherit({"a": 2.0}, ["a", "b", "a [shop=1]"], 2)
    {'a [shop=1]': 2.0, 'a': 2.0}
    """
    given = {
        name: weights[whole]
        for name in names[n_total:]
        if (whole := feature_of(name)) in weights
    }
    return {**given, **weights}


def like(hours: Hourly, names: Sequence[str]) -> Hourly:
    """Return the features of these names, in this order; one that is absent has no value.

    Parameters
    ----------
    hours
        Any stretch.
    names
        From the reference.
    """
    if hours.names == tuple(names):
        return hours
    known = {name: i for i, name in enumerate(hours.names)}
    found = hours.of([known.get(name, 0) for name in names])
    absent = np.array([name not in known for name in names], dtype=np.bool_)
    return replace(
        found,
        names=tuple(names),
        n=np.where(absent, 0.0, found.n),
        n_missing=np.where(absent, 0.0, found.n_missing),
        n_repeat=np.where(absent, 0.0, found.n_repeat),
        mean=np.where(absent, np.nan, found.mean),
        sd=np.where(absent, np.nan, found.sd),
    )


class _Fitted(Protocol):
    @property
    def names(self) -> tuple[str, ...]: ...


def names_of(baseline: _Fitted | WarmingUp) -> tuple[str, ...]:
    """Return the features that a baseline evaluates; none while the reference is too short."""
    return () if isinstance(baseline, WarmingUp) else baseline.names


def like_fitted(hours: Hourly, baseline: _Fitted | WarmingUp) -> Hourly:
    """Return the features that a baseline evaluates; all while the reference is too short."""
    return hours if isinstance(baseline, WarmingUp) else like(hours, baseline.names)
