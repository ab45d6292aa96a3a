"""Channels survive the migration that gives them a kind, and its way back."""

import json
from uuid import uuid4

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from db.migrate import upgrade
from db.tables import Channel
from tests.architecture.test_migrations import run

INSERT = """
INSERT INTO channel (id, name, url, secret, severities, enabled, created_at)
VALUES (:id, 'on-call', 'https://hooks.example/x', 'whsec_x', '["page"]', true, :at)
"""
OTHER = """
INSERT INTO channel (id, name, kind, config, severities, enabled, created_at)
VALUES (:id, 'diary', 'file', :config, '["page"]', true, :at)
"""
AT = "2026-01-08 00:00:00+00:00"


def test_a_webhook_is_kept_and_another_kind_is_disabled_by_a_downgrade(engine: Engine) -> None:
    run(engine, "downgrade", "0016")
    with engine.begin() as connection:
        connection.execute(text(INSERT), {"id": uuid4().hex, "at": AT})
    upgrade(engine)
    config = {"url": "https://hooks.example/x", "secret": "whsec_x"}
    with Session(engine) as session:
        [channel] = session.query(Channel).all()
        assert (channel.kind, channel.config) == ("webhook", config)
    more = {"id": uuid4().hex, "at": AT, "config": json.dumps({"path": "/x"})}
    with engine.begin() as connection:
        connection.execute(text(OTHER), more)
    run(engine, "downgrade", "0016")
    with engine.connect() as connection:
        columns = "name, url, secret, enabled"
        rows = connection.execute(text(f"SELECT {columns} FROM channel ORDER BY name")).all()
    assert [tuple(row) for row in rows] == [
        ("diary", "", "", False),
        ("on-call", *config.values(), True),
    ]
