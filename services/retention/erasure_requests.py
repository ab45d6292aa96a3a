"""Requests of erasure, executed by `retention.erasure`."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import Unprocessable
from core.schema import masking
from core.schema.feature import Sensitivity
from db.queries.log import erasure as stored
from db.queries.queue import runs
from db.tables import Erasure, Model

JOB = "erase"  # its subject is the model
FIELDS = ("session_id", "entity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom an erasure is about, known by a digest only."""

    erasure_id: UUID
    field: str
    digest: bytes
    key: bytes

    def matches(self, value: str) -> bool:
        """Return whether a stored value is about it: as it was sent, or hashed."""
        return self.digest in (
            _digest(self.key, masking.hashed(self.key, self.field, value)),
            _digest(self.key, value),
        )


def _digest(key: bytes, hashed: str) -> bytes:
    return hmac.digest(key, b"erasure\0" + hashed.encode(), hashlib.sha256)


def ask(
    session: Session, model_id: UUID, field: str, text: str, asked_by: str, now: datetime
) -> Erasure:
    """Ask for an erasure, in the transaction of the caller; a worker does it.

    Parameters
    ----------
    session
        The open transaction.
    model_id
        Whose rows.
    field
        `session_id` or `entity`.
    text
        As it was sent, before any hashing. It is not kept.
    asked_by
        The name of the key.
    now
        Wall time. What was received before the run is erased.

    Returns
    -------
    Erasure
        The one that is under way already, if the same was asked before.

    Raises
    ------
    Unprocessable
        If the field is of another name, or its values are not stored.
    """
    # load
    if field not in FIELDS or not text:
        raise Unprocessable(f"name one of {', '.join(FIELDS)}, and whom it is about")
    model = session.get_one(Model, model_id)
    open_ones = stored.unfinished(session, model_id)

    # decide
    contract = model.contract
    if masking.sensitivity_of(contract, field) is Sensitivity.DROP:
        raise Unprocessable(f"{field} is dropped before anything is stored: there are no rows")
    key = model.mask_key or masking.new_key()
    digest = _digest(key, masking.hashed(key, field, text))
    same = [one for one in open_ones if one.field == field and one.subject == digest]

    # save
    model.mask_key = key
    if same:
        erasure = same[0]
    else:
        erasure = Erasure(
            model_id=model_id, field=field, subject=digest, asked_by=asked_by, asked_at=now
        )
        session.add(erasure)
    runs.ask(session, JOB, now, now, str(model_id))
    session.flush()
    return erasure


def due(session: Session) -> list[str]:
    """Return the models with erasures to be done, as subjects of runs."""
    return [str(model_id) for model_id in stored.waiting_models(session)]
