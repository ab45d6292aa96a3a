"""JSON schema of the files that `seqwatch apply` reads, for editors."""

from typing import Any

from api.configuration.models import SLO, ModelEntry
from api.configuration.nouns import NOUNS
from api.server.schemas import add_components, refined
from monitors.registry import KINDS, find

DEFAULTS = "Defaults"  # the kind of file whose fields models with its tags begin with
_REFERENCE = "#/$defs/{name}"
_NAME = {"type": "string", "description": "Unique among the files of its kind."}
_TAGS = "The models that bear all of these tags; none: all models."


def schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of one document of a file."""
    defs: dict[str, Any] = {}
    for noun in NOUNS:
        made = noun.entry.model_json_schema(ref_template=_REFERENCE.replace("name", "model"))
        defs |= made.pop("$defs", {})
        defs[noun.kind] = made
    model = defs["Model"]
    model.pop("required", None)  # defaults may state it
    params = add_components(defs, [kind.params for kind in KINDS], _REFERENCE)
    defs["MonitorEntry"]["properties"]["params"] |= {"anyOf": params}
    _describe_slos(defs, model)
    defs = refined(defs)
    for kind in [noun.kind for noun in NOUNS]:
        _describe_file(defs[kind], kind)
    defaults = {**model, "title": DEFAULTS, "properties": {**model["properties"]}}
    defaults["properties"]["tags"] = {**model["properties"]["tags"], "description": _TAGS}
    defaults["description"] = "Fields that models with its tags begin with."
    _describe_file(defaults, DEFAULTS)
    defs[DEFAULTS] = defaults
    kinds = [*(noun.kind for noun in NOUNS), DEFAULTS]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Seqwatch configuration",
        "type": "object",
        "required": ["kind", "name"],
        "properties": {"kind": {"enum": kinds}, "name": _NAME},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}},
                "then": {"$ref": _REFERENCE.format(name=kind)},
            }
            for kind in kinds
        ],
        "$defs": defs,
    }


def known_fields() -> list[str]:
    """Return the fields of a model in a file."""
    return [*ModelEntry.model_fields]


def _describe_slos(defs: dict[str, Any], model: dict[str, Any]) -> None:
    [reference] = add_components(defs, [find(SLO).params], _REFERENCE)
    params = defs[reference["$ref"].rpartition("/")[2]]
    of_monitor = defs["MonitorEntry"]["properties"]
    slo = {
        "title": "Slo",
        "type": "object",
        "additionalProperties": False,
        "properties": params["properties"]
        | {name: of_monitor[name] for name in ("severity", "enabled")},
    }
    defs["Slo"] = slo
    either = [{"$ref": _REFERENCE.format(name="Slo")}, {"type": "null"}]
    model["properties"]["slos"] |= {"additionalProperties": {"anyOf": either}}


def _describe_file(described: dict[str, Any], kind: str) -> None:
    """Add what every document of a file has; a field `kind` of its own is its `type`."""
    properties = described["properties"]
    if "kind" in properties:
        properties["type"] = properties.pop("kind")
    described["properties"] = {"kind": {"const": kind}, "name": _NAME, **properties}
