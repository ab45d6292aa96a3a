"""An outage: every request of a service fails, until the page has arrived."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cli.demo.platform import Platform
from cli.demo.receiver import Receiver
from core.clock import utcnow

MODEL = "dispatch"
SLO = "availability"
CONTRACT = {
    "features": [{"name": "load"}],
    "targets": ["load"],
    "step": "PT1M",
    "input_length": 1,
    "horizon": 1,
}
OBJECTIVE = 0.9995
PER_SECOND = 5
HISTORY = timedelta(hours=6)
BATCH = 2000  # rows of a request
CALM_SECONDS = 20.0
LONGEST_SECONDS = 600.0  # of each part; a short window of five minutes empties within it
PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the outage has shown. Seconds of wall time.

    Attributes
    ----------
    paged_after, resolved_after
        Since the first failure, and since the last one; None where it did not happen.
    budget_spent
        Share of the error budget of thirty days.
    post_mortem
        Path of its draft.
    """

    paged_after: float | None = None
    resolved_after: float | None = None
    budget_spent: float | None = None
    post_mortem: str | None = None

    @property
    def is_as_expected(self) -> bool:
        """Whether the page and its end have arrived."""
        return self.paged_after is not None and self.resolved_after is not None

    def described(self, address: str) -> str:
        """Return what it has shown, for people.

        Examples
        --------
        >>> shown = Outcome(paged_after=38.2, resolved_after=305, budget_spent=0.03)
        >>> print(shown.described(""))
        Outage: paged after 38 s, resolved 305 s after the repair; budget spent: 3.0%
        """
        if self.paged_after is None or self.resolved_after is None:
            return "Outage: NOT as it must: no page, or no end of it, has arrived."
        ends = f"resolved {self.resolved_after:.0f} s after the repair"
        spent = f"budget spent: {self.budget_spent or 0:.1%}"
        lines = [f"Outage: paged after {self.paged_after:.0f} s, {ends}; {spent}"]
        if self.post_mortem is not None:
            lines.append(f"Draft of its post-mortem: {address}{self.post_mortem}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the form that is written to a file."""
        return asdict(self)


@dataclass(kw_only=True)
class Outage:
    """Serves in real time, in a thread of its own, beside whatever else is shown."""

    platform: Platform
    receiver: Receiver
    write_line: Callable[[str], None]
    outcome: Outcome = field(default_factory=Outcome)
    _n_sent: int = 0
    _fails: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Register the service with its history, and begin."""
        path = f"/v1/models/{MODEL}"
        description = "Dispatch of requests: fails for a minute, to be paged"
        body = {"contract": CONTRACT, "description": description}
        self.platform.ask("PUT", path, json=body)
        version = {"manifest": {"scaler": {"mean": [0.0], "std": [1.0]}}}
        self.platform.ask("PUT", f"{path}/versions/v1", json=version)
        self.platform.ask("PUT", f"{path}/champion", json={"version": "v1", "expected_rev": 0})
        slo = {"params": {"sli": SLO, "objective": OBJECTIVE}}
        self.platform.ask("PUT", f"{path}/slos/{SLO}", json=slo)
        now = utcnow()
        n = int(HISTORY.total_seconds()) * PER_SECOND
        for first in range(0, n, BATCH):
            steps = range(first, min(first + BATCH, n))
            self._send([now - HISTORY + timedelta(seconds=i / PER_SECOND) for i in steps])
        self.write_line(f"service {MODEL}: {PER_SECOND} requests/s, objective {OBJECTIVE:.2%}")
        threading.Thread(target=self._serve, name="serving", daemon=True).start()
        threading.Thread(target=self._play, name="outage", daemon=True).start()

    def wait(self) -> Outcome:
        """Return what it has shown, once it is over."""
        if not self._ended.is_set():
            self.write_line(
                f"waiting until the alert of {MODEL} is resolved; seven minutes in all"
            )
        self._ended.wait(PATIENCE_SECONDS)
        return self.outcome

    def _serve(self) -> None:
        due = time.monotonic()
        while not self._ended.is_set():
            now = utcnow()
            self._send([now - timedelta(seconds=i / PER_SECOND) for i in range(PER_SECOND)])
            due += 1.0
            time.sleep(max(0.0, due - time.monotonic()))

    def _send(self, moments: list[datetime]) -> None:
        status = "error" if self._fails.is_set() else "ok"
        rows = [
            {
                "prediction_id": f"{MODEL}-{self._n_sent + i}",
                "at": at.isoformat(),
                "version": "v1",
                "status": status,
                "latency_seconds": 0.02,
                "features": {"load": [1.0]},
                "output": None if status == "error" else {"load": [1.0]},
            }
            for i, at in enumerate(sorted(moments))
        ]
        self._n_sent += len(rows)
        self.platform.ask("POST", f"/v1/models/{MODEL}/predictions", json={"rows": rows})

    def _play(self) -> None:
        try:
            self._show()
        finally:
            self._ended.set()

    def _show(self) -> None:
        time.sleep(CALM_SECONDS)
        self._fails.set()
        began = time.monotonic()
        self.write_line(f"every request of {MODEL} fails from now on")
        paged = self._waited_for("alert.firing")
        self._fails.clear()
        recovered = time.monotonic()
        if paged is None:
            return
        paged_after = recovered - began
        self.write_line(f"paged after {paged_after:.0f} s: {paged['cause']}")
        self.outcome = Outcome(paged_after=paged_after)
        self.write_line(f"{MODEL} is repaired")
        resolved = self._waited_for("alert.resolved")
        status = self.platform.get(f"/v1/models/{MODEL}/slos/{SLO}")
        self.outcome = Outcome(
            paged_after=paged_after,
            resolved_after=None if resolved is None else time.monotonic() - recovered,
            budget_spent=_spent(status["detail"]),
            post_mortem=f"/incidents/{paged['incident']}/post-mortem",
        )
        if resolved is not None:
            self.write_line(f"the page of {MODEL} is resolved")

    def _waited_for(self, kind: str) -> dict[str, Any] | None:
        until = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < until:
            for message in self.receiver.messages:
                if message.type == kind and message.content.get("model") == MODEL:
                    return message.content
            time.sleep(0.1)
        return None


def _spent(detail: dict[str, Any]) -> float | None:
    """Return what is spent of the budget of the whole period, of which six hours are known."""
    known = detail.get("consumed_of_forecast")
    return detail.get("consumed") if known is None else known
