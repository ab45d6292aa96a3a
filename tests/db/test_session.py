from typing import Any

import pytest
from sqlalchemy import Engine, make_url

from db.session import connect


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("query", "connect_timeout"),
    [
        pytest.param({}, "10", id="by default"),
        pytest.param({"connect_timeout": "3"}, "3", id="as in the URL"),
    ],
)
def test_a_postgres_server_that_vanishes_is_noticed_within_a_minute(
    engine: Engine, query: dict[str, str], connect_timeout: str
) -> None:
    url = make_url(engine.url).update_query_dict(query)
    other = connect(url.render_as_string(hide_password=False))
    with other.connect() as connection:
        driver: Any = connection.connection.driver_connection
        found = driver.info.get_parameters()
    other.dispose()
    assert found["connect_timeout"] == connect_timeout
    idle, interval = int(found["keepalives_idle"]), int(found["keepalives_interval"])
    assert idle + interval * int(found["keepalives_count"]) <= 60
    assert 0 < int(found["tcp_user_timeout"]) <= 60_000
