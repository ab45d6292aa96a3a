"""Channels in the configuration."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from api.alerting.channels import ChannelPut, plan_of
from api.configuration.entries import parse
from db.tables import Channel
from notify.channel import CHANNELS
from services.alerting import channels
from services.configuration.faults import Faults
from services.configuration.noun import Action, Stated
from services.models.registry import check_name

ANOTHER = "(another secret)"
_VARIABLE = re.compile(r"\$\{\w+\}")


class Channels:
    """Receivers of notifications; to remove one is to close it."""

    kind, field, entry, batch = "Channel", "channels", ChannelPut, 50
    actions: Mapping[Action, str] = {
        Action.CREATED: "channel.add",
        Action.CHANGED: "channel.update",
        Action.REMOVED: "channel.close",
    }

    def load(
        self, session: Session, names: Collection[str] | None = None
    ) -> Mapping[str, Channel]:
        """Return every channel, closed ones too, or those that are named."""
        found = channels.every(session) if names is None else channels.locked(session, names)
        return {channel.name: channel for channel in found}

    def document(self, known: Channel | None) -> Mapping[str, Any] | None:
        """Return an open channel; a secret is the name of a variable."""
        if known is None or not known.enabled:
            return None
        return _document(known.name, known.kind, known.config, known.severities)

    def exported(self, known: Channel) -> Mapping[str, Any] | None:
        """Return an open channel."""
        return self.document(known)

    def state(self, known: Channel | None) -> object:
        """Return what was put, with its secrets."""
        if known is None:
            return None
        return known.kind, {**known.config}, [*known.severities], known.enabled

    def parse(self, name: str, raw: object, faults: Faults) -> ChannelPut | None:
        """Return the body of a channel."""
        return parse(ChannelPut, (self.field, name), raw, faults)

    def decide(
        self, stated: Stated, there: Mapping[str, Channel], faults: Faults
    ) -> Mapping[str, Any] | None:
        """Return the channel as it will be; that another secret is stated is shown as such."""
        plan, known = plan_of(stated.name, stated.entry), there.get(stated.name)
        path = self.field, stated.name
        with faults.at(*path):
            check_name("channel", plan.name)
        for name, value in plan.config.items():
            if isinstance(value, str) and _VARIABLE.fullmatch(value):
                faults.add([*path, "config", name], f"{value} stands for no value here")
        config: dict[str, Any] = {}
        with faults.at(*path, "config"):
            config = channels.checked_config(plan, known)
        if faults.has_under(*path):
            return None
        after = _document(plan.name, plan.kind, config, plan.severities)
        before = known.config if known is not None and known.kind == plan.kind else {}
        for name in _secrets(plan.kind) & plan.config.keys():
            if before and before.get(name) != config.get(name):
                after["config"][name] = ANOTHER
        return after

    def refuse_removal(self, session: Session, names: Collection[str], faults: Faults) -> None:
        """Accept the removal of any channel."""

    def save(
        self, session: Session, stated: Stated, known: Channel | None, now: datetime
    ) -> None:
        """Add, change or reopen one."""
        channels.put(session, plan_of(stated.name, stated.entry), now)

    def remove(self, session: Session, known: Channel, now: datetime) -> None:
        """Close one."""
        channels.close(session, known.name, now)


def variable(name: str, field: str) -> str:
    """Return the variable of the environment that holds a secret of a channel.

    Examples
    --------
    >>> variable("on-call", "secret")
    '${CHANNEL_ON_CALL_SECRET}'
    """
    return "${" + re.sub(r"\W", "_", f"channel_{name}_{field}").upper() + "}"


def _document(
    name: str, kind: str, config: Mapping[str, Any], severities: Collection[str]
) -> dict[str, Any]:
    found = CHANNELS.get(kind)
    shown = {} if found is None else found.public(config)
    hidden = {one: variable(name, one) for one in _secrets(kind) if config.get(one)}
    return {"kind": kind, "config": shown | hidden, "severities": sorted({*severities})}


def _secrets(kind: str) -> set[str]:
    found = CHANNELS.get(kind)
    return set() if found is None else found.secrets
