"""A configuration is decided whole and saved object by object, beside other writers."""

from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from api.configuration.nouns import NOUNS
from benchmarks.statements import statements
from core.clock import utcnow
from core.errors import Conflict
from db.queries import models
from db.session import read_only, unit_of_work
from db.tables import AuditEvent
from services.configuration import apply
from services.models import monitor_config, registry
from tests.configuration import crashing
from tests.databases import ON_SQLITE
from tests.killed import assert_killed


def model_names(sessions: sessionmaker[Session]) -> list[str]:
    with read_only(sessions) as session:
        return [name for name, *_ in models.labelled(session)]


def document(*names: str) -> dict[str, Any]:
    contract = {
        "features": [{"name": "load"}],
        "targets": ["load"],
        "step": "PT1H",
        "input_length": 4,
        "horizon": 2,
    }
    return {"models": {name: {"contract": deepcopy(contract)} for name in names}}


def test_a_concurrent_change_is_a_conflict_and_objects_before_it_are_saved(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    source = apply.Source(actor="admin", commit="", dirty=False)
    plan = apply.decide(sessions, NOUNS, document("a", "b"), prune=False)
    apply.save(sessions, plan, source, now)
    given = document("a", "b", "c")
    given["models"]["a"]["description"] = given["models"]["b"]["description"] = "ours"
    plan = apply.decide(sessions, NOUNS, given, prune=False)
    with unit_of_work(sessions) as session:
        models.find(session, "b").description = "theirs"
    with pytest.raises(Conflict, match="Model 'b' was changed meanwhile: apply again"):
        apply.save(sessions, plan, source, now)
    with read_only(sessions) as session:
        assert models.find(session, "b").description == "theirs"
    plan = apply.decide(sessions, NOUNS, given, prune=False)
    apply.save(sessions, plan, source, now)
    assert apply.decide(sessions, NOUNS, given, prune=False).decisions == ()


def test_two_that_add_the_same_model_conflict(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    plan = apply.decide(sessions, NOUNS, document("a"), prune=False)
    with unit_of_work(sessions) as session:
        contract = plan.decisions[0].stated.entry.contract
        registry.register(session, registry.Registration(name="a", contract=contract), now)
    source = apply.Source(actor="admin", commit="", dirty=False)
    with pytest.raises(Conflict, match="apply again"):
        apply.save(sessions, plan, source, now)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n_whole", [0, 2])
def test_a_server_that_is_killed_while_it_saves_leaves_whole_models_and_the_rest_to_the_next(
    n_whole: int, when: str, sessions: sessionmaker[Session], database_url: str
) -> None:
    given = document("a", "b", "c", "d")
    assert_killed(crashing.save, database_url, given, n_whole, when)
    assert model_names(sessions) == ["a", "b", "c", "d"][:n_whole]
    with read_only(sessions) as session:
        counts = [len(rows) for rows in monitor_config.of_models(session, None).values()]
        n_events = session.scalar(select(func.count()).select_from(AuditEvent))
    assert len({*counts}) <= 1
    assert n_events == n_whole
    plan = apply.decide(sessions, NOUNS, given, prune=False)
    assert (plan.n_unchanged, len(plan.decisions)) == (n_whole, 4 - n_whole)
    source = apply.Source(actor="admin", commit="", dirty=False)
    apply.save(sessions, plan, source, utcnow())
    assert apply.decide(sessions, NOUNS, given, prune=False).n_unchanged == 4


@ON_SQLITE
def test_the_configuration_is_read_in_a_constant_number_of_statements(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    source = apply.Source(actor="admin", commit="", dirty=False)
    counts = []
    for n_models in (2, 9):
        given = document(*(f"m{i}" for i in range(n_models)))
        plan = apply.decide(sessions, NOUNS, given, prune=False)
        apply.save(sessions, plan, source, now)
        with statements(sessions.kw["bind"]) as seen:
            apply.decide(sessions, NOUNS, given, prune=True)
        counts.append(len(seen))
    assert counts[0] == counts[1] <= 10
