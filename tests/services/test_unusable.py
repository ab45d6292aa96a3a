"""An answer that cannot be used is a failure of the version that gave it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pyarrow as pa
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.contract import Contract
from core.schema.feature import Sensitivity
from core.schema.masking import hashed
from core.schema.rows import Kind
from core.terms import Terms
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import Model, Rollout, RolloutEvent, SessionScore, UnusableAnswer
from retrain.rollout import Phase
from services.aggregation.fold import fold_all
from services.ingest.batch import Batch, Feed, Format
from services.ingest.formats.decode import decode
from services.ingest.persist import store
from services.labels.label_join import join_all
from services.read_models.overview import rollouts as pages
from services.retention import retention
from services.retention.archive import archive_all
from services.rollouts import canary
from tests.services.loop import TO_CANARY, Loop
from tests.streams import CONTRACT, START, add_model, keep, label, table

NOW = START + 200 * DAY
LATER = NOW + DAY  # when nothing waits for more
USABLE = {"load": [1.0, 1.0, 1.0]}


def row(at: datetime, output: Any, **fields: Any) -> dict[str, Any]:
    name = f"{fields.get('version')} {fields.get('session_id')} {at.isoformat()}"
    baseline = {
        "prediction_id": name,
        "at": at.isoformat(),
        "entity": fields.get("session_id"),
        "features": {"load": [1.0], "wind": [2.0]},
        "output": output,
    }
    return baseline | fields


def send(
    sessions: sessionmaker[Session],
    model_id: UUID,
    rows: list[dict[str, Any]],
    terms: Terms | None = None,
    form: Format = Format.JSON,
    batch_id: str | None = None,
) -> None:
    """Take rows in as the API does."""
    bodies: dict[Format, Callable[[], bytes]] = {
        Format.JSON: lambda: json.dumps({"rows": rows}).encode(),
        Format.MSGPACK: lambda: msgspec.msgpack.encode({"rows": rows}),
        Format.ARROW: lambda: _arrow(rows),
    }
    batch = Batch(
        model_id=model_id,
        model="grid",
        terms=terms or Terms(contract=CONTRACT),
        feed=Feed.PREDICTIONS,
        format=form,
        body=bodies[form](),
        batch_id=batch_id,
    )
    sections, refused = decode({0: batch}, NOW, 10_000)
    assert not refused
    with unit_of_work(sessions) as session:
        store(session, sections, NOW)


def _arrow(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    content = pa.Table.from_pylist(rows)
    at = content.schema.get_field_index("at")
    stamps = pa.array([datetime.fromisoformat(row["at"]) for row in rows])
    content = content.set_column(at, "at", stamps)
    with pa.ipc.new_stream(sink, content.schema) as stream:
        stream.write_table(content)
    return bytes(sink.getvalue().to_pybytes())


def counted(sessions: sessionmaker[Session]) -> dict[tuple[str, str, bool, str], int]:
    with read_only(sessions) as session:
        return {
            (one.version, one.session_id, one.shadow, one.day.isoformat()): one.n
            for one in session.scalars(select(UnusableAnswer))
        }


NAN, INF = float("nan"), float("inf")
SIX = "2026-01-05"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("output", "form"),
    [
        pytest.param({"load": [1.0, NAN, 1.0]}, Format.ARROW, id="NaN"),
        pytest.param({"load": [1.0, INF, 1.0]}, Format.MSGPACK, id="infinite"),
        pytest.param({"load": [1.0, None, 1.0]}, Format.JSON, id="missing at a step"),
        pytest.param({"load": [1.0, 1.0]}, Format.JSON, id="of another shape"),
        pytest.param({"load": [1e200, 1.0, 1.0]}, Format.JSON, id="out of range"),
        pytest.param({"load": ["a", "b", "c"]}, Format.JSON, id="of another type"),
        pytest.param({"speed": [1.0, 1.0, 1.0]}, Format.JSON, id="of another target"),
    ],
)
def test_unusable_answers_are_counted_once_by_version_and_session(
    sessions: sessionmaker[Session], output: Any, form: Format
) -> None:
    model_id = add_model(sessions)
    rows = [
        row(START, output, version="v2", session_id="s1", shadow=True),
        row(START + HOUR, output, version="v2", session_id="s1", shadow=True),
        row(START, output, version="v1", session_id="s2", shadow=False),
    ]
    for _ in range(2):  # the same batch again changes nothing
        send(sessions, model_id, rows, form=form, batch_id="b1")
    first = {("v2", "s1", True, SIX): 2, ("v1", "s2", False, SIX): 1}
    assert counted(sessions) == first
    send(sessions, model_id, rows[:1], form=form, batch_id="b2")
    assert counted(sessions) == first | {("v2", "s1", True, SIX): 3}


def test_a_bad_input_is_no_failure_of_the_version(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    bad = row(START, {"load": [None] * 3}, version="v2", session_id="s1")
    bad["features"] = {"load": "much"}
    nobody = row(START, {"load": [None] * 3}, version="v2", session_id=None)
    send(sessions, model_id, [bad, nobody])
    assert counted(sessions) == {}


@pytest.mark.parametrize("way", [Sensitivity.HASH, Sensitivity.DROP])
def test_sessions_are_named_as_the_log_names_them(
    sessions: sessionmaker[Session], way: Sensitivity
) -> None:
    contract = replace(CONTRACT, sensitive_fields={"session_id": way})
    model_id, key = add_model(sessions, contract), bytes(32)
    rows = [row(START, {"load": [None] * 3}, version="v2", session_id="Ann")]
    send(sessions, model_id, rows, Terms(contract=contract, mask_key=key))
    expected = [hashed(key, "session_id", "Ann")] if way is Sensitivity.HASH else []
    assert [name for _, name, _, _ in counted(sessions)] == expected


class World(Loop):
    """A canary whose two versions answer every request, the challenger 30 % better."""

    def __init__(
        self, sessions: sessionmaker[Session], lake: Path, contract: Contract = CONTRACT
    ) -> None:
        super().__init__(sessions)
        self.lake = lake
        self.id = self.request()
        self.move(self.id, *TO_CANARY)

    def live(self, n_days: int, answer: Callable[[str, int], Any]) -> None:
        """Send days of six sessions with four requests each, and their labels."""
        rows, labels = [], []
        for number in range(6 * n_days):
            for request in range(4):
                at = START + number * 4 * HOUR + request * HOUR / 4
                for version in ("v1", "v2"):
                    of = {"version": version, "session_id": f"s{number}"}
                    shadow = (version == "v2") == (number % 4 != 0)
                    rows.append(row(at, answer(version, request), shadow=shadow, **of))
                times = [at + step * HOUR for step in (1, 2, 3)]
                labels += [label(time, [0.0], entity=f"s{number}") for time in times]
        send(self.sessions, self.model_id, rows)
        keep(self.sessions, self.model_id, Kind.LABELS, table(Kind.LABELS, labels))
        self.work()

    def work(self) -> None:
        fold_all(self.sessions, LATER)
        archive_all(self.sessions, self.lake, LATER)
        join_all(self.sessions, self.lake, LATER)

    def evaluate_canary(self, day: int) -> Phase:
        at = START + day * DAY
        with unit_of_work(self.sessions) as session:
            session.execute(update(Model).values(watermark=at, evaluated_until=at))
        canary.evaluate(self.sessions, self.model_id, at)
        return self.rollout(self.id).phase


@pytest.fixture
def world(sessions: sessionmaker[Session], tmp_path: Path) -> World:
    return World(sessions, tmp_path / "lake")


def better(version: str) -> list[float]:
    return [0.7 if version == "v2" else 1.0] * 3


def on_half(version: str, request: int) -> Any:
    is_unusable = version == "v2" and request % 2 == 0
    return {"load": [None] * 3 if is_unusable else better(version)}


def test_a_challenger_that_is_unusable_on_half_the_requests_is_rolled_back(
    world: World,
) -> None:
    world.live(6, on_half)
    phases = [world.evaluate_canary(day) for day in range(1, 7)]
    assert Phase.ROLLED_BACK in phases
    [end] = [one for one in world.all(RolloutEvent) if one.event == "canary_failed"]
    assert end.cause.startswith("worse: fails more often: evidence")
    assert "in 100.0% of sessions, the champion in 0.0%" in end.cause
    with read_only(world.sessions) as session:
        page = pages.rollout(session, world.id, None)
    assert page.verdict is not None
    assert page.verdict.failed_challenger == 1.0
    assert [(day.failed_champion, day.failed_challenger) for day in page.days] == [(0, 12)] * 6


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_champion_that_is_unusable_holds_no_challenger_back(world: World) -> None:
    def champion_on_half(version: str, request: int) -> Any:
        is_unusable = version == "v1" and request % 2 == 0
        return {"load": [None] * 3 if is_unusable else better(version)}

    world.live(12, champion_on_half)
    assert world.evaluate_canary(12) is Phase.CANARY
    verdict = world.rollout(world.id).verdict
    assert verdict is not None
    assert (verdict.failed_champion, verdict.failed_challenger) == (1.0, 0.0)


def test_a_challenger_that_never_answers_is_rolled_back_before_any_label(world: World) -> None:
    world.live(3, lambda version, _: {"load": [None] * 3 if version == "v2" else [1.0] * 3})
    assert world.evaluate_canary(3) is Phase.ROLLED_BACK
    assert {score.loss_challenger for score in world.all(SessionScore)} == {None}


def test_an_answer_that_is_not_there_is_a_failure(world: World) -> None:
    world.live(3, lambda version, _: None if version == "v2" else {"load": [1.0] * 3})
    assert world.evaluate_canary(3) is Phase.ROLLED_BACK


def test_a_refused_answer_that_comes_late_has_its_session_scored_again(world: World) -> None:
    world.live(1, lambda version, _: {"load": better(version)})
    with read_only(world.sessions) as session:
        assert positions.dirty_days(session) == []
    late = row(START + HOUR, {"load": [None] * 3}, version="v2", session_id="s1", shadow=True)
    send(world.sessions, world.model_id, [late])
    world.work()
    [score] = world.all(SessionScore, session_id="s1")
    assert (score.n_failed, score.n_failed_shadow) == (0, 1)


def test_what_is_counted_is_forgotten_with_the_rows_of_its_day(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    model_id = add_model(sessions)
    rows = [
        row(START + n * DAY, {"load": [None] * 3}, version="v2", session_id="s")
        for n in range(2)
    ]
    send(sessions, model_id, rows)
    retention.retain(sessions, tmp_path / "lake", model_id, (START + DAY).date())
    assert [day for _, _, _, day in counted(sessions)] == ["2026-01-06"]
    with read_only(sessions) as session:
        assert session.scalars(select(Rollout)).all() == []
