"""The extension point for monitors: what a kind declares, and what it is given.

A kind is one module that ends in `KIND = MonitorKind(...)`, registered in the entry point
group `seqwatch.monitors` under its name. `monitors/kinds/` holds ours.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar, cast

import msgspec

from core.durations import DAY
from core.policy import Policy
from core.schema.contract import Contract
from core.schema.zone import UTC_ZONE, Zone
from core.window import Stretches, Window
from monitors.detail import Detail
from monitors.evidence import Evidence
from monitors.finding import Finding, Outcome
from monitors.finding import Severity as Severity
from monitors.show import View

RECENT = timedelta(days=36)  # five weeks and a day: the history that most monitors read

T = TypeVar("T")
P = TypeVar("P")
D = TypeVar("D", bound=Detail)


class Interval(StrEnum):
    """When a kind is evaluated: as its event day or its grain closes, or by the wall clock.

    What is evaluated by grain or by clock stores a finding when something changed, is not
    evaluated again for late rows, and takes no part in backtests.
    """

    DAY = "day"
    GRAIN = "grain"
    CLOCK = "clock"


class ReferenceOf(StrEnum):
    """Which reference a kind is fitted on."""

    CHAMPION = "champion"
    WIDEST = "widest"  # the longest of any version: the range of a healthy sensor


class Source(Generic[T]):
    """What a monitor asks the platform to read; a frozen dataclass, equal by its fields.

    `monitors.sources` holds all that can be read. `T` is what reading gives.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationContext:
    """One model at one moment of event time.

    What a monitor is given is in local time (`core.schema.zone`), unless its kind takes UTC.

    Attributes
    ----------
    as_of
        The end of the event day that is evaluated.
    champion
        The name of the version that serves; None before the first.
    serving
        The champion of that day, in a backtest not that of today.
    references
        The stretches of input that kinds are fitted on; absent or empty when unknown.
    objective
        The standardised error that accuracy is held to.
    revisions
        How often rows came late into each reference: what was fitted before is out of date.
    features
        The features of which input is kept.
    zone
        From UTC to local time; UTC itself where the times are local already.
    n_sharing
        Monitors that share the false-alarm budget.
    """

    model_id: str
    contract: Contract
    policy: Policy
    as_of: datetime
    champion: str | None
    serving: str | None
    objective: float | None
    references: Mapping[ReferenceOf, Stretches] = field(default_factory=dict)
    revisions: Mapping[Stretches, int] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    zone: Zone = UTC_ZONE
    n_sharing: int = 1

    @property
    def last_day(self) -> Window:
        """The event day that has just closed."""
        return Window(self.zone.later(self.as_of, -DAY), self.as_of)

    def no_data(self, cause: str) -> Finding:
        """Return the finding of a monitor that has nothing to evaluate."""
        return self.without_verdict(Outcome.NO_DATA, cause)

    def without_verdict(self, outcome: Outcome, cause: str) -> Finding:
        """Return a finding of the last day that has neither value nor threshold."""
        return Finding(outcome=outcome, window=self.last_day, cause=cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a monitor evaluates.

    Attributes
    ----------
    context
        The model, and when.
    values
        What its sources gave.
    fitted
        What its `fit` returned for the reference; None where it has no `fit`, or where
        there is no reference.
    state
        What its `state` returned for the detail of its finding before this one; None at the
        start.
    """

    context: EvaluationContext
    values: Mapping[Hashable, object]
    fitted: Any = None
    state: Any = None

    def __getitem__(self, source: Source[T]) -> T:
        """Return what a source gave that the kind has declared."""
        return cast(T, self.values[source])


def never(_: Detail, __: Set[str]) -> bool:
    """No broken input explains what such a monitor finds."""
    return False


def by_any(_: Detail, broken: Set[str]) -> bool:
    """Whatever input is broken explains what such a monitor finds."""
    return bool(broken)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenInput:
    """An input that a monitor of input quality found broken, or that was until lately."""

    feature: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorKind(Generic[P, D]):
    """One kind of monitor.

    Attributes
    ----------
    name
        As in a configuration, and of its entry point.
    question
        What it answers, for people.
    params
        A frozen dataclass; each field has a default, `__post_init__` raises ValueError.
    detail
        A subclass of `Detail`: what its findings hold; `EvidenceDetail` where it returns
        evidence.
    sources
        What an evaluation reads, given the parameters.
    evaluate
        Returns the finding, or the evidence for the platform to decide on; reads nothing but
        its arguments.
    gives_evidence
        It returns evidence, and shares the model's false-alarm budget with all that do.
    fit, fitted_on, fits_by_segment
        Learns from the input of a reference, on which reference, and whether the segments lie
        behind the total in it. Returned values are remembered from one evaluation to the next.
    reads_context
        It reads context features too: it finds broken inputs, not drift.
    needs_reference
        Without a reference there is no data; else `evaluate` decides.
    interval
        When it is evaluated. One by grain is fitted on the days before.
    ends_with_events
        Of a kind by clock: it is evaluated as of the newest event, and not of the clock.
    every_grains
        Of a kind by grain: how many grains lie between two evaluations; None for one.
    watches_open_days
        Of a kind by day: it is also evaluated, as each grain closes and every ten seconds, on
        the days that were not evaluated yet. Its counts only grow while a day is open.
    severity
        By default.
    severities
        At which severities it has an alert, given the parameters; None: at the monitor's own.
    breaches_to_fire, oks_to_resolve
        Consecutive evaluations.
    may_retrain
        Retraining can mend what it finds.
    is_against_reference
        It measures against what one version was trained on or did first: its alert ends with
        the version.
    is_explained_by
        Whether an alert is inhibited, given the detail of its newest breach and the features
        that are broken.
    broken
        The inputs with an open fault in a finding's detail: it inhibits other alerts.
    means_missing_data
        Its alert means that no data arrives: it inhibits those of kinds that need data.
    state
        The part of a finding's detail that the next evaluation reads.
    needs_segments
        The contract must have `segment_by`.
    has_report
        A report is written when its alert fires.
    names_entities
        Its findings hold names of entities: an erasure takes them out.
    dates_change
        `since` in a finding's detail dates the change.
    takes_utc
        Its times are in UTC whatever the zone of the contract: it counts no days.
    show
        What the page and the API show of a finding, given its detail and its threshold.
    about
        What is evaluated, given the parameters, where the question leaves that open: for
        people.
    runbook
        Name of the built-in runbook of its alerts, given the parameters and the detail of the
        newest breach; "" for none.
    """

    name: str
    question: str
    params: type[P]
    detail: type[D]
    sources: Callable[[P], Sequence[Source[Any]]]
    evaluate: Callable[[P, Inputs], Finding | Evidence]
    gives_evidence: bool = False
    fit: Callable[[P, Any], object] | None = None
    fitted_on: ReferenceOf = ReferenceOf.CHAMPION
    fits_by_segment: Callable[[P], bool] = lambda _: False
    reads_context: bool = False
    needs_reference: bool = True
    interval: Interval = Interval.DAY
    ends_with_events: bool = False
    every_grains: Callable[[P], int] | None = None
    watches_open_days: bool = False
    severity: Severity = Severity.TICKET
    severities: Callable[[P], tuple[Severity, ...]] | None = None
    breaches_to_fire: int = 1
    oks_to_resolve: int = 1
    may_retrain: bool = False
    is_against_reference: bool = False
    is_explained_by: Callable[[D, Set[str]], bool] = never
    broken: Callable[[D], Sequence[BrokenInput]] | None = None
    means_missing_data: bool = False
    state: Callable[[D], object] | None = None
    needs_segments: bool = False
    has_report: bool = False
    names_entities: bool = False
    dates_change: bool = False
    takes_utc: bool = False
    show: Callable[[D, float | None], Sequence[View]] = lambda *_: ()
    about: Callable[[P], str] = lambda _: ""
    runbook: Callable[[P, D], str] = lambda *_: ""

    @property
    def needs_data(self) -> bool:
        """Whether broken input may explain its alerts, and missing data does."""
        return self.is_explained_by is not never

    def unread(self, contract: Contract) -> frozenset[str]:
        """Return the features that it is not given."""
        return frozenset() if self.reads_context else contract.context

    def detail_of(self, stored: Mapping[str, Any]) -> D:
        """Return the detail of a stored finding; without figures where it does not decode."""
        try:
            return msgspec.convert(stored, self.detail)
        except msgspec.ValidationError:
            return self.detail()
