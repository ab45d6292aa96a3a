import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from seqwatch import ArtifactUnavailable, Router, Routing

from tests.client.api import Answer, Api

WEIGHTS = b"weights of v2"
DOCUMENT = {
    "model": "load",
    "epoch": 4,
    "champion": {"version": "v1", "sha256": "11"},
    "challenger": {"version": "v2", "sha256": hashlib.sha256(WEIGHTS).hexdigest()},
    "share_bp": 2500,
    "salt": "rollout-7",
    "is_shadowed": True,
}


def _publish(api: Api, **changes: object) -> None:
    document = {**DOCUMENT, **changes}
    api.document = Answer(
        status=200,
        body=json.dumps(document).encode(),
        headers={"ETag": f'"{document["epoch"]}"'},
    )


@pytest.fixture
def router(api: Api, tmp_path: Path) -> Iterator[Router]:
    _publish(api)
    router = Router(api.url, "sw_key", "load", cache=tmp_path, every=60.0)
    router.start()
    yield router
    router.close()


def test_the_document_is_followed(api: Api, router: Router) -> None:
    assert router.current is not None
    assert router.current.epoch == 4
    _publish(api, epoch=5, share_bp=10_000)
    assert router.refresh()
    assert router.choose("any") == "v2"


def test_an_unchanged_document_is_not_sent_again(api: Api, router: Router) -> None:
    assert router.refresh()
    assert api.seen[-1].headers["if-none-match"] == '"4"'
    assert router.current is not None
    assert router.current.epoch == 4


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(status=500), id="a crash"),
        pytest.param(Answer(status=200, body=b"<html>"), id="a proxy's page"),
        pytest.param(Answer(status=200, body=b'{"model": "load"}'), id="half a document"),
        pytest.param(Answer(status=200, body=b"[]"), id="another shape"),
    ],
)
def test_a_bad_answer_leaves_the_last_document_in_force(
    api: Api, router: Router, answer: Answer
) -> None:
    api.document = answer
    assert not router.refresh()
    assert router.current is not None
    assert router.current.epoch == 4


def test_a_service_starts_with_the_last_document_while_the_api_is_down(
    api: Api, router: Router, tmp_path: Path
) -> None:
    api.stop()
    late = Router(api.url, "sw_key", "load", cache=tmp_path, every=60.0)
    late.start()
    late.close()
    assert late.current == router.current


def test_the_champion_is_known_to_fall_back_on(api: Api, router: Router) -> None:
    assert router.champion == "v1"
    _publish(api, epoch=5, champion=None)
    assert router.refresh()
    assert router.champion is None


def test_without_any_document_there_is_no_version(api: Api, tmp_path: Path) -> None:
    router = Router(api.url, "sw_key", "load", cache=tmp_path, every=60.0)
    router.start()
    router.close()
    assert router.current is None
    assert router.choose("any") is None


def test_a_document_that_cannot_be_prepared_does_not_take_effect(
    api: Api, tmp_path: Path
) -> None:
    def prepare(routing: Routing) -> None:
        if routing.epoch == 5:
            raise RuntimeError("out of memory")

    _publish(api)
    router = Router(api.url, "k", "load", cache=tmp_path, every=60.0, prepare=prepare)
    router.start()
    _publish(api, epoch=5)
    assert not router.refresh()
    assert router.current is not None
    assert router.current.epoch == 4
    _publish(api, epoch=6)
    assert router.refresh()
    router.close()


def test_an_artifact_is_fetched_once_and_checked(
    api: Api, router: Router, tmp_path: Path
) -> None:
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    api.artifact = Answer(status=200, body=WEIGHTS)
    assert router.fetch_artifact("v2", sha256) == WEIGHTS
    api.stop()
    assert router.fetch_artifact("v2", sha256) == WEIGHTS
    (tmp_path / f"{sha256}.safetensors").write_bytes(b"rotten")
    with pytest.raises(ArtifactUnavailable):
        router.fetch_artifact("v2", sha256)


def test_wrong_bytes_are_neither_returned_nor_kept(
    api: Api, router: Router, tmp_path: Path
) -> None:
    api.artifact = Answer(status=200, body=b"something else")
    with pytest.raises(ArtifactUnavailable, match="checksum"):
        router.fetch_artifact("v2", hashlib.sha256(WEIGHTS).hexdigest())
    assert not list(tmp_path.glob("*.safetensors"))
