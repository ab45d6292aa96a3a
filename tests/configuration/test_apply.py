"""Configuration files through the real command and a real server."""

import os
import re
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.queries import models
from db.session import read_only, unit_of_work
from db.tables import AuditEvent, Channel, Model, Monitor, Rollout
from retrain.rollout import Phase
from services.models import monitor_config
from tests.configuration.conftest import LOAD, SECRET, Seqwatch, Write
from tests.databases import ON_SQLITE

CHANNEL = """
    kind: Channel
    name: on-call
    config:
      url: https://hooks.example/${HOOK_TOKEN}
      secret: ${HOOK_SECRET}
    severities: [page]
"""
TOKEN = "t0k3n-of-the-url"
CHANNELS = pytest.mark.usefixtures("secrets_set")
NOTHING = "0 created, 0 changed, 0 removed"


@pytest.fixture
def secrets_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("HOOK_TOKEN", TOKEN)


def model_names(sessions: sessionmaker[Session]) -> list[str]:
    with read_only(sessions) as session:
        return [*session.scalars(select(Model.name).order_by(Model.name))]


def monitors(sessions: sessionmaker[Session], name: str = "load") -> dict[str, Monitor]:
    with read_only(sessions) as session:
        model_id = models.find(session, name).id
        found = {row.name: row for row in monitor_config.enabled(session, model_id)}
        rows = session.scalars(select(Monitor).where(Monitor.model_id == model_id)).all()
        session.expunge_all()
        return found | {row.name: row for row in rows}


def audited(sessions: sessionmaker[Session]) -> list[tuple[str, str, dict[str, Any]]]:
    with read_only(sessions) as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.recorded_at)).all()
        return [(row.action, row.subject, row.detail) for row in rows]


@CHANNELS
def test_files_are_applied_once_and_a_second_run_changes_nothing(
    seqwatch: Seqwatch, write: Write, sessions: sessionmaker[Session]
) -> None:
    write(CHANNEL, "channel.yaml")
    own = "    monitors: {silence: null, residuals: {severity: page}}\n"
    own += "    slos: {availability: {objective: 0.995}, fast: {sli: latency}}\n"
    files = write(f"{LOAD}{own}", "models/load.yaml")
    before = seqwatch("diff", "-f", files)
    assert (before.status, model_names(sessions)) == (3, [])
    assert "Model load: created" in before.out
    done = seqwatch("apply", "-f", files)
    assert (done.status, done.out.splitlines()[-1]) == (
        0,
        "2 created, 0 changed, 0 removed, 0 unchanged",
    )
    made = monitors(sessions)
    assert made["availability"].params == {"sli": "availability", "objective": 0.995}
    assert (made["fast"].kind, made["fast"].params) == ("burn_rate", {"sli": "latency"})
    assert made["residuals"].severity == "page"
    assert "silence" not in made
    assert {"latency", "input_drift", "accuracy"} <= made.keys()
    n_events = len(audited(sessions))
    again = seqwatch("apply", "-f", files)
    assert (again.status, again.out) == (0, f"{NOTHING}, 2 unchanged\n")
    assert seqwatch("diff", "-f", files).status == 0
    assert len(audited(sessions)) == n_events


def test_a_changed_default_is_shown_and_saved_for_every_model_with_its_tag(
    seqwatch: Seqwatch, write: Write, sessions: sessionmaker[Session]
) -> None:
    defaults = """
        kind: Defaults
        name: hourly
        tags: [hourly]
        policy: {lateness: PT2H}
        monitors: {accuracy: {params: {objective: 0.4}}}
    """
    write(defaults, "defaults.yaml")
    write(LOAD.replace("name: load\n", "name: wind\n", 1), "wind.yaml")
    files = write(LOAD)
    assert seqwatch("apply", "-f", files).status == 0
    write(defaults.replace("0.4", "0.5").replace("PT2H", "PT3H"), "defaults.yaml")
    shown = seqwatch("diff", "-f", files)
    assert shown.out == dedent(
        """\
        Model load: changed
          monitors.accuracy.params.objective: 0.4 -> 0.5
          policy.lateness: "PT2H" -> "PT3H"
        Model wind: changed
          monitors.accuracy.params.objective: 0.4 -> 0.5
          policy.lateness: "PT2H" -> "PT3H"
        0 created, 2 changed, 0 removed, 0 unchanged
        """
    )
    assert seqwatch("apply", "-f", files).out == shown.out
    for name in ("load", "wind"):
        assert monitors(sessions, name)["accuracy"].params == {"objective": 0.5}


