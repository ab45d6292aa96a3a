"""Rows of four models for the pages: replaced, in canary, warming up and failing."""

from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from alerts.state import Flip, Phase
from core.durations import DAY
from db.tables import (
    AuditEvent,
    Champion,
    Channel,
    Model,
    Version,
)
from monitors.finding import Outcome
from retrain.rollout import Phase as Step
from tests.web.table_rows import (
    N_DAYS,
    OBJECTIVE,
    PROMOTED,
    SHIFT,
    START,
    TableWriter,
    a_delivery,
    a_finding,
    a_flip,
    a_model,
    a_monitor,
    a_rollout,
    a_version,
    accuracy,
    an_event,
    drift,
    gate,
    serving,
    sessions,
)


def fleet(session: Session, now: datetime, seed: int = 7) -> dict[str, UUID]:
    """Fill the tables with a healed model, one in canary, one that learns and one that fails.

    Returns the ids of the rollouts by what became of them.
    """
    writer = TableWriter(session, now, np.random.default_rng(seed))
    channel = Channel(
        name="on-call", config={"url": "https://hooks.example/a"}, severities=[], created_at=now
    )
    writer.add(channel)
    healed = _healed(writer, channel)
    return healed | _in_canary(writer, channel) | _warming_up(writer) | _failing(writer)


def _healed(writer: TableWriter, channel: Channel) -> dict[str, UUID]:
    model = a_model(
        writer,
        "transformer-load",
        "24 h of load and oil temperature, 16 transformers",
        watermark=START + N_DAYS * DAY - timedelta(hours=2),
        evaluated_until=START + (N_DAYS - 1) * DAY,
    )
    v1 = a_version(writer, model, "v1")
    v2 = a_version(writer, model, "v2", created_at=writer.now - timedelta(hours=5))
    writer.add(Champion(model_id=model.id, version_id=v2.id, rev=2, since=writer.now))
    before = [0.38] * SHIFT + [0.38 + 0.03 * min(day, 8) for day in range(PROMOTED - SHIFT)]
    accuracy(writer, model, "v1", range(PROMOTED), before)
    accuracy(writer, model, "v2", range(PROMOTED - 6, PROMOTED), [0.41] * 6, shadow=True)
    accuracy(writer, model, "v2", range(PROMOTED, N_DAYS), [0.4] * (N_DAYS - PROMOTED))
    serving(writer, model, "v2")

    monitor, alert = a_monitor(writer, model, "accuracy", "accuracy", "page")
    for day in range(N_DAYS - 30, N_DAYS - 1):
        value = before[day] if day < PROMOTED else max(0.4, 0.62 - 0.05 * (day - PROMOTED))
        breach = value > OBJECTIVE
        a_finding(
            writer,
            monitor,
            day,
            Outcome.BREACH if breach else Outcome.OK,
            value=value,
            threshold=OBJECTIVE,
            cause=f"error {value:.3f} over 7 days, objective {OBJECTIVE}" if breach else "",
            detail={"coverage": 0.97},
        )
    cause = "error 0.562 over 7 days, objective 0.44"
    a_flip(writer, alert, Flip.FIRED, SHIFT + 4, cause, channel)
    a_flip(writer, alert, Flip.RESOLVED, PROMOTED + 5, "", channel)

    monitor, alert = a_monitor(
        writer,
        model,
        "input_drift",
        "input_drift",
        "ticket",
        Phase.FIRING,
        since=START + 57 * DAY,
    )
    last = drift(writer, monitor)
    alert.cause = last.cause
    a_flip(writer, alert, Flip.FIRED, 57, last.cause, channel)
    monitor, alert = a_monitor(writer, model, "input_fault", "input_fault", "page")
    a_finding(writer, monitor, N_DAYS - 2, Outcome.OK, detail={"promised_days": 365.0})
    for name in ("availability", "latency"):
        monitor, _ = a_monitor(writer, model, name, "burn_rate", "page")
        remaining = {"availability": 0.62, "latency": 0.91}[name]
        a_finding(
            writer,
            monitor,
            N_DAYS - 2,
            Outcome.OK,
            value=0.4,
            threshold=14.4,
            detail={"remaining": remaining, "state": "quiet"},
        )
    writer.add(
        AuditEvent(
            actor="seqwatch",
            action="retrain refused",
            subject=model.name,
            detail={"reason": "cool-down"},
            recorded_at=writer.now - DAY,
        )
    )
    promoted = _promoted(writer, model, v1, v2)
    a_delivery(
        writer,
        channel,
        promoted[1],
        "rollout.promoted",
        delivered=False,
        attempts=3,
        finished_at=None,
        last_status=503,
        last_error="the receiver answered 503",
    )
    first = a_rollout(
        writer,
        model,
        None,
        v1,
        reason="the first version",
        phase=Step.PROMOTED,
        gate=gate(writer, -0.2),
        finished_at=writer.now - timedelta(hours=7),
    )
    an_event(writer, first, "first_passed", Step.PROMOTED, "better than the naive", 60)
    return {"promoted": promoted[0], "first": first.id}


