"""Whatever the body, decoding it ends in rows or in an error of ours."""

import random
from itertools import islice
from pathlib import Path
from uuid import uuid4

import pytest

from core.clock import utcnow
from core.errors import AppError
from core.schema.contract import Contract
from core.terms import Terms
from services.ingest.batch import ALIASES, Batch, Feed, Format
from services.ingest.formats.decode import decode
from tests.chaos.stage import CONTRACT, Stage
from tests.fuzz.bodies import attack, bodies

N = 900


def test_mutated_bodies_are_read_or_refused() -> None:
    rng, now = random.Random(20260108), utcnow()
    terms = Terms(contract=Contract.from_json(CONTRACT))
    outcomes = []
    for kind, body, headers in islice(bodies(rng), N):
        if headers or len(body) > 1_000_000:
            continue  # unpacked before it comes here; and what is only large
        batch = Batch(
            model_id=uuid4(),
            model="load",
            terms=terms,
            feed=rng.choice(list(Feed)),
            format=ALIASES.get(kind) or Format(kind),
            body=body,
        )
        sections, refused = decode({0: batch}, now, 100_000)
        assert bool(sections) != bool(refused)
        for section in sections:
            section.kept(section.drafts).validate(full=True)
        outcomes.append(type(refused[0]) if refused else None)
        assert all(isinstance(error, AppError) for error in refused.values())
    assert outcomes.count(None) > 20
    assert len(set(outcomes)) >= 3


@pytest.mark.slow
def test_a_server_survives_ten_seconds_of_nonsense(tmp_path: Path) -> None:
    stage = Stage(tmp_path, f"sqlite:///{tmp_path / 'seqwatch.sqlite'}")
    try:
        stage.open(n_workers=0, with_host=False)
        pid = stage.processes["api"].pid
        answers, _ = attack(stage.url, stage.key, pid, seconds=10, seed=7)
    finally:
        stage.stop()
        stage.engine.dispose()
    assert answers[200] > 0
    assert answers[400] > 0