BAD = {
    "policy: {latenes: PT1H}": "policy.latenes: policy: unknown latenes; known: .*"
    "did you mean lateness\\?",
    "polcy: {}": "polcy: unknown polcy; known: .*; did you mean policy\\?",
    "policy: {gate_window: P1M}": "policy.gate_window: policy: Only units .* durations$",
    "policy: {gate_window: 36h}": "policy.gate_window: policy: expected an ISO .* or PT36H$",
    "policy: {new_labels: P1D}": "policy.new_labels: policy: needs P1D <= gate_window <",
    "policy: {trainer: none}": "policy.trainer: no trainer 'none'; known: builtin",
    "policy: {keep_slice_summaries: P1D}": "policy.keep_slice_summaries: policy: .* at least",
    "monitors: {accuracy: {params: {objectiv: 1}}}": "monitors.accuracy.params.objectiv: .*"
    "did you mean objective\\?",
    "monitors: {drift: {}}": "monitors.drift: no kind of monitor 'drift'; known: .*"
    "did you mean input_drift\\?",
    "monitors: {accuracy: {enabled: 3}}": "monitors.accuracy.enabled: Input should be a valid",
    "monitors: {latency: {kind: silence}, x y: {kind: silence}}": "monitors.x y: monitor name",
    "slos: {latency: {objective: 2}}": "slos.latency.objective: burn_rate: objective must be",
    "slos: {latency: {objectiv: 0.9}}": "slos.latency.objectiv: burn_rate: no objectiv; known",
    "slos: {latency: {enabled: maybe}}": "slos.latency.enabled: Input should be a valid bool",
    "slos: {latency: {severity: loud}}": "slos.latency.severity: severity 'loud'; known: page",
    "slos: {mine: {}}": "slos.mine: no SLI 'mine'; known: avail",
    "runbook_url: here": "runbook_url: Input should be a valid URL",
    "tags: [a b]": "tags: tags: tag name 'a b'",
    "group: no": "no: write true or false, or quote the text",
}


@ON_SQLITE
@pytest.mark.parametrize("bad", BAD)
def test_a_file_with_an_error_changes_nothing_and_its_line_is_named(
    bad: str, seqwatch: Seqwatch, write: Write, sessions: sessionmaker[Session]
) -> None:
    write(LOAD.replace("name: load\n", "name: wind\n", 1), "wind.yaml")
    model = LOAD.replace("    tags: [hourly]\n", "") if bad.startswith("tags") else LOAD
    files = write(f"{model}    {bad}\n")
    for command in ("diff", "apply"):
        done = seqwatch(command, "-f", files)
        assert (done.status, done.out) == (1, "")
        [what, *faults] = done.err.splitlines()[-2:]
        assert "1 error; nothing was changed" in what
        [fault] = faults
        line = len(model.splitlines()) + 1
        assert fault.startswith(f"{files}/load.yaml:{line}: ")
        assert re.search(BAD[bad], fault), fault
    assert model_names(sessions) == []


@ON_SQLITE
def test_every_error_of_every_file_is_printed(
    seqwatch: Seqwatch, write: Write, sessions: sessionmaker[Session]
) -> None:
    bad = "    policy: {latenes: 1}\n    monitors: {accuracy: {params: {objective: x}}}\n"
    write(LOAD.replace("name: load", "name: wind", 1) + bad, "wind.yaml")
    write("kind: Channel\nname: on-call\ntype: fax\n", "channel.yaml")
    write("kind: Channel\nname: of-number\ntype: 3\n", "number.yaml")
    write("kind: Model\nname: none\n", "none.yaml")
    done = seqwatch("apply", "-f", write(LOAD + bad))
    places = [line.split(": ")[0] for line in done.err.splitlines() if ".yaml:" in line]
    assert [Path(one).name for one in places] == [
        *("channel.yaml:2", "load.yaml:11", "none.yaml:2", "number.yaml:3", "wind.yaml:11"),
    ]
    assert "none.yaml:2: contract: required, in the model or in defaults that its" in done.err
    assert model_names(sessions) == []


