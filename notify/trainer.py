"""Extension point for trainers: what a kind declares, and its arguments.

A kind is one module that ends in `KIND = TrainerKind(...)`, registered in the entry point
group `seqwatch.trainers` under its name. `services/rollouts/builtin_trainer.py` is built in.

`start` returns a reference, never a result. Progress, failure and the candidate arrive later:
the trainer posts them to `StartRequest.url` under a token of this training alone.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from core.errors import Unprocessable
from core.plugins import Configured, Registry
from core.schema.contract import Contract
from notify.sender import Sender

log = logging.getLogger(__name__)

BUILTIN = "builtin"  # as a kind, and as a trainer that needs no configuration

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """One training.

    Attributes
    ----------
    url, token
        `{url}/progress`, `{url}/failure` and `{url}/candidate` take what the trainer reports,
        with `Authorization: Bearer {token}`. A second start of a rollout voids the token of
        the first.
    template, params
        The candidate must be an artifact of an installed template, by default of this one.
    base
        The champion, whose artifact `GET /v1/models/{model}/versions/{base}/artifact` has; None
        for a first version.
    onset
        Since when the base is wrong; None where that is unknown.
    learn_from, learn_until
        Event time of the targets to learn from. Later ones belong to the gate: a candidate
        that has learned from them passes it without being better.
    predictions, labels
        Versions of the model's Delta tables; None where there is no table.
    deadline
        Wall time: the rollout fails, and the token is void.
    """

    rollout_id: UUID
    url: str
    token: str = field(repr=False)
    model: str
    contract: Contract
    template: str
    params: Mapping[str, object]
    base: str | None
    onset: datetime | None
    learn_from: datetime
    learn_until: datetime
    predictions: int | None
    labels: int | None
    seed: int
    deadline: datetime

    def to_json(self) -> bytes:
        """Return the request as JSON, with its token."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return msgspec.json.encode({**fields, "contract": self.contract.to_json()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The training was submitted; `reference` identifies it, to cancel it."""

    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The trainer cannot take it now: start again later, until the rollout's deadline.

    Attributes
    ----------
    error
        Why, for the operator.
    after
        When to start again: after a minute at the latest, which is the default.
    """

    error: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The trainer refuses the training: the rollout fails with the reason."""

    reason: str


Start: TypeAlias = Started | Retry | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Functions of the platform that a trainer may use.

    Attributes
    ----------
    sender
        Posts to addresses that the operator allows, within a time limit.
    enqueue
        Puts the training into the queue of `seqwatch trainer`, and returns its reference.
    """

    sender: Sender
    enqueue: Callable[[UUID], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerKind(Configured[C]):
    """One kind of trainer.

    Attributes
    ----------
    start
        Submits a training, within seconds. It is repeated after an exception, and after a start
        whose process died: it may be called twice for a rollout.
    cancel
        Ends a training whose rollout is over, given its reference; nothing where it has ended.
    """

    start: Callable[[C, StartRequest, Platform], Start]
    cancel: Callable[[C, str, Platform], None]


TRAINERS = Registry[TrainerKind[Any]]("seqwatch.trainers", "kind of trainer", TrainerKind)


def start(
    name: str, config: Mapping[str, object], request: StartRequest, platform: Platform
) -> Start:
    """Start a training by the kind `name`.

    Every failure is a result, none is raised: a kind that is unavailable
    refuses; an exception of a plug-in, and a result of another type, are tried again.
    """
    try:
        kind = TRAINERS.find(name)
        parsed = kind.parsed(config)
    except Unprocessable as error:
        return Refused(reason=str(error))

    def shown(text: str) -> str:
        return kind.redacted(text.replace(request.token, "(token)"), parsed)

    try:
        return _checked(kind.start(parsed, request, platform), shown)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - other starts are not stopped
        text = shown(f"{type(error).__name__}: {error}")
        log.error("rollout %s could not be started: %s", request.rollout_id, text)  # noqa: TRY400
        return Retry(error=text)


def cancel(name: str, config: Mapping[str, object], reference: str, platform: Platform) -> None:
    """Cancel a training by the kind `name`.

    Raises
    ------
    Unprocessable
        If the kind is unavailable; what the plug-in raises is raised.
    """
    kind = TRAINERS.find(name)
    kind.cancel(kind.parsed(config), reference, platform)


def _checked(found: object, shown: Callable[[str], str]) -> Start:
    """Return a result whose fields have the types that are declared, without secrets.

    It is stored and shown.
    """
    if not isinstance(found, Start):
        raise TypeError(f"{found!r} is neither Started nor Retry nor Refused")
    fields: dict[str, Any] = msgspec.to_builtins(found)
    kept = {name: shown(one) if isinstance(one, str) else one for name, one in fields.items()}
    return msgspec.convert(kept, type(found))
