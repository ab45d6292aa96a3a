"""Routes of alerts in the configuration."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.alerting.routes import RoutePut, body_of, route_of
from api.configuration.entries import parse
from db.tables import Route
from services.alerting import routes
from services.configuration.faults import Faults
from services.configuration.noun import Action, Stated
from services.models.registry import check_name


class Routes:
    """Which channels are notified of which alerts."""

    kind, field, entry, batch = "Route", "routes", RoutePut, 50
    actions: Mapping[Action, str] = {
        Action.CREATED: "route.add",
        Action.CHANGED: "route.update",
        Action.REMOVED: "route.delete",
    }

    def load(
        self, session: Session, names: Collection[str] | None = None
    ) -> Mapping[str, Route]:
        """Return every route, or those that are named."""
        return {row.name: row for row in routes.rows(session, names)}

    def document(self, known: Route | None) -> Mapping[str, Any] | None:
        """Return a route with every field."""
        return None if known is None else body_of(known.definition).model_dump(mode="json")

    def exported(self, known: Route) -> Mapping[str, Any] | None:
        """Return a route without what has its default."""
        return body_of(known.definition).model_dump(mode="json", exclude_defaults=True)

    def state(self, known: Route | None) -> object:
        """Return what was put."""
        return None if known is None else known.definition

    def parse(self, name: str, raw: object, faults: Faults) -> RoutePut | None:
        """Return the body of a route."""
        return parse(RoutePut, (self.field, name), raw, faults)

    def decide(
        self, stated: Stated, there: Mapping[str, Route], faults: Faults
    ) -> Mapping[str, Any] | None:
        """Return the route as it will be; its channels are checked when it is saved."""
        path = self.field, stated.name
        with faults.at(*path):
            check_name("route", stated.name)
            route_of(stated.entry)
        if faults.has_under(*path):
            return None
        after: dict[str, Any] = stated.entry.model_dump(mode="json")
        return after

    def refuse_removal(self, session: Session, names: Collection[str], faults: Faults) -> None:
        """Add a fault for each route that keeps one below it."""
        for row in session.scalars(select(Route)):
            parent = row.definition.parent
            if parent in names and row.name not in names:
                faults.add([self.field], f"route {parent!r} has {row.name!r} below it")

    def save(
        self, session: Session, stated: Stated, known: Route | None, now: datetime
    ) -> None:
        """Add or change one."""
        routes.put(session, stated.name, route_of(stated.entry), now)

    def remove(self, session: Session, known: Route, now: datetime) -> None:
        """Delete one."""
        session.delete(known)
        routes.flush_soon(session, now)
