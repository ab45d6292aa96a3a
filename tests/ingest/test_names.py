"""A feature or a target may have any printable name, in every format."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from core.durations import MINUTE
from core.errors import Unprocessable
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature
from db.queries import models
from db.session import unit_of_work
from db.tables import Model
from services.models.registry import Registration, VersionPlan, plan_version, register
from tests.ingest.conftest import Stored, arrow_body

PATH = "/v1/models/named/predictions"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = (
    '"',
    "\\",
    r"\\Processor(_Total)\% Processor Time",
    'quoted "load"',
    "a/b c",
    " spaces ",
    ".dot",
    "a.b[0]",
    "{x}",
    "ü \U0001f321",
    "\ue022",  # what the type of a quoted name uses in its place
)
# Refused at registration, but a contract that was stored before that still takes rows.
STORED_BEFORE = ("tab\t", "line\n", "nul\0", "\x85")

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def contract(name: str) -> Contract:
    return Contract(
        features=(Feature(name=name), Feature(name="k" + name, dtype=Dtype.CATEGORY)),
        targets=(name, "t" + name),
        step=MINUTE,
        input_length=1,
        horizon=1,
    )


def add(sessions: sessionmaker[Session], name: str) -> None:
    with unit_of_work(sessions) as session:
        session.add(Model(name="named", contract=contract(name), created_at=NOW))


def rows(name: str, n: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "prediction_id": f"p{i}",
            "version": "v1",
            "at": "2026-01-01T00:00:00Z",
            "features": {name: [float(i), None], "k" + name: ["a"]},
            "output": {name: [1.0], "t" + name: [2.0]},
        }
        for i in range(n)
    ]


def bodies(name: str) -> list[tuple[str, bytes]]:
    sent = rows(name)
    columns: dict[str, Any] = {each: [row[each] for row in sent] for each in sent[0]}
    for group in ("features", "output"):
        columns[group] = {
            child: [row[group][child] for row in sent] for child in sent[0][group]
        }
    nested = pa.Table.from_pylist(sent)
    flat = {n: nested[n] for n in ("prediction_id", "version", "at")} | {
        f"{group}.{child}": [row[group][child] for row in sent]
        for group in ("features", "output")
        for child in sent[0][group]
    }
    json, msgpack = "application/json", "application/msgpack"
    arrow = "application/vnd.apache.arrow.stream"
    return [
        (json, msgspec.json.encode({"rows": sent})),
        (json, msgspec.json.encode({"columns": columns})),
        (json, msgspec.json.encode(sent[0])),
        (msgpack, msgspec.msgpack.encode({"rows": sent})),
        (msgpack, msgspec.msgpack.encode({"columns": columns})),
        (arrow, arrow_body(nested)),
        (arrow, arrow_body(pa.table(flat))),
    ]


@pytest.mark.parametrize("name", [*NAMES, *STORED_BEFORE])
def test_rows_are_accepted_under_any_name_in_every_format(
    client: TestClient, sessions: sessionmaker[Session], stored: Stored, name: str
) -> None:
    add(sessions, name)
    for kind, body in bodies(name):
        answer = client.post(PATH, content=body, headers={"Content-Type": kind})
        assert answer.status_code == 200, (kind, answer.text)
    assert {name: [0.0, None], "k" + name: ["a"]} in [row["features"] for row in stored()]


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_names_the_field_as_the_contract_does(
    client: TestClient, sessions: sessionmaker[Session], name: str
) -> None:
    add(sessions, name)
    (unknown, missing, wrong, good) = rows(name, 4)
    unknown["features"][name + "?"] = [1.0]
    del missing["output"][name]
    wrong["features"][name] = [1.0, "x"]
    answer = client.post(PATH, json={"rows": [unknown, missing, wrong, good]}).json()
    assert answer["accepted"] == 1
    fields = [row["field"] for row in answer["errors"]]
    assert fields == [f"features.{name}?", f"output.{name}", f"features.{name}[1]"]


@pytest.mark.parametrize(
    ("field", "build"),
    [
        (
            "features[1].name",
            lambda text: {"features": (Feature(name="a"), Feature(name=text))},
        ),
        ("features[0].unit", lambda text: {"features": (Feature(name="a", unit=text),)}),
        ("targets[1]", lambda text: {"targets": ("y", text)}),
        ("label_map[1]", lambda text: {"label_map": ("y", text)}),
    ],
)
@pytest.mark.parametrize(
    "code", [0x00, 0x09, 0x0A, 0x1F, 0x7F, 0x85, 0x9F, 0x2028, 0x202E, 0x2066, 0xD800]
)
def test_a_control_character_is_refused_at_registration_with_its_place(
    session: Session, field: str, build: Any, code: int
) -> None:
    defaults: dict[str, Any] = {"features": (Feature(name="a"),), "targets": ("y",)}
    unexpected = Contract(
        **{**defaults, **build(f"ab{chr(code)}")}, step=MINUTE, input_length=1, horizon=1
    )
    reason = f"{field}: character 3 is the control character U+{code:04X}"
    with pytest.raises(Unprocessable) as refusal:
        register(session, Registration(name="named", contract=unexpected), NOW)
    assert str(refusal.value) == reason
    plain = Contract(**defaults, step=MINUTE, input_length=1, horizon=1)
    register(session, Registration(name="plain", contract=plain), NOW)
    model = models.find(session, "plain")
    with pytest.raises(Unprocessable, match="control character"):
        plan_version(session, model.id, VersionPlan(name="v2", contract=unexpected), NOW)


@pytest.mark.parametrize("name", NAMES)
def test_a_printable_name_is_registered(session: Session, name: str) -> None:
    assert register(session, Registration(name="named", contract=contract(name)), NOW)
