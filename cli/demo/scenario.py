"""Watch a forecaster degrade, be retrained, tested and promoted."""

import argparse
import json
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from cli.demo.outage import Outage
from cli.demo.platform import Platform
from cli.demo.result import render, summarise
from cli.demo.stage import MODEL, Stage
from cli.demo.timeline import Timeline, progress
from core.durations import DAY
from core.errors import Unprocessable
from core.policy import Policy
from core.settings import Settings
from examples.forecaster.stream import Stream
from examples.forecaster.world import (
    CONTRACT,
    N_HISTORY,
    Kind,
    Scenario,
    World,
    find_series,
    make_world,
    read_series,
    time_of,
)

N_ENTITIES = 16
SEED = 20_160_701
CHANGE_DAY = 21  # of the stream: three quiet weeks come first
DAYS = {Kind.SHIFT: 140, Kind.FAULT: 49}  # at most; without a change, all there are
CALM_DAYS = 4  # played on after the error is back to normal
FAULTY, FACTOR = "HULL", 1.8  # a sensor that was replaced by one of another unit
TRAINING_PACE = 2.0  # seconds of wall time per event day while the trainer is at work
TRAINING_SECONDS = 600.0  # on a machine with other things to do
POLICY = Policy(label_delay=2 * DAY, new_labels=20 * DAY, gate_window=6 * DAY)


@dataclass(kw_only=True)
class Play:
    """One run of the scenario."""

    stage: Stage
    world: World
    scenario: Scenario
    n_days: int
    platform: Platform
    stream: Stream
    timeline: Timeline

    def prepare(self) -> None:
        """Register the model, send its history, and have its first version trained."""
        self.platform.ask(
            "PUT",
            f"/v1/models/{MODEL}",
            json={
                "description": "Day-ahead forecast of a fleet of transformers",
                "contract": CONTRACT.to_json(),
                "policy": POLICY.to_json(),
                "runbook_url": f"{self.stage.url}/models/{MODEL}",
            },
        )
        n_rows = self.stream.send_history()
        write_line(f"history sent: {n_rows} rows of {len(self.world.entities)} transformers")
        self.platform.wait(
            f"/v1/models/{MODEL}", lambda m: m["watermark"] is not None, TRAINING_SECONDS
        )
        self.platform.ask(
            "POST",
            f"/v1/models/{MODEL}/retrain",
            json={"reason": "the first version"},
            headers={"Idempotency-Key": "first"},
        )
        rollouts = self.platform.wait(
            f"/v1/rollouts?model={MODEL}",
            lambda found: found["items"][0]["finished_at"] is not None,
            TRAINING_SECONDS,
            lambda _: self.timeline.update(),
        )
        [rollout] = rollouts["items"]
        if rollout["phase"] != "promoted":
            raise Unprocessable(f"the first version is {rollout['phase']}; see the log")
        self.timeline.update()
        self.stage.start_service(MODEL)
        write_line("the service is up; the stream begins")

    def run(self) -> int:
        """Stream day after day until the story ends; return the number of days."""
        change_day = (self.scenario.at - N_HISTORY) // 24
        calm = 0
        for day in range(self.n_days):
            if day == change_day and self.scenario.kind is not Kind.NONE:
                self.timeline.mark(time_of(self.scenario.at), describe(self.scenario))
            self.stream.step(day)
            self._wait_until_evaluated(day)
            self.timeline.update()
            calm = calm + 1 if self._is_over(day) else 0
            if calm > CALM_DAYS:
                return day + 1
        self._drain()
        return self.n_days

    def _wait_until_evaluated(self, day: int) -> None:
        """Never be more than a day ahead of the platform: in real life it has all day."""
        until = time_of(N_HISTORY + 24 * (day - 1))
        began = time.monotonic()

        def update(model: dict[str, str]) -> None:
            error = self.stream.served_error(day)
            progress(
                f"day {day:3d}  error {error:.3f}  evaluated until {model['evaluated_until']}"
            )

        self.platform.wait(
            f"/v1/models/{MODEL}",
            lambda m: day < 2 or (m["evaluated_until"] or "") >= until.isoformat()[:19],
            TRAINING_SECONDS,
            update,
        )
        phase = self._phase()
        if phase in ("training", "gating"):
            time.sleep(max(0.0, TRAINING_PACE - (time.monotonic() - began)))

    def _phase(self) -> str | None:
        rollouts = self.platform.items("/v1/rollouts", model=MODEL)
        return rollouts[0]["phase"] if rollouts else None

    def _is_over(self, day: int) -> bool:
        """Return whether a shift has been handled: healed, or the challenger turned away."""
        if self.scenario.kind is not Kind.SHIFT:
            return False
        rollouts = self.platform.items("/v1/rollouts", model=MODEL)
        if len(rollouts) < 2:
            return False
        if rollouts[0]["phase"] == "promoted":
            return self.timeline.count("resolved", "accuracy") > 0
        return rollouts[0]["phase"] in ("rejected", "rolled_back", "failed")

    def _drain(self) -> None:
        """Let what was streamed last be evaluated and notified."""
        end = time_of(N_HISTORY + 24 * (self.n_days - 1)).isoformat()[:19]
        self.platform.wait(
            f"/v1/models/{MODEL}",
            lambda m: (m["evaluated_until"] or "") >= end,
            TRAINING_SECONDS,
        )
        self.timeline.update()


