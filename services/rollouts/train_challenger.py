"""Make a challenger: read the pinned log, train, backtest; all of it can be done again."""

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
from retrain.gate import Gate
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
class Order:
    """What to make. The same order gives the same version, whoever works on it."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTests:
    """The tests at the gate: the period, which begins at `start`, only grows.

    Attributes
    ----------
    sizes
        At how many days with labels each test is due.
    done
        How many were.
    """

    start: datetime
    sizes: tuple[int, ...]
    done: int

    @property
    def rule(self) -> gate.Rule:
        """How sure the next test must be, for all of them to keep one promise."""
        alpha = gate.alpha_of(self.done, len(self.sizes), gate.Rule().alpha)
        return gate.Rule(alpha=alpha)

    @property
    def next_size(self) -> int | None:
        """Days with labels that the next test needs; None when there is none left."""
        return self.sizes[self.done] if self.done < len(self.sizes) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A challenger, what the gate found, and when it will be tested again."""

    artifact: bytes
    manifest: dict[str, Any]
    reference: Window
    objective: float | None
    gate: Gate
    tests: GateTests


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bench:
    """The material on the bench: series in contract order, and how long things are."""

    inputs: Floats
    targets: Floats
    start: datetime
    end: int
    sizes: Sizes
    config: Config
    unit: Floats


def is_there(settings: Settings, model_id: UUID, pinned: Snapshot) -> bool:
    """Say whether a past state of the log can still be opened: an erasure ends it."""
    try:
        Log(settings.lake, model_id, pinned)
    except SnapshotGone:
        return False
    return True


def snapshot(settings: Settings, model_id: UUID) -> Snapshot:
    """Return the state of the log now, to be trained on now and ever after."""
    return Log(settings.lake, model_id).snapshot


def make(order: Order, on_epoch: Callable[[Epoch], None]) -> Made:
    """Train and backtest one challenger.

    Raises
    ------
    Unprocessable
        If the contract is not one that the template can forecast, or the log
        holds too little.
    """
    bench = _lay_out(order)
    base = _base(order)
    onset = _step_of(order.onset, bench) if order.onset and base else None
    planned = _plan(order, bench, onset)
    recipe = Recipe(seed=order.seed, max_seconds=order.settings.training_time.total_seconds())
    trained = fit(
        (bench.inputs, bench.targets),
        (planned.learn, planned.validate),
        bench.config,
        recipe,
        base,
        on_epoch,
    )
    artifact = artifacts.encode(trained.forecaster)
    if order.settings.sabotage_challenger and base is not None:
        artifact = artifacts.scramble(artifact, order.seed)
    challenger = artifacts.decode(artifact, artifacts.sha256_of(artifact))
    tests = _tests(order, bench, planned)
    compared, figures = _at_the_gate(bench, planned, (base, challenger), tests.rule)
    objective = order.base_objective
    if objective is None:
        objective = _objective(bench, recipe, on_epoch)
    begin = order.onset if onset is not None and order.onset else bench.start
    return Made(
        artifact=artifact,
        manifest=_manifest(order, bench, trained, figures),
        reference=Window(_whole_day(begin), _whole_day(order.cut)),
        objective=objective,
        gate=compared,
        tests=replace(tests, done=1),
    )


