from pathlib import Path

import pytest

from db import payload_files


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture(params=["in the database", "in files"])
def kept_where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what waits in the database; or, where the database may have them, in files."""
    if request.param == "in files":
        monkeypatch.setattr(payload_files, "LARGE", 0)
