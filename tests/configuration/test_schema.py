"""The JSON schema of the files accepts what is applied, and is that of the interface."""

import json
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import httpx
import jsonschema
import pytest
import yaml

from cli.main import main
from tests.configuration.conftest import LOAD
from tests.databases import ON_SQLITE


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["schema"]) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)
    return schema


def document(own: str) -> Any:
    return yaml.safe_load(dedent(f"{LOAD}    {own}\n"))


@ON_SQLITE
def test_the_command_prints_what_the_interface_returns(
    printed: dict[str, Any], url: str, as_key: Callable[..., str]
) -> None:
    key = {"Authorization": f"Bearer {as_key('read')}"}
    assert httpx.get(f"{url}/v1/configuration/schema", headers=key).json() == printed


@pytest.mark.parametrize(
    ("own", "is_valid"),
    [
        pytest.param("group: energy", True, id="plain"),
        pytest.param("monitors: {silence: null, accuracy: {severity: page}}", True, id="null"),
        pytest.param("slos: {latency: {objective: 0.95, severity: page}}", True, id="an SLO"),
        pytest.param("policy: {lateness: PT1H, keep_rows: null}", True, id="a policy"),
        pytest.param("grupp: energy", False, id="an unknown field"),
        pytest.param("slos: {latency: {objectiv: 0.95}}", False, id="an unknown parameter"),
        pytest.param("tags: hourly", False, id="a text instead of a list"),
    ],
)
def test_a_model_is_described(own: str, is_valid: bool, printed: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(printed)
    validator.check_schema(printed)
    assert validator.is_valid(document(own)) is is_valid


def test_channels_and_defaults_are_described(printed: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(printed)
    channel = {"kind": "Channel", "name": "x", "type": "webhook", "config": {"url": "u"}}
    validator.validate(channel)
    validator.validate({"kind": "Defaults", "name": "x", "tags": ["a"], "group": "g"})
    for bad in (channel | {"sevrities": []}, channel | {"kind": "Chanel"}, {"kind": "Model"}):
        assert not validator.is_valid(bad)
