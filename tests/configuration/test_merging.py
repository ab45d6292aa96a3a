"""Models begin with the defaults of their tags, channels with secrets of the environment."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from cli.configuration.merging import Merged, at, merged
from services.configuration.yaml_files import InvalidFiles, files_under, read


def merged_text(text: str, folder: Path, environment: dict[str, str] | None = None) -> Merged:
    (folder / "one.yaml").write_text(dedent(text))
    return merged(read(files_under(folder)), environment or {})


def model_of(text: str, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = merged_text(text, folder).root.plain["models"]["load"]
    return found


DEFAULTS = """
    kind: Defaults
    name: all
    group: energy
    policy: {lateness: PT1H, cool_down: P7D}
    ---
    kind: Defaults
    name: berlin
    tags: [berlin, hourly]
    policy: {lateness: PT3H}
    ---
    kind: Defaults
    name: hourly
    tags: [hourly]
    policy: {lateness: PT2H}
    monitors: {accuracy: {params: {objective: 0.4}, severity: page}}
    ---
    kind: Model
    name: load
"""


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param("", {"lateness": "PT1H", "cool_down": "P7D"}, id="for all"),
        pytest.param("tags: [hourly]", {"lateness": "PT2H", "cool_down": "P7D"}, id="by tag"),
        pytest.param(
            "tags: [x, hourly, berlin]",
            {"lateness": "PT3H", "cool_down": "P7D"},
            id="those of more tags last",
        ),
        pytest.param(
            "tags: [hourly]\n    policy: {lateness: PT9H}",
            {"lateness": "PT9H", "cool_down": "P7D"},
            id="its own last of all",
        ),
        pytest.param(
            "policy: {lateness: null, cool_down: ~}", {}, id="null removes what defaults set"
        ),
        pytest.param("policy: null", None, id="null removes a mapping"),
    ],
)
def test_defaults_are_merged_by_tag(own: str, expected: object, tmp_path: Path) -> None:
    assert model_of(f"{DEFAULTS}    {own}", tmp_path).get("policy") == expected


def test_monitors_are_merged_deep_and_null_is_kept_of_one(tmp_path: Path) -> None:
    own = "    tags: [hourly]\n    monitors: {accuracy: {severity: null}, silence: null}"
    model = model_of(f"{DEFAULTS}{own}", tmp_path)
    assert model["monitors"] == {"accuracy": {"params": {"objective": 0.4}}, "silence": None}
    assert (model["tags"], model["group"]) == (["hourly"], "energy")


def test_a_pointer_leads_to_the_line_that_states_a_value(tmp_path: Path) -> None:
    root = merged_text(f"{DEFAULTS}    tags: [hourly]", tmp_path).root
    for pointer, line in (
        ("/models/load/monitors/accuracy/params/objective", 16),
        ("/models/load/monitors/accuracy/params/none", 16),
        ("/models/load/group", 4),
        ("/models/load/contract", 19),
        ("/models/load/tags/0", 20),
    ):
        assert at(root, pointer).place.line == line, pointer


def test_defaults_that_apply_to_no_model_are_named(tmp_path: Path) -> None:
    [unused] = merged_text(f"{DEFAULTS}    tags: [hourly]", tmp_path).unused
    assert unused.endswith(
        "one.yaml:8: berlin: these defaults apply to no model: "
        "no model has the tags berlin, hourly"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("[1]", "one.yaml:1: a document must be a mapping", id="a list"),
        pytest.param(
            "name: x",
            "kind: must be one of Channel, Route, Silence, Model, Defaults",
            id="no kind",
        ),
        pytest.param("kind: Modle\nname: x", "did you mean Model?", id="an unknown kind"),
        pytest.param("kind: Model", "name: a text is required", id="no name"),
        pytest.param("kind: Model\nname: 1", "name: a text is required", id="a number as name"),
        pytest.param(
            "kind: Model\nname: x\n---\nkind: Model\nname: x",
            "one.yaml:5: name: Model 'x' is given twice, first at",
            id="a name twice",
        ),
        pytest.param(
            "kind: Defaults\nname: x\npolcy: {}",
            "one.yaml:3: polcy: unknown; known: description",
            id="an unknown field of defaults",
        ),
        pytest.param(
            "kind: Channel\nname: x\nconfig: {secret: '${NONE}'}",
            "one.yaml:3: the environment variable NONE is not set",
            id="an unset variable",
        ),
        pytest.param("kind: Defaults\nname: x", "neither a model nor a channel", id="defaults"),
    ],
)
def test_what_is_no_configuration_is_refused(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFiles) as refused:
        merged_text(text, tmp_path)
    assert why in str(refused.value)


def test_variables_are_resolved_in_channels_alone(tmp_path: Path) -> None:
    text = """
        kind: Channel
        name: on-call
        type: webhook
        config: {url: "https://x/${TOKEN}", secret: "${SECRET}"}
        ---
        kind: Model
        name: load
        description: ${TOKEN}
    """
    found = merged_text(text, tmp_path, {"TOKEN": "t0", "SECRET": "s0"})
    plain = found.root.plain
    config = {"url": "https://x/t0", "secret": "s0"}
    assert plain["channels"]["on-call"] == {"kind": "webhook", "config": config}
    assert plain["models"]["load"]["description"] == "${TOKEN}"
    assert found.resolved == {"t0": "${TOKEN}", "s0": "${SECRET}"}
