"""The dashboards in the repository are those that their code builds."""

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from deploy.grafana.build import DASHBOARDS, FOLDER, SOURCE, built
from deploy.grafana.panels import Dashboard

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("one", DASHBOARDS, ids=lambda one: one.name)
def test_a_dashboard_is_what_its_code_builds(one: Dashboard) -> None:
    stored = (FOLDER / f"{one.name}.json").read_text("utf-8")
    assert stored == built(one), "run `make dashboards`"


def test_no_other_dashboard_is_provisioned() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {one.name for one in DASHBOARDS}


@pytest.mark.parametrize("one", DASHBOARDS, ids=lambda one: one.name)
def test_the_panels_of_a_dashboard_do_not_overlap(one: Dashboard) -> None:
    taken = Counter[tuple[int, int]]()
    for panel in json.loads(built(one))["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        taken.update(
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        )
    assert max(taken.values()) == 1


def test_compose_provisions_the_dashboards_and_their_data_source() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    grafana = compose["services"]["grafana"]
    mounted = [volume.split(":")[0] for volume in grafana["volumes"]]
    assert "./deploy/grafana/dashboards" in mounted
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (FOLDER / home.name).is_file()
    provisioned = ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml"
    (source,) = yaml.safe_load(provisioned.read_text("utf-8"))["datasources"]
    assert (source["type"], source["uid"]) == (SOURCE.type_val, SOURCE.uid)
