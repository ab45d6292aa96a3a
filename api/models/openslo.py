"""SLOs in formats of others: OpenSLO documents in and out, rules for Prometheus out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from fastapi import APIRouter, Depends, Request, Response

from api.server.dependencies import ActDep, CallerDep, PlatformDep, ReachDep, ReadDep, ReadModel
from api.server.json_route import JsonRoute, body_of
from core.errors import Unprocessable
from db.tables import Scope
from services.access.api_keys import require
from services.configuration import yaml_files
from services.models import openslo
from services.models.openslo import SavedSlo

MAX_BYTES = 2**20  # of all documents
YAML = {"application/yaml": {"schema": {"type": "string"}}}
BODY: dict[str, Any] = {"requestBody": {"required": True, "content": YAML}}

router = APIRouter(prefix="/v1", tags=["slos"], route_class=JsonRoute)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSlos:
    """The SLOs of some documents, by model and name."""

    items: list[SavedSlo]


async def document_bytes(request: Request, parts: PlatformDep, who: CallerDep) -> bytes:
    """Read the body of a caller that may change SLOs."""
    require(who, Scope.OPERATE, who.model_id)
    return await body_of(request, MAX_BYTES, parts.settings.body_time)


@router.put("/openslo", openapi_extra=BODY)
def put_openslo(
    content: Annotated[bytes, Depends(document_bytes)], parts: PlatformDep, act: ActDep
) -> SavedSlos:
    """Save the SLOs of OpenSLO v1 documents, in YAML or JSON, at most 1 MB; all or none.

    The model of an SLO is its `service`; 422 names each fault.
    """
    try:
        documents = [node.plain for node in yaml_files.read_body(content)]
    except yaml_files.InvalidFiles as error:
        raise Unprocessable("\n".join(map(str, error.faults))) from None

    saved = openslo.save(
        act.session,
        documents,
        lambda model: parts.directory.reach(act.caller, Scope.OPERATE, model).model_id,
    )
    for one in saved:
        action = "monitor.add" if one.is_new else "monitor.update"
        act.record(action, f"{one.model}/{one.name}", {"params": {**one.params}})
    return SavedSlos(items=saved)


@router.get("/openslo", response_class=Response, responses={200: {"content": YAML}})
def read_openslo(model_id: ReachDep, session: ReadDep) -> Response:
    """Return the SLOs of all models that the key may read, or of `model`, as OpenSLO v1.

    A comment names each SLO that no document can state.
    """
    return _answer(*openslo.documents(session, model_id))


@router.get(
    "/models/{model}/slo-rules", response_class=Response, responses={200: {"content": YAML}}
)
def read_rules(entry: ReadModel, session: ReadDep) -> Response:
    """Return recording and alerting rules of all SLOs of a model for Prometheus, as YAML."""
    return _answer([openslo.rule_groups(session, entry.model_id, entry.name)])


def _answer(documents: Iterable[Any], comments: Iterable[str] = ()) -> Response:
    """Return documents as YAML, below comments."""
    text = yaml.dump_all(documents, Dumper=yaml_files.Dumper, sort_keys=False)
    lines = (line for one in comments for line in one.splitlines())
    shown = "".join(f"# {line}\n" for line in lines)
    return Response(shown + text, media_type="application/yaml")
