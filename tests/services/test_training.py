import hashlib
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import update

from core.clock import utcnow
from core.durations import DAY
from core.errors import RetrainRefused
from core.settings import Settings
from db.queries.queue import runs
from db.queries.queue.runs import MAX_ATTEMPTS
from db.session import read_only, unit_of_work
from db.tables import Model, Run
from db.tables.queue import RunStatus
from jobs.ticker import Ticker, trainings
from retrain.drill import Drill
from retrain.gate import Gate
from retrain.rollout import Phase
from services.models.artifacts import path_of
from services.retention import erasure, erasure_requests
from services.rollouts import train_challenger, training_runs
from services.rollouts.rollout_transitions import command, routing_of
from tests.killed import assert_killed
from tests.services import crashing
from tests.services.loop import at_once
from tests.services.seasons import CHANGE, N_DAYS, Seasons, daily, opened, seasoned, start_once
from tests.streams import START

ONSET = START + CHANGE * DAY


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Path:
    """The world in which v1 serves and the season has turned: made once, then copied."""
    folder = tmp_path_factory.mktemp("seasons")
    seasoned(migrated_file, folder)
    return folder


@pytest.fixture
def seasons(template: Path, tmp_path: Path) -> Iterator[Seasons]:
    folder = tmp_path / "world"
    shutil.copytree(template, folder)
    with opened(f"sqlite:///{folder}/seqwatch.sqlite", folder) as world:
        yield world


@pytest.fixture
def empty(settings: Settings, tmp_path: Path) -> Iterator[Seasons]:
    """A model on either database that has logged nothing yet."""
    with opened(settings.database_url, tmp_path) as world:
        yield world


@pytest.mark.slow
def test_a_first_version_that_beats_the_naive_forecast_serves(empty: Seasons) -> None:
    empty.log(daily()[:CHANGE])
    result = empty.request("first")
    assert empty.train()
    rollout = empty.rollout(result)
    assert rollout.phase is Phase.PROMOTED, empty.events(result)
    assert [name for name, _ in empty.events(result)] == [
        "requested",
        "start",
        "trained",
        "first_passed",
    ]
    [version] = empty.versions()
    assert (version.name, version.objective is not None) == ("v1", True)
    content = path_of(empty.settings().artifacts, "grid", version.sha256 or "").read_bytes()
    assert hashlib.sha256(content).hexdigest() == version.sha256
    assert version.reference[0].end == START + (CHANGE - 1) * DAY
    with unit_of_work(empty.sessions) as session:
        champion = routing_of(session, "grid").champion
    assert champion is not None
    assert (champion.version, champion.sha256) == ("v1", version.sha256)
    assert not empty.train()


@pytest.mark.slow
def test_a_first_version_that_is_worse_than_the_naive_forecast_serves_nobody(
    tmp_path: Path, migrated_file: Path
) -> None:
    shutil.copy(migrated_file, tmp_path / "exact.sqlite")
    with opened(f"sqlite:///{tmp_path}/exact.sqlite", tmp_path) as exact:
        exact.log(np.tile([0.0, 1.0, 2.0, 1.0], (60, 2)))
        result = exact.request("first")
        exact.train()
        assert exact.rollout(result).phase is Phase.REJECTED
        assert exact.events(result)[-1][1].startswith("worse: error")


def is_much_better(gate: Gate | None) -> bool:
    assert gate is not None
    assert gate.challenger is not None
    assert gate.champion is not None
    return gate.challenger < 0.8 * gate.champion


def test_after_a_change_a_better_challenger_goes_to_canary(seasons: Seasons) -> None:
    result = seasons.request("renewal", ONSET)
    assert seasons.train()
    rollout = seasons.rollout(result)
    assert rollout.phase is Phase.CANARY, seasons.events(result)
    assert is_much_better(rollout.gate)
    old, new = seasons.versions()
    assert new.manifest["base"] == "v1"
    assert new.manifest["scaler"] == old.manifest["scaler"]
    assert new.objective == old.objective
    assert new.reference[0].start == ONSET


def test_a_sabotaged_challenger_is_stopped_at_the_gate(seasons: Seasons) -> None:
    result = seasons.request("renewal", ONSET)
    seasons.train(Drill(damages_challenger=True))
    assert seasons.rollout(result).phase is Phase.REJECTED


def test_a_gate_that_the_operator_bypassed_lets_it_through_and_records_it(
    seasons: Seasons,
) -> None:
    result = seasons.request("renewal", ONSET)
    seasons.train(Drill(damages_challenger=True, bypasses_gate=True))
    assert seasons.rollout(result).phase is Phase.CANARY
    assert "bypassed by the operator" in seasons.events(result)[-1][1]


