"""Training of a challenger: read the pinned log, train, backtest; reproducible."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from core import __version__
from core.errors import Unprocessable
from core.policy import Policy
from core.schema.contract import Contract
from core.settings import Settings
from core.window import Window
from lake.reading import Log, Snapshot, SnapshotGone
from lake.series import Series, training_series
from monitors.performance import accuracy
from monitors.performance.accuracy import AccuracyParams
from retrain import gate, plan
from retrain.artifact_header import FORMAT
from retrain.drill import NO_DRILL, Drill
from retrain.gate import Gate, GateTests
from retrain.plan import Plan, Sizes
from retrain.rollout import Event
from retrain.training import artifacts
from retrain.training.backtest import backtest, seasonal_naive
from retrain.training.fit import Epoch, Recipe, Trained, fit
from retrain.training.forecast import Forecaster
from retrain.training.segment_lstm import Config, segment_for
from retrain.windows import Floats, Ints, Windows
from services.models.artifacts import path_of

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """Request of a training. The same request gives the same version."""

    settings: Settings
    model_id: UUID
    model: str
    contract: Contract
    policy: Policy
    onset: datetime | None
    cut: datetime
    snapshot: Snapshot
    seed: int
    base: str | None
    base_sha256: str | None
    base_manifest: dict[str, Any]
    base_objective: float | None
    base_reference_start: datetime | None
    drill: Drill = NO_DRILL


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """Result of a training: challenger, gate, further tests."""

    artifact: bytes
    manifest: dict[str, Any]
    reference: Window
    objective: float | None
    gate: Gate
    tests: GateTests


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _TrainingHistory:
    """The material on the bench: series in contract order, and how long things are."""

    inputs: Floats
    targets: Floats
    start: datetime
    end: int
    sizes: Sizes
    config: Config
    unit: Floats


def is_there(settings: Settings, model_id: UUID, pinned: Snapshot) -> bool:
    """Return whether a past state of the log can still be opened: an erasure ends it."""
    try:
        Log(settings.lake, model_id, pinned)
    except SnapshotGone:
        return False
    return True


def snapshot(settings: Settings, model_id: UUID) -> Snapshot:
    """Return the state of the log now, to be trained on now and ever after."""
    return Log(settings.lake, model_id).snapshot


def make(request: TrainingRequest, on_epoch: Callable[[Epoch], None]) -> TrainingResult:
    """Train and backtest one challenger.

    Raises
    ------
    Unprocessable
        If the contract is not one that the template can forecast, or the log
        holds too little.
    """
    history = _lay_out(request)
    base = _base(request)
    onset = _step_of(request.onset, history) if request.onset and base else None
    planned = _plan(request, history, onset)
    seconds = request.settings.training_time.total_seconds()
    recipe = Recipe(seed=request.seed, max_seconds=seconds)
    trained = fit(
        (history.inputs, history.targets),
        (planned.learn, planned.validate),
        history.config,
        recipe,
        base,
        on_epoch,
    )
    artifact = artifacts.encode(trained.forecaster)
    if request.drill.damages_challenger and base is not None:
        artifact = artifacts.scramble(artifact, request.seed)
    challenger = artifacts.decode(artifact, artifacts.sha256_of(artifact))
    tests = _tests(request, history, planned)
    compared, figures = _at_the_gate(history, planned, (base, challenger), tests.rule)
    objective = request.base_objective
    if objective is None:
        objective = _objective(history, recipe, on_epoch)
    begin = request.onset if onset is not None and request.onset else history.start
    return TrainingResult(
        artifact=artifact,
        manifest=_manifest(request, history, trained, figures),
        reference=Window(_whole_day(begin), _whole_day(request.cut)),
        objective=objective,
        gate=compared,
        tests=replace(tests, done=1),
    )


def retest(request: TrainingRequest, challenger_sha256: str, tests: GateTests) -> Gate | None:
    """Test a challenger that the gate could not decide on, on the days that have labels now.

    Parameters
    ----------
    request
        As it would be given now; `base_manifest` is that of the challenger, whose unit of
        errors is the champion's.
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
    history = _lay_out(request, tests.start - reach)
    start = round((tests.start - history.start) / request.contract.step)
    sizes = history.sizes
    windows = plan.gate_windows(history.inputs, history.targets, start, history.end, sizes)
    n_days = np.unique((windows.origin - start) // sizes.day).size
    if tests.next_size is None or n_days < tests.next_size:
        return None
    path = path_of(request.settings.artifacts, request.model, challenger_sha256)
    challenger = artifacts.decode(path.read_bytes(), challenger_sha256)
    planned = Plan(learn=windows, validate=windows, gate=windows, gate_start=start)
    compared, _ = _at_the_gate(history, planned, (_base(request), challenger), tests.rule)
    return compared


def _tests(request: TrainingRequest, history: _TrainingHistory, planned: Plan) -> GateTests:
    """Plan the tests: today on the days there are, then as far as the deadline lets them."""
    days = np.unique((planned.gate.origin - planned.gate_start) // history.sizes.day).size
    sizes = gate.gate_sizes(days, days + request.policy.max_gate // DAY)
    start = history.start + planned.gate_start * request.contract.step
    return GateTests(start=start, sizes=sizes, done=0)


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


def _lay_out(request: TrainingRequest, since: datetime | None = None) -> _TrainingHistory:
    """Read the series, all of it or from a moment on, cut to begin with the first reading."""
    contract = request.contract
    missing = set(contract.targets) - set(contract.feature_names)
    if missing:
        names = ", ".join(sorted(missing))
        raise Unprocessable(f"the template forecasts its own inputs; not among them: {names}")
    if contract.measured != contract.feature_names:
        names = ", ".join(sorted({*contract.feature_names} - {*contract.measured}))
        raise Unprocessable(f"the template takes numbers that are kept; not so: {names}")
    log = Log(request.settings.lake, request.model_id, request.snapshot)
    since = since or request.cut - timedelta(days=request.policy.history_days)
    series = training_series(log, contract, Window(since, request.cut + contract.step))
    known = ~np.isnan(series.inputs).all(axis=(0, 2))
    if not known.any():
        raise Unprocessable("the log holds no input to train on")
    first = int(known.argmax())
    inputs = series.inputs[:, first:]
    start = series.start + first * series.step
    unit = request.base_manifest.get("scaler", {}).get("std")
    return _TrainingHistory(
        inputs=inputs,
        targets=_by_channel(series, contract)[:, first:],
        start=start,
        end=(request.cut - request.policy.label_delay - start) // contract.step,
        sizes=Sizes(
            input_length=contract.input_length,
            horizon=contract.horizon,
            day=max(1, DAY // contract.step),
        ),
        config=Config(
            n_channels=len(contract.features),
            input_length=contract.input_length,
            horizon=contract.horizon,
            segment=segment_for(contract.input_length),
        ),
        unit=np.nanstd(inputs, axis=(0, 1)) if unit is None else _all_channels(unit, contract),
    )


def _by_channel(series: Series, contract: Contract) -> Floats:
    """Return targets in the order of the features; NaN for a feature that is no target."""
    targets = np.full(series.inputs.shape, np.nan)
    for i, name in enumerate(contract.targets):
        targets[:, :, contract.feature_names.index(name)] = series.targets[:, :, i]
    return targets


def _all_channels(unit: list[float], contract: Contract) -> Floats:
    spread = np.ones(len(contract.features))
    for name, std in zip(contract.targets, unit, strict=True):
        spread[contract.feature_names.index(name)] = std
    return spread


def _base(request: TrainingRequest) -> Forecaster | None:
    if request.base is None:
        return None
    if request.base_sha256 is None:
        raise Unprocessable(
            f"the weights of {request.base} are kept elsewhere: nothing to build on"
        )
    path = path_of(request.settings.artifacts, request.model, request.base_sha256)
    return artifacts.decode(path.read_bytes(), request.base_sha256)


def _plan(request: TrainingRequest, history: _TrainingHistory, onset: int | None) -> Plan:
    if onset is None:
        return plan.first(history.inputs, history.targets, history.end, history.sizes)
    days = request.policy.gate_days
    return plan.renewal(
        history.inputs, history.targets, onset, days, history.end, history.sizes
    )


def _step_of(moment: datetime, history: _TrainingHistory) -> int:
    return int((moment - history.start) / (DAY / history.sizes.day))


def _whole_day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _at_the_gate(
    history: _TrainingHistory,
    planned: Plan,
    versions: tuple[Forecaster | None, Forecaster],
    rule: gate.Rule,
) -> tuple[Gate, dict[str, float | None]]:
    """Compare with the champion; a first version, with the forecast that needs no model."""
    base, challenger = versions
    series, sizes = (history.inputs, history.targets), history.sizes
    naive = seasonal_naive(series, planned.gate, sizes.horizon, sizes.day, history.unit)
    new = _errors(challenger, history, planned.gate)
    old = naive if base is None else _errors(base, history, planned.gate)
    day = (planned.gate.origin - planned.gate_start) // history.sizes.day
    compared = gate.compare(_by_day(old, day), _by_day(new, day), rule)
    figures = {
        "mae": compared.challenger,
        "mae_of_champion": None if base is None else compared.champion,
        "mae_of_seasonal_naive": float(np.nanmean(naive)) if naive.size else None,
    }
    return compared, figures


def _errors(forecaster: Forecaster, history: _TrainingHistory, windows: Windows) -> Floats:
    return backtest(forecaster, history.inputs, history.targets, windows, history.unit)


def _by_day(errors: Floats, day: Ints) -> Floats:
    """Return means (day, step) of errors (window, step); NaN where nothing is known."""
    n_days = int(day.max()) + 1 if day.size else 0
    known = ~np.isnan(errors)
    sums = np.zeros((n_days, errors.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, day, np.where(known, errors, 0.0))
    np.add.at(counts, day, known)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _objective(
    history: _TrainingHistory, recipe: Recipe, on_epoch: Callable[[Epoch], None]
) -> float:
    """Compute the objective: from out-of-sample forecasts of all history."""
    days: list[Floats] = []
    for learn, validate, test in plan.folds(
        history.inputs, history.targets, history.end, history.sizes
    ):
        trained = fit(
            (history.inputs, history.targets),
            (learn, validate),
            history.config,
            recipe,
            None,
            on_epoch,
        )
        first = int(test.origin.min())
        day = (test.origin - first) // history.sizes.day
        days.append(_by_day(_errors(trained.forecaster, history, test), day))
    return accuracy.objective(np.concatenate(days), AccuracyParams()).value


def _manifest(
    request: TrainingRequest,
    history: _TrainingHistory,
    trained: Trained,
    figures: dict[str, float | None],
) -> dict[str, Any]:
    contract = request.contract
    chosen = [contract.feature_names.index(name) for name in contract.targets]
    return {
        "format": FORMAT,
        "code": __version__,
        "seed": request.seed,
        "base": request.base,
        "data": {
            "predictions": request.snapshot.predictions,
            "labels": request.snapshot.labels,
            "start": history.start.isoformat(),
            "cut": request.cut.isoformat(),
            "onset": request.onset.isoformat() if request.onset else None,
        },
        "training": {
            "n_windows": trained.n_windows,
            "n_epochs": len(trained.epochs),
            "seconds": trained.seconds,
            "validation_error": trained.validation_error,
        },
        "metrics": figures,
        # The unit of every error of this model: it stays, so that errors of versions compare.
        "scaler": request.base_manifest.get("scaler")
        or {
            "mean": [float(trained.forecaster.mean[i]) for i in chosen],
            "std": [float(history.unit[i]) for i in chosen],
        },
        "season_steps": history.sizes.day,
    }
