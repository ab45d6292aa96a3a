"""Test of a candidate at the gate, whoever trained it."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from core.durations import DAY
from core.errors import ForeignArtifact
from core.stored import from_attributes
from core.window import Window
from lake.reading import Snapshot
from retrain import gate, plan
from retrain.artifact_header import sha256_of
from retrain.backtest import backtest, seasonal_naive
from retrain.gate import Gate, GateTests
from retrain.manifest import Manifest, Metrics, Scaler, TrainingFigures, TrainingRows
from retrain.rollout import Event
from retrain.template import Predict, of_artifact, predictor
from retrain.windows import Floats, Ints, Windows, scaler
from services.rollouts.training_history import (
    History,
    TrainingRequest,
    learn_until,
    read_history,
)
from services.rollouts.training_state import HandedIn


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A candidate, from the trainer to the gate.

    Attributes
    ----------
    artifact
        Safetensors, in the format of an installed template.
    code
        Version of the code that trained it.
    rows
        That it may have learned from.
    learned_until
        The step of the history that the scaler of a first version is computed up to.
    reference
        The input that it was trained on.
    objective
        That the accuracy of a first version is held to; None where it is unknown.
    gate_start
        It learned from no target since then.
    """

    artifact: bytes
    code: str
    figures: TrainingFigures
    rows: TrainingRows
    learned_until: int
    reference: Window
    objective: float | None
    gate_start: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A candidate that was tested: what becomes a version, the gate, and further tests."""

    artifact: bytes
    manifest: Manifest
    reference: Window
    objective: float | None
    gate: Gate
    tests: GateTests


def received(
    request: TrainingRequest,
    history: History,
    given: HandedIn,
    pinned: tuple[datetime, Snapshot],
) -> Candidate:
    """Return a candidate that a trainer elsewhere has handed in.

    Its gate begins where the trainer was asked to stop learning, given the newest event and
    the state of the log of that time.
    """
    cut, log = pinned
    begin = request.onset if request.base else None
    gate_start = learn_until(request.policy, cut)
    return Candidate(
        artifact=request.weights(given.sha256),
        code=given.code,
        figures=given.figures,
        rows=from_attributes(TrainingRows, log, history, request, cut=cut),
        learned_until=max(history.step_of(gate_start), 1),
        reference=Window(whole_day(begin or history.start), whole_day(cut)),
        objective=request.base.objective if request.base else given.objective,
        gate_start=gate_start,
    )


def test(request: TrainingRequest, history: History, candidate: Candidate) -> Tested:
    """Compare a candidate with the champion; a first version, with the seasonal naive.

    Raises
    ------
    ForeignArtifact
        If no installed template can read it, or it forecasts another shape.
    """
    sha256, kind = sha256_of(candidate.artifact), of_artifact(candidate.artifact)
    challenger = predictor(candidate.artifact, sha256)
    _check_shape(challenger, history)
    windows = _windows(history, candidate.gate_start)
    days = np.unique(_day(history, windows, candidate.gate_start)).size
    sizes = gate.gate_sizes(days, days + request.policy.max_gate // DAY)
    tests = GateTests(start=candidate.gate_start, sizes=sizes, done=0)
    compared, metrics = _compare(request, history, challenger, windows, tests)
    return from_attributes(
        Tested,
        candidate,
        manifest=from_attributes(
            Manifest,
            request,
            candidate,
            format=kind.format,
            template=kind.name,
            base=request.base.name if request.base else None,
            data=candidate.rows,
            training=candidate.figures,
            metrics=metrics,
            scaler=_scaler(request, history, candidate.learned_until),
            season_steps=history.sizes.day,
            sha256=sha256,
        ),
        gate=compared,
        tests=replace(tests, done=1),
    )


def retest(request: TrainingRequest, challenger_sha256: str, tests: GateTests) -> Gate | None:
    """Test a challenger that the gate could not decide on, on the days that have labels now.

    Parameters
    ----------
    request
        As it would be given now, with the scaler of the challenger.
    challenger_sha256
        Its weights.
    tests
        When the period began, and which tests were done.

    Returns
    -------
    Gate or None
        None while fewer days have labels than the next test needs.
    """
    contract = request.contract
    reach = (contract.input_length + contract.horizon) * contract.step + DAY
    history = read_history(request, tests.start - reach)
    windows = _windows(history, tests.start)
    n_days = np.unique(_day(history, windows, tests.start)).size
    if tests.next_size is None or n_days < tests.next_size:
        return None
    challenger = predictor(request.weights(challenger_sha256), challenger_sha256)
    compared, _ = _compare(request, history, challenger, windows, tests)
    return compared


def through_the_gate(compared: Gate, *, is_first: bool, is_bypassed: bool) -> tuple[Event, str]:
    """Return what the gate's outcome means for the rollout, and the cause to write down."""
    if is_bypassed and not is_first:
        return Event.GATE_PASSED, f"the gate was bypassed by the operator ({compared.reason})"
    match compared.outcome:
        case gate.Outcome.PASSED if is_first:
            return Event.FIRST_PASSED, f"better than the seasonal naive: {compared.reason}"
        case gate.Outcome.PASSED:
            return Event.GATE_PASSED, compared.reason
        case gate.Outcome.INCONCLUSIVE:
            return Event.GATE_INCONCLUSIVE, compared.reason
        case gate.Outcome.REFUSED:
            return Event.GATE_FAILED, compared.reason


