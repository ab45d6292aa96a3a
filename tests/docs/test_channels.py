"""The examples of the page about channels are accepted as they are printed."""

import json
import re
from typing import Any

import httpx
import pytest
import yaml

from notify.channel import CHANNELS
from tests.architecture.source import ROOT
from tests.docs.conftest import Address

PAGE = (ROOT / "docs" / "channels.md").read_text("utf-8")
SECTIONS = re.findall(r"^## `(\w+)`\n\n```json\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)


def test_every_kind_has_a_section_with_an_example_of_it() -> None:
    assert [name for name, _ in SECTIONS if name not in CHANNELS.names()] == []
    assert {json.loads(text).get("kind", "webhook") for _, text in SECTIONS} == {
        *CHANNELS.names()
    }
    assert all(json.loads(text).get("kind", "webhook") == name for name, text in SECTIONS)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_examples_are_accepted_by_the_interface_and_as_configuration(
    platform: Address,
) -> None:
    headers = {"Authorization": f"Bearer {platform.key}"}
    [printed] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    channel: dict[str, Any] = yaml.safe_load(printed.replace("${PAGERDUTY_KEY}", "0451"))
    kind, name = channel.pop("kind"), channel.pop("name")
    assert kind == "Channel"
    channel["kind"] = channel.pop("type")
    with httpx.Client(base_url=platform.url, headers=headers) as api:
        for kind, text in SECTIONS:
            answer = api.put(f"/v1/channels/{kind}", json=json.loads(text))
            assert answer.status_code == 201, answer.text
        sent = {"configuration": {"channels": {name: channel}}}
        answer = api.put("/v1/configuration", json=sent)
        assert answer.status_code == 200, answer.text
        assert api.get(f"/v1/channels/{name}").json()["severities"] == ["page"]
