"""Metrics of the installation, as Prometheus parses them."""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.orm import Session

from services.read_models.prometheus import gauges


def metrics(session: Session, now: datetime) -> Iterator[Metric]:
    """Yield each metric that is read from the database."""
    text = "".join(each.text() for each in gauges(session, now))
    yield from text_string_to_metric_families(text)
