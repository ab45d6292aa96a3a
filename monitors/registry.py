"""The monitors that a configuration may name."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import msgspec

from core.errors import Unprocessable
from monitors.data_quality.contract_violations import MismatchParams
from monitors.data_quality.data_quality import QualityParams
from monitors.drift.input_drift import DriftParams
from monitors.drift.mean_shift import LevelParams
from monitors.drift.prediction_drift import PredictionDriftParams
from monitors.input_fault.input_fault import InputFaultParams
from monitors.performance.accuracy import AccuracyParams
from monitors.performance.calibration import CalibrationParams
from monitors.performance.residuals import ResidualParams
from monitors.performance.segment_accuracy import SegmentAccuracyParams
from monitors.slo.burn_rate import BurnParams
from monitors.temporal.panel import PanelParams
from monitors.temporal.window_profile import ShapeParams

Params: TypeAlias = (
    DriftParams
    | PredictionDriftParams
    | LevelParams
    | InputFaultParams
    | PanelParams
    | ShapeParams
    | AccuracyParams
    | SegmentAccuracyParams
    | ResidualParams
    | CalibrationParams
    | BurnParams
    | MismatchParams
    | QualityParams
)


class Severity(StrEnum):
    """Who is told: the one who is on call, now, or the team, in working hours."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of monitor.

    Attributes
    ----------
    question
        What it answers, for people.
    severity
        Unless its owner says otherwise.
    retrains
        Retraining can heal what it finds.
    breaches_to_fire, oks_to_resolve
        Consecutive event days.
    """

    name: str
    question: str
    params: type[Params]
    severity: Severity
    retrains: bool
    breaches_to_fire: int
    oks_to_resolve: int


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="input_drift",
            question="Is the input still what the model was trained on?",
            params=DriftParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=7,
        ),
        Kind(
            name="prediction_drift",
            question="Does the model still say what it used to?",
            params=PredictionDriftParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=7,
        ),
        Kind(
            name="mean_shift",
            question="Has the level of an input moved and stayed?",
            params=LevelParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=7,
        ),
        Kind(
            name="input_fault",
            question="Is a sensor broken, or did its unit change?",
            params=InputFaultParams,
            severity=Severity.PAGE,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=1,
        ),
        Kind(
            name="temporal_pattern",
            question="Do values still follow each other as they did?",
            params=PanelParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=7,
        ),
        Kind(
            name="window_profile",
            question="Does a row look inside as it did?",
            params=ShapeParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=7,
        ),
        Kind(
            name="accuracy",
            question="Are the forecasts as good as promised?",
            params=AccuracyParams,
            severity=Severity.PAGE,
            retrains=True,
            breaches_to_fire=2,
            oks_to_resolve=2,
        ),
        Kind(
            name="segment_accuracy",
            question="Is the model wrong about one segment alone?",
            params=SegmentAccuracyParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=7,
        ),
        Kind(
            name="residuals",
            question="Are the errors still without a pattern?",
            params=ResidualParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=7,
        ),
        Kind(
            name="calibration",
            question="Do probabilities still mean what they say?",
            params=CalibrationParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=7,
        ),
        Kind(
            name="burn_rate",
            question="Is the error budget of serving burning too fast?",
            params=BurnParams,
            severity=Severity.PAGE,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=1,
        ),
        Kind(
            name="contract_violations",
            question="Do rows arrive as the contract says?",
            params=MismatchParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=1,
        ),
        Kind(
            name="data_quality",
            question="Is the data complete, fresh and within its range?",
            params=QualityParams,
            severity=Severity.TICKET,
            retrains=False,
            breaches_to_fire=1,
            oks_to_resolve=1,
        ),
    )
}


def find(name: str) -> Kind:
    """Return the kind called `name`.

    Raises
    ------
    Unprocessable
        If there is none; the message lists those there are.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise Unprocessable(f"no kind of monitor {name!r}; known: {', '.join(KINDS)}") from None


def parse(name: str, params: Mapping[str, object]) -> Params:
    """Read the parameters of a monitor; what is absent takes its default.

    Raises
    ------
    Unprocessable
        Naming the parameter that is unknown, of the wrong type or impossible.

    Examples
    --------
    >>> parse("input_drift", {"window_days": 14}).window_days
    14
    """
    kind = find(name)
    known = [*kind.params.__dataclass_fields__]
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise Unprocessable(f"{name}: no {', '.join(unknown)}; known: {', '.join(known)}")
    try:
        return msgspec.convert(params, kind.params)
    except (msgspec.ValidationError, ValueError) as error:
        raise Unprocessable(f"{name}: {error}") from None
