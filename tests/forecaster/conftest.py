from collections.abc import Iterator

import pytest

from tests.forecaster.registry import Registry


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    registry.start()
    yield registry
    registry.stop()