def test_training_waits_for_the_labels_that_it_needs(seasons: Seasons) -> None:
    result = seasons.request("renewal", START + (N_DAYS - 10) * DAY)
    assert not seasons.train()
    assert seasons.rollout(result).phase is Phase.REQUESTED


def with_a_gap(empty: Seasons) -> None:
    """Log enough days by the calendar, and too few to learn from."""
    empty.log(daily()[:1])
    empty.log(daily()[:3], first=60)


def test_what_can_never_work_is_refused_before_a_rollout_opens(empty: Seasons) -> None:
    empty.log(daily()[:3])
    with pytest.raises(RetrainRefused, match=r"a first version needs 28\.0"):
        empty.request("first")
    assert empty.versions() == []


def test_an_inconclusive_gate_is_tested_again_when_labels_have_come(seasons: Seasons) -> None:
    with unit_of_work(seasons.sessions) as session:
        session.execute(update(Model).values(policy_text='{"gate_window": "P2D"}'))
    result = seasons.request("renewal", ONSET)
    assert seasons.train()
    waiting = seasons.rollout(result)
    assert waiting.phase is Phase.GATING, seasons.events(result)
    assert waiting.gate is not None
    assert waiting.gate.reason == "2 days with labels; at least 3 are needed"
    assert seasons.events(result)[-1][1].endswith("tested again with 5 days of labels")
    assert not seasons.train()  # nothing new is known
    seasons.log(daily(N_DAYS + 6)[N_DAYS:], first=N_DAYS)
    assert seasons.train()
    decided = seasons.rollout(result)
    assert decided.phase is Phase.CANARY, seasons.events(result)
    assert decided.gate is not None
    assert decided.gate.n_blocks >= 5
    assert is_much_better(decided.gate)
    assert len(seasons.versions()) == 2


def test_what_training_again_cannot_heal_fails_at_once(empty: Seasons) -> None:
    with_a_gap(empty)
    result = empty.request("first")
    assert empty.train()
    assert empty.rollout(result).phase is Phase.FAILED
    name, cause = empty.events(result)[-1]
    assert (name, cause.partition(":")[0]) == ("crash", "Unprocessable")


