"""A process that takes one event and dies at one named point, as if by `kill -9`."""

from fastapi.testclient import TestClient
from sqlalchemy.orm import sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.settings import Settings
from db.session import connect, unit_of_work
from services.access.api_keys import create_key
from tests.archive.crashing import arm
from tests.kserve.conftest import REQUEST, V1, Logger


def take(url: str, module: str, function: str, when: str, kind: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    with unit_of_work(sessions) as session:
        token = create_key(session, f"crashing {kind}", ["ingest"], None, utcnow())
    with TestClient(create_app(Settings(database_url=url), sessions)) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        arm(module, function, when)
        Logger(client).binary(kind, V1[0] if kind == REQUEST else V1[1])
