"""Tables of the inbox, its streams, quarantine and erasures."""

from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, LargeBinary, false
from sqlalchemy.orm import Mapped, mapped_column

from core.schema.rows import Kind, Stage
from db.base import Base, BigId


class Receipt(Base):
    """That a batch was accepted, and as what: sending it again changes nothing."""

    __tablename__ = "receipt"
    __table_args__ = (Index("ix_receipt_received_at", "received_at"),)

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    kind: Mapped[Kind] = mapped_column(primary_key=True)
    batch_id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[bytes]
    n_accepted: Mapped[int]
    n_quarantined: Mapped[int]
    received_at: Mapped[datetime]


class EventId(Base):
    """That an event was received: another one with its id is a repetition, in any batch."""

    __tablename__ = "event_id"
    __table_args__ = (Index("ix_event_id_received_at", "received_at"),)

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime]


class Inbox(Base):
    """Accepted rows that are not yet in the lake, as one Arrow IPC stream.

    One row holds all batches of one group commit. `group_no` is given by the
    fold: it is the order in which the lake takes them, and it is dense even
    where ids become visible out of order (PostgreSQL sequences). `file` names the
    file beside the database in which the stream lies (`db.payload_files`); without
    one it is in `inbox_payload` or, if `in_second`, in `inbox_payload_second`.
    """

    __tablename__ = "inbox"
    __table_args__ = (Index("ix_inbox_model_id_kind_group_no", "model_id", "kind", "group_no"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    kind: Mapped[Kind]
    n_rows: Mapped[int]
    n_bytes: Mapped[int]
    received_at: Mapped[datetime]
    group_no: Mapped[int | None]
    file: Mapped[str | None]
    in_second: Mapped[bool] = mapped_column(default=False, server_default=false())


class InboxPayload(Base):
    """What an entry of the inbox holds: apart, so that nobody reads it who only counts."""

    __tablename__ = "inbox_payload"

    entry_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("inbox.id", ondelete="CASCADE"), primary_key=True
    )
    content: Mapped[bytes] = mapped_column(LargeBinary)


class SecondInboxPayload(Base):
    """As `InboxPayload`, in turn with it: `db.payload_tables`."""

    __tablename__ = "inbox_payload_second"

    entry_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("inbox.id", ondelete="CASCADE"), primary_key=True
    )
    content: Mapped[bytes] = mapped_column(LargeBinary)


class Stream(Base):
    """How far one stream of a model is folded and archived, in groups."""

    __tablename__ = "stream"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    kind: Mapped[Kind] = mapped_column(primary_key=True)
    folded: Mapped[int] = mapped_column(default=0)
    archived: Mapped[int] = mapped_column(default=0)
    n_rows_archived: Mapped[int] = mapped_column(BigId, default=0)


class SetAside(Base):
    """A stream whose rows cannot be processed at one stage: it waits, and stops no other.

    `item` names what is at fault: an entry of the inbox, a group, an event day, an
    event; empty where nothing is singled out. `error` holds no value of a row of a model
    with sensitive ones. It is tried again from `not_before` on (wall time).
    """

    __tablename__ = "set_aside"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    kind: Mapped[Kind] = mapped_column(primary_key=True)
    stage: Mapped[Stage] = mapped_column(primary_key=True)
    item: Mapped[str]
    error: Mapped[str]
    since: Mapped[datetime]
    attempts: Mapped[int]
    not_before: Mapped[datetime]


class DirtyDay(Base):
    """An event day whose joins with labels must be computed again."""

    __tablename__ = "dirty_day"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    rev: Mapped[int] = mapped_column(default=0)


class Quarantine(Base):
    """A row that broke the contract: kept, with the reason, out of every count."""

    __tablename__ = "quarantine"
    __table_args__ = (Index("ix_quarantine_model_id_received_at", "model_id", "received_at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    kind: Mapped[Kind]
    batch_id: Mapped[str]
    row: Mapped[int]
    field: Mapped[str]
    reason: Mapped[str]
    content: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]


class MismatchDay(Base):
    """Rows that did not fit the contract, by event day (of arrival where they name none).

    `reason` is one of a closed list, so that callers cannot make this table grow.
    """

    __tablename__ = "mismatch_day"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigId, default=0)


class UnusableAnswer(Base):
    """Predictions in quarantine whose output was the fault, by version and session.

    `shadow` as in a prediction; `day` is the event day of the answer.
    """

    __tablename__ = "unusable_answer"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(primary_key=True)
    shadow: Mapped[bool] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigId, default=0)


class LateDay(Base):
    """An evaluated event day into which rows were folded afterwards: it is re-evaluated.

    `rev` is drawn anew by each fold that touches the day: whoever evaluates it again
    takes the mark off only if nothing came in meanwhile. `done_until` is how far
    the evaluations that this day is part of were re-evaluated since.
    """

    __tablename__ = "late_day"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    rev: Mapped[int] = mapped_column(default=0)
    done_until: Mapped[datetime | None]


class RepeatDay(Base):
    """How many rows of an event day bear an id that the day had before, by the last join."""

    __tablename__ = "repeat_day"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    n: Mapped[int]


class LogCount(Base):
    """How many rows of a kind there were since the model began: late, repeated, skewed.

    Counted in the transaction that takes the rows, so that no restart forgets
    or doubles any.
    """

    __tablename__ = "log_count"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigId, default=0)


class Erasure(Base):
    """That rows about somebody were erased on request, and how many.

    Whom it was about is kept as a digest under the model's own key: enough to
    answer "was this done?", not enough to identify who it was.
    """

    __tablename__ = "erasure"
    __table_args__ = (Index("ix_erasure_model_id_asked_at", "model_id", "asked_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    field: Mapped[str]  # session_id or entity
    subject: Mapped[bytes]
    asked_by: Mapped[str]
    asked_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    n_inbox: Mapped[int] = mapped_column(default=0)
    n_lake: Mapped[int] = mapped_column(default=0)
    n_quarantined: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
