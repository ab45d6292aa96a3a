"""Reliability tables on the pages of a classifier and of a finding on its probabilities."""

import re

import pytest
from sqlalchemy.orm import Session, sessionmaker

from db.session import read_only, unit_of_work
from tasks.calibration_sums import CALIBRATION
from tests import stored
from tests.conftest import Once
from tests.late.test_probabilities import SKY, breach_of, claimed
from tests.web.conftest import Browsers
from tests.web.test_pages import outline


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_probabilities_and_what_happened_are_shown_by_class(
    signed_in: Browsers, once: Once, sessions: sessionmaker[Session]
) -> None:
    once(claimed, SKY)
    browser = signed_in("read")
    with read_only(sessions) as session:
        finding_id = breach_of(session).id

    finding = browser.get(f"/findings/{finding_id}").text
    model = browser.get("/models/sky").text
    with unit_of_work(sessions) as session:
        stored.drop(session, CALIBRATION)
    empty = browser.get("/models/sky").text

    for text in (finding, model, empty):
        outline(text)
    assert "<h2>Calibration" in finding
    assert re.search(r"<h2>Reliability of (calm|storm), by predicted probability", finding)
    assert 'aria-label="Calibration of storm"' in model
    assert "No prediction with a probability has a label yet" in empty
    assert 'aria-label="Calibration of storm"' not in empty


@pytest.mark.usefixtures("fleet")
def test_the_page_of_a_model_that_is_no_classifier_has_no_calibration(
    signed_in: Browsers,
) -> None:
    assert "<h2>Calibration" not in signed_in("read").get("/models/transformer-load").text
