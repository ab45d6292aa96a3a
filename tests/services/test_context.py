"""From rows with a context feature that drifts to findings, the page and the API."""

from dataclasses import replace

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.schema.feature import Feature
from db.session import read_only
from monitors.finding import Outcome
from services.read_models.overview import model as overview
from tests.services.test_no_reference import CONTRACT, evaluated


@pytest.mark.parametrize("is_context", [True, False], ids=["context", "an input"])
def test_the_drift_of_a_context_feature_is_no_finding_and_its_faults_are(
    sessions: sessionmaker[Session], *, is_context: bool
) -> None:
    features = (Feature(name="load"), Feature(name="wind", context=is_context))
    findings = evaluated(
        sessions,
        replace(CONTRACT, features=features),
        lambda is_past, load, wind: {
            "load": [load],
            "wind": [wind if is_past else wind + 100.0],
        },
    )
    of_input = ["load"] if is_context else ["load", "wind"]
    for kind, _, _, detail in findings:
        if kind == "input_drift":
            assert [*detail["features"]] == of_input
            assert "not_evaluated" not in detail
    causes = {
        (kind, cause.split()[0]) for kind, how, cause, _ in findings if how is Outcome.BREACH
    }
    assert ("data_quality", "wind:") in causes
    assert (("input_drift", "wind") in causes) is not is_context
    with read_only(sessions) as session:
        page = overview.model(session, "grid", None)
    assert page.context == (("wind",) if is_context else ())