def retest(order: Order, challenger_sha256: str, tests: GateTests) -> Gate | None:
    """Test a challenger that the gate could not decide on, on the days that have labels now.

    Parameters
    ----------
    order
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
    reach = (order.contract.input_length + order.contract.horizon) * order.contract.step + DAY
    bench = _lay_out(order, tests.start - reach)
    start = round((tests.start - bench.start) / order.contract.step)
    sizes = bench.sizes
    windows = plan.gate_windows(bench.inputs, bench.targets, start, bench.end, sizes)
    n_days = np.unique((windows.origin - start) // sizes.day).size
    if tests.next_size is None or n_days < tests.next_size:
        return None
    path = path_of(order.settings.artifacts, order.model, challenger_sha256)
    challenger = artifacts.decode(path.read_bytes(), challenger_sha256)
    planned = Plan(learn=windows, validate=windows, gate=windows, gate_start=start)
    compared, _ = _at_the_gate(bench, planned, (_base(order), challenger), tests.rule)
    return compared


def _tests(order: Order, bench: _Bench, planned: Plan) -> GateTests:
    """Plan the tests: today on the days there are, then as far as the deadline lets them."""
    days = np.unique((planned.gate.origin - planned.gate_start) // bench.sizes.day).size
    sizes = gate.gate_sizes(days, days + order.policy.max_gate // DAY)
    start = bench.start + planned.gate_start * order.contract.step
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


def _lay_out(order: Order, since: datetime | None = None) -> _Bench:
    """Read the series, all of it or from a moment on, cut to begin with the first reading."""
    contract = order.contract
    missing = set(contract.targets) - set(contract.feature_names)
    if missing:
        names = ", ".join(sorted(missing))
        raise Unprocessable(f"the template forecasts its own inputs; not among them: {names}")
    if contract.measured != contract.feature_names:
        names = ", ".join(sorted({*contract.feature_names} - {*contract.measured}))
        raise Unprocessable(f"the template takes numbers that are kept; not so: {names}")
    log = Log(order.settings.lake, order.model_id, order.snapshot)
    since = since or order.cut - timedelta(days=order.policy.history_days)
    series = training_series(log, contract, Window(since, order.cut + contract.step))
    known = ~np.isnan(series.inputs).all(axis=(0, 2))
    if not known.any():
        raise Unprocessable("the log holds no input to learn from")
    first = int(known.argmax())
    inputs = series.inputs[:, first:]
    start = series.start + first * series.step
    unit = order.base_manifest.get("scaler", {}).get("std")
    return _Bench(
        inputs=inputs,
        targets=_by_channel(series, contract)[:, first:],
        start=start,
        end=(order.cut - order.policy.label_delay - start) // contract.step,
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


def _base(order: Order) -> Forecaster | None:
    if order.base is None:
        return None
    if order.base_sha256 is None:
        raise Unprocessable(
            f"the weights of {order.base} are kept elsewhere: nothing to build on"
        )
    path = path_of(order.settings.artifacts, order.model, order.base_sha256)
    return artifacts.decode(path.read_bytes(), order.base_sha256)


def _plan(order: Order, bench: _Bench, onset: int | None) -> Plan:
    if onset is None:
        return plan.first(bench.inputs, bench.targets, bench.end, bench.sizes)
    days = order.policy.gate_days
    return plan.renewal(bench.inputs, bench.targets, onset, days, bench.end, bench.sizes)


def _step_of(moment: datetime, bench: _Bench) -> int:
    return int((moment - bench.start) / (DAY / bench.sizes.day))


def _whole_day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _at_the_gate(
    bench: _Bench,
    planned: Plan,
    versions: tuple[Forecaster | None, Forecaster],
    rule: gate.Rule,
) -> tuple[Gate, dict[str, float | None]]:
    """Compare with the champion; a first version, with the forecast that needs no model."""
    base, challenger = versions
    series, sizes = (bench.inputs, bench.targets), bench.sizes
    naive = seasonal_naive(series, planned.gate, sizes.horizon, sizes.day, bench.unit)
    new = _errors(challenger, bench, planned.gate)
    old = naive if base is None else _errors(base, bench, planned.gate)
    day = (planned.gate.origin - planned.gate_start) // bench.sizes.day
    compared = gate.compare(_by_day(old, day), _by_day(new, day), rule)
    figures = {
        "mae": compared.challenger,
        "mae_of_champion": None if base is None else compared.champion,
        "mae_of_seasonal_naive": float(np.nanmean(naive)) if naive.size else None,
    }
    return compared, figures


def _errors(forecaster: Forecaster, bench: _Bench, windows: Windows) -> Floats:
    return backtest(forecaster, bench.inputs, bench.targets, windows, bench.unit)


def _by_day(errors: Floats, day: Ints) -> Floats:
    """Return means (day, step) of errors (window, step); NaN where nothing is known."""
    n_days = int(day.max()) + 1 if day.size else 0
    known = ~np.isnan(errors)
    sums = np.zeros((n_days, errors.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, day, np.where(known, errors, 0.0))
    np.add.at(counts, day, known)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _objective(bench: _Bench, recipe: Recipe, on_epoch: Callable[[Epoch], None]) -> float:
    """Say how wrong a good version may be: from forecasts of all history by networks unseen."""
    days: list[Floats] = []
    for learn, validate, test in plan.folds(
        bench.inputs, bench.targets, bench.end, bench.sizes
    ):
        trained = fit(
            (bench.inputs, bench.targets),
            (learn, validate),
            bench.config,
            recipe,
            None,
            on_epoch,
        )
        first = int(test.origin.min())
        day = (test.origin - first) // bench.sizes.day
        days.append(_by_day(_errors(trained.forecaster, bench, test), day))
    return accuracy.objective(np.concatenate(days), AccuracyParams()).value


def _manifest(
    order: Order, bench: _Bench, trained: Trained, figures: dict[str, float | None]
) -> dict[str, Any]:
    contract = order.contract
    chosen = [contract.feature_names.index(name) for name in contract.targets]
    return {
        "format": FORMAT,
        "code": __version__,
        "seed": order.seed,
        "base": order.base,
        "data": {
            "predictions": order.snapshot.predictions,
            "labels": order.snapshot.labels,
            "start": bench.start.isoformat(),
            "cut": order.cut.isoformat(),
            "onset": order.onset.isoformat() if order.onset else None,
        },
        "training": {
            "n_windows": trained.n_windows,
            "n_epochs": len(trained.epochs),
            "seconds": trained.seconds,
            "validation_error": trained.validation_error,
        },
        "metrics": figures,
        # The unit of every error of this model: it stays, so that errors of versions compare.
        "scaler": order.base_manifest.get("scaler")
        or {
            "mean": [float(trained.forecaster.mean[i]) for i in chosen],
            "std": [float(bench.unit[i]) for i in chosen],
        },
        "season_steps": bench.sizes.day,
    }
