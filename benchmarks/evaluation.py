"""What does it cost to evaluate one event day of one model with its default monitors?

Run: `python -m benchmarks.evaluation`. A year of reference and 90 days of 20 features, as
hourly summaries (those of `benchmarks.drift`). Counts CPU time and SQL statements of each
of ten days, once the reference has been learnt.
"""

import statistics
import sys
import tempfile
import time
from datetime import timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.bar import Bar, report
from benchmarks.drift import CURRENT_DAYS, REFERENCE_DAYS, START, fill
from benchmarks.statements import statements
from core.durations import DAY
from core.policy import Policy
from core.window import Window
from db.migrate import upgrade
from db.queries import summaries
from db.session import connect, unit_of_work
from db.tables import Champion, Model, Version
from monitors.slo import cells
from monitors.slo.cells import Columns, Texts
from monitors.slo.serving import CELLS, SERVING
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.models import monitor_config

CPU_MS = 200  # a fifth as fast as on a quiet machine
STATEMENTS = 15
MIDDLE = START + timedelta(days=REFERENCE_DAYS)
END = MIDDLE + timedelta(days=CURRENT_DAYS)


def prepare(sessions: sessionmaker[Session]) -> UUID:
    """Store a model whose champion has served for 90 days."""
    model_id = fill(sessions)
    n = CURRENT_DAYS * 24 * 12  # one every five minutes
    at = int(MIDDLE.timestamp()) * 1_000_000 + np.arange(n) * 300_000_000
    rows = Columns(
        n=n,
        numbers={"latency_seconds": np.full(n, 0.1)},
        texts={"status": Texts(codes=np.zeros(n, dtype=np.int64), values=("ok",))},
    )
    served = cells.summarise(at, CELLS.of(rows))
    with unit_of_work(sessions) as session:
        model = session.get_one(Model, model_id)
        version = Version(
            model_id=model_id,
            name="v1",
            contract=model.contract,
            contract_digest="",
            reference=(Window(START, MIDDLE),),
            created_at=START,
        )
        session.add(version)
        session.flush()
        session.add(Champion(model_id=model_id, version_id=version.id, rev=1, since=START))
        summaries.add(session, model_id, [(SERVING, "v1", served)])
        for plan in monitor_config.defaults(Policy(), model.contract):
            monitor_config.put(session, model_id, plan)
        model.watermark = END
        model.evaluated_until = END - 12 * DAY
    return model_id


def main() -> int:
    """Report both."""
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{folder}/seqwatch.sqlite")
        upgrade(engine)
        sessions = sessionmaker(engine, expire_on_commit=False)
        model_id, baselines = prepare(sessions), Baselines()
        spent, n_statements, n_findings = [], [], 0
        for n in range(11, 0, -1):
            began = time.process_time()
            with statements(engine) as seen:
                n_findings = evaluate_slot(sessions, baselines, model_id, END - n * DAY, END)
            spent.append(1000 * (time.process_time() - began))
            n_statements.append(len(seen))
        print(f"{n_findings} monitors; the first day, with learning: {spent[0]:.0f} ms CPU")
        cost, number = statistics.median(spent[1:]), statistics.median(n_statements[1:])
        report(Bar(name="evaluation: a day", figure=cost, unit="ms CPU", at_most=CPU_MS))
        report(Bar(name="evaluation: SQL", figure=number, unit="", at_most=STATEMENTS))
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