def _promoted(writer: TableWriter, model: Model, v1: Version, v2: Version) -> tuple[UUID, UUID]:
    rollout = a_rollout(
        writer,
        model,
        v1,
        v2,
        reason="accuracy: error 0.562 over 7 days, objective 0.44",
        phase=Step.PROMOTED,
        step=3,
        gate=gate(writer, -0.31),
        finished_at=writer.now - timedelta(minutes=45),
    )
    rollout.verdict = sessions(writer, rollout, ("v1", "v2"), 10, 0.5, 0.3)
    events = (
        ("requested", Step.REQUESTED, rollout.reason, 44),
        ("start", Step.TRAINING, "14 days of labels since the change are in", 46),
        ("trained", Step.GATING, "best epoch 9 of 14, 21 s", 46),
        ("gate_passed", Step.CANARY, "error -31.0%, p = 0.00021", 47),
        ("step_up", Step.CANARY, "better: evidence 22.7 after 4 days", 51),
        ("step_up", Step.CANARY, "better: evidence 48.1 after 5 days", 53),
        ("step_up", Step.CANARY, "better: evidence 103 after 6 days", 55),
    )
    for event, phase, cause, day in events:
        an_event(writer, rollout, event, phase, cause, day)
    cause = "better: evidence 215 after 7 days"
    last = an_event(writer, rollout, "canary_passed", Step.PROMOTED, cause, PROMOTED)
    return rollout.id, last


def _in_canary(writer: TableWriter, channel: Channel) -> dict[str, UUID]:
    model = a_model(
        writer,
        "pump-station-anomaly",
        "residual of flow and pressure",
        watermark=START + 60 * DAY,
        evaluated_until=START + 60 * DAY,
        runbook_url="",
    )
    v7, v8 = a_version(writer, model, "2026.01.2"), a_version(writer, model, "2026.01.3")
    writer.add(Champion(model_id=model.id, version_id=v7.id, rev=1, since=writer.now))
    accuracy(writer, model, v7.name, range(30, 60), [0.5 + 0.004 * day for day in range(30)])
    accuracy(writer, model, v8.name, range(52, 60), [0.47] * 8, shadow=True)
    cause = "HULL scaled by 1.80 since 2018-02-26T05:00Z"
    monitor, alert = a_monitor(
        writer,
        model,
        "input_fault",
        "input_fault",
        "page",
        Phase.FIRING,
        since=START + 57 * DAY,
        cause=cause,
    )
    a_finding(writer, monitor, 59, Outcome.BREACH, value=0.8, threshold=0.15, cause=cause)
    a_flip(writer, alert, Flip.FIRED, 58, cause, channel)
    monitor, alert = a_monitor(
        writer, model, "accuracy", "accuracy", "page", Phase.PENDING, since=START + 59 * DAY
    )
    for day in range(32, 60):
        a_finding(
            writer,
            monitor,
            day,
            Outcome.OK,
            value=0.5 + 0.004 * (day - 30) + 0.01 * writer.chance.standard_normal(),
            threshold=0.6,
        )
    a_flip(writer, alert, Flip.FIRED, 59, "error 0.62, objective 0.6", None)
    rollout = a_rollout(
        writer,
        model,
        v7,
        v8,
        reason="asked for by ops: new pump",
        phase=Step.CANARY,
        step=1,
        step_since=START + 57 * DAY,
        gate=gate(writer, -0.08),
    )
    rollout.verdict = sessions(writer, rollout, (v7.name, v8.name), 5, 0.25, 0.08)
    for event, phase, cause, day in (
        ("requested", Step.REQUESTED, rollout.reason, 50),
        ("start", Step.TRAINING, "", 50),
        ("trained", Step.GATING, "best epoch 12 of 15, 19 s", 51),
        ("gate_passed", Step.CANARY, "error -8.1%, p = 0.013", 52),
    ):
        an_event(writer, rollout, event, phase, cause, day)
    cause = "better: evidence 20.4 after 5 days"
    an_event(writer, rollout, "step_up", Step.CANARY, cause, 57, share_percent=25.0)
    return {"canary": rollout.id}


def _warming_up(writer: TableWriter) -> dict[str, UUID]:
    model = a_model(writer, "tariff-classifier", watermark=START + 9 * DAY)
    monitor, _ = a_monitor(writer, model, "input_drift", "input_drift", "ticket")
    a_finding(writer, monitor, 8, Outcome.NO_DATA, cause="warming up: 12 of 19 windows")
    rollout = a_rollout(
        writer,
        model,
        None,
        None,
        reason="asked for by ops",
        phase=Step.TRAINING,
        progress={
            "cut": "2018-01-09T00:00:00+00:00",
            "seed": 2,
            "snapshot": {"predictions": 4, "labels": 9},
            "epoch": {
                "number": 4,
                "training_error": 0.298,
                "validation_error": 0.313,
                "learning_rate": 0.001,
            },
        },
    )
    an_event(writer, rollout, "requested", Step.REQUESTED, rollout.reason, 8)
    an_event(writer, rollout, "start", Step.TRAINING, "", 9)
    return {"training": rollout.id}


def _failing(writer: TableWriter) -> dict[str, UUID]:
    model = a_model(
        writer, "turbine-vibration", watermark=START + 20 * DAY, description="x" * 90
    )
    v1, v2 = a_version(writer, model, "v1"), a_version(writer, model, "v2")
    writer.add(Champion(model_id=model.id, version_id=v1.id, rev=1, since=writer.now))
    monitor, _ = a_monitor(writer, model, "accuracy", "accuracy", "page")
    a_finding(writer, monitor, 19, Outcome.ERROR, cause="ValueError: <script>alert(1)</script>")
    rollout = a_rollout(
        writer,
        model,
        v1,
        v2,
        reason="accuracy",
        phase=Step.ROLLED_BACK,
        gate=gate(writer, 0.2),
        finished_at=writer.now,
    )
    rollout.verdict = sessions(writer, rollout, ("v1", "v2"), 4, 0.05, -0.6)
    an_event(writer, rollout, "gate_passed", Step.CANARY, "the gate was bypassed", 18)
    an_event(writer, rollout, "canary_failed", Step.ROLLED_BACK, "worse: evidence 31", 19)
    return {"rolled_back": rollout.id}
