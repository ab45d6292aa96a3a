"""Tables of models, versions and champions."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.policy import Policy
from core.schema.contract import Contract
from core.window import Stretches
from db.base import Base
from db.types import Declared, Typed, Words


class Model(Base):
    """One deployed model, under watch.

    `watermark` is event time: the newest `at` that was folded. `evaluated_until`
    is the end of the last event day that every monitor has evaluated, `checked_until` of
    the last grain.
    `routing_epoch` rises whenever the routing document changes. `mask_key` is
    the secret under which sensitive values are hashed; it never leaves the
    database. Days up to `history_until` (event time) were brought in after the
    fact: they are evaluated, and nobody is woken. `group`, `owner`, `team` and `tier` are empty
    for none; `tags` are sorted.
    """

    __tablename__ = "model"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(default="")
    runbook_url: Mapped[str] = mapped_column(default="")
    group: Mapped[str] = mapped_column(default="")
    tags: Mapped[tuple[str, ...]] = mapped_column(Words, default=())
    owner: Mapped[str] = mapped_column(default="", server_default="")
    team: Mapped[str] = mapped_column(default="", server_default="")
    tier: Mapped[str] = mapped_column(default="", server_default="")
    routing_epoch: Mapped[int] = mapped_column(default=0)
    contract_text: Mapped[str] = mapped_column("contract", Text)
    policy_text: Mapped[str] = mapped_column("policy", Text, default="{}")
    watermark: Mapped[datetime | None]
    evaluated_until: Mapped[datetime | None]
    checked_until: Mapped[datetime | None]
    last_received_at: Mapped[datetime | None]
    last_arrival_at: Mapped[datetime | None]
    mask_key: Mapped[bytes | None]
    history_until: Mapped[datetime | None]
    created_at: Mapped[datetime]

    contract = Declared(Contract, "contract_text")
    policy = Declared(Policy, "policy_text")


class Version(Base):
    """One set of weights, or one that somebody else keeps (`sha256` is None then).

    `reference` holds the stretches of input that it was trained on: what its drift is
    measured against. `objective` is the standardised error that its accuracy is held to.
    `reference_rev` rises when rows come into the reference late: what was learnt from it is
    learnt again.
    """

    __tablename__ = "version"
    __table_args__ = (UniqueConstraint("model_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    name: Mapped[str]
    contract_text: Mapped[str] = mapped_column("contract", Text)
    contract_digest: Mapped[str]
    sha256: Mapped[str | None]
    n_bytes: Mapped[int | None]
    manifest: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reference: Mapped[Stretches] = mapped_column(Typed(Stretches), default=())
    reference_rev: Mapped[int] = mapped_column(default=0)
    objective: Mapped[float | None]
    created_at: Mapped[datetime]

    contract = Declared(Contract, "contract_text")


class Champion(Base):
    """Which version serves. `rev` rises with each change: it is moved by compare-and-set."""

    __tablename__ = "champion"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    version_id: Mapped[UUID] = mapped_column(ForeignKey("version.id"))
    rev: Mapped[int]
    since: Mapped[datetime]
