"""Size and power: one week of one sensor against its other weeks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.quality import scores
from benchmarks.quality.detectors import Detector, Question, Verdicts
from benchmarks.quality.faults import BENIGN, FAULTS, Fault, holiday, sensible, setting
from benchmarks.quality.series import CONTEXT, LEAD, WEEK, Series
from monitors.summaries.summary import Bools, Floats

FIRST_WEEK, N_WEEKS = 4, 52
SIZE = 0.05
DOUBLED = "doubled volume"
SHARED = "holiday of all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One column of the table of power: a change and its strength, 0 to 2."""

    fault: str
    strength: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trials:
    """The questions on one series, with what each trial is.

    Attributes
    ----------
    weeks, sensors : (question,)
        Which week and sensor is on trial.
    cells
        Per question, what its trials are; the quiet week, None, comes first.
    """

    series: Series
    questions: list[Question] = field(default_factory=list)
    weeks: list[int] = field(default_factory=list)
    sensors: list[int] = field(default_factory=list)
    cells: list[list[Cell | None]] = field(default_factory=list)

    def add(self, question: Question, week: int, sensor: int, cells: list[Cell | None]) -> None:
        self.questions.append(question)
        self.weeks.append(week)
        self.sensors.append(sensor)
        self.cells.append(cells)


def one_week_out(
    series: Series, seed: int, corrupt_each: int, strengths: Sequence[int]
) -> Trials:
    """Ask of each week against the others; corrupt one week in `corrupt_each`."""
    rng = np.random.default_rng(seed)
    n_weeks = min(N_WEEKS, series.n_weeks - FIRST_WEEK)
    windows = series.windows(FIRST_WEEK, n_weeks)
    trials = Trials(series=series)
    changes = (*sensible(series, FAULTS), *sensible(series, BENIGN))
    for week in range(n_weeks):
        for sensor in range(windows.shape[2]):
            quiet = windows[week, :, sensor]
            rows, cells = [quiet], list[Cell | None]([None])
            if week % corrupt_each == corrupt_each - 1:
                more, cells_of = _corrupted(series, sensor, week, (changes, strengths), rng)
                rows, cells = rows + more, cells + cells_of
            question = Question(
                weeks=windows,
                sensor=sensor,
                left_out=week,
                trials=np.stack(rows),
                around=windows[week],
            )
            trials.add(question, week, sensor, cells)
            if len(rows) > 1:
                twice = replace(question, trials=quiet[None], copies=2)
                trials.add(twice, week, sensor, [Cell(fault=DOUBLED, strength=1)])
                if series.seasonal:
                    off = _all_on_holiday(question)
                    trials.add(off, week, sensor, [Cell(fault=SHARED, strength=1)])
    return trials


def _all_on_holiday(question: Question) -> Question:
    """Let all sensors take the same two days off; alone, one would be out of step."""
    assert question.around is not None
    around = np.apply_along_axis(holiday, 0, question.around, CONTEXT, 2)
    return replace(question, trials=around[None, :, question.sensor], around=around)


def _corrupted(
    series: Series,
    sensor: int,
    week: int,
    what: tuple[Sequence[Fault], Sequence[int]],
    rng: np.random.Generator,
) -> tuple[list[Floats], list[Cell | None]]:
    begin = (week + FIRST_WEEK) * WEEK - CONTEXT
    around = setting(series, sensor, begin, begin + LEAD, rng)
    quiet = series.values[begin : begin + LEAD, sensor]
    rows, cells = list[Floats](), list[Cell | None]()
    for fault in what[0]:
        for strength in what[1]:
            rows.append(fault.change(quiet, CONTEXT, fault.strengths[strength], around))
            cells.append(Cell(fault=fault.name, strength=strength))
    return rows, cells


def forward(series: Series) -> Trials:
    """Ask of each week of the second year against all weeks of the first."""
    n_now = min(series.n_weeks - FIRST_WEEK - N_WEEKS, N_WEEKS)
    then = series.windows(FIRST_WEEK, N_WEEKS)
    now = series.windows(FIRST_WEEK + N_WEEKS, n_now)
    trials = Trials(series=series)
    for sensor in range(then.shape[2]):
        for week in range(n_now):
            question = Question(
                weeks=then,
                sensor=sensor,
                left_out=None,
                trials=now[week : week + 1, :, sensor],
                around=now[week],
            )
            trials.add(question, week, sensor, [None])
    return trials


