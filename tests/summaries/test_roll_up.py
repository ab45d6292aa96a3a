"""Summaries are merged into coarser ones: nothing is lost, and nothing counts twice."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.errors import Unprocessable
from core.policy import Policy
from core.schema.rows import Kind
from core.streams import SUMMARIES, Level, Retention
from core.window import Window
from db.session import read_only, unit_of_work
from db.tables import Finding, Model, SummaryRow, Version
from monitors.finding import Outcome
from monitors.slo.silence import ARRIVALS
from monitors.summaries.summary import CENTRED, Summary
from services.aggregation import folded
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from services.models.registry import Registration, register
from services.retention import rebuild
from services.retention.archive import archive_all
from services.retention.rebuild import Request
from services.summaries.roll_up import roll_up, roll_up_all
from tests.killed import assert_killed
from tests.late.world import BY_SHOP, hours, in_shops
from tests.services.loop import at_once
from tests.streams import START, add_served_model, keep, prediction, table
from tests.summaries import crashing

LITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
N_REFERENCE, N_DAYS = 2, 12
LATER = START + 100 * DAY
CONTRACT = replace(BY_SHOP, zone="Europe/Berlin")
# Of the days that end with the first hour of the last one.
KEPT = Policy(
    keep_slice_summaries=2 * DAY, keep_grain_summaries=2 * DAY, keep_hour_summaries=5 * DAY
)
Facts = Mapping[tuple[str, str, Any], Any]


@pytest.fixture
def model_id(sessions: sessionmaker[Session]) -> UUID:
    """A model of twelve days, in three shops."""
    return add(sessions)


def add(sessions: sessionmaker[Session], name: str = "grid", **served: Any) -> UUID:
    model_id = add_served_model(sessions, CONTRACT, name, **{"monitors": {}} | served)
    days = in_shops(hours(N_REFERENCE, N_DAYS - N_REFERENCE))
    rows = [row for of_day in days for kind, row in of_day if kind is Kind.PREDICTIONS]
    send(sessions, model_id, rows)
    with unit_of_work(sessions) as session:
        model = session.get_one(Model, model_id)
        model.evaluated_until, model.policy = model.watermark, KEPT
    return model_id


def send(sessions: sessionmaker[Session], model_id: UUID, rows: list[dict[str, Any]]) -> None:
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, CONTRACT))
    fold_all(sessions, LATER)


def late(day: int = N_REFERENCE) -> list[dict[str, Any]]:
    """Return two rows of a day, the first that was served: of its first hour, and another."""
    start = START + day * DAY - HOUR  # midnight in Berlin
    features = {"load": [1.5], "wind": [2.0], "shop": ["b"]}
    return [prediction(start + i * HOUR, 7, features=features) for i in (0, 9)]


def facts(sessions: sessionmaker[Session], model_id: UUID) -> Facts:
    """Return what is known of each local day, whatever the level."""
    found: dict[tuple[str, str, Any], list[bytes]] = {}
    streams = {stream.name: stream for stream in folded.streams()}
    for row in kept(sessions, model_id):
        if row.stream == ARRIVALS.name:  # by wall time
            continue
        day = (row.start + HOUR).date()
        found.setdefault((row.stream, row.version, day), []).append(row.payload)
    merged = {}
    for key, blobs in found.items():
        stream = streams[key[0]]
        whole = stream.from_many(blobs)
        if stream.whole is not None:
            whole = stream.whole(whole, START)
        merged[key] = _plain(whole)
    return merged


def _plain(whole: Any) -> Any:
    if not isinstance(whole, Summary):
        return whole.keys.tolist(), whole.counts.tolist()
    # Sums of squares depend on the order of merging, in the last digit.
    moments = whole.moments.copy()
    moments[..., CENTRED] = np.round(moments[..., CENTRED], 6)
    return whole.chunks.tolist(), moments.tolist(), whole.counts.tolist()


def kept(sessions: sessionmaker[Session], model_id: UUID) -> list[SummaryRow]:
    with read_only(sessions) as session:
        of_model = session.query(SummaryRow).filter_by(model_id=model_id)
        rows = of_model.filter(~SummaryRow.stream.startswith("total_")).all()
        session.expunge_all()
        return rows


def retention(session: Session, model: Model) -> Retention:
    monitors = monitor_config.of_models(session, [model.id])[model.id]
    return monitor_config.retention_of(model, monitors, SUMMARIES)


def levels(sessions: sessionmaker[Session], model_id: UUID, stream: str) -> dict[Any, Any]:
    """Return levels and numbers of the rows of each local day that was served."""
    found: dict[Any, Any] = {}
    for row in kept(sessions, model_id):
        if row.stream == stream and row.version == "v1":
            number = ((row.start + HOUR) - START) // DAY
            found.setdefault(number, []).append(row.level)
    return {number: (len(of), *sorted({*of})) for number, of in sorted(found.items())}


def by_hour(first: int, last: int, level: Level) -> dict[Any, Any]:
    """Return the rows of some days; of the last one there is an hour."""
    return {day: (24 if day < N_DAYS else 1, level) for day in range(first, last + 1)}


def test_each_level_is_kept_as_long_as_the_policy_requires_and_days_hold_what_hours_held(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    before = facts(sessions, model_id)
    assert roll_up_all(sessions, SUMMARIES, LATER) > 0
    assert facts(sessions, model_id) == before
    days = dict.fromkeys(range(N_REFERENCE, 7), (1, Level.DAY))
    assert levels(sessions, model_id, "input") == days | by_hour(7, 12, Level.HOUR)
    serving = days | by_hour(7, 9, Level.HOUR) | by_hour(10, 12, Level.SLICE)
    assert levels(sessions, model_id, "serving") == serving
    assert roll_up(sessions, SUMMARIES, model_id) == 0


def test_rows_that_come_late_for_a_day_are_merged_into_it(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    twin = add(sessions, "twin")
    send(sessions, twin, late())
    roll_up(sessions, SUMMARIES, model_id)
    send(sessions, model_id, late())
    assert facts(sessions, model_id) == facts(sessions, twin)
    assert levels(sessions, model_id, "input")[N_REFERENCE] == (2, Level.HOUR)
    assert roll_up(sessions, SUMMARIES, model_id) > 0
    assert facts(sessions, model_id) == facts(sessions, twin)
    for stream in ("input", "output_by_segment", "serving"):
        assert levels(sessions, model_id, stream)[N_REFERENCE] == (1, Level.DAY)


@pytest.mark.parametrize("n_writes", [1, 5])
def test_killed_in_between_the_next_run_does_the_rest(
    sessions: sessionmaker[Session], model_id: UUID, n_writes: int, database_url: str
) -> None:
    before = facts(sessions, model_id)
    assert_killed(crashing.work, database_url, model_id, n_writes)
    assert facts(sessions, model_id) == before
    roll_up(sessions, SUMMARIES, model_id)
    assert facts(sessions, model_id) == before
    assert levels(sessions, model_id, "serving")[N_REFERENCE] == (1, Level.DAY)


def test_rows_folded_while_summaries_are_rolled_up_count_once(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    twin = add(sessions, "twin")
    for day in range(N_REFERENCE, 7):
        send(sessions, twin, late(day))

    def fold_them() -> None:
        for day in range(N_REFERENCE, 7):
            send(sessions, model_id, late(day))

    rolled, folded_too = at_once(partial(roll_up, sessions, SUMMARIES, model_id), fold_them)
    assert (rolled > 0, folded_too) == (True, None)
    assert facts(sessions, model_id) == facts(sessions, twin)
    roll_up(sessions, SUMMARIES, model_id)
    assert facts(sessions, model_id) == facts(sessions, twin)


@LITE
def test_hours_of_a_reference_are_kept_and_days_end_with_their_retention(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add(sessions, reference_days=4)
    with unit_of_work(sessions) as session:
        session.get_one(Model, model_id).policy = replace(KEPT, keep_day_summaries=7 * DAY)
    roll_up(sessions, SUMMARIES, model_id)
    found = levels(sessions, model_id, "input")
    # The reference ends at midnight of UTC, an hour after day 4 begins in Berlin.
    hours_of = {2: (23, Level.HOUR)} | by_hour(3, 4, Level.HOUR) | by_hour(7, 12, Level.HOUR)
    assert found == hours_of | dict.fromkeys((5, 6), (1, Level.DAY))
    with unit_of_work(sessions) as session:
        version = session.query(Version).filter_by(model_id=model_id).one()
        version.reference = (Window(START, START + DAY),)
    roll_up(sessions, SUMMARIES, model_id)
    assert [*levels(sessions, model_id, "input")] == [*range(5, 13)]


@LITE
def test_a_rebuild_restores_what_was_rolled_up_and_keeps_days_without_rows(
    sessions: sessionmaker[Session], tmp_path: Path, model_id: UUID
) -> None:
    before = facts(sessions, model_id)
    archive_all(sessions, tmp_path, LATER)
    roll_up(sessions, SUMMARIES, model_id)
    since = (START + 3 * DAY).date()
    rebuild.rebuild(sessions, tmp_path, Request(model_id=model_id, since=since), LATER)
    assert facts(sessions, model_id) == before
    found = levels(sessions, model_id, "serving")
    assert (found[2], found[3]) == ((1, Level.DAY), (24, Level.SLICE))
    roll_up(sessions, SUMMARIES, model_id)
    assert facts(sessions, model_id) == before


@LITE
def test_a_reference_that_was_rolled_up_before_it_was_one_is_no_data(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add(sessions, monitors={"input_fault": {}})
    roll_up(sessions, SUMMARIES, model_id)
    slot = START + 11 * DAY - HOUR
    with unit_of_work(sessions) as session:
        session.get_one(Model, model_id).evaluated_until = slot - DAY
        version = session.query(Version).filter_by(model_id=model_id).one()
        version.reference = (Window(START, START + 5 * DAY),)
    evaluate_slot(sessions, Baselines(), model_id, slot, LATER)
    with read_only(sessions) as session:
        finding = session.query(Finding).one()
        assert finding.outcome is Outcome.NO_DATA
        assert finding.cause.startswith("summaries by hour of the reference were rolled up")


SLICES = {"method": "time_slices"}  # each is good or bad as a whole


@LITE
def test_what_the_monitors_read_is_kept_and_a_policy_that_keeps_less_is_refused(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    asked = Registration(name="grid", contract=CONTRACT)
    with unit_of_work(sessions) as session:
        register(session, asked, now)
        model = session.query(Model).one()
        kept = retention(session, model)
        assert (kept.slice, kept.hour, kept.day) == (14 * DAY, 400 * DAY, None)
        plan = MonitorPlan(name="quarter", kind="burn_rate", params=SLICES | {"period": "P90D"})
        monitor_config.put(session, model.id, plan)
        assert retention(session, model).slice == 97 * DAY
        why = "keep_slice_summaries must be at least P97D: monitor 'quarter' reads 90 days"
        with pytest.raises(Unprocessable, match=why):
            register(session, replace(asked, policy=Policy(keep_slice_summaries=60 * DAY)), now)
        register(session, replace(asked, policy=Policy(keep_slice_summaries=97 * DAY)), now)
        plan = MonitorPlan(name="year", kind="burn_rate", params=SLICES | {"period": "P91D"})
        with pytest.raises(Unprocessable, match="at least P98D: monitor 'year'"):
            monitor_config.put(session, model.id, plan)


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ({"keep_grain_summaries": 0 * DAY}, "at least P1D"),
        (
            {"keep_slice_summaries": 50 * DAY, "keep_hour_summaries": 49 * DAY},
            "slice_summaries must not",
        ),
        (
            {"keep_hour_summaries": 50 * DAY, "keep_day_summaries": 49 * DAY},
            "hour_summaries must not",
        ),
    ],
)
def test_a_coarser_level_is_kept_at_least_as_long(stated: dict[str, Any], why: str) -> None:
    with pytest.raises(Unprocessable, match=why):
        Policy(**stated)
