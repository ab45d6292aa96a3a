"""Nothing of a request is on disk, while it waits or after, that the contract hides."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature, Sensitivity
from core.schema.masking import hashed, new_key
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import Model, Quarantine
from tests.kserve.conftest import REQUEST, RESPONSE, Logger, Stored, waiting

KEY = new_key()
SECRET = "Jane-Roe-4711"
CONTRACT = Contract(
    features=(
        Feature(name="load", maximum=99),
        Feature(
            name="age",
            minimum=0,
            maximum=120,
            sensitivity=Sensitivity.BUCKET,
            bucket_edges=(18, 30, 65),
        ),
        Feature(
            name="city",
            dtype=Dtype.CATEGORY,
            vocabulary=(SECRET, "elsewhere"),
            sensitivity=Sensitivity.HASH,
        ),
        Feature(name="name", dtype=Dtype.CATEGORY, sensitivity=Sensitivity.DROP),
    ),
    targets=("load",),
    step=HOUR,
    input_length=1,
    horizon=1,
    sensitive_fields={"entity": Sensitivity.HASH, "session_id": Sensitivity.DROP},
)


@pytest.fixture
def model(sessions: sessionmaker[Session]) -> str:
    with unit_of_work(sessions) as session:
        session.add(Model(name="grid", contract=CONTRACT, mask_key=KEY, created_at=utcnow()))
    return "grid"


@pytest.fixture
def client(
    settings: Settings, sessions: sessionmaker[Session], model: str, token: str
) -> Iterator[TestClient]:
    with TestClient(create_app(settings, sessions)) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def person(**changes: Any) -> dict[str, Any]:
    known = {"load": 1, "age": 41.5, "city": SECRET, "name": SECRET}
    return {**known, "entity": SECRET, "session_id": SECRET, **changes}


def test_what_is_sensitive_is_masked_before_it_waits_and_once_only(
    logger: Logger, stored: Stored, sessions: sessionmaker[Session]
) -> None:
    logger.binary(REQUEST, {"instances": [person()]})
    (pending_event,) = waiting(sessions)
    assert SECRET.encode() not in pending_event
    assert b"41.5" not in pending_event
    answer = logger.binary(RESPONSE, {"predictions": [3]}).json()
    assert (answer["accepted"], answer["errors"]) == (1, [])
    (row,) = stored()
    assert row["features"] == {
        "load": [1.0],
        "age": [47.5],
        "city": [hashed(KEY, "features.city", SECRET)],
    }
    assert row["entity"] == hashed(KEY, "entity", SECRET)
    assert row["session_id"] is None


BAD = [
    pytest.param(person(load=SECRET), id="text for a number"),
    pytest.param(person(load=[1, SECRET]), id="text in a list"),
    pytest.param(person(load={SECRET: SECRET}), id="an object for a number"),
    pytest.param(person(city="unheard of " + SECRET), id="not in the vocabulary"),
    pytest.param(person(**{SECRET: 1}), id="an unknown name"),
    pytest.param(person(step_index=SECRET), id="text for a whole number"),
    pytest.param(person(entity={"a": SECRET}), id="an object for a text"),
    pytest.param(SECRET, id="no instance"),
    pytest.param([SECRET] * 4, id="a list of it"),
    pytest.param([[SECRET]], id="a narrow list of it"),
]


@pytest.mark.parametrize("instance", BAD)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_of_a_request_that_does_not_fit_nothing_sensitive_is_kept_or_returned(
    logger: Logger, stored: Stored, sessions: sessionmaker[Session], instance: object
) -> None:
    first = logger.structured(REQUEST, {"instances": [instance]})
    assert first.status_code == 200
    pending_events = waiting(sessions)
    second = logger.structured(RESPONSE, {"predictions": [SECRET]})
    assert second.json()["quarantined"] == 1
    with read_only(sessions) as session:
        contents = [json.dumps(c) for c in session.scalars(select(Quarantine.content))]
        reasons = [*session.scalars(select(Quarantine.field + Quarantine.reason))]
    kept = [*pending_events, *(text.encode() for text in [*contents, *reasons])]
    answers = [first.content, second.content]
    assert [text for text in [*kept, *answers] if SECRET.encode() in text] == []
    assert stored() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_response_waits_without_what_the_contract_does_not_name(
    logger: Logger, sessions: sessionmaker[Session]
) -> None:
    for i, payload in enumerate(
        [
            {"predictions": [SECRET]},
            {"predictions": [{"load": 1, SECRET: 2}]},
            {"predictions": [{"load": [1, SECRET]}], "note": SECRET},
            {
                "outputs": [
                    {"name": SECRET, "shape": [1], "datatype": "BYTES", "data": [SECRET]}
                ]
            },
            SECRET,
        ]
    ):
        logger.binary(RESPONSE, payload, id=f"e-{i}")
    pending_events = waiting(sessions)
    assert len(pending_events) == 5
    assert [
        pending_event for pending_event in pending_events if SECRET.encode() in pending_event
    ] == []
