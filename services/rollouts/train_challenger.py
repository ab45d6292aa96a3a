"""Training of a candidate by a template on this machine; reproducible."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core import __version__
from core.durations import DAY
from core.errors import Unprocessable
from core.stored import from_attributes
from core.window import Window
from lake import storage
from monitors.performance import accuracy
from monitors.performance.accuracy import AccuracyParams
from retrain import plan
from retrain.artifact_header import declared_format
from retrain.drill import scramble
from retrain.manifest import TrainingFigures, TrainingRows
from retrain.plan import Plan
from retrain.template import TEMPLATES, Epoch, FitRun, Template, TrainingSet
from retrain.windows import Floats, Windows
from services.rollouts.gate_test import Candidate, by_day, errors_of, whole_day
from services.rollouts.training_history import History, TrainingRequest

FOLDER = ".training"  # of checkpoints, below the folder of artifacts: no name of a model


def checkpoints_of(artifacts: Path) -> Path:
    """Return the folder in which each rollout that trains has one of its own."""
    return artifacts / FOLDER


def make(
    request: TrainingRequest, history: History, on_progress: Callable[[Epoch], None]
) -> Candidate:
    """Train one candidate; one that was killed continues from its checkpoints.

    Raises
    ------
    Unprocessable
        If the template is unavailable, its parameters are impossible, it cannot forecast a
        model of this contract, or the log holds too little.
    """
    kind = TEMPLATES.find(request.template)
    params = kind.parse(request.params)
    if reasons := [*kind.refuses(params, request.contract)]:
        raise Unprocessable("; ".join(reasons))
    template, base = kind.load(), request.base_weights
    is_warm = base is not None and declared_format(base[0]) == kind.format
    storage.mark(request.settings.artifacts)
    folder = checkpoints_of(request.settings.artifacts) / str(request.rollout_id)
    run: FitRun[Any] = FitRun(
        seed=request.seed,
        max_seconds=request.settings.training_time.total_seconds(),
        checkpoints=folder / "candidate",
        base=template.decode(*base) if base is not None and is_warm else None,
        on_progress=on_progress,
    )
    onset = history.step_of(request.onset) if request.onset and request.base else None
    planned = _plan(request, history, onset)
    trained = template.fit(params, _set(history, planned.learn, planned.validate), run)
    artifact = template.encode(trained.fitted)
    if request.drill.damages_challenger and base is not None:
        artifact = scramble(artifact, request.seed)
    objective = request.base.objective if request.base else None
    if objective is None:
        objective = _objective(template, params, history, replace(run, base=None), folder)
    begin = request.onset if onset is not None and request.onset else history.start
    return Candidate(
        artifact=artifact,
        code=__version__,
        figures=from_attributes(TrainingFigures, trained, n_epochs=len(trained.epochs)),
        rows=from_attributes(TrainingRows, request.snapshot, history, request),
        learned_until=int(planned.learn.origin.max()),
        reference=Window(whole_day(begin), whole_day(request.cut)),
        objective=objective,
        gate_start=history.time_of(planned.gate_start),
    )


def _set(history: History, learn: Windows, validate: Windows) -> TrainingSet:
    return from_attributes(TrainingSet, history, learn=learn, validate=validate)


def _plan(request: TrainingRequest, history: History, onset: int | None) -> Plan:
    series = history.inputs, history.targets
    if onset is None:
        return plan.first(*series, history.end, history.sizes)
    gate_days = request.policy.gate_window // DAY
    return plan.renewal(*series, onset, gate_days, history.end, history.sizes)


def _objective(
    template: Template[Any, Any],
    params: object,
    history: History,
    run: FitRun[Any],
    folder: Path,
) -> float:
    """Compute the objective: from out-of-sample forecasts of all history."""
    days: list[Floats] = []
    folds = plan.folds(history.inputs, history.targets, history.end, history.sizes)
    for number, (learn, validate, test) in enumerate(folds):
        run = replace(run, checkpoints=folder / f"fold-{number}")
        trained = template.fit(params, _set(history, learn, validate), run)
        first = int(test.origin.min())
        day = (test.origin - first) // history.sizes.day
        predict = partial(template.predict, trained.fitted)
        days.append(by_day(errors_of(predict, history, test), day))
    return accuracy.objective(np.concatenate(days), AccuracyParams()).value
