"""Small bounds, so that they are met."""

import pytest

from core.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_body_bytes": 65_536, "max_rows": 100})
