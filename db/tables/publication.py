"""Table of publications: how far the rows of a source are in the open tables."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class Publication(Base):
    """Batches of rows of one source (`db.queries.publication`), numbered upwards from 1.

    `batch` is the newest, `done` the last that is in the lake. `taken_at` is when, in wall
    time, no row was left that waited.
    """

    __tablename__ = "publication"

    source: Mapped[str] = mapped_column(primary_key=True)
    batch: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    taken_at: Mapped[datetime | None]
