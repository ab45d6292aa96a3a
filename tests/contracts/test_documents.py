"""The pages agree with the code on contracts."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from core.schema.contract import Contract
from core.schema.feature import Feature
from services.ingest.validation.contract_violations import Mismatch

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["contracts.md", "sensitive-data.md"])
def test_the_contract_on_the_page_is_one(page: str) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert Contract.from_json(json.loads(block)).digest


@pytest.mark.parametrize(
    ("kind", "heading"),
    [
        pytest.param(Contract, "Fields of the contract", id="of a contract"),
        pytest.param(Feature, "Fields of a feature", id="of a feature"),
    ],
)
def test_every_field_is_described(kind: type, heading: str) -> None:
    page = (DOCS / "contracts.md").read_text()
    table = page.split(f"## {heading}")[1].split("##")[0]
    described = re.findall(
        r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    )
    assert sorted(described) == sorted(each.name for each in fields(kind))


def test_every_reason_is_named() -> None:
    page = (DOCS / "contracts.md").read_text().split("## Mismatches")[1]
    assert {*re.findall(r"`(\w+)`", page)} >= {reason.value for reason in Mismatch}
