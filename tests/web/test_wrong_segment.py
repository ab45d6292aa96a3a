"""The page of a finding about one segment shows all of them, the worst first."""

import re

import pytest
from sqlalchemy.orm import Session, sessionmaker

from db.session import read_only
from tests.conftest import Once
from tests.late.test_wrong_segment import breach_of, wrong_at_last
from tests.web.conftest import Browsers
from tests.web.test_pages import outline


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_errors_are_shown_beside_their_baseline_and_beside_the_others(
    signed_in: Browsers, once: Once, sessions: sessionmaker[Session]
) -> None:
    once(wrong_at_last)
    with read_only(sessions) as session:
        finding_id = breach_of(session).id

    page = signed_in("read").get(f"/findings/{finding_id}").text

    outline(page)
    table = page.partition("<h2>Inputs")[0]
    rows = re.findall(r'<th scope="row">load \[shop=(.)\]</th>(.*?)</tr>', table, re.DOTALL)
    assert rows[0][0] == "b"
    assert sorted(shop for shop, _ in rows) == ["a", "b", "c"]
    over = ['class="number over"' in cells for _, cells in rows]
    assert over == [True, False, False]
    assert 0 < page.index("<h2>Segments") < page.index("<h2>Inputs")
    assert re.findall(r"<h2>(.* \[shop=.\])", page) == ["load [shop=b]", "wind [shop=b]"]
