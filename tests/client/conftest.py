from collections.abc import Iterator

import pytest

from tests.client.api import Api


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    api.start()
    yield api
    api.stop()
