from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from examples.forecaster.app import ServiceSettings, create_app
from tests.forecaster.registry import CONTRACT, Registry, Start, load


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    registry.start()
    yield registry
    registry.stop()


@pytest.fixture
def start(registry: Registry, tmp_path: Path) -> Start:
    def service() -> AbstractContextManager[TestClient]:
        settings = ServiceSettings(
            seqwatch_url=registry.url,
            seqwatch_key=SecretStr("sw_key"),
            model="m",
            folder=tmp_path,
            look_every=3600,
            acknowledged=tmp_path / "acknowledged",
        )
        return TestClient(create_app(settings, CONTRACT, load), raise_server_exceptions=False)

    return service
