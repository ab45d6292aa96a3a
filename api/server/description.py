"""The OpenAPI document of this API, for viewers and generators of clients."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from msgspec import UNSET, Meta, UnsetType
from pydantic import BaseModel
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.server import ingest_paths
from api.server.dependencies import CallerDep
from api.server.examples import BODIES
from api.server.fast_path import Express
from api.server.ingest_paths import ALL_ACCEPTED, KServeTaken
from api.server.responses import PROBLEM, Accepted, problem
from api.server.schemas import add_components, add_figures, refined, row, with_plain_names
from services.ingest import Feed
from services.kserve.pairing import Became

router = APIRouter(tags=["description"])

ABOUT = """\
Monitors deployed sequence models: stores predictions and labels, raises alerts, retrains, and
tests the challenger before it is promoted.

Every request but `/health` and `/ready` sends a key: `Authorization: Bearer sw_…`. Times are
ISO 8601 with a zone. Every error is a problem (RFC 9457) whose `type` ends in the error's name.
A connection may also be refused with 400, 408, 431, 501 or 503 before it is read, and a bug
is answered with 500."""

TAGS = {
    "ingest": "Send predictions, references and labels.",
    "lookup": "Look up predictions, sessions and rows in quarantine.",
    "models": "Models with their contracts and policies.",
    "versions": "Versions of a model, and their weights.",
    "segments": "Input and errors of a model, by segment.",
    "configuration": "Models, monitors, SLOs and channels as files in git.",
    "monitors": "Monitors of a model, with their parameters.",
    "alerts": "Findings, alerts, their incidents and their flips.",
    "silences": "Silences and maintenance windows.",
    "routes": "Which channels are notified of which alerts.",
    "slos": "SLOs of a model: budgets, corrections, linter and backtest.",
    "rollouts": "Retraining, canary, routing and champion.",
    "channels": "Receivers of notifications.",
    "keys": "API keys and their scopes.",
    "erasures": "Permanent deletion of the rows of a session or entity.",
    "streams": "Rows that cannot be processed, and how to discard them.",
    "trainers": "Trainers of challengers, and their reports.",
    "plugins": "Installed plug-ins of each extension point.",
    "sources": "Predictions and labels that are pulled on a schedule.",
    "skew": "Differences between features of training and serving.",
    "history": "Imported past event time.",
    "backtests": "Evaluation of monitors on past days, without effect.",
    "kserve": "The events of KServe's logger.",
    "metrics": "Metrics for Prometheus.",
    "health": "Liveness and readiness, for orchestrators and load balancers.",
    "description": "This document.",
}

_WRONG = {
    HTTPStatus.BAD_REQUEST: "The body cannot be read.",
    HTTPStatus.UNAUTHORIZED: "No key, or an unknown one.",
    HTTPStatus.FORBIDDEN: "The key lacks the scope, or is for another model.",
    HTTPStatus.NOT_FOUND: "There is no such resource.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not arrive in time.",
    HTTPStatus.CONFLICT: "The resource is in another state; `detail` names it.",
    HTTPStatus.PRECONDITION_FAILED: "Changed since the answer that `If-Match` names.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "More bytes than allowed.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A value is not as described; `errors` names each.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Try again after `Retry-After` seconds.",
}


class Problem(msgspec.Struct, kw_only=True):
    """Problem details (RFC 9457). For a batch with bad rows, also the rows."""

    type: Annotated[
        str,
        Meta(
            description="`urn:seqwatch:error:` and the name of the error.",
            extra_json_schema={"format": "uri"},
        ),
    ]
    title: Annotated[str, Meta(description="The name in words.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="For people. It shows no value of a row.")]
    instance: (
        Annotated[
            str,
            Meta(
                description="The path of the request.",
                extra_json_schema={"format": "uri-reference"},
            ),
        ]
        | UnsetType
    ) = UNSET
    searched_back_to: (
        Annotated[
            datetime,
            Meta(
                description="Of `NotFoundYet`: rows before this time are not yet searched.",
                extra_json_schema={"format": "date-time"},
            ),
        ]
        | UnsetType
    ) = UNSET
    next_cursor: (
        Annotated[
            str, Meta(description="Of `NotFoundYet`: the `cursor` of the request that goes on.")
        ]
        | UnsetType
    ) = UNSET


_EXAMPLE = problem("NotFound", 404, "no model 'load'", instance="/v1/models/load")
_SHAPE = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}


class Document(BaseModel):
    """A description in OpenAPI 3.1."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


# Operations that change nothing, and so never answer 409.
_WITHOUT_CONFLICT = {"compare_skew", "try_channel"}


