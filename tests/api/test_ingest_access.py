import asyncio

import pytest
from sqlalchemy.orm import Session, sessionmaker

from api.ingestion.ingest import IngestAccess
from api.server.authentication import AsyncAuthenticator
from core.clock import utcnow
from core.errors import Unauthorized
from core.settings import Settings
from db.session import unit_of_work
from services.access.api_keys import Authenticator, Caller, create_key
from services.models.registry import ModelCache

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Counted(Authenticator):
    """Notes how often it was asked."""

    n_asked = 0

    def authenticate(self, token: str | None) -> Caller:
        self.n_asked += 1
        return super().authenticate(token)


@pytest.fixture
def authenticator(sessions: sessionmaker[Session]) -> Counted:
    return Counted(sessions)


@pytest.fixture
def access(
    authenticator: Counted, sessions: sessionmaker[Session], settings: Settings
) -> IngestAccess:
    return IngestAccess(AsyncAuthenticator(authenticator), ModelCache(sessions), settings)


def test_many_who_come_at_once_are_asked_for_once(
    access: IngestAccess, authenticator: Counted, sessions: sessionmaker[Session], model: str
) -> None:
    with unit_of_work(sessions) as session:
        token = create_key(session, "sender", ["ingest"], None, utcnow())

    async def come() -> set[str]:
        authorized = await asyncio.gather(
            *(access.authorize(f"Bearer {token}", model) for _ in range(50))
        )
        return {each.entry.name for each in authorized}

    assert asyncio.run(come()) == {model}
    assert authenticator.n_asked == 1


def test_a_refusal_is_for_all_who_wait_and_not_for_those_who_come_later(
    access: IngestAccess, authenticator: Counted, model: str
) -> None:
    async def come() -> list[object]:
        tries = (access.authorize(f"Bearer sw_{'x' * 43}", model) for _ in range(5))
        return list(await asyncio.gather(*tries, return_exceptions=True))

    for n_asked in (1, 2):
        assert {type(error) for error in asyncio.run(come())} == {Unauthorized}
        assert authenticator.n_asked == n_asked


def test_who_hangs_up_does_not_take_the_answer_from_the_others(
    access: IngestAccess, sessions: sessionmaker[Session], model: str
) -> None:
    with unit_of_work(sessions) as session:
        token = create_key(session, "sender", ["ingest"], None, utcnow())

    async def come() -> str:
        first, second = (
            asyncio.create_task(access.authorize(f"Bearer {token}", model)) for _ in range(2)
        )
        await asyncio.sleep(0)  # both wait
        first.cancel()
        return (await second).entry.name

    assert asyncio.run(come()) == model
