"""When the predictions of each entity were made: whoever falls silent is named."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.schema.rows import REFERENCE
from db.queries.upsert import upsert
from db.tables import EntitySeen
from lake.lists import Ints, micros
from monitors.slo.silence import SilenceParams, SilentEntity

MOST = 10_000  # entities of a model that are followed
KEPT = timedelta(days=7)  # an entity that is silent for longer has been taken out of service
FEWEST = 100  # predictions of an entity before its silence means anything
_KEYS = 1_000  # of one IN list
_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Predictions of some entities, by entity and time.

    Attributes
    ----------
    names
        Each entity once.
    starts : (entity,)
        Where the times of each begin.
    times : (prediction,)
        Microseconds since 1970, ascending within an entity.
    """

    names: tuple[str, ...]
    starts: Ints
    times: Ints


def seen(rows: pa.Table) -> Seen | None:
    """Return when each entity was predicted for; None where rows name none."""
    entity = rows["entity"].combine_chunks()
    named = pc.and_(pc.is_valid(entity), pc.not_equal(rows["version"], REFERENCE))
    if not pc.any(named).as_py():
        return None
    some = rows.select(["entity", "at"]).filter(named)
    texts = some["entity"].combine_chunks().cast(pa.string()).dictionary_encode()
    codes, at = texts.indices.to_numpy(), micros(some["at"])
    order = np.lexsort((at, codes))
    codes = codes[order]
    return Seen(
        names=tuple(texts.dictionary.to_pylist()),
        starts=np.flatnonzero(np.diff(codes, prepend=-1)),
        times=at[order],
    )


def add(session: Session, model_id: UUID, found: Seen) -> None:
    """Add predictions to what is known of their entities; of new ones, as many as fit."""
    known: dict[str, EntitySeen] = {}
    for first in range(0, len(found.names), _KEYS):
        some = found.names[first : first + _KEYS]
        query = select(EntitySeen).where(
            EntitySeen.model_id == model_id, EntitySeen.entity.in_(some)
        )
        known |= {row.entity: row for row in session.scalars(query)}
    room = 0
    if len(known) < len(found.names):
        n = select(func.count()).select_from(EntitySeen).where(EntitySeen.model_id == model_id)
        room = MOST - (session.scalar(n) or 0)
    new = []
    for name, times in zip(found.names, np.split(found.times, found.starts[1:]), strict=True):
        if name in known:
            new.append(_added(known[name], times))
        elif room > 0:
            room -= 1
            new.append(_added(None, times))
        else:
            continue
        new[-1] |= {"model_id": model_id, "entity": name}
    upsert(session, EntitySeen, new)


def _added(before: EntitySeen | None, times: Ints) -> dict[str, object]:
    first, last, n, longest, n_long = int(times[0]), int(times[-1]), 0, 0, 0
    if before is not None:
        n, longest, n_long = before.n, before.longest_gap_us, before.n_long
        was = (before.last_at - _EPOCH) // _US
        times = np.concatenate([[was], times[times > was]])
        first, last = min(first, (before.first_at - _EPOCH) // _US), max(last, was)
        n += times.size - 1
    else:
        n = times.size
    gaps = np.diff(times)
    mean = (last - first) / max(n - 1, 1)
    longest = max(longest, int(gaps.max(initial=0)))
    n_long += int((gaps > 3 * mean).sum())
    is_regular = n >= FEWEST and 100 * n_long <= n
    limit = SilenceParams().limit(longest * _US)
    last_at = _EPOCH + last * _US
    return {
        "n": n,
        "first_at": _EPOCH + first * _US,
        "last_at": last_at,
        "longest_gap_us": longest,
        "n_long": n_long,
        "silent_at": last_at + limit if is_regular else None,
    }


def silent(session: Session, model_id: UUID, watermark: datetime) -> list[SilentEntity]:
    """Return the entities that have fallen silent, those first that did so first."""
    found = session.execute(
        select(EntitySeen.entity, EntitySeen.last_at)
        .where(
            EntitySeen.model_id == model_id,
            EntitySeen.silent_at < watermark,
            EntitySeen.last_at > watermark - KEPT,
        )
        .order_by(EntitySeen.silent_at, EntitySeen.entity)
    )
    return [SilentEntity(name=name, last_at=last_at) for name, last_at in found]


def count(session: Session, model_id: UUID) -> int:
    """Return how many entities are followed."""
    n = select(func.count()).select_from(EntitySeen).where(EntitySeen.model_id == model_id)
    return session.scalar(n) or 0