def test_what_may_pass_is_tried_again_and_given_up_at_last(
    seasons: Seasons, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(train_challenger, "make", fail)
    result = seasons.request("renewal", ONSET)
    phases = []
    for _ in range(MAX_ATTEMPTS):
        assert seasons.train()
        phases.append(seasons.rollout(result).phase)
        assert not seasons.train()  # not before a pause is over
        hurry(seasons)
    assert phases == [Phase.TRAINING] * (MAX_ATTEMPTS - 1) + [Phase.FAILED]
    names = [name for name, _ in seasons.events(result)]
    assert names == ["requested", "start", *["retried"] * (MAX_ATTEMPTS - 1), "crash"]
    assert not seasons.train()


def test_an_outage_is_no_attempt_and_waits(seasons: Seasons) -> None:
    result = seasons.request("renewal", ONSET)
    [champion] = seasons.versions()
    path_of(seasons.settings().artifacts, "grid", champion.sha256 or "").unlink()
    for _ in range(MAX_ATTEMPTS + 1):
        assert seasons.train()
        assert seasons.rollout(result).phase is Phase.TRAINING
        assert not seasons.train()  # not before a pause is over
        hurry(seasons)
    assert [name for name, _ in seasons.events(result)] == ["requested", "start"]


def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_up(empty: Seasons) -> None:
    with_a_gap(empty)
    result = empty.request("first")
    Ticker(empty.settings(), empty.sessions).ask(trainings)
    assert start_once(empty.settings(), empty.sessions)
    with unit_of_work(empty.sessions) as session:
        session.execute(update(Run).values(lease_until=utcnow() + timedelta(hours=1)))
    assert empty.train()
    assert empty.rollout(result).phase is Phase.FAILED


def test_two_trainers_never_take_the_same_rollout(empty: Seasons) -> None:
    with_a_gap(empty)
    for number in range(4):
        result = empty.request(f"key {number}")
        assert sorted(at_once(empty.train, empty.train)) == [False, True]
        with read_only(empty.sessions) as session:
            run = runs.newest(session, training_runs.JOB, str(result))
            assert run is not None
            assert (run.status, run.attempts) == (RunStatus.DEAD, 1)


def wait_for_training(seasons: Seasons, rollout_id: UUID) -> None:
    until = monotonic() + 60
    while "epoch" not in seasons.rollout(rollout_id).progress:
        assert monotonic() < until
        sleep(0.02)


def test_a_trainer_that_lost_its_lease_writes_nothing(seasons: Seasons) -> None:
    result = seasons.request("renewal", ONSET)
    trainer = Thread(target=seasons.train)
    trainer.start()
    wait_for_training(seasons, result)
    with unit_of_work(seasons.sessions) as session:
        session.execute(update(Run).values(fence=Run.fence + 1))
    trainer.join()
    rollout = seasons.rollout(result)
    assert (rollout.phase, rollout.challenger_id) == (Phase.TRAINING, None)
    assert len(seasons.versions()) == 1
    assert [name for name, _ in seasons.events(result)] == ["requested", "start"]


def test_a_rollout_that_a_person_ends_stops_its_training(seasons: Seasons) -> None:
    result = seasons.request("renewal", ONSET)
    trainer = Thread(target=seasons.train)
    trainer.start()
    wait_for_training(seasons, result)
    with unit_of_work(seasons.sessions) as session:
        command(session, result, "rollback", "ann", "not now", START)
    trainer.join()
    assert seasons.rollout(result).phase is Phase.FAILED
    assert len(seasons.versions()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        pytest.param(("services.rollouts.trainer", "store"), id="trained"),
        pytest.param(("retrain.training.checkpoint", "write"), id="training"),
    ],
)
def test_a_trainer_that_is_killed_is_replaced_and_the_same_version_results(
    seasons: Seasons, template: Path, tmp_path: Path, point: tuple[str, str]
) -> None:
    twin_folder = tmp_path / "twin"
    shutil.copytree(template, twin_folder)
    with opened(f"sqlite:///{twin_folder}/seqwatch.sqlite", twin_folder) as twin:
        twin.request("renewal", ONSET)
        assert twin.train()
        expected = twin.versions()
    result = seasons.request("renewal", ONSET)
    die(seasons, *point, "after")
    [checkpoint] = (seasons.folder / "artifacts" / ".training").glob("*/*/*")
    assert checkpoint.name == "checkpoint.safetensors"
    # What is logged after the death is not part of what was ordered before it.
    seasons.log(daily()[:5], first=N_DAYS)
    assert seasons.train()
    assert seasons.rollout(result).phase is Phase.CANARY
    assert [v.sha256 for v in seasons.versions()] == [v.sha256 for v in expected]


@pytest.mark.slow
def test_a_rollout_over_which_trainers_keep_dying_fails(seasons: Seasons) -> None:
    result = seasons.request("renewal", ONSET)
    for _ in range(MAX_ATTEMPTS):
        die(seasons, "services.rollouts.trainer", "catch_up", "before")
    assert seasons.train()
    assert seasons.rollout(result).phase is Phase.FAILED
    cause = f"WorkerDied: attempt {MAX_ATTEMPTS} ended with its process"
    assert seasons.events(result)[-1] == ("crash", cause)


def die(seasons: Seasons, *point: str) -> None:
    """Let a trainer of its own process begin, and die at a point."""
    assert_killed(crashing.train, seasons.url, seasons.folder, *point)
    assert not seasons.train()  # the lease still holds
    hurry(seasons)


def hurry(seasons: Seasons) -> None:
    """Let leases and pauses be over."""
    with unit_of_work(seasons.sessions) as session:
        session.execute(update(Run).values(lease_until=None, not_before=START))


def test_training_goes_on_with_what_is_left_after_an_erasure(seasons: Seasons) -> None:
    result = seasons.request("renewal", ONSET)
    [champion] = seasons.versions()
    weights = path_of(seasons.settings().artifacts, "grid", champion.sha256 or "")
    hidden = weights.rename(weights.with_suffix(".hidden"))
    seasons.train()  # pins the log, then waits for the weights
    hidden.rename(weights)
    with unit_of_work(seasons.sessions) as session:
        session.execute(update(Run).values(not_before=START))  # the pause is over
        model_id = seasons.rollout(result).model_id
        erasure_requests.ask(session, model_id, "session_id", "nobody", "admin", START)
    erasure.erase(seasons.sessions, seasons.settings().lake, model_id, START)

    assert seasons.train()

    assert seasons.rollout(result).phase is Phase.CANARY, seasons.events(result)
    names = [name for name, _ in seasons.events(result)]
    assert names[:3] == ["requested", "start", "pinned_again"]