class Application(FastAPI):
    """An application with plain ASGI routes, which it describes, and serves first."""

    def __init__(self, **given: Any) -> None:
        super().__init__(
            generate_unique_id_function=_name, separate_input_output_schemas=False, **given
        )
        self._serve: ASGIApp = super().__call__

    def express(self, routes: Sequence[Route]) -> None:
        """Serve these routes without middleware; they are also the first of the router."""
        self.router.routes.extend(routes)
        self._serve = Express(self._serve, routes)

    def surround(self, middleware: Callable[[ASGIApp], ASGIApp]) -> None:
        """Add a middleware around all routes, those that are served first included."""
        self._serve = middleware(self._serve)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._serve(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description of every address."""
        if self.openapi_schema is None:
            self.openapi_schema = described(with_plain_names(super().openapi()))
        return self.openapi_schema


def _name(route: APIRoute) -> str:
    return route.name


@router.get("/openapi.json", responses={200: {"model": Document}})
def openapi(request: Request, _: CallerDep) -> dict[str, Any]:
    """Describe every address that this process answers."""
    description: dict[str, Any] = request.app.openapi()
    return description


def described(document: dict[str, Any]) -> dict[str, Any]:
    """Complete FastAPI's document: plain routes, one shape of errors, examples, tags."""
    for path, operations in ingest_paths.openapi_paths().items():
        document["paths"].setdefault(path, {}).update(operations)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for framework_s in ("HTTPValidationError", "ValidationError"):
        schemas.pop(framework_s, None)
    add_components(schemas, (Problem, Accepted, KServeTaken))
    schemas["Problem"]["properties"] |= schemas["Accepted"]["properties"]
    schemas["Problem"]["example"] = _EXAMPLE
    schemas["Accepted"]["example"] = ALL_ACCEPTED
    schemas["KServeTaken"]["example"] = {"outcome": Became.PAIRED.value, **ALL_ACCEPTED}
    schemas |= {f"{feed.title()}Row": row(feed) for feed in Feed}
    add_figures(schemas)
    components["schemas"] = refined(schemas)
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key: `sw_…`."}
    }
    for operations in document["paths"].values():
        _describe_tags(operations)
    used: dict[str, None] = {}
    for method, path, operation in operations_of(document):
        _refine(method, path, operation)
        used |= dict.fromkeys(operation.get("tags", ()))
    document["tags"] = [{"name": tag, "description": TAGS.get(tag, tag)} for tag in used]
    document["info"] |= {
        "description": ABOUT,
        "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        "contact": {"name": "Whoever runs this installation"},
    }
    document["servers"] = [{"url": "/", "description": "This installation"}]
    return document


def _describe_tags(operations: dict[str, Any]) -> None:
    """Describe the entity tags of resources that can be changed under a precondition."""
    takes = [one for each in operations.values() for one in each.get("parameters", ())]
    if not any(one["name"] == "If-Match" for one in takes):
        return
    about = "For `If-Match`: changes with what was put, not with the state of it."
    for method in operations.keys() & {"get", "put"}:
        for status, answer in operations[method]["responses"].items():
            if status.startswith("2"):
                answer["headers"] = {
                    "ETag": {"description": about, "schema": {"type": "string"}}
                }


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation, in order."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method, path, operation


def _refine(method: str, path: str, operation: dict[str, Any]) -> None:
    first, _, rest = operation.pop("description", "").partition("\n\n")
    if first:  # instead of a summary from the function's name
        operation["summary"] = " ".join(first.split()).rstrip(".")
        operation["description"] = rest or first
    else:
        operation["description"] = operation["summary"]
        operation["summary"] = operation["summary"].rstrip(".")
    operation.setdefault("security", [])  # explicit: it needs no key
    responses = operation["responses"]
    for status in _statuses(method, path, operation):
        answer = responses.setdefault(str(status.value), {"description": _WRONG[status]})
        if answer["description"] == "Validation Error":  # FastAPI's own
            answer["description"] = _WRONG[status]
    if operation["security"]:
        for status, answer in responses.items():
            if status >= "4":
                answer["content"] = _SHAPE
    operation["responses"] = dict(sorted(responses.items()))
    name = operation["operationId"]
    if name.startswith("send_"):
        accepted = {"application/json": {"schema": {"$ref": "#/components/schemas/Accepted"}}}
        responses["200"].setdefault("content", accepted)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None and name in BODIES:
        body["example"] = BODIES[name]


def _statuses(method: str, path: str, operation: dict[str, Any]) -> Iterator[HTTPStatus]:
    """Yield the error statuses that a request may get."""
    named = {parameter["name"]: parameter for parameter in operation.get("parameters", ())}
    if operation["security"]:
        yield HTTPStatus.UNAUTHORIZED
        yield HTTPStatus.FORBIDDEN
        yield HTTPStatus.SERVICE_UNAVAILABLE
    if "{" in path or "model" in named:
        yield HTTPStatus.NOT_FOUND
    if named or "requestBody" in operation:
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if method != "get" and operation["operationId"] not in _WITHOUT_CONFLICT:
        yield HTTPStatus.CONFLICT
    if "If-Match" in named:
        yield HTTPStatus.PRECONDITION_FAILED
    if "requestBody" in operation:
        yield HTTPStatus.BAD_REQUEST
        yield HTTPStatus.REQUEST_TIMEOUT
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE
