"""Entity health: is every input of every entity alive?

Each entity is measured against itself: how long each of its inputs has had no value, and has
stood still, against the longest that it ever had. An input of an entity is evaluated once it
has had 100 values (of a standstill: 100 movements) and its entity is known for a day, so that
a night is no fault. The first fault of a cell is learnt as no longer than its limit, so that
it hides no later one; what recurs, as weekends do, is learnt. What fails together is one
finding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from core.durations import Duration
from core.window import Window
from monitors.detail import Detail, ImplicatedFeature, each_once
from monitors.finding import Finding, Outcome
from monitors.summaries.summary import Bools, Ints

LONGER, LEAST_SECONDS = 3.0, 120.0
FEWEST = 100  # values or movements of an input of an entity, before their gaps mean anything
SETTLED_SECONDS = 86_400  # for which an entity must be known
KEPT_SECONDS = 7 * 86_400  # an entity that is silent for longer is out of service
_MAX_NAMED, _MAX_LISTED = 5, 20  # entities in the sentence, and in the detail
_MAX_FAULTS = 3  # in the sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityHealthParams:
    """Parameters of `entity_health`.

    Attributes
    ----------
    longer
        How many times as long as ever before an input of an entity may have no value, or
        stand still.
    at_least
        And for at least so long more.
    """

    longer: float = LONGER
    at_least: Duration = timedelta(seconds=LEAST_SECONDS)

    def __post_init__(self) -> None:
        if self.longer < 1 or self.at_least < timedelta(0):
            raise ValueError("longer must be at least 1, at_least not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityFault:
    """An input that is missing or stuck, and of which entities: up to 20 by name."""

    feature: str
    fact: Literal["missing", "stuck"]
    n_entities: int
    entities: tuple[str, ...]
    since: datetime


class EntityHealthDetail(Detail, frozen=True):
    """Inputs of entities at fault."""

    entity_faults: tuple[EntityFault, ...] = ()

    @property
    def implicated_features(self) -> tuple[ImplicatedFeature, ...]:
        """The inputs at fault."""
        return each_once((one.feature, one.fact) for one in self.entity_faults)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EntityInputs:
    """What the inputs of each entity do; all times in seconds.

    Attributes
    ----------
    inputs, entities
        The names.
    first, last : (entity,)
        The first and the newest prediction, since 1970.
    absent, still : (input, entity)
        For how long there has been no value, and the value has stood still.
    longest_absent, longest_still : (input, entity)
        The longest that ever was, and is over.
    n_values, n_runs : (input, entity)
        How many values there were, and how often they moved.
    """

    inputs: Sequence[str]
    entities: Sequence[str]
    first: Ints
    last: Ints
    absent: Ints
    still: Ints
    longest_absent: Ints
    longest_still: Ints
    n_values: Ints
    n_runs: Ints


def evaluate(known: EntityInputs | None, params: EntityHealthParams, grain: Window) -> Finding:
    """Evaluate all entities as they are now.

    Parameters
    ----------
    known
        None where predictions name no entity.
    params
        How much is too much.
    grain
        The last that has closed.

    Returns
    -------
    Finding
        `value` is how many entities have an input at fault, `threshold` 0.
    """
    if known is None or not len(known.inputs):
        cause = "no prediction names an entity" if known is None else "no input is a number"
        return Finding(
            outcome=Outcome.NO_DATA, value=None, threshold=None, window=grain, cause=cause
        )
    is_evaluated = known.last - known.first >= SETTLED_SECONDS
    is_evaluated &= known.last.max(initial=0) - known.last < KEPT_SECONDS
    missing = _beyond(known.absent, known.longest_absent, known.n_values, params)
    stuck = _beyond(known.still, known.longest_still, known.n_runs, params)
    at_fault = np.zeros(len(known.entities), dtype=np.bool_)
    faults: list[EntityFault] = []
    causes: list[str] = []
    of_facts: dict[Literal["missing", "stuck"], tuple[Bools, Ints]] = {
        "missing": (missing & is_evaluated, known.absent),
        "stuck": (stuck & ~missing & is_evaluated, known.still + known.absent),
    }
    for fact, (flags, duration) in of_facts.items():
        at_fault |= flags.any(axis=0)
        for i in np.flatnonzero(flags.any(axis=1)).tolist():
            places = np.flatnonzero(flags[i])
            names = [known.entities[place] for place in places[:_MAX_LISTED].tolist()]
            since = int((known.last - duration[i])[places].min())
            fault = EntityFault(
                feature=known.inputs[i],
                fact=fact,
                n_entities=int(places.size),
                entities=tuple(names),
                since=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=since),
            )
            faults.append(fault)
            more = f" and {places.size - _MAX_NAMED} more" if places.size > _MAX_NAMED else ""
            n = f"{places.size} of {len(known.entities)} entities"
            listed = ", ".join(names[:_MAX_NAMED]) + more
            causes.append(
                f"{known.inputs[i]} {fact} in {n} since {fault.since:%Y-%m-%dT%H:%M}Z: {listed}"
            )
    rest = f"; and {len(causes) - _MAX_FAULTS} more" if len(causes) > _MAX_FAULTS else ""
    return Finding(
        outcome=Outcome.BREACH if faults else Outcome.OK,
        value=float(at_fault.sum()),
        threshold=0.0,
        window=grain,
        cause="; ".join(causes[:_MAX_FAULTS]) + rest,
        detail=EntityHealthDetail(entity_faults=tuple(faults)),
    )


def learnt(new: Ints, longest: Ints, fault: Ints, is_settled: Bools) -> tuple[Ints, Ints]:
    """Return the longest duration, and that of a fault, now that another duration is over.

    Parameters
    ----------
    new, longest, fault
        The one that is over, the longest before it, and the longest that was a fault.
    is_settled
        Whether it was evaluated; before, all is learnt.

    Examples
    --------
    >>> is_settled = np.array([True, True, True, False])
    >>> new, fault = np.array([90, 86_400, 86_400, 86_400]), np.array([0, 0, 80_000, 0])
    >>> [figure.tolist() for figure in learnt(new, np.full(4, 60), fault, is_settled)]
    [[90, 300, 86400, 86400], [0, 86400, 86400, 0]]
    """
    limit = (LONGER * longest + LEAST_SECONDS).astype(np.int64)
    is_fault = is_settled & (new > limit)
    kept = np.where(is_fault & (new > 2 * fault), limit, new)
    return np.maximum(longest, kept), np.where(is_fault, np.maximum(fault, new), fault)


def _beyond(now: Ints, longest: Ints, n: Ints, params: EntityHealthParams) -> Bools:
    limit = params.longer * longest + params.at_least.total_seconds()
    found: Bools = (n >= FEWEST) & (now > limit)
    return found
