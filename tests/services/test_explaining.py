"""A finding states what moved, since when, and what else changed then."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.errors import NotFound
from core.window import Window
from db.queries.log import contract_violations
from db.session import read_only, unit_of_work
from db.tables import Finding, Model, Monitor, Rollout, RolloutEvent
from monitors.finding import Outcome
from monitors.show import Table
from monitors.summaries.streams import INPUT
from retrain.rollout import Phase
from services.access.api_keys import audit
from services.read_models.explanations.features import SHOWN
from services.read_models.explanations.finding import Explanation, explain
from services.read_models.explanations.nearby import Sort
from tests import stored
from tests.conftest import Once
from tests.services.drifted_model import (
    CHANGE,
    END,
    EVENING,
    GAP,
    NOW,
    RISE,
    DriftedModel,
    evaluated_drifted_model,
)
from tests.services.loop import FAULT, Loop
from tests.streams import START

NOWHERE = Path("no/reports/here")


@pytest.fixture
def drifted_model(once: Once) -> DriftedModel:
    made: DriftedModel = once(evaluated_drifted_model)
    return made


def explained(drifted_model: DriftedModel, finding_id: UUID) -> Explanation:
    with read_only(drifted_model.sessions) as session:
        return explain(session, NOWHERE, finding_id, None, NOW)


def message(found: Explanation, sort: Sort) -> list[str]:
    return [one.message for one in found.nearby if one.sort is sort]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_moved_is_reported_in_its_unit_and_adds_up(drifted_model: DriftedModel) -> None:
    found = explained(drifted_model, drifted_model.finding("input_drift", CHANGE + DAY))
    load = found.features[0]
    assert (load.name, load.unit) == ("load", "kW")
    # A quarter of the hours rose by 8 kW; 72 values with a spread of 1 around their hour's
    # mean: the difference is known to 0.12, and five of those are allowed for.
    assert load.moved == pytest.approx(RISE * len(EVENING) / 24, abs=0.6)
    assert load.mean is not None
    assert load.reference_mean is not None
    assert load.mean - load.reference_mean == pytest.approx(load.moved)
    assert sum(hour.moved or 0.0 for hour in load.hours) == pytest.approx(load.moved)
    assert sum(day.moved or 0.0 for day in load.days) == pytest.approx(load.moved)
    most = sorted(load.hours, key=lambda hour: -(hour.moved or 0.0))[: len(EVENING)]
    assert {hour.hour for hour in most} == {*EVENING}
    assert [day.day for day in load.days if day.moved is not None] == [CHANGE.date()]
    for which in ("current", "reference"):
        assert sum(getattr(bar, which) for bar in load.bars) == pytest.approx(1.0)
    assert load.reference_high is not None
    beyond = [bar for bar in load.bars if (bar.high or 0.0) > load.reference_high]
    # The first of these bars also holds a little of what is not beyond.
    assert sum(bar.current or 0.0 for bar in beyond) == pytest.approx(0.25, abs=0.05)
    assert load.distances["wasserstein"] == pytest.approx(load.moved, rel=0.1)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_since_is_the_start_of_the_run_of_breaches(drifted_model: DriftedModel) -> None:
    first, last = (
        explained(drifted_model, drifted_model.finding("data_quality", CHANGE + n * DAY))
        for n in (1, 2)
    )
    assert (first.since, first.n_evaluations) == (CHANGE, 1)
    assert (last.since, last.n_evaluations) == (CHANGE, 2)
    calm = explained(drifted_model, drifted_model.finding("input_drift", CHANGE))
    assert (calm.since, calm.n_evaluations) == (None, 0)
    assert calm.reference == (Window(START, START + 30 * DAY),)


def test_what_else_changed_then_is_found(
    drifted_model: DriftedModel, sessions: sessionmaker[Session]
) -> None:
    with unit_of_work(sessions) as session:
        contract_violations.add(session, {(drifted_model.model_id, CHANGE.date(), "range"): 7})
        contract_violations.add(
            session, {(drifted_model.model_id, (CHANGE - 20 * DAY).date(), "range"): 9}
        )
        rollout = Rollout(
            model_id=drifted_model.model_id,
            idempotency_key="k",
            reason="",
            phase=Phase.PROMOTED,
            rev=1,
            champion_rev=1,
            requested_at=CHANGE,
            not_before=CHANGE,
            created_at=CHANGE,
        )
        session.add(rollout)
        session.flush()
        for phase in (Phase.TRAINING, Phase.PROMOTED):
            session.add(
                RolloutEvent(
                    rollout_id=rollout.id,
                    event="canary_passed",
                    phase=phase,
                    cause=f"because of {phase.value}",
                    at=CHANGE - HOUR,
                    recorded_at=CHANGE,
                )
            )
        _acts(session)
    found = explained(drifted_model, drifted_model.finding("input_drift", CHANGE + DAY))
    assert message(found, Sort.VOLUME) == ["72 rows; median of this weekday: 24"]
    gap = "no value of wind in 6 hours that always had one, from 02:00"
    assert message(found, Sort.GAP) == [gap] * 2
    latency = message(found, Sort.LATENCY)
    assert len(latency) == 3
    assert latency[0] == "p95 447 ms; baseline 11.2 ms"  # 0.4 and 0.01 s, to within a bin
    assert message(found, Sort.FAILURES)[0] == "25.0% of the predictions failed; baseline 0.0%"
    assert message(found, Sort.MISMATCH) == ["rows that did not fit the contract: 7 range"]
    [version, added] = message(found, Sort.VERSION)
    assert version.endswith("promoted: because of promoted")
    assert added == "version v9 added by ann"
    assert message(found, Sort.CONTRACT) == ["contract changed by ann"]
    assert message(found, Sort.SETTINGS) == ["monitor drift changed by ann"]
    [other] = message(found, Sort.ALERT)  # its own flip is no news
    assert other.startswith("data quality fired: wind: no value")
    wall = [one for one in found.nearby if one.is_wall]
    assert {one.sort for one in wall} == {Sort.VERSION, Sort.CONTRACT, Sort.SETTINGS}
    assert found.nearby[-len(wall) :] == tuple(wall)


def _acts(session: Session) -> None:
    """Let people change things: before, at the time, of another model, and long after."""
    at = CHANGE + 2 * HOUR
    audit(session, "ann", "model.register", "grid", {"contract": {"a": 1}}, START - DAY)
    audit(session, "ann", "model.update", "grid", {"contract": {"a": 2}}, at)
    audit(session, "ann", "monitor.update", "grid/drift", {}, at)
    audit(session, "ann", "version.add", "grid/v9", {"contract": None}, at)
    audit(session, "ann", "monitor.update", "grid_2/drift", {}, at)
    audit(session, "ann", "monitor.update", "grid/late", {}, END + 90 * DAY)
    audit(session, "ann", "key.create", "grid", {}, at)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_calm_day_has_nothing_beside_it(drifted_model: DriftedModel) -> None:
    found = explained(drifted_model, drifted_model.finding("input_drift", CHANGE - DAY))
    assert found.nearby_start < CHANGE < found.nearby_end
    assert [one for one in found.nearby if one.at < CHANGE] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_day_that_is_not_over_has_no_volume(drifted_model: DriftedModel) -> None:
    found = explained(drifted_model, drifted_model.finding("input_drift", END))
    assert found.nearby_end > END
    assert [one for one in found.nearby if one.at >= END and one.sort is Sort.VOLUME] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_quality_names_its_flaws_and_the_features_of_them(drifted_model: DriftedModel) -> None:
    found = explained(drifted_model, drifted_model.finding("data_quality", CHANGE + DAY))
    [table] = found.views
    assert isinstance(table, Table)
    assert ("gap", "wind") in {row[:2] for row in table.rows}
    wind = next(each for each in found.features if each.name == "wind")
    assert "gap" in wind.message
    assert wind.missing is not None
    assert [hour.hour for hour in wind.hours if hour.per_day == 0.0] == [*GAP]
    assert found.since == CHANGE


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_sensitive_shows_only_what_was_stored(
    drifted_model: DriftedModel, sessions: sessionmaker[Session]
) -> None:
    finding_id = drifted_model.finding("data_quality", CHANGE + DAY)
    with unit_of_work(sessions) as session:
        row = session.get_one(Finding, finding_id)
        facts = {"value": 1.0, "baseline": 0.0, "limit": 0.5}
        row.detail = {
            "flaws": [
                {"fact": "missing", "feature": name, **facts}
                for name in ("age", "area", "tariff")
            ]
        }
    age, area, tariff = explained(drifted_model, finding_id).features
    assert (age.low, age.high, age.sensitivity.value) == (20.0, 60.0, "bucket")
    labels = {bar.label for bar in area.bars}
    assert labels
    assert all(label.startswith("code ") for label in labels)
    assert {bar.label for bar in tariff.bars} == {"day", "night"}
    assert sum(bar.current or 0.0 for bar in tariff.bars) == pytest.approx(1.0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_only_the_first_few_features_are_explained_in_full(drifted_model: DriftedModel) -> None:
    found = explained(drifted_model, drifted_model.finding("input_drift", CHANGE + DAY))
    assert len(found.features) == 3  # a category does not drift
    assert [bool(each.bars) for each in found.features] == [True] * SHOWN


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_reads_raw_rows(
    drifted_model: DriftedModel, sessions: sessionmaker[Session]
) -> None:
    """Without the summaries a finding keeps its score, but has no mean and no bars."""
    with unit_of_work(sessions) as session:
        stored.drop(session, INPUT)
    load = explained(
        drifted_model, drifted_model.finding("input_drift", CHANGE + DAY)
    ).features[0]
    assert (load.n, load.mean, load.bars) == (0, None, ())
    assert load.score is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_errors_are_reported_by_step_and_day_and_add_up(
    sessions: sessionmaker[Session],
) -> None:
    loop = Loop(sessions, kinds=("accuracy",))
    loop.serve(10, 0.3)
    loop.serve(4, 0.9, first=10)
    loop.observe("accuracy", Outcome.BREACH, START + 15 * DAY)
    with unit_of_work(sessions) as session:
        row = session.query(Finding).one()
        row.window_start, row.window_end = START + 8 * DAY, START + 14 * DAY
        finding_id = row.id
    with read_only(sessions) as session:
        found = explain(session, NOWHERE, finding_id, loop.model_id, NOW)
    errors = found.errors
    assert errors is not None
    assert errors.error == pytest.approx((2 * 0.3 + 4 * 0.9) / 6)
    assert errors.error_before == pytest.approx(0.3)
    moved = (2 * 0.3 + 4 * 0.9) / 6 - 0.3
    assert sum(step.moved or 0.0 for step in errors.steps) == pytest.approx(moved)
    assert sum(day.moved or 0.0 for day in errors.days) == pytest.approx(moved)
    worse = [day.day for day in errors.days if (day.moved or 0.0) > 1e-9]
    assert worse == [(START + day * DAY).date() for day in range(10, 14)]


def test_a_finding_of_another_model_is_not_found(
    drifted_model: DriftedModel, sessions: sessionmaker[Session]
) -> None:
    finding_id = drifted_model.finding("input_drift", CHANGE + DAY)
    with read_only(sessions) as session:
        for which, only in ((finding_id, uuid4()), (uuid4(), None)):
            with pytest.raises(NotFound):
                explain(session, NOWHERE, which, only, NOW)
        assert (
            explain(session, NOWHERE, finding_id, drifted_model.model_id, NOW).model == "grid"
        )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_finding_of_every_monitor_can_be_explained(
    drifted_model: DriftedModel, sessions: sessionmaker[Session]
) -> None:
    with read_only(sessions) as session:
        every = session.query(Finding.id, Monitor.kind).join(
            Monitor, Monitor.id == Finding.monitor_id
        )
        for finding_id, kind in every:
            assert explain(session, NOWHERE, finding_id, None, NOW).kind == kind
        assert session.query(Model).count() == 1


def test_wall_time_is_found_through_the_evaluations(drifted_model: DriftedModel) -> None:
    """An act counts by when the model's clock was near, not by the calendar."""
    with unit_of_work(drifted_model.sessions) as session:
        # The evaluations before the change were recorded an hour after their days.
        audit(session, "ann", "monitor.update", "grid/then", {}, CHANGE - DAY)
        audit(session, "ann", "monitor.update", "grid/later", {}, END + timedelta(days=30))
        session.query(Finding).filter(Finding.as_of >= END).update(
            {"recorded_at": END + HOUR}, synchronize_session=False
        )
    found = explained(drifted_model, drifted_model.finding("input_drift", CHANGE + DAY))
    assert message(found, Sort.SETTINGS) == ["monitor then changed by ann"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_input_fault_is_explained_with_its_hour(sessions: sessionmaker[Session]) -> None:
    loop = Loop(sessions, kinds=("input_fault",))
    loop.break_input(START + 3 * DAY)
    with read_only(sessions) as session:
        finding_id = session.scalars(select(Finding.id)).one()
        found = explain(session, NOWHERE, finding_id, None, NOW)
    assert found.since == FAULT.since
    [broken] = found.features
    assert broken.name == FAULT.feature
    assert broken.message.startswith("scaled by 1.80 since")
    # Neither a summary nor a reference is there: nothing else is reported, and nothing fails.
    assert (broken.mean, broken.bars, found.reference) == (None, (), ())
