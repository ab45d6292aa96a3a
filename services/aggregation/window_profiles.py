"""Summaries of window profiles, written and read.

The sums are means over rows, not counts: where many rows come in a day, one in so
many is read, chosen by its id. Whoever counts again counts the same rows.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy.orm import Session

from core.durations import DAY
from core.schema.contract import Contract, Padding
from core.schema.feature import Dtype, Feature, Sensitivity
from core.schema.rows import REFERENCE
from core.schema.zone import Zone
from core.window import Window
from db.queries import models, summaries, summary_layouts
from db.tables import Model
from lake.lists import Floats, Ints, fields, flatten, flatten_codes, longest, micros
from monitors.baselines.first_days import reference_of
from monitors.sources import ProfileHistory, WindowProfiles
from monitors.summaries.hourly import HOURS
from monitors.summaries.input_history import InputHistory
from monitors.summaries.local_time import local_micros
from monitors.summaries.streams import WINDOW_PROFILE
from monitors.summaries.summary import Edges, Summary, chunk_start, empty, widen
from monitors.temporal import window_profile_schema, window_profile_sums
from monitors.temporal.window_profile_schema import Block, Joint, Layout, Numbers, Symbols
from monitors.temporal.window_profile_sums import Lists
from services.aggregation import serving

_DAY_US = DAY // timedelta(microseconds=1)
_TOGETHER, _STATES = "features together", "hidden states together"
_OF_STATES = "state."  # how the client calls what it samples of a recurrent layer
_NO_MEASURE = ("digest", "non_finite")


def busy(session: Session, model: Model, layout: Layout | None) -> float:
    """Return how many rows were served on the newest day, 0 while there is none."""
    if layout is None or layout.newest is None:
        return 0.0
    day = models.zone_of(model).bounds(chunk_start(layout.newest * HOURS).date())
    return float(serving.n_rows(session, model.id, day))


def grown(
    before: Layout | None, rows: pa.Table, contract: Contract, edges: Edges, served: float
) -> Layout | None:
    """Return the layout with the blocks of what has none yet; None where nothing has any.

    Only lists of more than one step have an inside; hidden states are read
    together, too, where there are several.

    Parameters
    ----------
    before
        What there is; its blocks never change.
    rows
        Predictions, one at least.
    contract
        Names the features.
    edges
        Of input.
    served
        Rows on the newest day before these.
    """
    known = before.blocks if before is not None else ()
    blocks = (*known, *_new_blocks(known, rows, contract, edges))
    if not blocks:
        return None
    layout = Layout(
        blocks=blocks,
        shares=before.shares if before is not None else ((0, 1),),
        newest=before.newest if before is not None else None,
    )
    days = local_micros(micros(rows["at"]), Zone(contract.zone)) // _DAY_US
    of_these = rows.num_rows / np.unique(days).size
    layout = layout.up_to(int(days.max()), max(served, of_these))
    return before if layout == before else layout


def _new_blocks(
    known: tuple[Block, ...], rows: pa.Table, contract: Contract, edges: Edges
) -> Iterator[Block]:
    has = {block.name for block in known if not isinstance(block, Joint)}
    titles = {block.title for block in known if isinstance(block, Joint)}
    features = {feature.name: feature for feature in contract.kept if not feature.context}
    numbers = [block for block in known if isinstance(block, Numbers)]
    steps, lists = 0, fields(rows, "features")
    names = [
        name
        for name in edges.names
        if name not in has and name in lists and name in features
        if features[name].max_length != 1
    ]
    for name, length in zip(names, longest([lists[name] for name in names]), strict=True):
        if length < 2:
            continue
        feature = features[name]
        if feature.dtype is Dtype.CATEGORY:
            if _has_few_texts(feature):
                yield Symbols(name=name, texts=feature.vocabulary)
            continue
        block = _numbers(
            feature, contract, edges.values[edges.names.index(name)].tolist(), length
        )
        numbers.append(block)
        steps = max(steps, length)
        yield block
    if _TOGETHER not in titles and len(numbers) > 1 and steps:
        yield _joint(_TOGETHER, tuple(block.name for block in numbers), edges, steps)
    states = tuple(
        name
        for name in edges.names
        if name.startswith(_OF_STATES) and not name.endswith(_NO_MEASURE)
    )
    if _STATES not in titles and len(states) > 1:
        yield _joint(_STATES, states, edges, 1)


def _has_few_texts(feature: Feature) -> bool:
    is_open = feature.sensitivity is Sensitivity.HASH
    return not is_open and 2 <= len(feature.vocabulary) <= window_profile_schema.MAX_TEXTS


def _numbers(feature: Feature, contract: Contract, edges: list[float], length: int) -> Numbers:
    centre, scale = window_profile_schema.centre_and_scale(edges)
    a_day = max(DAY // contract.step, 1)
    lags = sorted({*window_profile_schema.LAGS, a_day})
    is_padded = contract.padding is not Padding.NONE
    return Numbers(
        name=feature.name,
        centre=centre,
        scale=scale,
        lags=tuple(lag for lag in lags if lag < length),
        padding=contract.padding_value if is_padded else None,
    )


def _joint(title: str, names: tuple[str, ...], edges: Edges, steps: int) -> Joint:
    of = [
        window_profile_schema.centre_and_scale(edges.values[edges.names.index(name)])
        for name in names
    ]
    return Joint(
        title=title,
        names=names,
        centres=tuple(centre for centre, _ in of),
        scales=tuple(scale for _, scale in of),
        steps=min(steps, window_profile_schema.MAX_STEPS),
    )


def summarise_window_profiles(
    rows: pa.Table, version: str, contract: Contract, layout: Layout | None
) -> Summary | None:
    """Summarise what rows of one version are like inside.

    Parameters
    ----------
    rows
        Predictions of one version, without shadows.
    version
        Past input that came step by step has no inside.
    contract
        Names the texts of categories.
    layout
        From `grown`.

    Returns
    -------
    Summary or None
        One chunk a day of local time. None where no row is read.
    """
    if layout is None:
        return None
    if version == REFERENCE and not any(
        length > 1
        for length in longest(
            [
                of
                for name, of in fields(rows, "features").items()
                if name in contract.feature_names
            ]
        )
    ):
        return None
    at = local_micros(micros(rows["at"]), Zone(contract.zone))
    taken = _taken(rows, at, layout)
    if taken is not None:
        rows, at = rows.select(["features"]).take(pa.array(taken)), at[taken]
    if not rows.num_rows:
        return None
    days = at // _DAY_US
    phase = 2 * np.pi * (at % _DAY_US) / _DAY_US
    lists: dict[str, Lists] = {}
    for block in layout.blocks:
        for name in block.names if isinstance(block, Joint) else (block.name,):
            if name not in lists:
                lists[name] = _lists(rows, name, block)
    return window_profile_sums.beside(
        [_sums(block, lists, days, phase) for block in layout.blocks]
    )


def _sums(block: Block, lists: Mapping[str, Lists], days: Ints, phase: Floats) -> Summary:
    if isinstance(block, Symbols):
        return window_profile_sums.of_symbols(block, lists[block.name], days)
    if isinstance(block, Numbers):
        figures = window_profile_sums.of_numbers(block, lists[block.name], phase)
    else:
        figures = window_profile_sums.of_windows(
            block, tuple(lists[name] for name in block.names)
        )
    return window_profile_sums.by_day(figures, days, block.edges)


def _taken(rows: pa.Table, at: Ints, layout: Layout) -> Ints | None:
    """Return the places of the rows that are read; None for all of them."""
    one_in = layout.one_in(at // _DAY_US)
    if (one_in == 1).all():
        return None
    ids = rows["prediction_id"].to_pylist()
    hashes = np.fromiter((zlib.crc32(each.encode()) for each in ids), np.int64, len(ids))
    return np.flatnonzero(hashes % one_in == 0)


def _lists(rows: pa.Table, name: str, block: Block) -> Lists:
    if isinstance(block, Symbols):
        flat = flatten_codes(rows, "features", name, block.texts)
    else:
        flat = flatten(rows, "features", name)
    return Lists(values=flat.values, lengths=flat.lengths)


def began(session: Session, model_id: UUID, version: str) -> datetime | None:
    """Return the first day of rows of a version, or of past input with lists."""
    found = summaries.firsts(session, WINDOW_PROFILE, model_id)
    return min((found[of] for of in (version, REFERENCE) if of in found), default=None)


def firsts(session: Session, model_id: UUID) -> list[datetime]:
    """Return when rows of each version began, and of past input."""
    return [*summaries.firsts(session, WINDOW_PROFILE, model_id).values()]


def load(
    session: Session, model_id: UUID, version: str, source: WindowProfiles, lately: Window
) -> ProfileHistory | None:
    """Read what rows were like lately, and in the days that they are measured against.

    Parameters
    ----------
    session
        The open transaction.
    model_id, version
        Whose rows.
    source
        Which days they are measured against.
    lately
        The windows that are evaluated, and what they need to be, in local time.

    Returns
    -------
    ProfileHistory or None
        None when there were none by then.
    """
    layout = summary_layouts.layout(session, model_id)
    first = began(session, model_id, version)
    if layout is None or first is None or first >= lately.end:
        return None
    reference = reference_of(source, first, lately.end)
    seen = summaries.read(
        session, WINDOW_PROFILE, model_id, [reference, lately], [version, REFERENCE]
    )
    if seen is None:
        return None
    whole = widen(seen, len(layout.columns))
    return ProfileHistory(first=first, layout=layout, summary=whole)


def counted_of(
    session: Session, model: Model, version: str | None, window: Window
) -> InputHistory:
    """Read what rows were like inside in a window (UTC), as what is kept of input is read."""
    window = models.zone_of(model).locally(window)
    layout = summary_layouts.layout(session, model.id) or Layout(blocks=())
    edges = layout.edges
    n_columns, n_bins = len(edges.names), edges.values.shape[-1] + 1
    versions = [REFERENCE] if version is None else [version, REFERENCE]
    seen = summaries.read(session, WINDOW_PROFILE, model.id, [window], versions)
    return InputHistory(
        window=window,
        edges=edges,
        measured=(*range(n_columns),),
        kept=(*range(n_columns),),
        summary=widen(seen or empty(n_columns, n_bins), n_columns),
    )


def described(session: Session, model: Model) -> Contract:
    """Return the contract as if the figures of its rows were its features."""
    layout = summary_layouts.layout(session, model.id) or Layout(blocks=())
    figures: list[Feature] = []
    for block in layout.blocks:
        names = list(block.columns)
        if isinstance(block, Symbols):
            figures.append(Feature(name=names.pop(0)))
            figures += [
                Feature(name=name, dtype=Dtype.CATEGORY, vocabulary=block.texts)
                for name in names
            ]
        else:
            figures += [Feature(name=name) for name in names]
    contract = model.contract
    return replace(contract, features=tuple(figures), scaler={})
