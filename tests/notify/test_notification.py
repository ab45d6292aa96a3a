import json
from typing import Any

import pytest

from alerts.message import Type
from notify.notification import Status, read
from tests.notify.kinds.bodies import GROUPED, group

OTHERS = {
    "platform.firing": {
        "kind": "stuck_stream",
        "subject": "load",
        "model": None,
        "monitor": None,
    },
    "channel.disabled": {"channel": "on-call", "model": None, "monitor": None, "kind": None},
}


@pytest.mark.parametrize("kind", [kind.value for kind in Type])
def test_every_type_has_a_status_a_title_and_a_key(kind: str) -> None:
    [one] = group(kind).notifications
    ends = {"firing": Status.FIRING, "resolved": Status.RESOLVED}
    assert one.status == ends.get(kind.rpartition(".")[2], Status.EVENT)
    assert one.title
    assert len(one.key) == 64


@pytest.mark.parametrize(
    ("kind", "changed", "title"),
    [
        pytest.param("alert.firing", {}, "[FIRING] load: input_fault", id="alert"),
        pytest.param("rollout.stepped_up", {}, "load: rollout stepped up", id="rollout"),
        pytest.param(
            "platform.firing",
            OTHERS["platform.firing"],
            "[FIRING] platform: stuck_stream load",
            id="platform",
        ),
        pytest.param(
            "channel.disabled",
            OTHERS["channel.disabled"],
            "on-call: channel disabled",
            id="channel",
        ),
        pytest.param(
            "alert.firing",
            {"alerts": GROUPED["alerts"]},
            "[FIRING] load: input_fault (2 alerts)",
            id="group",
        ),
    ],
)
def test_a_title_names_what_and_where(
    kind: str, changed: dict[str, object], title: str
) -> None:
    body = json.loads(group(kind).bodies[0])
    body["data"] |= changed
    assert read(json.dumps(body).encode()).title == title


def test_a_new_field_of_a_body_is_ignored_and_a_missing_one_is_none() -> None:
    body = (
        b'{"type":"alert.paused","timestamp":"2026-01-08T00:00:00Z","data":{"new":[1]},"x":1}'
    )
    one = read(body)
    assert (one.status, one.text, one.links, dict(one.facts)) == (Status.EVENT, "", (), {})


def test_alerts_of_different_models_have_different_keys() -> None:
    keys = {
        one.key
        for changed in (
            dict[str, Any](),
            {"model": "wind"},
            {"monitor": "drift"},
            {"severity": "ticket"},
        )
        for one in group(**changed).notifications
    }
    assert len(keys) == 4
