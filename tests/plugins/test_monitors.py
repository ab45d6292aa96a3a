"""A monitor from another distribution works from its registration to its notification."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from cli.main import main
from core.durations import DAY
from core.errors import Unprocessable
from core.window import Window
from db.session import read_only
from db.tables import Delivery, Finding, FlipRow, Monitor
from monitors import registry
from monitors.evidence import Evidence
from monitors.false_alarms.decision import decide
from monitors.finding import Finding as Found
from monitors.finding import Outcome
from monitors.kind import EvaluationContext
from monitors.show import Bars
from monitors.slo.silence import SilenceDetail
from monitors.slo.source_states import SourceDetail
from services.alerting import dispatch
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_monitor import concluded
from services.evaluation.evaluate_slot import evaluate_slot
from services.models.monitor_config import MonitorPlan
from services.read_models.explanations.finding import explain
from tests.notify.test_deliver import add_channel
from tests.plugins.conftest import uninstalled
from tests.services.drifted_model import END, NOW, DriftedModel

KINDS = {"mean_3sd": {"n_sd": 5.0}, "data_quality": {}}


def findings(sessions: sessionmaker[Session], kind: str) -> list[Finding]:
    with read_only(sessions) as session:
        rows = session.scalars(
            select(Finding)
            .join(Monitor, Monitor.id == Finding.monitor_id)
            .where(Monitor.kind == kind)
            .order_by(Finding.as_of)
        ).all()
        session.expunge_all()
        return [*rows]


@pytest.mark.usefixtures("plugins")
def test_a_plug_in_is_evaluated_alerts_and_is_in_the_backtest(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    add_channel(sessions, "team", "http://127.0.0.1:1/", NOW, "ticket")
    drifted_model = DriftedModel(sessions, kinds=KINDS)
    found = findings(sessions, "mean_3sd")
    assert [one.outcome for one in found] == [Outcome.OK] * 2 + [Outcome.BREACH] * 3
    assert found[-1].cause.startswith("load: mean ")
    dispatch.flush_all(sessions, NOW)
    with read_only(sessions) as session:
        assert found[2].cause in session.scalars(select(FlipRow.cause)).all()
        assert any(b"mean_3sd" in body for body in session.scalars(select(Delivery.body)))
    with read_only(sessions) as session:
        [bars] = explain(session, tmp_path, found[-1].id, None, END).views
    assert isinstance(bars, Bars)
    assert bars.series[0].values[bars.names.index("load")] == found[-1].value
    plan = MonitorPlan(name="sigma", kind="mean_3sd", params=KINDS["mean_3sd"])
    tried = run_backtest(
        sessions, drifted_model.model_id, BacktestRequest(plans=(plan,), since=END - 5 * DAY)
    )
    assert [(one.monitor, one.n_days) for one in tried.episodes] == [("sigma", 3)]


@pytest.mark.usefixtures("plugins")
def test_one_that_cannot_be_imported_or_takes_a_name_in_use_is_unavailable() -> None:
    unavailable = registry.KINDS.unavailable
    assert "No module named 'no_such_module'" in unavailable["broken"]
    assert "in use" in unavailable["accuracy (clashing-plugin)"]
    assert registry.find("accuracy").question
    with pytest.raises(Unprocessable, match="'broken' is unavailable: broken-plugin: Module"):
        registry.find("broken")


def test_one_that_was_uninstalled_stops_nothing_and_its_findings_stay(
    sessions: sessionmaker[Session], plugins: None, site: Path
) -> None:
    drifted_model = DriftedModel(sessions, kinds=KINDS)
    before = findings(sessions, "mean_3sd")
    with uninstalled(site):
        assert (
            evaluate_slot(sessions, Baselines(), drifted_model.model_id, END + DAY, END + DAY)
            == 2
        )
        *earlier, last = findings(sessions, "mean_3sd")
        assert [one.id for one in earlier] == [one.id for one in before]
        assert last.outcome is Outcome.ERROR
        assert "'mean_3sd'" in last.cause
        assert findings(sessions, "data_quality")[-1].outcome is not Outcome.ERROR


@pytest.mark.usefixtures("plugins")
def test_the_shell_lists_plug_ins_and_those_that_are_unavailable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plugins"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "mean_3sd Is the mean of the input within" in printed
    assert "broken UNAVAILABLE: broken-plugin: ModuleNotFoundError" in printed


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_platform_decides_on_evidence_by_the_budget_of_the_model(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    DriftedModel(sessions, kinds={"mean_rank": {}})
    found = findings(sessions, "mean_rank")
    assert [one.outcome for one in found] == [Outcome.OK] * 2 + [Outcome.BREACH] * 3
    assert found[-1].value is not None
    assert found[-1].threshold is not None
    assert found[-1].value > found[-1].threshold > found[0].value  # type: ignore[operator]
    with read_only(sessions) as session:
        views = explain(session, tmp_path, found[-1].id, None, END).views
    assert [view.title for view in views] == ["Implicated inputs", "Causes"]
    one, two = (decide(evidence(), 90.0, n_sharing) for n_sharing in (1, 4))
    assert one.threshold is not None
    assert two.threshold is not None
    assert one.threshold < two.threshold


def test_too_little_evidence_is_no_data() -> None:
    short = decide(replace(evidence(), null=np.zeros(5)), 90.0)
    assert (short.outcome, short.cause[:10]) == (Outcome.NO_DATA, "warming up")
    assert decide(replace(evidence(), score=np.nan), 90.0).outcome is Outcome.NO_DATA


def evidence() -> Evidence:
    null = np.abs(np.random.default_rng(3).normal(size=400))
    return Evidence(score=1.0, null=null, window=Window(END - DAY, END), message="x")


def test_a_detail_is_what_the_kind_declares() -> None:
    kind, context = registry.find("silence"), cast(EvaluationContext, None)
    found = Found(outcome=Outcome.NO_DATA, window=Window(END - DAY, END))
    assert concluded(found, kind, context).detail == SilenceDetail()
    with pytest.raises(TypeError, match="expected a SilenceDetail"):
        concluded(replace(found, detail=SourceDetail()), kind, context)
    wrong = SilenceDetail(n_silent="two")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_silent"):
        concluded(replace(found, detail=wrong), kind, context)