def test_a_contract_that_breaks_the_stored_one_is_refused_at_its_line(
    seqwatch: Seqwatch, write: Write
) -> None:
    files = write(LOAD)
    assert seqwatch("apply", "-f", files).status == 0
    for line, old, remedy in (
        (10, "horizon: 24", "register a model of another name"),
        (9, "input_length: 96", "add a new version"),
    ):
        name = old.split(":")[0]
        write(LOAD.replace(old, f"{name}: 12"))
        done = seqwatch("apply", "-f", files)
        assert done.status == 1
        where = f"{files}/load.yaml:{line}: contract.{name}"
        assert f"{where}: the contract of 'load' cannot change in {name}: " in done.err
        assert f"; {remedy} with this contract" in done.err


@CHANNELS
def test_what_is_exported_and_applied_to_an_empty_platform_is_exported_the_same(
    seqwatch: Seqwatch,
    write: Write,
    url: str,
    sessions: sessionmaker[Session],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    now: datetime,
) -> None:
    own = (
        "    group: energy\n    description: 'no'\n    runbook_url: https://runbook.example/x\n"
    )
    own += "    policy: {days_between_false_alarms: 30, keep_rows: P400D}\n"
    own += "    monitors: {silence: null, mine: {kind: mean_shift, enabled: false}}\n"
    own += "    slos: {latency: {objective: 0.95, severity: ticket}, up: {sli: availability}}\n"
    write(CHANNEL, "channel.yaml")
    assert seqwatch("apply", "-f", write(LOAD + own)).status == 0
    first, second = tmp_path / "first", tmp_path / "second"
    assert seqwatch("export", "-f", first).status == 0
    for path in first.rglob("*.yaml"):
        assert SECRET not in path.read_text()
    monkeypatch.setenv("CHANNEL_ON_CALL_SECRET", SECRET)
    assert seqwatch("apply", "--prune", "--yes", "-f", first).out.startswith(NOTHING)
    with unit_of_work(sessions) as session:
        for row in (*session.scalars(select(Monitor)), *session.scalars(select(Channel))):
            session.delete(row)
        session.flush()
        session.delete(models.find(session, "load"))
    assert "2 created" in seqwatch("apply", "-f", first).out
    assert seqwatch("export", "-f", second).status == 0
    files = {path.relative_to(first): path.read_bytes() for path in first.rglob("*.yaml")}
    assert files == {p.relative_to(second): p.read_bytes() for p in second.rglob("*.yaml")}
    assert len(files) == 2
    key = {"Authorization": f"Bearer {os.environ['SEQWATCH_KEY']}"}
    read = httpx.get(f"{url}/v1/configuration", headers=key)
    assert SECRET not in read.text


