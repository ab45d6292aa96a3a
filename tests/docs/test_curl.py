"""Every curl of the pages does what they describe, typed as it stands."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session, sessionmaker

from api.server.examples import BODIES
from core.clock import utcnow
from core.settings import Settings
from services.aggregation.fold import PATIENCE, fold_all
from services.retention.archive import archive_all
from tests.architecture.source import ROOT
from tests.docs.conftest import Address

PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: Path) -> Sequence[str]:
    """Return the shell blocks of a page that begin with curl, in order."""
    found = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    return [block for block in found if block.startswith("curl ")]


WITH_CURL = [pytest.param(page, id=page.stem) for page in PAGES if blocks(page)]


def test_the_page_about_the_interface_has_examples() -> None:
    assert len(blocks(ROOT / "docs" / "api.md")) >= 6


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("page", WITH_CURL)
def test_every_curl_on_a_page_succeeds(
    page: Path,
    platform: Address,
    settings: Settings,
    sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    headers = {"Authorization": f"Bearer {platform.key}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=30) as api:
        for path, name in (("", "put_model"), ("/versions/v1", "put_version")):
            api.put(f"/v1/models/load{path}", json=BODIES[name]).raise_for_status()
        for feed in ("reference", "predictions", "labels"):
            sent = api.post(f"/v1/models/load/{feed}", json=BODIES[f"send_{feed}"])
            assert sent.status_code == 200, sent.text
    fold_all(sessions, utcnow() + PATIENCE)
    archive_all(sessions, settings.lake, utcnow())
    environment = {**os.environ, "URL": platform.url, "KEY": platform.key}
    for block in blocks(page):
        strict = re.sub(
            r"(^|[|;&]\s*)curl ", r"\1curl --fail-with-body -sS ", block, flags=re.M
        )
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", strict],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
