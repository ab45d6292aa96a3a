"""The configuration of the platform over HTTP: models, monitors, SLOs and channels at once."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from api.configuration.nouns import NOUNS
from api.configuration.schema import schema
from api.server.body import Body
from api.server.dependencies import AdminDep, CallerDep, NowDep, PlatformDep, ReadDep
from api.server.json_route import LargeJsonRoute
from db.tables import Scope
from services.access.api_keys import require
from services.configuration import apply
from services.configuration.noun import ConfigurationChange

router = APIRouter(
    prefix="/v1/configuration", tags=["configuration"], route_class=LargeJsonRoute
)
Configuration = dict[str, dict[str, Any]]


class ConfigurationPut(Body):
    """Every object of a configuration, and where it comes from.

    Attributes
    ----------
    configuration
        Objects by noun (`channels`, `models`) and name.
    commit
        Of the files, for the audit log.
    dirty
        Whether the files differ from the commit.
    """

    configuration: Configuration
    commit: str = Field(default="", max_length=100)
    dirty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationChanges:
    """What a configuration changes, or has changed.

    Attributes
    ----------
    n_unchanged
        Objects of the configuration that stay as they are.
    """

    dry_run: bool
    changes: list[ConfigurationChange]
    n_unchanged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationNow:
    """The configuration of the platform, without what has its default.

    Attributes
    ----------
    configuration
        Objects by noun and name. A variable stands for each secret of a channel.
    """

    configuration: Configuration


@router.get("")
def read_configuration(_: AdminDep, session: ReadDep) -> ConfigurationNow:
    """Read the configuration of the platform: models with monitors and SLOs, and channels."""
    return ConfigurationNow(configuration=apply.current(session, NOUNS))


@router.put("")
def put_configuration(
    body: ConfigurationPut,
    who: AdminDep,
    parts: PlatformDep,
    now: NowDep,
    dry_run: Annotated[bool, Query(description="Report changes, and make none.")] = False,
    prune: Annotated[bool, Query(description="Remove what the body does not name.")] = False,
) -> ConfigurationChanges:
    """Make the platform be as a configuration states; all of it is validated first.

    422 with every fault, each at a JSON pointer into `configuration`, and nothing is changed.
    Objects are saved whole, some in each transaction. 409 if one was changed meanwhile, or the
    request was interrupted: the same request saves what is left.
    """
    plan = apply.decide(parts.sessions, NOUNS, body.configuration, prune=prune)
    changes = [one.change for one in plan.decisions]
    if not dry_run:
        source = apply.Source(actor=who.name, commit=body.commit, dirty=body.dirty)
        try:
            apply.save(parts.sessions, plan, source, now)
        finally:
            for change in changes:
                parts.directory.forget(change.name)
    return ConfigurationChanges(dry_run=dry_run, changes=changes, n_unchanged=plan.n_unchanged)


@router.get("/schema")
def read_configuration_schema(who: CallerDep) -> dict[str, Any]:
    """Return the JSON schema of the files that `seqwatch apply` reads."""
    require(who, Scope.READ, who.model_id)
    return schema()