def errors_of(predict: Predict, history: History, windows: Windows) -> Floats:
    """Return errors (window, step) of forecasts of past windows."""
    series = history.inputs, history.targets
    return backtest(predict, series, windows, history.sizes, history.unit)


def by_day(errors: Floats, day: Ints) -> Floats:
    """Return means (day, step) of errors (window, step); NaN where nothing is known."""
    n_days = int(day.max()) + 1 if day.size else 0
    known = ~np.isnan(errors)
    sums = np.zeros((n_days, errors.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, day, np.where(known, errors, 0.0))
    np.add.at(counts, day, known)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def whole_day(moment: datetime) -> datetime:
    """Return the midnight before a moment."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _compare(
    request: TrainingRequest,
    history: History,
    challenger: Predict,
    windows: Windows,
    tests: GateTests,
) -> tuple[Gate, Metrics]:
    series, sizes = (history.inputs, history.targets), history.sizes
    naive = seasonal_naive(series, windows, sizes.horizon, sizes.day, history.unit)
    new = errors_of(challenger, history, windows)
    base = request.base_weights
    old = naive if base is None else errors_of(predictor(*base), history, windows)
    day = _day(history, windows, tests.start)
    compared = gate.compare(by_day(old, day), by_day(new, day), tests.rule)
    return compared, Metrics(
        mae=compared.challenger,
        mae_of_champion=None if base is None else compared.champion,
        mae_of_seasonal_naive=float(np.nanmean(naive)) if naive.size else None,
    )


def _windows(history: History, gate_start: datetime) -> Windows:
    start = round((gate_start - history.start) / history.step)
    series = history.inputs, history.targets
    return plan.gate_windows(*series, start, history.end, history.sizes)


def _day(history: History, windows: Windows, gate_start: datetime) -> Ints:
    start = round((gate_start - history.start) / history.step)
    return (windows.origin - start) // history.sizes.day


def _check_shape(predict: Predict, history: History) -> None:
    """Refuse a candidate that does not forecast what the contract has."""
    sizes, n_channels = history.sizes, history.inputs.shape[2]
    expected = (1, sizes.horizon, n_channels)
    try:
        found = predict(np.zeros((1, sizes.input_length, n_channels))).shape
    except ValueError as error:
        raise ForeignArtifact(f"it cannot forecast this model: {error}") from None
    if found != expected:
        raise ForeignArtifact(f"its forecasts have shape {found}, expected {expected}")


def _scaler(request: TrainingRequest, history: History, learned_until: int) -> Scaler:
    """Return the unit of every error of the model: it stays, so that versions compare."""
    if request.scaler:
        return request.scaler
    contract = request.contract
    chosen = [contract.feature_names.index(name) for name in contract.targets]
    mean, _ = scaler(history.inputs[:, :learned_until])
    return Scaler(
        mean=tuple(float(mean[i]) for i in chosen),
        std=tuple(float(history.unit[i]) for i in chosen),
    )
