"""Context features: inputs that explain others, and whose own drift is no finding."""

from collections.abc import Set
from dataclasses import replace
from typing import TypeVar

from monitors.baselines.segments import feature_of
from monitors.sources import ProfileHistory
from monitors.summaries.grains import Grains
from monitors.summaries.input_history import InputHistory
from monitors.temporal.window_profile_schema import Joint

T = TypeVar("T")


def without(value: T, features: Set[str]) -> T:
    """Return what a source gave, or a reference, without some features and their segments.

    Parameters
    ----------
    value
        What holds no input stays as it is.
    features
        By name: the context features, for monitors that do not read them.
    """
    if not features:
        return value
    found: object = value
    match value:
        case InputHistory():
            found = _of_input(value, features)
        case Grains():
            found = _of_grains(value, features)
        case ProfileHistory():
            found = _of_profiles(value, features)
        case _:
            pass
    assert isinstance(found, type(value))
    return found


def _of_input(history: InputHistory, features: Set[str]) -> InputHistory:
    names, n_total = history.edges.names, history.n_total
    segments = () if n_total is None else history.measured[n_total:]
    own = {i: feature_of(names[i]) for i in segments}
    gone = {i for i, name in enumerate(names) if own.get(i, name) in features}
    stays = [at for at, i in enumerate(history.measured) if i not in gone]
    part = replace(
        history,
        measured=tuple(history.measured[at] for at in stays),
        kept=tuple(i for i in history.kept if i not in gone),
        n_total=None if n_total is None else sum(at < n_total for at in stays),
    )
    if "hours" in history.__dict__:  # laid out once for all slots
        part.__dict__["hours"] = history.hours.of(stays)
    return part


def _of_grains(grains: Grains, features: Set[str]) -> Grains:
    stays = [i for i, name in enumerate(grains.names) if name not in features]
    arrays = ("n", "n_missing", "mean", "sd", "low", "high")
    parts = {name: getattr(grains, name)[:, stays] for name in arrays}
    return replace(grains, names=tuple(grains.names[i] for i in stays), **parts)


def _of_profiles(profiles: ProfileHistory, features: Set[str]) -> ProfileHistory:
    stays = [
        block
        for block in profiles.layout.blocks
        if features.isdisjoint(block.names if isinstance(block, Joint) else (block.name,))
    ]
    columns = {name: i for i, name in enumerate(profiles.layout.columns)}
    layout = replace(profiles.layout, blocks=tuple(stays))
    return replace(
        profiles,
        layout=layout,
        summary=profiles.summary.of([columns[name] for name in layout.columns]),
    )
