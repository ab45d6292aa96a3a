"""What monitors can read: one frozen dataclass for each source."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from core.durations import DAY, HOUR, MINUTE
from core.policy import Policy
from core.schema.contract import Contract
from core.streams import Level
from core.window import Window
from monitors.baselines.self_reference import EVALUATIONS_BACK
from monitors.data_quality.entity_health import EntityInputs
from monitors.data_quality.flaws import DayVolume
from monitors.kind import RECENT, Source
from monitors.performance.accuracy import DayErrors
from monitors.performance.calibration import ProbabilityDays
from monitors.performance.residual_statistics import ErrorDays
from monitors.performance.segment_accuracy import SegmentDays
from monitors.slo import sli
from monitors.slo.objective import Method
from monitors.slo.period import CalendarPeriod, has_whole_hours
from monitors.slo.reading import SliReading
from monitors.slo.silence import KEPT, ArrivalHistory
from monitors.slo.sli import SliUnit
from monitors.slo.source_states import SourceState
from monitors.summaries.grains import Grains
from monitors.summaries.hourly import Hourly, hourly
from monitors.summaries.input_history import InputHistory
from monitors.summaries.summary import Edges, Summary, chunk_at
from monitors.temporal.window_profile_days import WEEKS
from monitors.temporal.window_profile_schema import Layout

LONGEST_WINDOW = 3 * DAY  # of a tier of an SLO
FITTED_ON = timedelta(days=7)  # what a monitor by grain is fitted on


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentInput(Source[InputHistory]):
    """Input of all versions before the end of the slot."""

    look_back: timedelta = RECENT
    by_segment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InputGrains(Source[Grains]):
    """The numbers of the input of all versions at the model's grain, up to the slot.

    Attributes
    ----------
    n_grains
        How many.
    """

    n_grains: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals(Source[ArrivalHistory]):
    """What has arrived so far, and what usually arrives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsByEntity(Source[EntityInputs | None]):
    """What the inputs of each entity do; None where no prediction names one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledSources(Source[Sequence[SourceState]]):
    """How far the sources of predictions and labels are pulled."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutputHistory:
    """What one version predicted.

    Attributes
    ----------
    first
        When it began to serve.
    edges
        The parts of its targets, and the bins of each.
    summary
        Hour by hour: of the days that it is measured against, and of the last.
    n_total
        How many parts are of all segments together, where those of each lie
        behind them; None where they do not.
    """

    first: datetime
    edges: Edges
    summary: Summary
    n_total: int | None = None

    def on_hours(self, window: Window) -> Hourly:
        """Lay a window on a grid of hours."""
        return hourly(self.summary, self.edges.names, window.start, window.end)

    def within(self, window: Window) -> Summary:
        """Return the hours of a window."""
        return self.summary.select(chunk_at(window.start), chunk_at(window.end))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs(Source[OutputHistory | None]):
    """Predictions of the champion, lately and in its first days."""

    window_days: int
    reference_days: int
    by_segment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileHistory:
    """Sums over the steps within windows of one version's input, and of past input.

    Attributes
    ----------
    first
        When they began.
    layout
        What the columns of the summary are.
    summary
        Day by day: of those that are the reference, and of the last.
    """

    first: datetime
    layout: Layout
    summary: Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowProfiles(Source[ProfileHistory | None]):
    """The within-window structure of the champion's input, lately and in its first days."""

    window_days: int
    reference_days: int

    @property
    def look_back(self) -> timedelta:
        """How far an evaluation reads, with a week of evaluations before it."""
        return 7 * (WEEKS + 1) * DAY + self.window_days * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyErrors(Source[DayErrors]):
    """Errors of the serving version on the last days whose labels are due."""

    n_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfReference:
    """What is known of a version by its labels, lately and in its first days."""

    window_days: int
    reference_days: int

    @property
    def look_back(self) -> timedelta:
        """How far before the newest labelled day is read."""
        return (self.window_days + EVALUATIONS_BACK) * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals(SelfReference, Source[ErrorDays | None]):
    """Errors of the champion, hour by hour of the forecast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probabilities(SelfReference, Source[ProbabilityDays | None]):
    """Probabilities of the champion beside what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorsBySegment(SelfReference, Source[SegmentDays | None]):
    """Errors of the champion for each segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliSlices(Source[SliReading]):
    """Good, bad and unknown ones by an SLI, by slice, version and segment.

    It can be read by the clock alone.

    Attributes
    ----------
    sli, params
        Which SLI, and its parameters.
    back
        How long before the newest event.
    method, slice_width, slice_target
        As in the parameters of an SLO.
    calendar, zone
        Of the period, which begins between two hours where the zone has no whole ones.
    by_segment
        Whether segments are read.
    """

    sli: str
    params: Hashable
    back: timedelta
    method: Method = Method.OCCURRENCES
    slice_width: timedelta = MINUTE
    slice_target: float = 1.0
    calendar: CalendarPeriod | None = None
    zone: str | None = None
    by_segment: bool = False

    def level(self, zone: str) -> Level:
        """Return which summaries it reads beyond three days, given the zone of the contract."""
        is_time = sli.find(self.sli).unit is SliUnit.TIME_SLICES
        if self.method is not Method.OCCURRENCES or is_time:
            return Level.SLICE
        is_whole = self.calendar is None or has_whole_hours(self.zone or zone)
        return Level.HOUR if is_whole else Level.SLICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Violations:
    """How many rows of a day broke the contract, by reason; `is_silent`: none was served."""

    is_silent: bool
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractViolations(Source[Violations]):
    """Rows of the last day that broke the contract; live, of the worst day since it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Source[DayVolume]):
    """How many rows arrived on the last day, and on those before."""


def source_windows(source: Source[Any]) -> timedelta:
    """Return how far back slices of ten seconds are read whatever the level: 0 of most."""
    return min(source.back, LONGEST_WINDOW) if isinstance(source, SliSlices) else timedelta()


def labels_due(contract: Contract, policy: Policy) -> timedelta:
    """Return how many whole days pass until all labels of a day are due."""
    return ceil((contract.horizon * contract.step + policy.label_delay) / DAY) * DAY


def reads(
    source: Source[Any], contract: Contract, policy: Policy
) -> tuple[Level, timedelta] | None:
    """Return which summaries are read for a slot, beside references.

    Parameters
    ----------
    source
        What a monitor reads.
    contract, policy
        Of the model.

    Returns
    -------
    tuple or None
        The coarsest level that will do, and how far before the end of the slot rows still
        change what is read. None of a source that reads no summaries.
    """
    due = labels_due(contract, policy)
    found: tuple[Level, timedelta] | None
    match source:
        case Arrivals():
            found = Level.GRAIN, KEPT
        case SliSlices():
            found = source.level(contract.zone), source.back
        case InputGrains():
            level = Level.GRAIN if contract.grain < HOUR else Level.HOUR
            found = level, max(source.n_grains * contract.grain, FITTED_ON) + DAY
        case RecentInput():
            found = Level.HOUR, source.look_back
        case Outputs():
            found = Level.HOUR, RECENT
        case WindowProfiles():
            found = Level.DAY, source.look_back
        case DailyErrors():
            found = Level.DAY, due + (source.n_days + 1) * DAY
        case SelfReference():
            found = Level.DAY, due + source.look_back + DAY
        case ContractViolations() | Volume():
            found = Level.DAY, RECENT
        case _:
            found = None
    return found