def streams(made: Sequence[Series], n_windows: int) -> Trials:
    """Ask of the last week of each sensor of each series against the weeks before it."""
    trials = Trials(series=made[0])
    for i, series in enumerate(made):
        windows = series.windows(FIRST_WEEK, n_windows + 1)
        for sensor in range(windows.shape[2]):
            then = windows[:-1, :, sensor : sensor + 1]
            # Every stream is a cluster of its own: they know nothing of each other.
            trials.add(
                Question(
                    weeks=then,
                    sensor=0,
                    left_out=None,
                    trials=windows[-1:, :, sensor],
                    around=windows[-1, :, sensor : sensor + 1],
                ),
                i * windows.shape[2] + sensor,
                sensor,
                [None],
            )
    return trials


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """One row for each trial of a series.

    Attributes
    ----------
    week, sensor : (trial,)
    fault
        Empty for a quiet week.
    """

    week: Floats
    sensor: Floats
    fault: "np.ndarray[tuple[int], np.dtype[np.str_]]"
    strength: Floats
    score: Floats
    alarm: Bools

    def quiet(self) -> Bools:
        return np.asarray(self.fault == "")

    def of(self, fault: str, strength: int) -> Bools:
        return np.asarray((self.fault == fault) & (self.strength == strength))


def ask(detector: Detector, trials: Trials) -> Answers:
    """Let a detector evaluate every trial."""
    return laid_out(trials, detector.evaluate(trials.questions))


def laid_out(trials: Trials, verdicts: Sequence[Verdicts]) -> Answers:
    """Lay verdicts out, a row each."""
    rows = [
        (week, sensor, cell.fault if cell else "", cell.strength if cell else -1)
        for week, sensor, cells in zip(trials.weeks, trials.sensors, trials.cells, strict=True)
        for cell in cells
    ]
    week, sensor, fault, strength = zip(*rows, strict=True)
    return Answers(
        week=np.array(week),
        sensor=np.array(sensor),
        fault=np.array(fault),
        strength=np.array(strength),
        score=np.concatenate([one.score for one in verdicts]),
        alarm=np.concatenate([one.alarm for one in verdicts]),
    )


def rate(answers: Answers, chosen: Bools, alarm: Bools, seed: int) -> list[float]:
    """Return a share of alarms and its interval, resampling weeks."""
    clusters = [
        alarm[chosen & (answers.week == week)].astype(float)
        for week in np.unique(answers.week[chosen])
    ]
    return list(scores.interval(clusters, seed))


def power(answers: Answers, alarm: Bools, seed: int) -> dict[str, dict[str, list[float]]]:
    """Return per change and strength the share of corrupted weeks that are called."""
    table: dict[str, dict[str, list[float]]] = {}
    for fault in dict.fromkeys(answers.fault[~answers.quiet()].tolist()):
        for strength in sorted(set(answers.strength[answers.fault == fault].tolist())):
            chosen = answers.of(fault, strength)
            table.setdefault(fault, {})[str(strength)] = rate(answers, chosen, alarm, seed)
    return table


def localised(answers: Answers) -> float:
    """Return how often the corrupted sensor scores above all others of its week.

    Middle strength, all faults that are no benign change; a tie is a miss.
    """
    harmless = {DOUBLED, SHARED, *(fault.name for fault in BENIGN)}
    quiet = answers.quiet()
    hits = []
    for i in np.flatnonzero(answers.strength == 1):
        if answers.fault[i] in harmless:
            continue
        rivals = (
            quiet & (answers.week == answers.week[i]) & (answers.sensor != answers.sensor[i])
        )
        if rivals.any():
            hits.append(answers.score[i] > answers.score[rivals].max())
    return float(np.mean(hits)) if hits else float("nan")


def with_threshold_of(answers: Answers, calibration: Answers) -> Bools:
    """Call what exceeds the score that 5 % of another series' quiet weeks exceed."""
    return answers.score > scores.at_size(calibration.score[calibration.quiet()], SIZE)
