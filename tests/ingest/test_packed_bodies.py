"""Packed bodies: duplicates, bodies that are too large, and broken ones."""

import gzip
import zlib

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from services.ingest.formats.decompress import MAX_RATIO, Packing, unpack
from tests.databases import ON_SQLITE
from tests.ingest.conftest import PREDICTIONS, Stored, answered, as_json, prediction
from tests.ingest.formats import JSON


@ON_SQLITE
def test_the_same_batch_is_a_duplicate_however_it_is_packed(
    client: TestClient, stored: Stored
) -> None:
    body = as_json(prediction())
    headers = {"Content-Type": JSON}
    assert client.post(PREDICTIONS, content=body, headers=headers).json() == answered(1)
    packed = {"gzip": gzip.compress(body), "zstd": pa.compress(body, "zstd", asbytes=True)}
    for name, content in packed.items():
        sent = {**headers, "Content-Encoding": name}
        again = client.post(PREDICTIONS, content=content, headers=sent)
        assert again.json() == answered(1, duplicate=True)
    assert len(stored()) == 1


LONG = b" " * 300_000  # of JSON: nothing


@ON_SQLITE
@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        pytest.param("gzip", gzip.compress(LONG), 413, id="a gzip bomb"),
        pytest.param("zstd", pa.compress(LONG, "zstd", asbytes=True), 413, id="a zstd bomb"),
        pytest.param("gzip", gzip.compress(as_json(prediction()))[:-9], 400, id="gzip cut off"),
        pytest.param(
            "zstd", pa.compress(as_json(prediction()), "zstd", asbytes=True)[:-1], 400,
            id="zstd cut off",
        ),
        pytest.param("gzip", b"", 400, id="empty gzip"),
        pytest.param("zstd", b"", 400, id="empty zstd"),
        pytest.param("gzip", gzip.compress(as_json(prediction())) + b"x", 400, id="a rest"),
        pytest.param("gzip", zlib.compress(as_json(prediction())), 400, id="zlib for gzip"),
    ],
)  # fmt: skip
def test_a_packed_body_that_is_too_large_or_broken_is_refused(
    client: TestClient, stored: Stored, encoding: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": JSON, "Content-Encoding": encoding}
    assert client.post(PREDICTIONS, content=body, headers=headers).status_code == status
    assert stored() == []


@pytest.mark.parametrize("packing", Packing)
def test_a_body_of_nothing_but_repetition_is_refused_before_it_is_unpacked(
    packing: Packing,
) -> None:
    body = bytes(64 * 2**20)
    packed = (
        gzip.compress(body, 9)
        if packing is Packing.GZIP
        else pa.compress(body, "zstd", asbytes=True)
    )
    assert len(packed) * MAX_RATIO < len(body)
    before = pa.total_allocated_bytes()
    with pytest.raises(Exception, match="times its size"):
        unpack(packed, packing, len(body))
    assert pa.total_allocated_bytes() == before


def test_members_of_one_gzip_stream_are_one_body() -> None:
    assert unpack(gzip.compress(b"[1,") + gzip.compress(b"2]"), Packing.GZIP, 100) == b"[1,2]"