@CHANNELS
def test_secrets_are_in_no_output_and_not_in_the_audit_log(
    seqwatch: Seqwatch,
    write: Write,
    sessions: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = write(CHANNEL)
    ran = [seqwatch("diff", "-f", files), seqwatch("apply", "-f", files)]
    another = SECRET.replace("MfKQ", "AfKQ")
    monkeypatch.setenv("HOOK_SECRET", another)
    ran += [seqwatch("diff", "-f", files)]
    assert "config.secret" in ran[-1].out
    assert "(another secret)" in ran[-1].out
    monkeypatch.setenv("HOOK_TOKEN", "t0k3n-of-another")
    ran += [seqwatch("apply", "-f", files)]
    assert 'config.url: "https://hooks.example/' in ran[-1].out
    assert '-> "https://hooks.example/${HOOK_TOKEN}"' in ran[-1].out
    monkeypatch.setenv("HOOK_SECRET", "whsec_short")
    ran += [seqwatch("apply", "-f", files)]
    assert ran[-1].status == 1
    printed = "".join(one.out + one.err for one in ran)
    for secret in (SECRET, another, "whsec_short"):
        assert secret not in printed + str(audited(sessions))
    with read_only(sessions) as session:
        [channel] = session.scalars(select(Channel))
        assert channel.config["secret"] == another


def test_prune_removes_what_no_file_names_once_it_is_confirmed(
    seqwatch: Seqwatch, write: Write, sessions: sessionmaker[Session], now: datetime
) -> None:
    write(LOAD.replace("name: load\n", "name: wind\n", 1), "wind.yaml")
    write("kind: Channel\nname: old\nconfig: {url: https://hooks.example/x}\n", "old.yaml")
    files = write(f"{LOAD}    monitors: {{mine: {{kind: mean_shift}}, silence: {{}}}}\n")
    assert seqwatch("apply", "-f", files).status == 0
    for name in ("wind.yaml", "old.yaml"):
        (files / name).unlink()
    write(f"{LOAD}    monitors: {{silence: null}}\n")
    assert seqwatch("apply", "-f", files).out.startswith(NOTHING)
    shown = seqwatch("diff", "--prune", "-f", files)
    assert shown.status == 3
    assert "Channel old: removed" in shown.out
    assert "monitors.mine: {" in shown.out
    refused = seqwatch("apply", "--prune", "-f", files)
    assert (refused.status, "--yes" in refused.err) == (1, True)
    assert "Model wind: removed" in refused.out
    assert model_names(sessions) == ["load", "wind"]
    assert "mine" in monitors(sessions)
    done = seqwatch("apply", "--prune", "--yes", "-f", files)
    assert "0 created, 1 changed, 2 removed" in done.out
    assert model_names(sessions) == ["load"]
    left = monitors(sessions)
    assert not {"mine", "silence"} & left.keys()
    assert {"accuracy", "latency"} <= left.keys()
    with read_only(sessions) as session:
        [channel] = session.scalars(select(Channel))
        assert not channel.enabled
    assert ("model.delete", "wind") in [one[:2] for one in audited(sessions)]


def test_a_model_with_an_open_rollout_is_not_pruned_and_neither_is_anything_else(
    seqwatch: Seqwatch, write: Write, sessions: sessionmaker[Session], now: datetime
) -> None:
    write(LOAD.replace("name: load\n", "name: wind\n", 1), "wind.yaml")
    write(LOAD.replace("name: load\n", "name: sun\n", 1), "sun.yaml")
    files = write(LOAD)
    assert seqwatch("apply", "-f", files).status == 0
    with unit_of_work(sessions) as session:
        rollout = Rollout(
            model_id=models.find(session, "wind").id,
            phase=Phase.REQUESTED,
            idempotency_key="key",
            champion_rev=0,
            not_before=now,
            created_at=now,
            reason="",
            requested_at=now,
        )
        session.add(rollout)
    for name in ("wind.yaml", "sun.yaml"):
        (files / name).unlink()
    done = seqwatch("apply", "--prune", "--yes", "-f", files)
    assert done.status == 1
    assert "of model 'wind' is open: end it first" in done.err
    assert model_names(sessions) == ["load", "sun", "wind"]


@ON_SQLITE
def test_a_key_that_is_no_admin_is_refused(
    seqwatch: Seqwatch, write: Write, as_key: Callable[..., str], tmp_path: Path
) -> None:
    files = write(LOAD)
    as_key("read", "operate")
    for command in (["diff", "-f", files], ["apply", "-f", files], ["export", "-f", tmp_path]):
        done = seqwatch(*command)
        assert done.status == 1
        assert "403: key 'read-operate' lacks the scope admin" in done.err


@ON_SQLITE
def test_the_audit_log_names_the_key_and_the_commit(
    seqwatch: Seqwatch, write: Write, sessions: sessionmaker[Session]
) -> None:
    files = write(LOAD)

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        command = ["git", "-C", str(files), *identity, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    assert seqwatch("apply", "-f", files).status == 0
    write(f"{LOAD}    description: changed\n")
    assert seqwatch("apply", "-f", files).status == 0
    commit = git("rev-parse", "HEAD")
    [(added, _, first), (changed, subject, second)] = audited(sessions)
    assert (added, changed, subject) == ("model.register", "model.update", "load")
    assert (first["commit"], first["dirty"], second["dirty"]) == (commit, False, True)
    assert second["fields"] == [{"field": "description", "old": "", "new": "changed"}]
    assert first["configuration"]["policy"]["trainer"] == "builtin"


@ON_SQLITE
def test_a_folder_without_files_or_with_empty_ones_is_an_error(
    seqwatch: Seqwatch, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for folder, why in (
        (tmp_path / "empty", "holds no file *.yaml or *.yml"),
        (tmp_path / "none", "no such file or folder"),
        (write("", folder="blank"), "hold neither a model nor a channel"),
    ):
        done = seqwatch("apply", "--prune", "--yes", "-f", folder)
        assert done.status == 1
        assert why in done.err
