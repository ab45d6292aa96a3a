from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.errors import Conflict, Forbidden, Unauthorized
from db.session import read_only, unit_of_work
from db.tables import ApiKey, Scope
from services.access.api_keys import (
    Authenticator,
    Caller,
    create_key,
    digest_of,
    require,
    revoke_key,
    token_in,
)
from services.access.ttl_cache import Cached

ONE, OTHER = uuid4(), uuid4()


def caller(*scopes: Scope, model_id: UUID | None = None) -> Caller:
    return Caller(key_id=uuid4(), name="k", scopes=frozenset(scopes), model_id=model_id)


@pytest.mark.parametrize(
    ("who", "scope", "model_id", "passes"),
    [
        pytest.param(caller(Scope.READ), Scope.READ, ONE, True, id="the scope it has"),
        pytest.param(caller(Scope.READ), Scope.OPERATE, ONE, False, id="a scope it lacks"),
        pytest.param(caller(Scope.OPERATE), Scope.READ, ONE, False, id="none includes another"),
        pytest.param(caller(Scope.ADMIN), Scope.INGEST, ONE, True, id="admin opens everything"),
        pytest.param(caller(Scope.READ, model_id=ONE), Scope.READ, ONE, True, id="its model"),
        pytest.param(caller(Scope.READ, model_id=ONE), Scope.READ, OTHER, False, id="another"),
        pytest.param(
            caller(Scope.ADMIN, model_id=ONE), Scope.ADMIN, None, False, id="one is not all"
        ),
    ],
)
def test_require(who: Caller, scope: Scope, model_id: UUID | None, passes: bool) -> None:
    if passes:
        require(who, scope, model_id)
    else:
        with pytest.raises(Forbidden):
            require(who, scope, model_id)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="empty"),
        pytest.param("sw_x", None, id="no scheme"),
        pytest.param("Basic sw_x", None, id="another scheme"),
        pytest.param("bearer  sw_x ", "sw_x", id="case and blanks do not matter"),
    ],
)
def test_token_in(header: str | None, token: str | None) -> None:
    assert token_in(header) == token


def test_only_the_digest_of_a_key_is_stored(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    with unit_of_work(sessions) as session:
        token = create_key(session, "ci", ["ingest"], None, now)
    with read_only(sessions) as session:
        stored = session.scalars(select(ApiKey)).one()
        assert stored.digest == digest_of(token)
        assert token not in str(vars(stored))
    assert token.startswith("sw_")
    assert len(token) >= 3 + 43  # 32 bytes in base64


def test_a_known_key_is_let_in_until_it_is_revoked(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    with unit_of_work(sessions) as session:
        token = create_key(session, "ci", ["read", "ingest"], None, now)
    authenticator = Authenticator(sessions, ttl=timedelta(0))
    who = authenticator.authenticate(token)
    assert (who.name, who.scopes) == ("ci", frozenset({Scope.READ, Scope.INGEST}))
    with unit_of_work(sessions) as session:
        revoke_key(session, "ci", now)
    with pytest.raises(Unauthorized):
        authenticator.authenticate(token)


@pytest.mark.parametrize("token", [None, "", "sw_guess", "é"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_strangers_stay_out(sessions: sessionmaker[Session], token: str | None) -> None:
    with pytest.raises(Unauthorized):
        Authenticator(sessions).authenticate(token)


def test_names_of_keys_are_never_used_again(session: Session, now: datetime) -> None:
    create_key(session, "ci", ["read"], None, now)
    revoke_key(session, "ci", now)
    with pytest.raises(Conflict, match="ci"):
        create_key(session, "ci", ["read"], None, now)


def test_what_is_cached_is_read_again_when_it_is_old() -> None:
    clock = [0.0]
    reads: list[str] = []

    def load(key: str) -> int:
        reads.append(key)
        return len(reads)

    cached = Cached(load, timedelta(seconds=5), lambda: clock[0])
    assert [cached.get("a"), cached.get("a"), cached.get("b")] == [1, 1, 2]
    clock[0] = 4.9
    assert cached.get("a") == 1
    clock[0] = 5.0
    assert cached.get("a") == 3
    cached.forget("a")
    assert cached.get("a") == 4


def test_a_failed_read_leaves_nothing_old_behind() -> None:
    answers = iter([1])

    def load(key: str) -> int:
        return next(answers)

    cached = Cached(load, timedelta(0))
    assert cached.get("a") == 1
    with pytest.raises(StopIteration):
        cached.get("a")


def test_many_threads_share_one_cache() -> None:
    reads: list[int] = []

    def load(key: int) -> int:
        reads.append(key)
        return key * 2

    cached = Cached(load, timedelta(minutes=1))
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(cached.get, [key % 10 for key in range(2000)])]
    assert answers == [key % 10 * 2 for key in range(2000)]
    assert len(reads) <= 10 * 8  # threads that come at the same moment may each read
