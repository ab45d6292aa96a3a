"""Routes of alerts: put, delete, list."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from alerts import route
from core.errors import Conflict, NotFound, Unprocessable
from db.tables import AlertGroup, Channel, Route


def every(session: Session) -> dict[str, route.Route]:
    """Return all routes, by name."""
    return {row.name: row.definition for row in rows(session)}


def rows(session: Session, names: Collection[str] | None = None) -> list[Route]:
    """Return all routes by name, or those that are named, which are locked."""
    query = select(Route).order_by(Route.name)
    if names is not None:
        query = query.where(Route.name.in_(names)).with_for_update()
    return [*session.scalars(query)]


def find(session: Session, name: str) -> Route:
    """Return the route of that name, or raise NotFound."""
    found = session.get(Route, name)
    if found is None:
        raise NotFound(f"no route {name!r}")
    return found


def put(session: Session, name: str, definition: route.Route, now: datetime) -> bool:
    """Make a route be as stated; True when it is new.

    Raises
    ------
    Unprocessable
        If a channel or its parent does not exist, or it would be below itself.
    """
    check(session, {**every(session), name: definition}, name)
    row = session.get(Route, name)
    is_new = row is None
    if row is None:
        session.add(Route(name=name, definition=definition))
    else:
        row.definition = definition
    flush_soon(session, now)
    return is_new


def check(session: Session, tree: dict[str, route.Route], name: str) -> None:
    """Refuse a route that names a channel that there is not, or that makes no tree."""
    channels = {*session.scalars(select(Channel.name))}
    named = {*tree[name].channels, *tree[name].escalate_to}
    unknown = ", ".join(sorted(named - channels))
    if unknown:
        raise Unprocessable(f"channels: no {unknown}; known: {', '.join(sorted(channels))}")
    try:
        route.check_tree(tree)
    except ValueError as error:
        raise Unprocessable(str(error)) from None


def delete(session: Session, name: str, now: datetime) -> None:
    """Delete a route; its open groups go on as those of the root.

    Raises
    ------
    NotFound
        If there is none.
    Conflict
        If it has children.
    """
    row = find(session, name)
    below = [one for one, definition in every(session).items() if definition.parent == name]
    if below:
        raise Conflict(f"route {name!r} has {', '.join(below)} below it: delete them first")
    session.delete(row)
    flush_soon(session, now)


def flush_soon(session: Session, now: datetime) -> None:
    """Make every group due: what decides who is notified has changed."""
    session.execute(
        update(AlertGroup)
        .values(next_flush_at=now)
        .execution_options(synchronize_session=False)
    )
