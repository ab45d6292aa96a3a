"""A filled installation that a real Prometheus scrapes, and an Alertmanager."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import sessionmaker

from db.migrate import upgrade
from db.session import connect, unit_of_work
from db.tables import Alert, Scope
from services.access.api_keys import create_key
from tests.db.fill import FILLED, MODEL, N_SERVED, restore, served, settings_of
from tests.peers import programs
from tests.pipeline.world import Platform, platform
from tests.streams import START
from tests.templates import SQLITE

SCRAPE_SECONDS = 1
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"  # of all batches


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("peers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scraped:
    """The URL of a Prometheus, and the installation that it scrapes."""

    prometheus: str
    installation: Platform


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The newest filled installation, served on a free port."""
    folder = tmp_path_factory.mktemp("installation")
    restore(max(FILLED.glob("*.tar.xz")), folder)
    settings = settings_of(folder, f"sqlite:///{folder / SQLITE}")
    engine = connect(settings.database_url)
    upgrade(engine)
    sessions = sessionmaker(engine, expire_on_commit=False)
    with unit_of_work(sessions) as session:  # as after a month
        session.execute(update(Alert).values(n_alarms=1, n_evaluated=30))
    with platform(settings, sessions, folder) as served_at:
        yield served_at
    engine.dispose()


@pytest.fixture(scope="session")
def scraped(
    installation: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scraped]:
    """A Prometheus that has scraped with a key file, loaded our rules, and seen batches."""
    folder = tmp_path_factory.mktemp("prometheus")
    with unit_of_work(installation.sessions) as session:
        key = create_key(session, "prometheus", {Scope.READ}, None, START)
    (folder / "key").write_text(key)
    configuration = {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS}s",
            "evaluation_interval": f"{SCRAPE_SECONDS}s",
        },
        "rule_files": [str(programs.ROOT / "deploy" / "rules.yml")],
        "scrape_configs": [
            {
                "job_name": "seqwatch",
                "authorization": {"credentials_file": str(folder / "key")},
                "static_configs": [{"targets": [installation.http.base_url.netloc.decode()]}],
            }
        ],
    }
    with programs.prometheus(folder, configuration) as url:
        until = time.monotonic() + 60
        for hour in range(24 * N_SERVED + 1, 10**6):
            rows = {"rows": [served(hour)]}
            answer = installation.http.post(
                f"{MODEL}/predictions",
                json=rows,
                headers={"traceparent": f"00-{TRACE}-{1:016x}-01"},
            )
            assert answer.status_code == 200, answer.text
            recorded = programs.query(url, "kind:seqwatch_ingest_request_seconds:p99_5m > 0")
            if recorded:
                break
            assert time.monotonic() < until, (folder / "prometheus.log").read_text()
            time.sleep(SCRAPE_SECONDS / 2)
        yield Scraped(prometheus=url, installation=installation)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """The URL of an Alertmanager whose one receiver notifies nobody."""
    with programs.alertmanager(tmp_path) as url:
        yield url
