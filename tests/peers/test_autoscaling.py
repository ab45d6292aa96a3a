"""The queries of the examples for autoscaling return one number."""

import pytest
import yaml

from tests.peers.conftest import Scraped
from tests.peers.programs import ROOT, query

SCALED, ADAPTER, AUTOSCALER = yaml.safe_load_all(
    (ROOT / "deploy" / "autoscaling.yml").read_text("utf-8")
)
(RULE,) = yaml.safe_load(ADAPTER["data"]["config.yaml"])["externalRules"]
(TRIGGER,) = SCALED["spec"]["triggers"]


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(TRIGGER["metadata"]["query"], id="KEDA"),
        pytest.param(RULE["metricsQuery"], id="prometheus-adapter"),
    ],
)
def test_a_query_returns_one_number(scraped: Scraped, expression: str) -> None:
    (found,) = query(scraped.prometheus, expression)
    assert float(found["value"][1]) >= 0


def test_the_autoscaler_reads_what_the_adapter_offers() -> None:
    (metric,) = AUTOSCALER["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == RULE["name"]["as"]
