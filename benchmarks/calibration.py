"""Does the monitor of calibration hold its promise on a real classifier, and what does it find?

Run: `python -m benchmarks.calibration`. An LSTM learns from the first 270 days of Elec2 whether
the price will be up or down half an hour later, is calibrated, and then serves 674 days it
has never seen. They are evaluated day by day as they are, and with its probabilities
broken from some day on. Elec2's labels do not show whether a detector of drift is good (who
repeats the last label is right in 85 of 100); here they are only what a claim is held against.
"""

import argparse
import csv
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.quality import tables
from benchmarks.quality.series import FOLDER
from core.durations import DAY
from monitors.false_alarms.threshold import episodes
from monitors.finding import Finding, Outcome
from monitors.performance.calibration import CalibrationParams, ProbabilityDays, evaluate
from monitors.performance.reliability import overall
from monitors.summaries.summary import Floats
from tasks.calibration_sums import sums

STEPS = 48  # half hours of a day, and of a window
LEARNT, CALIBRATED = 240, 270  # days
WITHIN = 2  # windows, or it is not found
N_STARTS = 15
EPOCHS, BATCH, UNITS, RATE = 12, 256, 32, 3e-3
# Pairs of odds: those of the model, and those that are sent instead.
FAULTS: dict[str, Callable[[Floats], Floats]] = {
    "nothing": lambda odds: odds,
    "temperature .5: too sure": lambda odds: 2.0 * odds,
    "temperature .65": lambda odds: odds / 0.65,
    "temperature 2: not sure enough": lambda odds: odds / 2.0,
    "the odds of up times 2.5": lambda odds: odds + np.log(2.5),
    "the odds of up times 1.5": lambda odds: odds + np.log(1.5),
    "the classes exchanged": lambda odds: -odds,
}


class Classifier(nn.Module):
    """A day of price, demand and hour in, the logarithm of the odds of "up" out."""

    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_inputs, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, 1)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(windows)
        odds: torch.Tensor = self.head(states[:, -1])[:, 0]
        return odds


def served(seed: int) -> tuple[Floats, Floats]:
    """Train and calibrate; return (day, half hour) odds and labels of the days after."""
    path = FOLDER / "elec2" / "electricity.csv"
    with path.open() as file:
        lines = [*csv.DictReader(file)]
    names = ("period", "nswprice", "nswdemand")
    table = np.array([[float(line[name]) for name in names] for line in lines])
    up = np.array([line["class"] == "UP" for line in lines])
    hour = 2 * np.pi * table[:, :1]
    known = table[: LEARNT * STEPS, 1:]
    scaled = (table[:, 1:] - known.mean(axis=0)) / known.std(axis=0)
    rows = np.concatenate([scaled, np.sin(hour), np.cos(hour)], axis=1).astype(np.float32)
    cut = np.lib.stride_tricks.sliding_window_view(rows, STEPS, axis=0)[:-1].swapaxes(1, 2)
    # Price and demand beside what they were all day: levels move from season to season.
    windows = torch.from_numpy(
        np.concatenate(
            [cut[..., :2] - cut[..., :2].mean(axis=1, keepdims=True), cut[..., 2:]], 2
        )
    )
    labels = torch.from_numpy(up[STEPS:].astype(np.float32))
    torch.manual_seed(seed)
    model = Classifier(rows.shape[1])
    _train(model, windows, labels, (LEARNT - 1) * STEPS, seed)
    with torch.no_grad():
        odds = torch.cat([model(part) for part in torch.split(windows, 4096)])
    best = _temperature(odds, labels, slice((LEARNT - 1) * STEPS, (CALIBRATED - 1) * STEPS))
    after = slice((CALIBRATED - 1) * STEPS, None)
    return (
        (odds[after].double().numpy() / best).reshape(-1, STEPS),
        labels[after].double().numpy().reshape(-1, STEPS),
    )


def _train(
    model: Classifier, windows: torch.Tensor, labels: torch.Tensor, n: int, seed: int
) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    loss_of = nn.BCEWithLogitsLoss()
    chance = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(n, generator=chance), BATCH):
            optimizer.zero_grad()
            loss_of(model(windows[batch]), labels[batch]).backward()
            optimizer.step()


def _temperature(odds: torch.Tensor, labels: torch.Tensor, part: slice) -> float:
    """Return what odds are divided by, from days that the network has not learned."""
    loss_of = nn.BCEWithLogitsLoss()
    grid = np.geomspace(0.25, 8.0, 141)
    losses = [float(loss_of(odds[part] / t, labels[part])) for t in grid]
    return float(grid[int(np.argmin(losses))])


def days_of(odds: Floats, up: Floats) -> ProbabilityDays:
    """Return what was claimed of both classes, day by day."""
    predicted = 1.0 / (1.0 + np.exp(-odds))
    both, observed = (np.stack([1.0 - of, of], axis=-1)[:, :, None] for of in (predicted, up))
    cells = np.array([sums(p, y) for p, y in zip(both, observed, strict=True)])
    return ProbabilityDays(names=("down", "up"), first_day=10_000, cells=cells)


def evaluated(
    days: ProbabilityDays, params: CalibrationParams, first: int, last: int
) -> list[Finding]:
    """Evaluate each day from `first` up to `last`, as if it were the newest."""
    return [
        evaluate(
            ProbabilityDays(names=days.names, first_day=days.first_day, cells=days.cells[:end]),
            params,
        )
        for end in range(first + 1, last + 1)
    ]


def breaches(found: list[Finding]) -> NDArray[np.bool_]:
    return np.array([one.outcome is Outcome.BREACH for one in found], dtype=np.bool_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window-days", type=int, default=7)
    given = parser.parse_args()
    params = CalibrationParams(window=given.window_days * DAY)
    odds, up = served(given.seed)
    quiet = days_of(odds, up)
    print(f"{len(odds)} days served, right in {((odds > 0) == (up > 0)).mean():.1%}")
    predicted, observed = (float(of) for of in overall(quiet.cells.sum(axis=0)[1]))
    print(f'"up" claimed at {predicted:.3f} on average, happened at {observed:.3f}')
    found = evaluated(quiet, params, 0, len(odds))
    known = [one for one in found if one.outcome is not Outcome.NO_DATA]
    n = episodes(breaches(found), params.window_days)
    promised = len(known) / params.days_between_false_alarms
    print(
        f"as it is: {n} episodes in {len(known)} days with a verdict, {promised:.1f} promised"
    )
    within = WITHIN * params.window_days
    first = len(odds) - len(known) + params.window_days
    rows = []
    for name, fault in FAULTS.items():
        late = []
        for start in np.linspace(first, len(odds) - within, N_STARTS).astype(int).tolist():
            outcome = odds.copy()
            outcome[start:] = fault(outcome[start:])
            called = breaches(evaluated(days_of(outcome, up), params, start, start + within))
            late.append(int(np.argmax(called)) + 1 if called.any() else np.inf)
        n_found = int(np.isfinite(late).sum())
        median = f"{np.median(late):.0f}" if 2 * n_found > N_STARTS else "not found"
        rows.append([name, f"{n_found} of {N_STARTS}", median])
    print()
    print(tables.table(["what changes", f"found within {within} days", "median, days"], rows))


if __name__ == "__main__":
    main()
