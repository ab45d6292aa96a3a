"""Schemas of the OpenAPI document that FastAPI does not generate."""

import inspect
import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from core.durations import SECOND
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.terms import Terms
from monitors.registry import KINDS
from monitors.slo.objective import BurnRateDetail, BurnRateParams
from monitors.slo.sli import SLIS
from services.ingest import Feed
from services.ingest.formats.row_types import Field, fields

_OF_SLOS = ("SloPut", "SloTrial", "SloBacktestAsk", "SloSummary", "SloStatus", "SavedSlo")
_ANY_CONTRACT = Contract(
    features=(Feature(name="feature"),),
    targets=("target",),
    step=SECOND,
    input_length=1,
    horizon=1,
)
# The contract of a model defines the names, and whether they are numbers or texts.
_VALUE = ["number", "string", "boolean", "null"]
_VALUES = {
    "type": "object",
    "description": "By name of the contract: one value, or a list of steps; null is missing.",
    "additionalProperties": {
        "type": [*_VALUE, "array"],
        "items": {"type": _VALUE},
    },
}
_ATTRIBUTES = re.compile(r"^(\S.*)\n((?:    .*\n?)+)", re.MULTILINE)
COMPONENT = "#/components/schemas/{name}"  # where a reference leads
_MOMENTS = {"at", "target_at", "arrived_at"}


def row(feed: Feed) -> dict[str, Any]:
    """Return the schema of one row that is sent."""
    made = fields(feed, Terms(contract=_ANY_CONTRACT))
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [one.name for one in made if not one.is_nullable and one.default is ...],
        "properties": {one.name: _field(one) for one in made},
    }


def _field(field: Field) -> dict[str, Any]:
    if field.children is not None:
        schema: dict[str, Any] = {**_VALUES}
    else:
        schema = msgspec.json.schema(field.kind)
        if field.name in _MOMENTS:
            schema["format"] = "date-time"
    if field.is_nullable:
        schema["type"] = [schema["type"], "null"]
    return schema


def add_components(
    schemas: dict[str, Any], types: Sequence[type[Any]], ref_template: str = COMPONENT
) -> list[dict[str, Any]]:
    """Add the schemas of types, and of those they are made of; return references to them."""
    described = msgspec.json.schema_components(types, ref_template=ref_template)
    made, found = msgspec.json.decode(msgspec.json.encode(described))
    schemas |= found
    return [*made]


def add_figures(schemas: dict[str, Any]) -> None:
    """Describe the parameters and details of monitors, and the parameters of SLIs, each one."""
    details = [*dict.fromkeys(kind.detail for kind in KINDS)]
    for bodies, field, types in (
        (("MonitorPut", "MonitorNow", "BacktestMonitor"), "params", [k.params for k in KINDS]),
        (("FindingPast", "FirstFinding"), "detail", details),
        (_OF_SLOS, "params", [BurnRateParams]),
        (("SloSummary", "SloStatus"), "detail", [BurnRateDetail]),
        ((BurnRateParams.__name__,), "sli_params", [sli.params for sli in SLIS]),
    ):
        made = add_components(schemas, types)
        for body in bodies:
            schemas[body]["properties"][field] = {
                "description": "By the kind; what is absent has its default.",
                "anyOf": made,
            }


def _plain_name(qualified: re.Match[str]) -> str:
    module, name = qualified[1].title(), qualified[2]
    return name if module == name else module + name


def with_plain_names(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without the names that Pydantic gives to generic and namesake classes.

    Examples
    --------
    >>> with_plain_names({"a": "Page_AlertNow_", "b": "alerts__state__Phase"})
    {'a': 'AlertNowPage', 'b': 'StatePhase'}
    """
    text = re.sub(r"\bPage_(\w+?)_\b", r"\1Page", json.dumps(document))
    text = re.sub(r"\b\w+__([a-z_]+)__(\w+)", _plain_name, text)
    plain: dict[str, Any] = json.loads(text)
    return plain


def refined(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of a document, the attributes of dataclasses described one by one.

    Their descriptions come from the section Attributes of the docstring.
    """
    for name, schema in schemas.items():
        schema["title"] = name
        for each in schema.get("properties", {}).values():
            each.pop("title", None)
        text = inspect.cleandoc(schema.get("description", ""))
        about, *sections = re.split(r"\n\n(?=\w+\n-+\n)", text)
        if about:
            schema["description"] = about
        for section in sections:
            for names, meaning in _ATTRIBUTES.findall(section):
                for one in names.partition(" : ")[0].split(", "):
                    if one in schema.get("properties", {}):
                        schema["properties"][one]["description"] = " ".join(meaning.split())
    return schemas
