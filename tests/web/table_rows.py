"""Plausible rows, written through the tables; the same for the same seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy.orm import Session

from alerts.state import Flip, Phase, Reason
from core.durations import DAY, HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import Kind
from core.window import Window
from db.tables import (
    Alert,
    Channel,
    Delivery,
    Finding,
    FlipRow,
    Model,
    Monitor,
    Rollout,
    RolloutEvent,
    SessionScore,
    Stream,
    Version,
)
from monitors.finding import Outcome
from retrain.gate import Gate, compare
from retrain.gate import Rule as GateRule
from retrain.rollout import Phase as Step
from retrain.templates.segment_lstm import FORMAT
from retrain.verdict import Rule, Scored, Verdict, evaluate
from tests import stored

CHANNELS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
CONTRACT = Contract(
    features=tuple(Feature(name=name) for name in CHANNELS),
    targets=CHANNELS,
    step=HOUR,
    input_length=96,
    horizon=24,
)
START = datetime(2018, 1, 1, tzinfo=UTC)
N_DAYS = 70
SHIFT, PROMOTED = 36, 56  # days
OBJECTIVE = 0.44


@dataclass(frozen=True, slots=True)
class TableWriter:
    """Writes rows: one session, one moment of recording, one source of chance."""

    session: Session
    now: datetime
    chance: np.random.Generator

    def add(self, *rows: Any) -> None:
        """Write rows whose ids are needed next."""
        self.session.add_all(rows)
        self.session.flush()

    def add_last(self, row: Any) -> None:
        """Write a row that no other refers to, with the next that is needed."""
        self.session.add(row)


def a_model(writer: TableWriter, name: str, description: str = "", **columns: Any) -> Model:
    model = Model(
        name=name,
        description=description,
        runbook_url="https://wiki.example/runbook",
        contract=CONTRACT,
        last_received_at=writer.now - timedelta(minutes=2),
        created_at=writer.now - 3 * DAY,
    )
    for column, value in columns.items():
        setattr(model, column, value)
    writer.add(model)
    writer.add(Stream(model_id=model.id, kind=Kind.LABELS))
    return model


def a_version(writer: TableWriter, model: Model, name: str, **columns: Any) -> Version:
    version = Version(
        model_id=model.id,
        name=name,
        contract=model.contract,
        contract_digest=CONTRACT.digest,
        sha256=writer.chance.bytes(32).hex(),
        n_bytes=412_736,
        manifest={"format": FORMAT},
        reference=(Window(START - 480 * DAY, START),),
        objective=OBJECTIVE,
        created_at=writer.now - 2 * DAY,
    )
    for column, value in columns.items():
        setattr(version, column, value)
    writer.add(version)
    return version


def a_monitor(
    writer: TableWriter,
    model: Model,
    name: str,
    kind: str,
    severity: str,
    phase: Phase = Phase.QUIET,
    **columns: Any,
) -> tuple[Monitor, Alert]:
    monitor = Monitor(model_id=model.id, name=name, kind=kind, severity=severity)
    writer.add(monitor)
    alert = Alert(
        monitor_id=monitor.id,
        model_id=model.id,
        severity=monitor.severity,
        phase=phase,
        **columns,
    )
    writer.add(alert)
    return monitor, alert


def a_finding(
    writer: TableWriter, monitor: Monitor, day: int, outcome: Outcome, **columns: Any
) -> Finding:
    end = START + (day + 1) * DAY
    finding = Finding(
        monitor_id=monitor.id,
        model_id=monitor.model_id,
        window_start=end - 7 * DAY,
        window_end=end,
        as_of=end,
        outcome=outcome,
        recorded_at=writer.now,
        **columns,
    )
    writer.add_last(finding)
    return finding


def a_flip(
    writer: TableWriter, alert: Alert, flip: Flip, day: int, cause: str, channel: Channel | None
) -> None:
    row = FlipRow(
        alert_id=alert.id,
        model_id=alert.model_id,
        flip=flip,
        reason=Reason.BREACHED if flip is Flip.FIRED else Reason.RECOVERED,
        cause=cause,
        inhibited=channel is None,
        at=START + day * DAY,
        recorded_at=writer.now - (N_DAYS - day) * timedelta(minutes=3),
    )
    writer.add(row)
    if channel is not None:
        a_delivery(writer, channel, row.id, f"alert.{'firing' if flip is Flip.FIRED else flip}")


def a_delivery(
    writer: TableWriter, channel: Channel, cause_id: UUID, kind: str, **columns: Any
) -> None:
    columns = {"delivered": True, "attempts": 1, "finished_at": writer.now} | columns
    writer.add_last(
        Delivery(
            channel_id=channel.id,
            cause_id=cause_id,
            flip_id=cause_id,
            subject="alert",
            type=kind,
            body=b"{}",
            created_at=writer.now,
            not_before=writer.now + timedelta(minutes=4),
            **columns,
        )
    )


def accuracy(
    writer: TableWriter,
    model: Model,
    version: str,
    days: Sequence[int],
    level: Sequence[float],
    *,
    shadow: bool = False,
) -> None:
    """Write errors that rise along the horizon; the last two days lack labels."""
    steps = np.linspace(0.6, 1.3, CONTRACT.horizon)[:, np.newaxis]
    for day, mean in zip(days, level, strict=True):
        expected = 64.0
        labelled = np.full((CONTRACT.horizon, len(CHANNELS)), expected)
        labelled *= {N_DAYS - 1: 0.0, N_DAYS - 2: 0.55}.get(day, 1.0)
        error = labelled * steps * mean * (1 + 0.04 * writer.chance.standard_normal())
        cells = np.stack(
            [np.full_like(labelled, expected), labelled, error, error**2, 0.8 * labelled],
            axis=2,
        )
        stored.put_errors(
            writer.session,
            model.id,
            (START + day * DAY).date(),
            version,
            cells,
            64,
            shadow=shadow,
        )


def serving(writer: TableWriter, model: Model, version: str) -> None:
    for hour in range(24 * 7):
        n = int(40 + 25 * np.sin(hour / 24 * 2 * np.pi) + writer.chance.integers(10))
        slow = 4.0 if 60 <= hour < 66 else 0.0
        latency = 10 ** (-1.9 + 0.1 * slow + 0.22 * writer.chance.standard_normal(n))
        n_failed = int(writer.chance.binomial(n, 0.06 if slow else 0.002))
        at = START + (N_DAYS - 7) * DAY + timedelta(hours=hour)
        stored.put_served(writer.session, model.id, version, at, n, n_failed, latency)


def drift(writer: TableWriter, monitor: Monitor, last_day: int = N_DAYS - 1) -> Finding:
    """Write four weeks of findings: three features move on the day of the shift."""
    threshold, finding = 4.2, None
    for day in range(last_day - 27, last_day + 1):
        ramp = np.clip((day - (last_day - 16)) / 7, 0, 1)
        scores = 1.5 + 0.8 * writer.chance.random(len(CHANNELS))
        scores += ramp * np.array([5.1, 3.9, 0.3, 0.4, 2.1, 0.2, 0.6])
        top = int(scores.argmax())
        breach = bool(scores.max() > threshold)
        finding = a_finding(
            writer,
            monitor,
            day,
            Outcome.BREACH if breach else Outcome.OK,
            value=float(scores.max()),
            threshold=threshold,
            cause=f"{CHANNELS[top]} moved: mean 7.41 -> 11.2" if breach else "",
            detail={
                "promised_days": 90.0,
                "achieved_days": 112.0,
                "replayed_days": 336.0,
                "top": CHANNELS[top],
                "moved": [CHANNELS[0], CHANNELS[1]] if breach else [],
                "coarse_bins": {"feature": CHANNELS[2], "share": 0.93, "n_bins": 34},
                "features": {
                    name: {
                        "score": float(score),
                        "mean": 7.4 + float(score) / 2,
                        "reference_mean": 7.4,
                        "p": 0.01,
                        "distances": {"psi": 0.123, "ks": 0.2, "wasserstein": None},
                    }
                    for name, score in zip(CHANNELS, scores, strict=True)
                },
            },
        )
    assert finding is not None
    return finding


def a_rollout(
    writer: TableWriter,
    model: Model,
    base: Version | None,
    challenger: Version | None,
    **columns: Any,
) -> Rollout:
    rollout = Rollout(
        model_id=model.id,
        idempotency_key=str(uuid4()),
        base_id=base.id if base else None,
        challenger_id=challenger.id if challenger else None,
        champion_rev=1,
        requested_at=START + (PROMOTED - 12) * DAY,
        not_before=START + (PROMOTED - 10) * DAY,
        created_at=writer.now - timedelta(hours=6),
        **columns,
    )
    writer.add(rollout)
    return rollout


def an_event(
    writer: TableWriter,
    rollout: Rollout,
    event: str,
    phase: Step,
    cause: str,
    day: int,
    **detail: float,
) -> UUID:
    row = RolloutEvent(
        rollout_id=rollout.id,
        event=event,
        phase=phase,
        cause=cause,
        detail=detail,
        at=START + day * DAY,
        recorded_at=writer.now - (N_DAYS - day) * timedelta(minutes=3),
    )
    writer.add(row)
    return row.id


def gate(writer: TableWriter, change: float) -> Gate:
    steps = np.linspace(0.45, 0.8, CONTRACT.horizon)
    champion = steps * (1 + 0.05 * writer.chance.standard_normal((5, CONTRACT.horizon)))
    noise = 1 + 0.02 * writer.chance.standard_normal((5, CONTRACT.horizon))
    return compare(champion, champion * (1 + change) * noise, GateRule())


def sessions(
    writer: TableWriter,
    rollout: Rollout,
    names: tuple[str, str],
    n_days: int,
    share: float,
    gain: float,
) -> Verdict:
    """Write a canary's sessions, the last day without labels; return the verdict on them."""
    scored = []
    for day in range(n_days):
        on = date(2018, 2, 20) + day * DAY
        for i in range(40):
            is_canary = bool(writer.chance.random() < share)
            old = float(0.6 * np.exp(0.2 * writer.chance.standard_normal()))
            new = float(old * (1 - gain) * np.exp(0.1 * writer.chance.standard_normal()))
            losses = (None, None) if day == n_days - 1 else (old, new)
            writer.add_last(
                SessionScore(
                    rollout_id=rollout.id,
                    session_id=f"{on}-{i}",
                    day=on,
                    served_by=names[is_canary],
                    n_expected=672,
                    n_labelled=0 if losses[0] is None else 672,
                    n_failed=int(i == 5),
                    loss_champion=losses[0],
                    loss_challenger=losses[1],
                )
            )
            if losses[0] is not None:
                scored.append(
                    Scored(
                        day=on,
                        is_canary=is_canary,
                        loss_champion=losses[0],
                        loss_challenger=losses[1],
                    )
                )
    return evaluate(scored, share, Rule())
