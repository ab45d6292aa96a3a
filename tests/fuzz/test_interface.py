"""Whatever is asked, the answer is no 500, and is as described.

Longer: `SEQWATCH_TEST_FUZZ_EXAMPLES=200 make test-slow ARGS=tests/fuzz/test_interface.py`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.orm import sessionmaker

from api.main import create_app
from api.server.description import operations_of
from api.server.examples import BODIES
from core.clock import utcnow
from core.settings import Settings
from db.migrate import upgrade
from db.session import connect, unit_of_work
from services.access.api_keys import create_key
from services.aggregation.fold import PATIENCE, fold_all
from services.retention.archive import archive_all

EXAMPLES = int(os.environ.get("SEQWATCH_TEST_FUZZ_EXAMPLES", "8"))
CHECKS = (
    not_a_server_error,
    response_schema_conformance,
    content_type_conformance,
    status_code_conformance,
)


@dataclass(frozen=True, kw_only=True)
class Interface:
    """A described platform, and the key to all of it."""

    schema: BaseSchema
    headers: Mapping[str, str]


@pytest.fixture(scope="module")
def interface(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interface]:
    """Describe a platform that holds a little of everything, to an administrator."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    engine = connect(f"sqlite:///{folder / 'seqwatch.sqlite'}")
    upgrade(engine)
    sessions = sessionmaker(engine, expire_on_commit=False)
    with unit_of_work(sessions) as session:
        key = create_key(session, "fuzz", ["admin"], None, utcnow())
    app = create_app(
        Settings(
            database_url=str(engine.url),
            lake=folder / "lake",
            artifacts=folder / "artifacts",
            reports=folder / "reports",
        ),
        sessions,
    )
    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(app, headers=headers, raise_server_exceptions=False) as client:
        for name, (method, path) in {
            "put_model": ("put", "/v1/models/load"),
            "put_version": ("put", "/v1/models/load/versions/v1"),
            "send_predictions": ("post", "/v1/models/load/predictions"),
            "send_labels": ("post", "/v1/models/load/labels"),
        }.items():
            answer = client.request(method, path, json=BODIES[name])
            assert answer.status_code in (200, 201), answer.text
        fold_all(sessions, utcnow() + PATIENCE)
        archive_all(sessions, folder / "lake", utcnow())
        schema = schemathesis.openapi.from_dict(app.openapi())
        schema.app = app
        yield Interface(schema=schema, headers=headers)
    engine.dispose()


OPERATIONS = [
    pytest.param(method, path, id=f"{method} {path}")
    for method, path, operation in operations_of(
        create_app(Settings(), sessionmaker()).openapi()
    )
    if operation["operationId"] != "revoke_key"  # it would close our own
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_breaks_the_platform(
    interface: Interface, method: str, path: str, mode: GenerationMode
) -> None:
    strategy = interface.schema[path][method].as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def ask(case: Case[Any]) -> None:
        case.call_and_validate(headers={**interface.headers}, checks=[*CHECKS])

    try:
        ask()
    except Unsatisfiable:
        pytest.skip("nothing of this kind can be asked there")
