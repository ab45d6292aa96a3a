"""A filled installation that a real Prometheus scrapes, and an Alertmanager."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import sessionmaker

from core.clock import utcnow
from db.migrate import upgrade
from db.session import connect, unit_of_work
from db.tables import Alert, Scope
from services.access.api_keys import create_key
from services.aggregation.fold import fold_all
from services.evaluation.by_clock.live import LiveMonitors
from tests.db.fill import FILLED, MODEL, N_SERVED, restore, served, settings_of
from tests.peers import programs
from tests.pipeline.world import Platform, platform
from tests.streams import START
from tests.templates import SQLITE

SCRAPE_SECONDS = 1
AWAITED = (
    "kind:seqwatch_ingest_request_seconds:p99_5m > 0",
    'slo:sli_error:ratio_rate5m{sloth_service="load", sloth_slo="latency"}',
    'slo:period_error_budget_remaining:ratio{sloth_slo="availability"}',
)
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


def send(installation: Platform, hour: int) -> None:
    """Fold and evaluate what has come, as a worker does, and send a row that waits then."""
    row = served(hour)
    fold_all(installation.sessions, utcnow())
    LiveMonitors(installation.sessions).run(datetime.fromisoformat(row["at"]))
    answer = installation.http.post(
        f"{MODEL}/predictions",
        json={"rows": [row]},
        headers={"traceparent": f"00-{TRACE}-{1:016x}-01"},
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="session")
def scraped(
    installation: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scraped]:
    """A Prometheus with a key file, our rules and those of SLOs, which has seen batches."""
    folder = tmp_path_factory.mktemp("prometheus")
    with unit_of_work(installation.sessions) as session:
        key = create_key(session, "prometheus", {Scope.READ}, None, START)
    (folder / "key").write_text(key)
    (folder / "slos.yml").write_text(installation.http.get(f"{MODEL}/slo-rules").text)
    configuration = {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS}s",
            "evaluation_interval": f"{SCRAPE_SECONDS}s",
        },
        "rule_files": [
            str(programs.ROOT / "deploy" / "rules.yml"),
            str(folder / "slos.yml"),
        ],
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
            send(installation, hour)
            if all(programs.query(url, one) for one in AWAITED):
                break
            assert time.monotonic() < until, (folder / "prometheus.log").read_text()
            time.sleep(SCRAPE_SECONDS / 2)
        yield Scraped(prometheus=url, installation=installation)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """The URL of an Alertmanager whose one receiver notifies nobody."""
    with programs.alertmanager(tmp_path) as url:
        yield url
