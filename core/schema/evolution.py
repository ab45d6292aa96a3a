"""Compatibility of contracts: breaking changes and widenings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from core.schema.contract import Contract
from core.schema.feature import STRICTNESS, Feature, Sensitivity

# What no widening can change: it defines the numbers of the model's input.
_FIXED = (
    "task",
    "targets",
    "step",
    "horizon",
    "input_length",
    "stride",
    "padding",
    "padding_value",
    "zone",
)
_ANY_TEXT = "an open vocabulary cannot become closed, nor a closed one open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The difference of two contracts, as names of what changed.

    Attributes
    ----------
    breaking
        Rows and weights under the old contract do not fit the new one.
    widening
        All that fitted the old contract fits the new one as well.
    """

    breaking: tuple[str, ...] = ()
    widening: tuple[str, ...] = ()


def compare(old: Contract, new: Contract) -> Change:
    """Compare two contracts: which fields break, and which only widen.

    Examples
    --------
    >>> from core.durations import HOUR
    >>> old = Contract(
    ...     features=(Feature(name="load"),), targets=("load",),
    ...     step=HOUR, input_length=96, horizon=24,
    ... )
    >>> wind = Feature(name="wind", optional=True)
    >>> compare(old, replace(old, features=(*old.features, wind)))
    Change(breaking=(), widening=('features.wind (new)',))
    >>> compare(old, replace(old, input_length=48)).breaking
    ('input_length',)
    """
    found = [*_differences(old, new)]
    return Change(
        breaking=tuple(name for name, is_breaking in found if is_breaking),
        widening=tuple(name for name, is_breaking in found if not is_breaking),
    )


def apart(log: Contract, new: Contract) -> tuple[str, ...]:
    """Name what keeps a version from sharing the log of its model; nothing if it can.

    One log has one grid of time, one kind of value per column, one rule for
    what may be stored, and one definition of segments. All else is the version's own.
    """
    found = [
        name
        for name in (*("task", "targets", "step", "horizon", "sensitive_fields", "zone"),)
        if getattr(log, name) != getattr(new, name)
    ]
    if new.segment_by not in ("", log.segment_by):
        found.append("segment_by")
    known = {feature.name: feature for feature in log.features}
    for feature in new.features:
        there = known.get(feature.name, feature)
        found.extend(
            f"features.{feature.name} ({name})"
            for name in ("dtype", "sensitivity", "bucket_edges")
            if getattr(there, name) != getattr(feature, name)
        )
    return tuple(found)


def absorb(log: Contract, new: Contract) -> Contract:
    """Return the log's contract with what a version adds: its new features, as optional."""
    known = {*log.feature_names}
    added = tuple(replace(f, optional=True) for f in new.features if f.name not in known)
    return succeed(log, replace(log, features=(*log.features, *added))) if added else log


def succeed(old: Contract, new: Contract) -> Contract:
    """Return the new contract, which remembers those that it has widened."""
    widens = {*old.widens, old.digest} - {new.digest}
    return replace(new, widens=tuple(sorted(widens)))


def _differences(old: Contract, new: Contract) -> Iterator[tuple[str, bool]]:
    yield from _features(old, new)
    for name in _FIXED:
        if getattr(old, name) != getattr(new, name):
            yield name, True
    yield from _scaler(old, new)
    if old.segment_by != new.segment_by:  # they may begin; what was counted apart stays so
        yield "segment_by", bool(old.segment_by)
    if old.calendar != new.calendar:
        yield "calendar", False
    if old.label_map != new.label_map:
        yield "label_map", new.label_map[: len(old.label_map)] != old.label_map
    for name in sorted({*old.sensitive_fields, *new.sensitive_fields}):
        before = old.sensitive_fields.get(name, Sensitivity.NONE)
        after = new.sensitive_fields.get(name, Sensitivity.NONE)
        if before is not after:
            yield f"sensitive_fields.{name}", STRICTNESS[after] <= STRICTNESS[before]


def _scaler(old: Contract, new: Contract) -> Iterator[tuple[str, bool]]:
    added = {*new.feature_names} - {*old.feature_names}
    for name in sorted({*old.scaler, *new.scaler}):
        if old.scaler.get(name) != new.scaler.get(name) and name not in added:
            yield f"scaler.{name}", True


def _features(old: Contract, new: Contract) -> Iterator[tuple[str, bool]]:
    after = {feature.name: feature for feature in new.features}
    for feature in old.features:
        if feature.name not in after:
            yield f"features.{feature.name} (removed)", True
        else:
            yield from _feature(feature, after[feature.name])
    stayed = tuple(name for name in old.feature_names if name in after)
    if new.feature_names[: len(stayed)] != stayed:
        yield "features (their order; new ones come last)", True
    for feature in new.features:
        if feature.name not in old.feature_names:
            kind = "new" if feature.optional else "new, and not optional"
            yield f"features.{feature.name} ({kind})", not feature.optional


def _feature(old: Feature, new: Feature) -> Iterator[tuple[str, bool]]:
    name = f"features.{old.name}"
    if old.dtype is not new.dtype:
        yield f"{name} (dtype)", True
        return
    if old.optional != new.optional:
        yield f"{name} (optional)", old.optional
    for other in ("unit", "context"):
        if getattr(old, other) != getattr(new, other):
            yield f"{name} ({other})", False
    if (old.min_length, old.max_length) != (new.min_length, new.max_length):
        is_narrower = new.min_length > old.min_length or new.max_length < old.max_length
        yield f"{name} (its lengths may only widen)", is_narrower
    if _range(old) != _range(new):
        (low, high), (new_low, new_high) = _range(old), _range(new)
        yield f"{name} (its range may only widen)", new_low > low or new_high < high
    yield from _texts(old, new)
    if old.sensitivity is not new.sensitivity:
        is_laxer = STRICTNESS[new.sensitivity] <= STRICTNESS[old.sensitivity]
        yield f"{name} (sensitivity may only become stricter)", is_laxer
    elif old.bucket_edges != new.bucket_edges:
        yield f"{name} (bucket_edges)", True


def _range(feature: Feature) -> tuple[float, float]:
    low = float("-inf") if feature.minimum is None else feature.minimum
    high = float("inf") if feature.maximum is None else feature.maximum
    return low, high


def _texts(old: Feature, new: Feature) -> Iterator[tuple[str, bool]]:
    """Yield what became of a vocabulary: the place of a text is its number in summaries."""
    if old.vocabulary == new.vocabulary:
        return
    if not old.vocabulary or not new.vocabulary:
        yield f"features.{old.name} ({_ANY_TEXT})", True
    else:
        is_other = new.vocabulary[: len(old.vocabulary)] != old.vocabulary
        yield f"features.{old.name} (its vocabulary may only grow at the end)", is_other


def known_digests(log: Contract, versions: Mapping[str, Contract]) -> frozenset[str]:
    """Return the digests that a batch may be sent with."""
    contracts = (log, *versions.values())
    return frozenset(digest for each in contracts for digest in (each.digest, *each.widens))
