"""Each query of each dashboard returns data from a Prometheus that scrapes us."""

import pytest

from deploy.grafana.build import DASHBOARDS
from tests.peers.conftest import Scraped
from tests.peers.programs import query

QUERIES = {
    f"{one.name}: {panel.title}: {legend}": expr
    for one in DASHBOARDS
    for panels in one.rows.values()
    for panel in panels
    for legend, expr in panel.queries.items()
}


@pytest.mark.parametrize("named", QUERIES)
def test_a_query_returns_data(scraped: Scraped, named: str) -> None:
    expr = QUERIES[named].replace("$__rate_interval", "1m")  # Grafana puts four scrapes there
    found = query(scraped.prometheus, expr)
    assert found
    assert "NaN" not in {one["value"][1] for one in found}
