"""Pages of single rows: predictions, sessions and quarantine."""

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from core import moments
from core.errors import NotFound, Unprocessable
from core.schema import task
from core.schema.rows import Status
from services.read_models.export.export import ExportRequest, export
from services.read_models.export.formats import Format
from services.read_models.lookup import by_id, paged, quarantine, timeline
from services.read_models.lookup.query import (
    ListCursor,
    RowCursor,
    SessionCursor,
    read,
    written,
)
from services.read_models.lookup.query import Query as Wanted
from services.read_models.lookup.rows import Prediction
from services.read_models.lookup.snapshot import open_snapshot
from services.read_models.overview.model_header import Subject, subject
from web import traces
from web.rendering import HEADERS, PageRoute, redirect
from web.signing import VisitDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/models/{name}")

ROWS = 50  # of a page
STEPS = 200  # of a session


def find_subject(name: str, visit: VisitDep) -> Subject:
    """Return the model in the address, for a visitor who may see it."""
    with visit.reading() as session:
        return subject(session, name, visit.only)


SubjectDep = Annotated[Subject, Depends(find_subject)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A filter as a form sends it: all fields are texts, and an empty one does not filter."""

    since: str = ""
    until: str = ""
    version: str = ""
    entity: str = ""
    status: str = ""
    labelled: str = ""
    shadow: str = ""

    @property
    def wanted(self) -> Wanted:
        """Return the filter as values.

        Raises
        ------
        Unprocessable
            Naming the field that cannot be read.
        """
        if self.status and self.status not in [*Status]:
            raise Unprocessable(f"status: one of {', '.join(Status)}")
        return Wanted(
            since=_moment("since", self.since),
            until=_moment("until", self.until),
            version=self.version or None,
            entity=self.entity or None,
            status=self.status or None,
            labelled=_choice(self.labelled),
            shadow=_choice(self.shadow),
        )

    def address(self, **more: str) -> str:
        """Return the query of a link with this filter, and more fields."""
        given = {**asdict(self), **more}
        return urlencode({name: text for name, text in given.items() if text})

    @property
    def is_open(self) -> bool:
        """Whether no field filters."""
        return not self.address()


def _moment(name: str, text: str) -> datetime | None:
    """Read a time of a form, in UTC where it names no zone: browsers send none."""
    if not text:
        return None
    try:
        moment = moments.parse(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        moment = datetime.max.replace(tzinfo=UTC)
    if not 1970 <= moment.year < 9000:
        raise Unprocessable(f"{name}: not a time, as in 2026-01-08 12:00")
    return moment


def _choice(text: str) -> bool | None:
    return {"yes": True, "no": False}.get(text)


def asked(request: Request) -> Asked:
    """Read the filter of the address."""
    given = request.query_params
    return Asked(**{one.name: given.get(one.name, "").strip()[:1024] for one in fields(Asked)})


AskedDep = Annotated[Asked, Depends(asked)]
Cursor = Annotated[str, Query(max_length=2048)]


@router.get("/predictions")
def show_predictions(
    of: SubjectDep,
    asked: AskedDep,
    visit: VisitDep,
    cursor: Cursor = "",
) -> Response:
    """Show predictions, newest event first."""
    problem, found = "", None
    try:
        after = read(cursor, ListCursor) if cursor else None
        wanted = asked.wanted
    except Unprocessable as refusal:
        problem = str(refusal)
    else:
        with open_snapshot(visit.site.sessions, visit.site.lake, of.model_id) as state:
            found = paged.page(state, wanted, after, ROWS, paged.within())
    return visit.page(
        "predictions.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK,
        model=of,
        asked=asked,
        problem=problem,
        page=found,
        next=written(found.cursor) if found and found.cursor else "",
        is_first=not cursor,
        statuses=[*Status],
        formats=[*Format],
        measure=task.of(of.contract).measure,
    )


@router.get("/find")
def find(of: SubjectDep, by: str = "prediction", text: str = "") -> Response:
    """Redirect to a prediction, a session, or the predictions of an entity."""
    base = f"/models/{quote(of.name)}"
    if not text.strip():
        address = f"{base}/predictions"
    elif by == "session":
        address = f"{base}/sessions/{quote(text.strip(), safe='')}"
    elif by == "entity":
        address = f"{base}/predictions?{urlencode({'entity': text.strip()})}"
    else:
        address = f"{base}/predictions/{quote(text.strip(), safe='')}"
    return redirect(address)


@router.get("/export")
def save(
    of: SubjectDep,
    asked: AskedDep,
    visit: VisitDep,
    format: Format = Format.CSV,
    with_labels: bool = True,
) -> Response:
    """Write the predictions that match to a file."""
    order = ExportRequest(
        model_id=of.model_id, query=asked.wanted, form=format, with_labels=with_labels
    )
    disposition = {"Content-Disposition": f'attachment; filename="{of.name}.{format}"'}
    return StreamingResponse(
        export(visit.site.sessions, visit.site.lake, order),
        media_type=format.media_type,
        headers=HEADERS | disposition,
    )


@router.get("/predictions/{prediction_id:path}")
def show_prediction(
    request: Request, prediction_id: str, of: SubjectDep, visit: VisitDep
) -> Response:
    """Show one prediction: its input, its output and its label."""
    given = request.query_params
    cursor = given.get("cursor", "")[:2048]
    with open_snapshot(visit.site.sessions, visit.site.lake, of.model_id) as state:
        found = by_id.prediction(
            state,
            prediction_id[:1024],
            near=_moment("at", given.get("at", "")),
            after=read(cursor, ListCursor) if cursor else None,
            stop=paged.within(),
        )
    if found is None:
        raise NotFound(f"No prediction of {of.name} has this id, as far as rows are kept.")
    unfinished = found if isinstance(found, by_id.Unfinished) else None
    row = found if isinstance(found, Prediction) else None
    return visit.page(
        "prediction.html",
        status=HTTPStatus.OK if row else HTTPStatus.NOT_FOUND,
        model=of,
        prediction_id=prediction_id,
        row=row,
        searched_back_to=unfinished and unfinished.searched_back_to,
        next=written(unfinished.cursor) if unfinished else "",
        traces=traces.prediction(row, of.contract) if row else [],
        trace_link=row and trace_link(visit.site.trace_url, row.fields["trace_id"]),
        lists=task.of(of.contract).compares_lists,
        measure=task.of(of.contract).measure,
    )


def trace_link(template: str, trace_id: str | None) -> str | None:
    """Return the address of a trace in its backend; None without a trace or a template.

    Examples
    --------
    >>> trace_link("https://traces.example/trace/{trace_id}", "4bf9/..")
    'https://traces.example/trace/4bf9%2F..'
    """
    if not template or not trace_id:
        return None
    return template.replace("{trace_id}", quote(trace_id, safe=""))


@router.get("/sessions/{session_id:path}")
def show_session(
    session_id: str,
    of: SubjectDep,
    visit: VisitDep,
    cursor: Cursor = "",
) -> Response:
    """Show a session, step by step."""
    after = read(cursor, SessionCursor) if cursor else None
    with open_snapshot(visit.site.sessions, visit.site.lake, of.model_id) as state:
        found = timeline.timeline(state, session_id[:1024], after, STEPS, paged.within())
    if found is None:
        raise NotFound(f"No session of {of.name} has this id, as far as rows are kept.")
    versions = [None, *(row.fields["version"] for row in found.rows)]
    return visit.page(
        "session.html",
        model=of,
        session_id=session_id,
        session=found,
        steps=[
            (row, traces.events(row, before))
            for row, before in zip(found.rows, versions, strict=False)
        ],
        next=written(found.cursor) if found.cursor else "",
        is_first=not cursor,
        values=traces.session(found.rows, of.contract),
        latency=traces.latency(found.rows, of.contract),
    )


@router.get("/quarantine")
def show_quarantine(
    of: SubjectDep,
    visit: VisitDep,
    field: str = "",
    cursor: Cursor = "",
) -> Response:
    """Show the rows in quarantine: counts by reason, and the latest rows."""
    after = read(cursor, RowCursor) if cursor else None
    with visit.reading() as session:
        found = quarantine.bad_rows(session, of.model_id, field or None, after, ROWS)
        reasons = quarantine.reasons(session, of.model_id, visit.now)
    return visit.page(
        "quarantine.html",
        model=of,
        field=field,
        bad=found,
        reasons=reasons,
        next=written(found.cursor) if found.cursor else "",
        is_first=not cursor,
    )
