"""What the example sends is what the platform reads: nothing goes to quarantine."""

from datetime import UTC, datetime
from uuid import uuid4

import pyarrow as pa
import pytest

from core.schema.contract import Contract
from core.terms import Terms
from examples.forecaster.tables import label_arrivals, label_tables, reference_tables
from examples.forecaster.world import (
    CONTRACT,
    N_HISTORY,
    Scenario,
    make_world,
    read_series,
)
from services.ingest.batch import Batch, Feed, Format
from services.ingest.formats.decode import Section, decode
from tests.forecaster.registry import CONTRACT as SMALL
from tests.forecaster.registry import Registry, Start, ask, item

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORLD = make_world(
    read_series(None, seed=1)[: N_HISTORY + 48], n_entities=2, seed=5, scenario=Scenario()
)


def _read(body: bytes, feed: Feed, format_: Format, contract: Contract) -> Section:
    batch = Batch(
        model_id=uuid4(),
        model="m",
        terms=Terms(contract=contract),
        feed=feed,
        format=format_,
        body=body,
    )
    sections, refused = decode({0: batch}, NOW, max_rows=100_000)
    assert not refused
    (section,) = sections
    assert section.keep.all(), section.drafts[0].faults
    return section


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def test_the_history_keeps_to_the_contract() -> None:
    for table in reference_tables(WORLD):
        section = _read(_stream(table), Feed.REFERENCE, Format.ARROW, CONTRACT)
        assert section.table.num_rows == table.num_rows
    for table in label_tables(WORLD, label_arrivals(WORLD, seed=1)):
        section = _read(_stream(table), Feed.LABELS, Format.ARROW, CONTRACT)
        assert (
            section.table["arrived_at"]
            .combine_chunks()
            .equals(table["arrived_at"].combine_chunks())
        )


@pytest.mark.parametrize("challenger", [b"200", b"-1"], ids=["that works", "that fails"])
def test_what_the_service_logs_keeps_to_the_contract(
    registry: Registry, start: Start, challenger: bytes
) -> None:
    registry.publish(v1=b"100", v2=challenger, share_bp=5000, is_shadowed=True)
    with start() as service:
        ask(service, *(item(f"s-{i}") for i in range(20)))
        ask(service, *(item(f"s-{i}", step_index=1, end=True) for i in range(20)))
    bodies = [seen.body for seen in registry.seen if seen.path.endswith("/predictions")]
    sections = [_read(body, Feed.PREDICTIONS, Format.JSON, SMALL) for body in bodies]
    assert sum(section.table.num_rows for section in sections) == len(registry.logged())