def play(settings: Settings, given: argparse.Namespace) -> int:
    """Run the scenario that was asked for; 0 when it ended as it must."""
    scenario = _scenario(given)
    folder = Path(given.folder).resolve()
    if folder.exists():
        shutil.rmtree(folder)
    drill = [*["--sabotage"] * given.sabotage, *["--bypass-gate"] * given.bypass_gate]
    stage = Stage(folder=folder, port=given.port or settings.port, drill=drill)
    began = time.monotonic()
    try:
        platform = stage.start()
        write_line(f"Address: {stage.url}/\nKey:     {stage.key}")
        outage = None
        if not given.no_outage:
            outage = Outage(platform=platform, receiver=stage.receiver, write_line=write_line)
            outage.start()
        is_as_expected = given.only_outage or _story(given, scenario, stage, platform, began)
        if outage is not None:
            is_as_expected &= _shown(outage, stage, given.only_outage and given.json)
        if not given.stop:
            _stay(stage)
        return 0 if is_as_expected else 1
    finally:
        stage.stop()


def _story(
    given: argparse.Namespace,
    scenario: Scenario,
    stage: Stage,
    platform: Platform,
    began: float,
) -> bool:
    """Play the life of the forecaster; return whether it ended as it must."""
    world = _world(given, scenario)
    play = Play(
        stage=stage,
        world=world,
        scenario=scenario,
        n_days=0,
        platform=platform,
        stream=Stream(
            world,
            service=httpx.Client(base_url=stage.service_url, timeout=30.0, trust_env=False),
            api=platform.http,
            model=MODEL,
        ),
        timeline=Timeline(platform=platform, model=MODEL, write_line=write_line),
    )
    play.n_days = min(given.days or DAYS.get(scenario.kind, 10_000), play.stream.n_days)
    play.prepare()
    n_days = play.run()
    result = summarise(play.stream, play.timeline, scenario, n_days, stage.receiver.messages)
    write_line(render(result, scenario, time.monotonic() - began))
    if given.json:
        Path(given.json).write_text(json.dumps(result.to_json(), indent=2))
    return result.is_as_expected


def _shown(outage: Outage, stage: Stage, file: str | None) -> bool:
    """Show what the outage has shown, once it is over; return whether it ended as it must."""
    outcome = outage.wait()
    write_line(outcome.described(stage.url))
    if file:
        Path(file).write_text(json.dumps(outcome.to_json(), indent=2))
    return outcome.is_as_expected


def _stay(stage: Stage) -> None:
    write_line(f"The pages:  {stage.url}/   (log in with the key {stage.key})")
    write_line("Ctrl-C ends the platform.")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    ended.wait()


def _scenario(given: argparse.Namespace) -> Scenario:
    at = N_HISTORY + 24 * CHANGE_DAY + 6
    if given.no_change:
        return Scenario(kind=Kind.NONE)
    if given.fault == "unit":
        return Scenario(kind=Kind.FAULT, at=at, channel=FAULTY, factor=FACTOR)
    return Scenario(kind=Kind.SHIFT, at=at)


def _world(given: argparse.Namespace, scenario: Scenario) -> World:
    path = None if given.generated else find_series(Path(given.data) if given.data else None)
    write_line(f"series: {path if path else 'the shipped generator'}")
    series = read_series(path, SEED)
    if len(series) < N_HISTORY + 24 * (CHANGE_DAY + 7):
        raise Unprocessable(f"{path}: needs at least {N_HISTORY + 24 * (CHANGE_DAY + 7)} hours")
    return make_world(series, n_entities=N_ENTITIES, seed=SEED, scenario=scenario)


def describe(scenario: Scenario) -> str:
    """Describe the scenario in one line."""
    if scenario.kind is Kind.FAULT:
        return f"the sensor {scenario.channel} is off by a factor of {scenario.factor}"
    return "new consumers are connected: level, daily amplitude and relations change"


def write_line(text: str) -> None:
    """Write a line, also when nobody reads it at once."""
    progress("")
    print(text, flush=True)
