"""Claims of a classifier, as the monitor of calibration reads them."""

import numpy as np
from scipy.stats import norm

from monitors.performance.calibration import ProbabilityDays
from monitors.summaries.summary import Floats
from tasks.calibration_sums import sums

CLASSES = ("walk", "sit", "stand")
FIRST_DAY = 17_000
SESSIONS, STEPS = 20, 6  # of a day
_ALIKE = 0.5  # how far what happens in one session hangs together
_LASTS = 0.7  # how far a day's mood lasts until the next


def sessions(n_days: int, seed: int) -> tuple[Floats, Floats]:
    """Return calibrated probabilities and what happened, of dependent sessions.

    What a session holds, and what kind of day it is, move its probabilities; the chance that
    decides what happens is shared within a session. So labels depend on each other, and still
    each happens as often as predicted.

    Returns
    -------
    predicted, observed : (day, prediction, class)
    """
    chance = np.random.default_rng(seed)
    mood = np.zeros((n_days, len(CLASSES)))
    for day in range(1, n_days):
        mood[day] = _LASTS * mood[day - 1] + 0.3 * chance.normal(size=len(CLASSES))
    shape = (n_days, SESSIONS, STEPS)
    logits = (
        mood[:, None, None]
        + chance.normal(size=(n_days, SESSIONS, 1, len(CLASSES)))
        + 0.7 * chance.normal(size=(*shape, len(CLASSES)))
    )
    predicted = softmax(logits)
    drawn = np.sqrt(_ALIKE) * chance.normal(size=(n_days, SESSIONS, 1))
    drawn = norm.cdf(drawn + np.sqrt(1 - _ALIKE) * chance.normal(size=shape))
    which = (drawn[..., None] > predicted.cumsum(axis=-1)[..., :-1]).sum(axis=-1)
    observed = np.eye(len(CLASSES))[which]
    flat = (n_days, SESSIONS * STEPS, len(CLASSES))
    return predicted.reshape(flat), observed.reshape(flat)


def softmax(logits: Floats) -> Floats:
    odds: Floats = np.exp(logits)
    shares: Floats = odds / odds.sum(axis=-1, keepdims=True)
    return shares


def sharpened(predicted: Floats) -> Floats:
    """Return probabilities at half the temperature: over-confident."""
    return softmax(2.0 * np.log(predicted))


def shifted(predicted: Floats) -> Floats:
    """Return probabilities in which the odds of the first class are 2.5 times as high."""
    return softmax(np.log(predicted) + np.log([2.5, 1.0, 1.0]))


def cells(predicted: Floats, observed: Floats) -> Floats:
    """Sum up each day; (day, class, WIDTH)."""
    return np.array(
        [sums(p[:, None], y[:, None]) for p, y in zip(predicted, observed, strict=True)]
    )


def claim_days(of_days: Floats) -> ProbabilityDays:
    """Return days from `cells` as what one version claimed, from its first day on."""
    return ProbabilityDays(
        names=CLASSES[: of_days.shape[1]], first_day=FIRST_DAY, cells=of_days
    )
